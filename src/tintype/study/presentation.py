"""The report as text, JSON, CSV of answers, and a self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from tintype.study.manifest import Study
from tintype.study.records import Rater
from tintype.study.results import PhotoScore, Report
from tintype.study.statistics import ConfidenceInterval

SIMULATED = "SIMULATED: answers of simulated raters. This is no Visual Turing Test."

_COLUMNS = (
    *("source", "rater", "code", "exclusion_reasons", "position", "kind", "photo", "system"),
    *("true_side", "choice", "fooled", "reaction_ms", "exposed_ms", "interrupted", "layout"),
    *("server_ms", "presentations"),
)
_THUMBNAIL = 112  # pixels
_N_EXTREMES = 6  # photographs shown that fooled most, and least


def report_json(study: Study, report: Report) -> dict[str, Any]:
    """Return the whole report, with the study's settings, as a JSON object."""
    settings = asdict(study.settings)
    for name in ("seed", "consent"):  # the seed would tell all sides
        del settings[name]
    return {
        "simulated": report.source == "simulated",
        **({"notice": SIMULATED} if report.source == "simulated" else {}),
        "study": {"created": study.created, "settings": settings, "systems": study.systems},
        "report": _to_json(asdict(report)),
    }


def report_text(study: Study, report: Report) -> str:
    """Format the report for a terminal."""
    lines = [f"{report.title}: {_rater_counts(report)}"]
    if report.source == "simulated":
        lines.insert(0, SIMULATED)
    for exclusion in report.excluded:
        lines.append(f"  excluded: rater {exclusion.rater}, {'; '.join(exclusion.reasons)}")
    if report.diagnostics is None:
        return "\n".join([*lines, "No answers are included yet."])
    lines += [
        "",
        "How often the system's picture was taken for the true one (50 %: indistinguishable)",
        *_align_columns(
            [
                ("system", "score", "95 % over raters", "95 % Wilson", "answers", "raters"),
                *(
                    (
                        score.system,
                        format_percent(score.score),
                        format_interval(score.bootstrap_interval),
                        format_interval(score.wilson_interval),
                        str(score.answers),
                        str(score.raters),
                    )
                    for score in report.systems
                ),
            ]
        ),
        "",
        "Reaction times (median and quartiles, s) and agreement of raters (Krippendorff's alpha)",
        *_align_columns(
            [
                ("system", "median", "quartiles", "alpha"),
                *(
                    (
                        score.system,
                        f"{score.reaction_times.median / 1000:.2f}",
                        f"{score.reaction_times.q1 / 1000:.2f} to "
                        f"{score.reaction_times.q3 / 1000:.2f}",
                        format_coefficient(score.alpha),
                    )
                    for score in report.systems
                ),
                ("all", "", "", format_coefficient(report.alpha)),
            ]
        ),
    ]
    if report.comparisons:
        lines += [
            "",
            "Differences (p: permutation tests over raters and over photographs, the larger)",
            *_align_columns(
                [
                    ("systems", "difference", "95 % over raters", "p", "p (Holm)"),
                    *(
                        (
                            f"{pair.first} - {pair.second}",
                            format_points(pair.difference),
                            format_interval(pair.interval),
                            format_p_value(pair.p),
                            format_p_value(pair.p_holm),
                        )
                        for pair in report.comparisons
                    ),
                ]
            ),
        ]
    lines += ["", *diagnostic_notes(report)]
    return "\n".join(lines)


def answers_csv(study: Study, raters: Sequence[Rater], report: Report) -> str:
    """Return all answers as CSV, a row each, without those of raters who withdrew."""
    reasons = {exclusion.rater: "; ".join(exclusion.reasons) for exclusion in report.excluded}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for rater in raters:
        if rater.withdrawn:
            continue
        for answer in rater.answers:
            measurements = answer.measurements
            row = [
                "SIMULATED" if report.source == "simulated" else "real",
                rater.number,
                rater.code,
                reasons.get(rater.number, ""),
                answer.position,
                answer.kind,
                study.photos[answer.photo].name,
                answer.system,
                answer.true_side,
                answer.choice,
                int(answer.fooled),
                measurements.reaction_ms,
                measurements.exposed_ms,
                int(measurements.interrupted),
                measurements.layout,
                answer.server_ms,
                answer.presentations,
            ]
            writer.writerow(["" if value is None else _escape_formula(value) for value in row])
    return buffer.getvalue()


def report_html(study: Study, report: Report) -> str:
    """Return the report as one self-contained HTML page."""
    environment = Environment(
        loader=PackageLoader("tintype.study"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "percent": format_percent,
        "interval": format_interval,
        "points": format_points,
        "p_value": format_p_value,
        "number": format_coefficient,
    }
    most = sorted(report.photos, key=lambda score: (-score.score, -score.answers, score.name))
    least = sorted(report.photos, key=lambda score: (score.score, -score.answers, score.name))
    return environment.get_template("report.html").render(
        study=study,
        report=report,
        raters=_rater_counts(report),
        diagnostic_notes=diagnostic_notes(report),
        notice=SIMULATED if report.source == "simulated" else "",
        most=[_thumbnails(study, score) for score in most[:_N_EXTREMES] if score.fooled],
        least=[_thumbnails(study, score) for score in least[:_N_EXTREMES]],
    )


def report_csp(page: str) -> str:
    """Return the content security policy of a report's page: its own style and data images."""
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def diagnostic_notes(report: Report) -> list[str]:
    """Describe how the included answers were given, in sentences."""
    diagnostics = report.diagnostics
    if diagnostics is None:
        return []
    notes = [
        f"Each pair of photograph and system has {diagnostics.min_answers_per_pair} to "
        f"{diagnostics.max_answers_per_pair} answers.",
        f"The left (or upper) picture was chosen in {format_percent(diagnostics.left_rate)} of the "
        "answers.",
    ]
    if diagnostics.catch_error_rate is not None:
        rate = format_percent(diagnostics.catch_error_rate)
        notes.append(f"{rate} of the catch trials were answered wrongly.")
    if diagnostics.exposed_ms is not None:
        seconds = diagnostics.exposed_ms / 1000
        notes.append(
            f"The pictures were in view for {seconds:.2f} s (median), or until the answer."
        )
    counts = {
        "were given without script, the pictures in view without limit": diagnostics.without_script,
        "are of pairs that were shown again after a reload": diagnostics.reshown,
        "were given after the page was hidden during exposure": diagnostics.interrupted,
    }
    notes += [f"{count} answers {what}." for what, count in counts.items() if count]
    if len(diagnostics.layouts) > 1:
        row, column = diagnostics.layouts["row"], diagnostics.layouts["column"]
        notes.append(
            f"The pictures lay side by side for {row} answers, one above other for {column}."
        )
    for pair in report.comparisons:
        lacks = []
        if pair.p_raters is None:
            lacks.append("over raters (none judged both)")
        if pair.p_photos is None:
            lacks.append("over photographs (none was judged in the colours of both)")
        if lacks:
            notes.append(f"{pair.first} and {pair.second} are not tested {', nor '.join(lacks)}.")
    if report.included < 20:
        notes.append(
            f"With {report.included} raters the confidence intervals over raters are too "
            "narrow: gather 20 or more."
        )
    return notes


def format_percent(proportion: float) -> str:
    """Format a proportion as a percentage."""
    return f"{100 * proportion:.1f} %"


def format_points(difference: float) -> str:
    """Format a difference of proportions in percentage points."""
    return f"{100 * difference:+.1f}"


def format_interval(interval: ConfidenceInterval | None) -> str:
    """Format a confidence interval of proportions in per cent."""
    return "–" if interval is None else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def format_p_value(p: float | None) -> str:
    """Format a p-value; a dash for a test that could not be made."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_coefficient(value: float | None) -> str:
    """Format a coefficient; a dash if undefined."""
    return "–" if value is None else f"{value:.2f}"


def _rater_counts(report: Report) -> str:
    what = "simulated raters" if report.source == "simulated" else "raters"
    return (
        f"{report.enrolled} {what} began, {report.finished} finished, {report.included} included, "
        f"{len(report.excluded)} excluded"
    )


def _align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _escape_formula(value: object) -> object:
    """Quote text that a spreadsheet would take for a formula."""
    dangerous = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if dangerous else value


def _to_json(value: Any) -> Any:
    """Round numbers to five decimals; tuples become lists."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    return value


def _thumbnails(study: Study, score: PhotoScore) -> dict[str, Any]:
    """Return a pair of pictures as data URIs, with its score."""
    true, colorized = (_data_uri(path) for path in study.pair_files(score.photo, score.system))
    return {"true": true, "colorized": colorized, "score": score}


def _data_uri(path: Any) -> str:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        small = image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
        small.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
