"""The report as text, JSON, a table of answers, and a page that is one file."""

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

from tintype.study.analysis import PhotoScore, Report
from tintype.study.manifest import Study
from tintype.study.records import Rater
from tintype.study.statistics import Interval

SIMULATED = "SIMULATED: a rehearsal with made-up raters. This is no Visual Turing Test."

_COLUMNS = (
    *("source", "rater", "code", "left_out", "position", "kind", "photo", "system"),
    *("true_side", "choice", "fooled", "reaction_ms", "exposed_ms", "interrupted", "layout"),
    *("server_ms", "presentations"),
)
_THUMBNAIL = 112  # pixels
_EXTREMES = 6  # photographs shown at either end


def report_json(study: Study, report: Report) -> dict[str, Any]:
    """Everything, with the study's settings, as JSON can hold it."""
    settings = asdict(study.settings)
    for name in ("seed", "consent"):  # the seed would tell all sides
        del settings[name]
    return {
        "simulated": report.source == "simulated",
        **({"notice": SIMULATED} if report.source == "simulated" else {}),
        "study": {"created": study.created, "settings": settings, "systems": study.systems},
        "report": _plain(asdict(report)),
    }


def report_text(study: Study, report: Report) -> str:
    """The report for a terminal."""
    lines = [f"{report.title}: {_raters(report)}"]
    if report.source == "simulated":
        lines.insert(0, SIMULATED)
    for exclusion in report.excluded:
        lines.append(f"  left out: rater {exclusion.rater}, {'; '.join(exclusion.reasons)}")
    if report.conditions is None:
        return "\n".join([*lines, "No answers count yet."])
    lines += [
        "",
        "How often the system's picture was taken for the true one (50 %: indistinguishable)",
        *_aligned(
            [
                ("system", "score", "95 % over raters", "95 % Wilson", "answers", "raters"),
                *(
                    (
                        score.system,
                        percent(score.score),
                        interval(score.clustered),
                        interval(score.wilson),
                        str(score.answers),
                        str(score.raters),
                    )
                    for score in report.systems
                ),
            ]
        ),
        "",
        "Reaction times (median and middle half, s) and agreement between raters (alpha)",
        *_aligned(
            [
                ("system", "median", "middle half", "alpha"),
                *(
                    (
                        score.system,
                        f"{score.reactions.median / 1000:.2f}",
                        f"{score.reactions.lower / 1000:.2f} to {score.reactions.upper / 1000:.2f}",
                        number(score.agreement),
                    )
                    for score in report.systems
                ),
                ("all", "", "", number(report.agreement)),
            ]
        ),
    ]
    if report.comparisons:
        lines += [
            "",
            "Differences (p: permutation tests over raters and over photographs, the larger)",
            *_aligned(
                [
                    ("systems", "difference", "95 % over raters", "p", "p (Holm)"),
                    *(
                        (
                            f"{pair.first} - {pair.second}",
                            points(pair.difference),
                            interval(pair.interval),
                            p_value(pair.p),
                            p_value(pair.p_holm),
                        )
                        for pair in report.comparisons
                    ),
                ]
            ),
        ]
    lines += ["", *remarks(report)]
    return "\n".join(lines)


def answers_csv(study: Study, raters: Sequence[Rater], report: Report) -> str:
    """Every answer, a row each; those of raters who withdrew are not there."""
    why = {exclusion.rater: "; ".join(exclusion.reasons) for exclusion in report.excluded}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for rater in raters:
        if rater.withdrawn:
            continue
        for answer in rater.answers:
            measured = answer.measured
            row = [
                "SIMULATED" if report.source == "simulated" else "real",
                rater.number,
                rater.code,
                why.get(rater.number, ""),
                answer.position,
                answer.kind,
                study.photos[answer.photo].name,
                answer.system,
                answer.true_side,
                answer.choice,
                int(answer.fooled),
                measured.reaction_ms,
                measured.exposed_ms,
                int(measured.interrupted),
                measured.layout,
                answer.server_ms,
                answer.presentations,
            ]
            writer.writerow(["" if value is None else _inert(value) for value in row])
    return buffer.getvalue()


def report_page(study: Study, report: Report) -> str:
    """The report as one HTML file that needs nothing else."""
    environment = Environment(
        loader=PackageLoader("tintype.study"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "points": points,
        "p_value": p_value,
        "number": number,
    }
    most = sorted(report.photos, key=lambda score: (-score.score, -score.answers, score.name))
    least = sorted(report.photos, key=lambda score: (score.score, -score.answers, score.name))
    return environment.get_template("report.html").render(
        study=study,
        report=report,
        raters=_raters(report),
        remarks=remarks(report),
        notice=SIMULATED if report.source == "simulated" else "",
        most=[_thumbnails(study, score) for score in most[:_EXTREMES] if score.fooled],
        least=[_thumbnails(study, score) for score in least[:_EXTREMES]],
    )


def report_policy(page: str) -> str:
    """The content security policy of a report's page: its own style, pictures within it."""
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def remarks(report: Report) -> list[str]:
    """What is to be known of the answers that count, in sentences."""
    held = report.conditions
    if held is None:
        return []
    said = [
        f"Each pair of photograph and system has {held.fewest} to {held.most} answers.",
        f"The left (or upper) picture was chosen in {percent(held.left_chosen)} of the answers.",
    ]
    if held.catch_errors is not None:
        said.append(f"{percent(held.catch_errors)} of the catch trials were answered wrongly.")
    if held.exposed_ms is not None:
        seconds = held.exposed_ms / 1000
        said.append(f"The pictures were in view for {seconds:.2f} s (median), or until the answer.")
    counts = {
        "were given without script, the pictures in view without limit": held.without_script,
        "are of pairs that were shown again after a reload": held.shown_again,
        "were given after the page was hidden while the pictures were in view": held.interrupted,
    }
    said += [f"{count} answers {what}." for what, count in counts.items() if count]
    if len(held.layouts) > 1:
        row, column = held.layouts["row"], held.layouts["column"]
        said.append(
            f"The pictures lay side by side for {row} answers, one above other for {column}."
        )
    for pair in report.comparisons:
        lacks = []
        if pair.p_raters is None:
            lacks.append("over raters (none judged both)")
        if pair.p_photos is None:
            lacks.append("over photographs (none was judged in the colours of both)")
        if lacks:
            said.append(f"{pair.first} and {pair.second} are not tested {', nor '.join(lacks)}.")
    if report.counted < 20:
        said.append(
            f"With {report.counted} raters the intervals over raters are narrower than they "
            "should be: gather 20 or more."
        )
    return said


def percent(share: float) -> str:
    """A share as readers write it."""
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """A difference of shares, in percentage points."""
    return f"{100 * difference:+.1f}"


def interval(found: Interval | None) -> str:
    """An interval of shares."""
    return "–" if found is None else f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def p_value(p: float | None) -> str:
    """A p-value; a dash for a test that could not be made."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(value: float | None) -> str:
    """A coefficient."""
    return "–" if value is None else f"{value:.2f}"


def _raters(report: Report) -> str:
    what = "simulated raters" if report.source == "simulated" else "raters"
    return (
        f"{report.enrolled} {what} began, {report.finished} finished, {report.counted} count, "
        f"{len(report.excluded)} left out"
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _inert(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    dangerous = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if dangerous else value


def _plain(value: Any) -> Any:
    """Figures to five decimals; intervals as lists."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _thumbnails(study: Study, score: PhotoScore) -> dict[str, Any]:
    """A pair of pictures as data URIs, with its score."""
    true, coloured = (_data_uri(path) for path in study.files_of(score.photo, score.system))
    return {"true": true, "coloured": coloured, "score": score}


def _data_uri(path: Any) -> str:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        small = image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
        small.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
