"""The page: table, drawings, pictures and definitions, with everything in one file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np

from tintype import __version__
from tintype.errors import DataError
from tintype.evaluation.measures import BRIEF, MEASURES, Measure
from tintype.evaluation.observations import RESAMPLES
from tintype.evaluation.report.charts import colour, histogram, intervals, scatter
from tintype.evaluation.report.gallery import Gallery
from tintype.evaluation.table import REFERENCES, Row, Table, cell

_HERE = Path(__file__).parent
_CASES = 3  # best and worst photographs of each model
_SEED = 0  # of the photographs that are shown
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

#: What stands in the table before the models, and what it is.
_SAYS = {
    "gray": "nothing done",
    "ceiling": "true chroma, given lightness",
    "truth": "the photographs themselves",
}


def check_writable(path: Path) -> None:
    """Refuse a report that could not be written, before the work.

    Raises:
        DataError: its folder is missing or cannot be written to, or a folder has its name.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise DataError(f"{path} cannot be written: name a file in a folder that exists.")


def write_report(path: Path, table: Table, gallery: Gallery, *, strips: int = 24) -> None:
    """Write the report, whole or not at all.

    Args:
        path: the HTML file.
        table: the result of `evaluate`.
        gallery: what its ``keep`` was.
        strips: how many photographs to show, drawn with a fixed seed; each model's best and worst
            come on top.

    Raises:
        DataError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text("".join(_page(table, gallery, strips)), "utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _page(table: Table, gallery: Gallery, strips: int) -> Iterator[str]:
    models = table.rows[len(REFERENCES) :]
    style, script = ((_HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Colorization benchmark</title><style>{style}</style></head><body><main>"
    )
    yield from _head(table, models)
    yield from _table(table, models)
    yield from _drawings(table, models)
    yield from _strips(table, gallery, strips)
    yield from _cases(table, gallery, models)
    yield from _definitions(table)
    yield f"</main><script>{script}</script></body></html>\n"


def _head(table: Table, models: list[Row]) -> Iterator[str]:
    several = "s" if len(models) != 1 else ""
    yield (
        f"<header><h1>Colorization benchmark</h1><p class=facts>{len(models)} model{several} on "
        f"{len(table.photos)} photographs · protocol <b>{escape(table.protocol.name)}</b> · "
        f"tintype {escape(__version__)}</p><p>{escape(table.protocol.text())}</p>"
        "<p>Three rows are no models. <b>Gray</b> is doing nothing; it wins wherever a muted "
        "picture is the safe guess, so error alone says little. The <b>ceiling</b> has the true "
        "chroma on the lightness that models are given: what knowing every colour would score. "
        "The <b>truth</b> is the photographs themselves.</p></header>"
    )


def _table(table: Table, models: list[Row]) -> Iterator[str]:
    shown = [MEASURES[name] for name in table.measured]
    best = {measure.name: _best(measure, models) for measure in shown}
    yield (
        '<section><h2>Scores</h2><div class="tools">'
        '<label><input type="checkbox" id="intervals"> 95 % intervals</label> '
        '<label><input type="checkbox" id="all"> all measures</label>'
        '<span class="hint">Best of the models in bold. A heading sorts.</span></div>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Scores"><table class="scores">'
        '<thead><tr><th scope="col" class="name"><button type="button">model</button></th>'
    )
    group = ""
    for measure in shown:
        heading, group = measure.group if measure.group != group else "", measure.group
        arrow = {"more": "↑", "less": "↓", "": ""}[measure.better]
        yield (
            f'<th scope="col" class="{_kind(measure)}" title="{escape(measure.says)}" '
            f'data-first="{"descending" if measure.better == "more" else "ascending"}">'
            f'<span class="group">{escape(heading)}</span>'
            f'<button type="button">{escape(measure.title)}'
            f'<span class="arrow">{arrow}</span></button></th>'
        )
    yield '</tr></thead><tbody class="pinned">'
    for row in [*table.rows[: len(REFERENCES)], Row("truth", table.truth)]:
        yield from _row(row, shown, {}, "")
    yield "</tbody><tbody>"
    for number, row in enumerate(models):
        yield from _row(row, shown, best, colour(number))
    yield "</tbody></table></div></section>"


def _row(row: Row, shown: list[Measure], best: dict[str, str], style: str) -> Iterator[str]:
    says = _SAYS.get(row.model, "") if not style else ""
    note = f"<small>{says}</small>" if says else ""
    mark = f'<i class="mark" style="{style}"></i>' if style else ""
    yield f'<tr><th scope="row" class="name">{mark}{escape(row.model)}{note}</th>'
    for measure in shown:
        value = row.figures.get(measure.name)
        text, interval, title = cell(measure.name, value), "", ""
        if style and measure.name in row.intervals:
            low, high = (cell(measure.name, end) for end in row.intervals[measure.name])
            interval = f"<small>{low}–{high}</small>"
            title = f' title="95 %: {low} to {high}"'
        if value is not None and text == best.get(measure.name):
            text = f"<strong>{text}</strong>"
        order = "" if value is None else f"{value:.8g}"
        yield f'<td class="{_kind(measure)}" data-value="{order}"{title}>{text}{interval}</td>'
    yield "</tr>"


def _kind(measure: Measure) -> str:
    return "brief" if measure.name in BRIEF else "more"


def _best(measure: Measure, models: list[Row]) -> str:
    """The best figure of the models as printed, so that ties are all marked; "" if all tie."""
    values = [row.figures[measure.name] for row in models if measure.name in row.figures]
    if not measure.better or len({cell(measure.name, value) for value in values}) < 2:
        return ""
    return cell(measure.name, (max if measure.better == "more" else min)(values))


def _drawings(table: Table, models: list[Row]) -> Iterator[str]:
    if not models:
        return
    drawn = scatter(table, "colorful", "ab_rmse", models)
    yield (
        "<section><h2>Error and colourfulness</h2><p>Left and low is the cheap way to a small "
        "error. A good model stands near the truth's line and below gray. Bars are 95 % "
        f'intervals.</p><figure class="wide">{drawn}</figure></section>'
    )
    yield (
        "<section><h2>How sure the differences are</h2><p>95 % intervals by bootstrap over the "
        f"photographs ({RESAMPLES:,} resamples); the broken line is gray. Models see the same "
        "photographs, so two overlapping intervals may still hide a sure difference.</p>"
        '<div class="panels">'
    )
    for name in _CHARTED:
        if any(name in row.figures for row in models):
            measure = MEASURES[name]
            better = {"more": "more is better", "less": "less is better", "": ""}
            caption = f"{escape(measure.title)}<small>{better[measure.better]}</small>"
            chart = intervals(table, name, models)
            yield f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"
    yield (
        "</div></section><section><h2>Histograms of a and b</h2><p>Share of the pixels by a "
        "(green to red) and b (blue to yellow), logarithmic. Filled: the model; line: the truth."
        '</p><div class="panels pairs">'
    )
    for number, row in enumerate(models):
        pair = "".join(
            histogram(own, true, axis)
            for axis, own, true in zip("ab", row.histogram, table.true_histogram, strict=True)
        )
        met = f"intersection a {cell('hist_a', row['hist_a'])}, b {cell('hist_b', row['hist_b'])}"
        yield (
            f'<figure style="{colour(number)}"><figcaption>{escape(row.model)}'
            f"<small>{met}</small></figcaption>{pair}</figure>"
        )
    yield "</div></section>"


def _strips(table: Table, gallery: Gallery, strips: int) -> Iterator[str]:
    total = len(table.photos)
    count = min(strips, total)
    if count == 0:
        return
    chosen = sorted(np.random.default_rng(_SEED).permutation(total)[:count].tolist())
    which = "All" if count == total else f"{count} of {total}, drawn by lot,"
    yield (
        f"<section><h2>Photographs</h2><p>{which} in the order given. Under each picture: ab RMSE, "
        "and colorfulness.</p>"
    )
    shown = [row for row in table.rows if row.model != "ceiling"]
    for number in chosen:
        yield f'<h3>{escape(Path(table.photos[number]).name)}</h3><div class="strip">'
        for row in shown:
            yield _picture(gallery, number, row.model, _told(row, number))
        yield _picture(gallery, number, "truth", "")
        yield "</div>"
    yield "</section>"


def _cases(table: Table, gallery: Gallery, models: list[Row]) -> Iterator[str]:
    if not models:
        return
    yield (
        "<section><h2>Best and worst</h2><p>For each model the photographs whose ab RMSE it "
        "lowered most below gray's, and those whose it raised most; the truth beside each. Under "
        "the pictures: ab RMSE, and gray's in brackets.</p>"
    )
    gray = table.rows[0].photos["ab_rmse"]
    for number, row in enumerate(models):
        gained = gray - row.photos["ab_rmse"]
        order = np.argsort(-gained, kind="stable")
        count = min(_CASES, len(order))
        yield (
            f'<h3><i class="mark" style="{colour(number)}"></i>{escape(row.model)}</h3>'
            '<div class="cases">'
        )
        for title, cases in (("best", order[:count]), ("worst", order[::-1][:count])):
            yield f'<div><h4>{title}</h4><div class="strip">'
            for case in cases.tolist():
                told = f"{row.photos['ab_rmse'][case]:.1f} ({gray[case]:.1f})"
                yield f'<div class="pair">{_picture(gallery, case, row.model, told)}'
                yield f"{_picture(gallery, case, 'truth', '')}</div>"
            yield "</div></div>"
        yield "</div>"
    yield "</section>"


def _told(row: Row, photo: int) -> str:
    """A photograph's numbers."""
    values = [("ab_rmse", 1), ("colorful", 0)]
    seen = [(row.photos[name][photo], digits) for name, digits in values]
    return " · ".join(f"{v:.{digits}f}" for v, digits in seen if math.isfinite(v))


def _picture(gallery: Gallery, photo: int, name: str, told: str) -> str:
    caption = f"{escape(name)}<small>{escape(told)}</small>"
    return (
        f'<figure><img loading="lazy" alt="{escape(name)}" src="{gallery.uri(photo, name)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _definitions(table: Table) -> Iterator[str]:
    yield "<section><h2>Measures</h2><dl>"
    for name in table.measured:
        measure = MEASURES[name]
        note = f" <small>{escape(table.notes[name])}.</small>" if name in table.notes else ""
        yield f"<dt>{escape(measure.title)}</dt><dd>{escape(measure.says)}{note}</dd>"
    yield "</dl>"
    if table.skipped:
        yield f"<h3>Left out: {len(table.skipped)}</h3><ul>"
        for reason in list(table.skipped.values())[:50]:
            yield f"<li>{escape(reason)}</li>"
        yield "</ul>"
    yield "</section>"
