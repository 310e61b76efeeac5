"""The report's page: table, charts, pictures and definitions in one HTML file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np

from tintype import __version__
from tintype.errors import DataError
from tintype.evaluation.accumulator import BOOTSTRAP_RESAMPLES
from tintype.evaluation.metric_specs import HEADLINE_METRICS, METRICS, MetricSpec
from tintype.evaluation.report.charts import color_style, histogram, interval_plot, scatter
from tintype.evaluation.report.thumbnails import ThumbnailStore
from tintype.evaluation.table import REFERENCE_ROWS, Row, Table, format_score

_FOLDER = Path(__file__).parent
_CASES = 3  # best and worst photographs shown for each model
_SEED = 0  # of the random choice of example photographs
_CHARTED = (
    "ab_rmse",
    "auc_reb",
    "de2000",
    "delta_cf",
    "hist_a",
    "hist_b",
    "label_agreement",
    "fid",
)

#: The reference rows of the table, and what they are.
_REFERENCE_NOTES = {
    "gray": "the input",
    "ceiling": "true chroma, given lightness",
    "truth": "the photographs themselves",
}


def check_writable(path: Path) -> None:
    """Check that a report can be written, before the work.

    Raises:
        DataError: its folder is missing or cannot be written to, or a folder has its name.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise DataError(f"{path} cannot be written: name a file in a folder that exists.")


def write_report(
    path: Path, table: Table, thumbnails: ThumbnailStore, *, examples: int = 24
) -> None:
    """Write the report as one HTML file, atomically.

    Args:
        path: the HTML file.
        table: the result of `evaluate`.
        thumbnails: the store whose ``save`` was the ``on_image`` of `evaluate`.
        examples: how many photographs to show, drawn with a fixed seed, beside each model's best
            and worst.

    Raises:
        DataError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text("".join(_page(table, thumbnails, examples)), "utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _page(table: Table, thumbnails: ThumbnailStore, examples: int) -> Iterator[str]:
    models = table.rows[len(REFERENCE_ROWS) :]
    style, script = ((_FOLDER / name).read_text("utf-8") for name in ("page.css", "page.js"))
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Colorization benchmark</title><style>{style}</style></head><body><main>"
    )
    yield from _header(table, models)
    yield from _table(table, models)
    yield from _charts(table, models)
    yield from _examples(table, thumbnails, examples)
    yield from _best_and_worst(table, thumbnails, models)
    yield from _definitions(table)
    yield f"</main><script>{script}</script></body></html>\n"


def _header(table: Table, models: list[Row]) -> Iterator[str]:
    several = "s" if len(models) != 1 else ""
    yield (
        f"<header><h1>Colorization benchmark</h1><p class=facts>{len(models)} model{several} on "
        f"{len(table.photos)} photographs · protocol <b>{escape(table.protocol.name)}</b> · "
        f"tintype {escape(__version__)}</p><p>{escape(table.protocol.description())}</p>"
        "<p>Three rows are no models. <b>Gray</b> is the input itself; it wins wherever a muted "
        "picture is the safe guess, so error alone says little. The <b>ceiling</b> has the true "
        "chroma on the lightness that models are given: what knowing every colour would score. "
        "The <b>truth</b> is the photographs themselves.</p></header>"
    )


def _table(table: Table, models: list[Row]) -> Iterator[str]:
    shown = [METRICS[name] for name in table.reported]
    best = {metric.name: _best(metric, models) for metric in shown}
    yield (
        '<section><h2>Scores</h2><div class="tools">'
        '<label><input type="checkbox" id="intervals"> 95 % confidence intervals</label> '
        '<label><input type="checkbox" id="all"> all metrics</label>'
        '<span class="hint">Best of the models in bold. A heading sorts.</span></div>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Scores"><table class="scores">'
        '<thead><tr><th scope="col" class="name"><button type="button">model</button></th>'
    )
    group = ""
    for metric in shown:
        heading, group = metric.group if metric.group != group else "", metric.group
        arrow = {"higher": "↑", "lower": "↓", "": ""}[metric.better]
        yield (
            f'<th scope="col" class="{_kind(metric)}" title="{escape(metric.description)}" '
            f'data-first="{"descending" if metric.better == "higher" else "ascending"}">'
            f'<span class="group">{escape(heading)}</span>'
            f'<button type="button">{escape(metric.title)}'
            f'<span class="arrow">{arrow}</span></button></th>'
        )
    yield '</tr></thead><tbody class="pinned">'
    for row in [*table.rows[: len(REFERENCE_ROWS)], Row("truth", table.truth)]:
        yield from _row(row, shown, {}, "")
    yield "</tbody><tbody>"
    for number, row in enumerate(models):
        yield from _row(row, shown, best, color_style(number))
    yield "</tbody></table></div></section>"


def _row(row: Row, shown: list[MetricSpec], best: dict[str, str], style: str) -> Iterator[str]:
    says = _REFERENCE_NOTES.get(row.model, "") if not style else ""
    note = f"<small>{says}</small>" if says else ""
    mark = f'<i class="mark" style="{style}"></i>' if style else ""
    yield f'<tr><th scope="row" class="name">{mark}{escape(row.model)}{note}</th>'
    for metric in shown:
        value = row.scores.get(metric.name)
        text, interval, title = format_score(metric.name, value), "", ""
        if style and metric.name in row.intervals:
            low, high = (format_score(metric.name, end) for end in row.intervals[metric.name])
            interval = f"<small>{low}–{high}</small>"
            title = f' title="95 %: {low} to {high}"'
        if value is not None and text == best.get(metric.name):
            text = f"<strong>{text}</strong>"
        order = "" if value is None else f"{value:.8g}"
        yield f'<td class="{_kind(metric)}" data-value="{order}"{title}>{text}{interval}</td>'
    yield "</tr>"


def _kind(metric: MetricSpec) -> str:
    return "brief" if metric.name in HEADLINE_METRICS else "more"


def _best(metric: MetricSpec, models: list[Row]) -> str:
    """Return the best score as printed, so that all ties are marked; "" if all tie."""
    values = [row.scores[metric.name] for row in models if metric.name in row.scores]
    if not metric.better or len({format_score(metric.name, value) for value in values}) < 2:
        return ""
    return format_score(metric.name, (max if metric.better == "higher" else min)(values))


def _charts(table: Table, models: list[Row]) -> Iterator[str]:
    if not models:
        return
    drawn = scatter(table, "colorful", "ab_rmse", models)
    yield (
        "<section><h2>Error and colourfulness</h2><p>Left and low is the cheap way to a small "
        "error. A good model stands near the truth's line and below gray. Bars are 95 % "
        f'confidence intervals.</p><figure class="wide">{drawn}</figure></section>'
    )
    yield (
        "<section><h2>Confidence intervals</h2><p>95 %, percentile bootstrap over the photographs "
        f"({BOOTSTRAP_RESAMPLES:,} resamples); the broken line is gray. Models see the same "
        "photographs, so two overlapping intervals may still hide a significant difference.</p>"
        '<div class="panels">'
    )
    for name in _CHARTED:
        if any(name in row.scores for row in models):
            metric = METRICS[name]
            better = {"higher": "higher is better", "lower": "lower is better", "": ""}
            caption = f"{escape(metric.title)}<small>{better[metric.better]}</small>"
            chart = interval_plot(table, name, models)
            yield f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"
    yield (
        "</div></section><section><h2>Histograms of a and b</h2><p>Share of the pixels by a "
        "(green to red) and b (blue to yellow), logarithmic. Filled: the model; line: the truth."
        '</p><div class="panels pairs">'
    )
    for number, row in enumerate(models):
        pair = "".join(
            histogram(own, true, axis)
            for axis, own, true in zip("ab", row.histogram, table.truth_histogram, strict=True)
        )
        a, b = (format_score(name, row[name]) for name in ("hist_a", "hist_b"))
        yield (
            f'<figure style="{color_style(number)}"><figcaption>{escape(row.model)}'
            f"<small>intersection a {a}, b {b}</small></figcaption>{pair}</figure>"
        )
    yield "</div></section>"


def _examples(table: Table, thumbnails: ThumbnailStore, examples: int) -> Iterator[str]:
    total = len(table.photos)
    count = min(examples, total)
    if count == 0:
        return
    chosen = sorted(np.random.default_rng(_SEED).permutation(total)[:count].tolist())
    which = "All" if count == total else f"{count} of {total}, drawn at random,"
    yield (
        f"<section><h2>Photographs</h2><p>{which} in the order given. Under each picture: ab RMSE, "
        "and colorfulness.</p>"
    )
    shown = [row for row in table.rows if row.model != "ceiling"]
    for number in chosen:
        yield f'<h3>{escape(Path(table.photos[number]).name)}</h3><div class="strip">'
        for row in shown:
            yield _picture(thumbnails, number, row.model, _caption(row, number))
        yield _picture(thumbnails, number, "truth", "")
        yield "</div>"
    yield "</section>"


def _best_and_worst(table: Table, thumbnails: ThumbnailStore, models: list[Row]) -> Iterator[str]:
    if not models:
        return
    yield (
        "<section><h2>Best and worst</h2><p>For each model the photographs whose ab RMSE it "
        "lowered most below gray's, and those whose it raised most; the truth beside each. Under "
        "the pictures: ab RMSE, and gray's in brackets.</p>"
    )
    gray = table.rows[0].per_photo["ab_rmse"]
    for number, row in enumerate(models):
        improvement = gray - row.per_photo["ab_rmse"]
        order = np.argsort(-improvement, kind="stable")
        count = min(_CASES, len(order))
        yield (
            f'<h3><i class="mark" style="{color_style(number)}"></i>{escape(row.model)}</h3>'
            '<div class="cases">'
        )
        for title, cases in (("best", order[:count]), ("worst", order[::-1][:count])):
            yield f'<div><h4>{title}</h4><div class="strip">'
            for case in cases.tolist():
                caption = f"{row.per_photo['ab_rmse'][case]:.1f} ({gray[case]:.1f})"
                yield f'<div class="pair">{_picture(thumbnails, case, row.model, caption)}'
                yield f"{_picture(thumbnails, case, 'truth', '')}</div>"
            yield "</div></div>"
        yield "</div>"
    yield "</section>"


def _caption(row: Row, photo: int) -> str:
    """Return the ab RMSE and colorfulness of one photograph."""
    values = [("ab_rmse", 1), ("colorful", 0)]
    scores = [(row.per_photo[name][photo], digits) for name, digits in values]
    return " · ".join(f"{v:.{digits}f}" for v, digits in scores if math.isfinite(v))


def _picture(thumbnails: ThumbnailStore, photo: int, name: str, caption: str) -> str:
    caption = f"{escape(name)}<small>{escape(caption)}</small>"
    return (
        f'<figure><img loading="lazy" alt="{escape(name)}" '
        f'src="{thumbnails.data_uri(photo, name)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _definitions(table: Table) -> Iterator[str]:
    yield "<section><h2>Metrics</h2><dl>"
    for name in table.reported:
        metric = METRICS[name]
        note = f" <small>{escape(table.notes[name])}.</small>" if name in table.notes else ""
        yield f"<dt>{escape(metric.title)}</dt><dd>{escape(metric.description)}{note}</dd>"
    yield "</dl>"
    if table.skipped:
        yield f"<h3>Left out: {len(table.skipped)}</h3><ul>"
        for reason in list(table.skipped.values())[:50]:
            yield f"<li>{escape(reason)}</li>"
        yield "</ul>"
    yield "</section>"
