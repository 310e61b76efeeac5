"""The report as JSON and as one HTML file, and the answers as CSV."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from tintype.study.manifest import TRUE_COLORS, Study
from tintype.study.records import Rater
from tintype.study.report_text import (
    SIMULATED,
    diagnostic_notes,
    format_coefficient,
    format_interval,
    format_p_value,
    format_percent,
    format_points,
    rater_counts,
)
from tintype.study.results import PhotoScore, Report

_COLUMNS = (
    *("source", "rater", "code", "exclusion_reasons", "position", "kind", "photo", "system"),
    *("true_side", "choice", "fooled", "reaction_ms", "exposed_ms", "interrupted", "layout"),
    *("server_ms", "presentations"),
)
_THUMBNAIL = 112  # pixels
_N_EXTREMES = 6  # photographs shown at each end: those that fooled most often, and least often


def report_json(study: Study, report: Report) -> dict[str, Any]:
    """Return the whole report, with the study's settings, as a JSON object."""
    settings = asdict(study.settings)
    for name in ("seed", "consent"):  # the seed would tell all true sides
        del settings[name]
    return {
        "simulated": report.source == "simulated",
        **({"notice": SIMULATED} if report.source == "simulated" else {}),
        "study": {"created": study.created, "settings": settings, "systems": study.systems},
        "report": _to_json(asdict(report)),
    }


def answers_csv(study: Study, raters: Sequence[Rater], report: Report) -> str:
    """Return all answers as CSV, one row an answer, without those of raters who withdrew."""
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
    photos = [score for score in report.photos if score.system != TRUE_COLORS]
    most = sorted(photos, key=lambda score: (-score.score, -score.answers, score.name))
    least = sorted(photos, key=lambda score: (score.score, -score.answers, score.name))
    return environment.get_template("report.html").render(
        study=study,
        report=report,
        raters=rater_counts(report),
        diagnostic_notes=diagnostic_notes(report),
        true_colors=TRUE_COLORS,
        notice=SIMULATED if report.source == "simulated" else "",
        most=[_thumbnails(study, score) for score in most[:_N_EXTREMES] if score.fooled],
        least=[_thumbnails(study, score) for score in least[:_N_EXTREMES]],
    )


def report_csp(page: str) -> str:
    """Return the content security policy of a report's page: its own style and data images only."""
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def _escape_formula(value: object) -> object:
    """Put a quote before text that a spreadsheet would run as a formula."""
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


def _data_uri(path: Path) -> str:
    """Return a picture, reduced, as the data URI of a JPEG."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        small = image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
        small.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
