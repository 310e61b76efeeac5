"""The report's charts, as inline SVG coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from tintype.evaluation.metric_specs import METRICS
from tintype.evaluation.table import SIMILARITIES, Row, Table, format_score

N_COLORS = 8  # of the style sheet, --c0 to --c7


def color_style(number: int) -> str:
    """Return the CSS that gives elements the colour of a model, by its number from 0."""
    return f"--c:var(--c{number % N_COLORS})"


def shorten(name: str, longest: int = 18) -> str:
    """Shorten a name to at most `longest` characters, for a label."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def scatter(table: Table, x: str, y: str, models: Sequence[Row]) -> str:
    """Draw gray and every model as points with confidence intervals, and the truth as a line.

    Args:
        table: the benchmark's result, whose first row is gray.
        x, y: metrics of the axes.
        models: the rows to draw.
    """
    width, height, left, bottom, top, right = 560, 340, 52, 44, 14, 104
    gray = table.rows[0]
    shown = [gray, *models]
    xs = [v for row in shown for v in (row[x], *row.intervals.get(x, ()))] + [table.truth[x]]
    ys = [v for row in shown for v in (row[y], *row.intervals.get(y, ()))]
    across, up = _Axis(xs, left, width - right), _Axis(ys, height - bottom, top)
    parts = [_open(width, height, f"{METRICS[y].title} against {METRICS[x].title}")]
    for at in across.ticks:
        parts.append(_line(across(at), top, across(at), height - bottom, "grid"))
        parts.append(_text(across(at), height - bottom + 16, _tick(at), "tick", "middle"))
    for at in up.ticks:
        parts.append(_line(left, up(at), width - right, up(at), "grid"))
        parts.append(_text(left - 8, up(at) + 4, _tick(at), "tick", "end"))
    true = across(table.truth[x])
    parts.append(_line(true, top, true, height - bottom, "truth"))
    parts.append(_text(true + 5, height - bottom - 6, "truth", "label quiet"))
    middle = (left + width - right) / 2
    parts.append(_text(middle, height - 6, METRICS[x].title, "axis", "middle"))
    parts.append(
        f'<text class="axis" text-anchor="middle" transform="translate(14 '
        f'{(top + height - bottom) / 2:.1f}) rotate(-90)">{escape(METRICS[y].title)}</text>'
    )
    points = [(row, across(row[x]), up(row[y])) for row in shown]
    for number, (row, cx, cy) in enumerate(points):
        style = "--c:var(--quiet)" if row is gray else color_style(number - 1)
        low, high = (across(v) for v in row.intervals.get(x, (row[x], row[x])))
        down, over = (up(v) for v in row.intervals.get(y, (row[y], row[y])))
        parts.append(
            f'<g style="{style}">{_line(low, cy, high, cy, "whisker")}'
            f'{_line(cx, down, cx, over, "whisker")}<circle class="dot" cx="{cx:.1f}" '
            f'cy="{cy:.1f}" r="4.5"><title>{escape(row.model)}: {METRICS[x].title} '
            f"{format_score(x, row[x])}, {METRICS[y].title} {format_score(y, row[y])}</title>"
            "</circle></g>"
        )
    parts += _labels([(shorten(row.model), cx, cy) for row, cx, cy in points])
    return "".join([*parts, "</svg>"])


def interval_plot(table: Table, metric: str, models: Sequence[Row]) -> str:
    """Draw a metric of every model with its confidence interval, and gray's value as a line."""
    models = [row for row in models if metric in row.scores]
    left, width, line, top = 124, 340, 20, 6
    height = top + line * len(models) + 24
    values = [v for row in models for v in (row[metric], *row.intervals.get(metric, ()))]
    gray = table.rows[0].scores.get(metric)
    if gray is not None:
        values.append(gray)
    across = _Axis(values, left, width - 12)
    parts = [_open(width, height, f"{METRICS[metric].title} of every model")]
    for at in across.ticks:
        parts.append(_line(across(at), top, across(at), height - 22, "grid"))
        parts.append(_text(across(at), height - 7, _tick(at), "tick", "middle"))
    if gray is not None:
        parts.append(_line(across(gray), top, across(gray), height - 22, "reference"))
    for number, row in enumerate(models):
        y = top + line * (number + 0.5)
        low, high = row.intervals.get(metric, (row[metric], row[metric]))
        tooltip = f"{row.model}: {format_score(metric, row[metric])}"
        tooltip += f" ({format_score(metric, low)} to {format_score(metric, high)})"
        parts.append(
            f'<g style="{color_style(number)}">'
            f"{_text(left - 8, y + 4, shorten(row.model), 'label', 'end')}"
            f'{_line(across(low), y, across(high), y, "whisker")}<circle class="dot" '
            f'cx="{across(row[metric]):.1f}" cy="{y:.1f}" r="4"><title>{escape(tooltip)}</title>'
            "</circle></g>"
        )
    return "".join([*parts, "</svg>"])


def histogram(own: NDArray[np.float64], truth: NDArray[np.float64], axis: str) -> str:
    """Draw a histogram of a or b, filled, and the truth's as a line, on a logarithmic scale.

    Args:
        own, truth: the histograms, (220,), of sum 1, in bins of 1 from -110.
        axis: ``"a"`` or ``"b"``.
    """
    width, height, left, bottom, top = 300, 116, 34, 22, 8
    reach, floor = 110, 1e-5  # ends of the axes: Lab units either way, least share drawn
    bottom_y = height - bottom

    def across(value: float) -> float:
        return left + (value + reach) / (2 * reach) * (width - left - 6)

    def up(share: float) -> float:
        return bottom_y - (np.log10(max(share, floor)) + 5) / 5 * (bottom_y - top)

    def path(shares: NDArray[np.float64]) -> str:
        return " ".join(
            f"{across(k - reach):.1f},{up(s):.1f} {across(k + 1 - reach):.1f},{up(s):.1f}"
            for k, s in enumerate(shares)
        )

    parts = [_open(width, height, f"Histogram of {axis}, and the truth's")]
    for power in (-4, -2, 0):
        y = up(10.0**power)
        parts.append(_line(left, y, width - 6, y, "grid"))
        power_of = "1" if power == 0 else f'10<tspan dy="-4" font-size="8">{power}</tspan>'
        parts.append(
            f'<text class="tick" x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{power_of}</text>'
        )
    for at in (-100, -50, 0, 50, 100):
        parts.append(_text(across(at), height - 7, _tick(at), "tick", "middle"))
    closed = f"{across(-reach):.1f},{bottom_y} {path(own)} {across(reach):.1f},{bottom_y}"
    parts.append(f'<polygon class="area" points="{closed}"/>')
    parts.append(f'<polyline class="outline" points="{path(truth)}"/>')
    parts.append(_text(width - 8, top + 10, axis, "axis", "end"))
    return "".join([*parts, "</svg>"])


def error_curves(models: Sequence[Row], kind: int) -> str:
    """Draw the share of pixels against the largest error in ab, of gray first and every model.

    Args:
        models: gray, then the models.
        kind: 0 raw, 1 rebalanced.
    """
    width, height, left, bottom, top = 420, 260, 40, 40, 10
    across, up = _Axis([0, 150], left, width - 10), _Axis([0, 100], height - bottom, top)
    parts = [_open(width, height, f"Pixels by error, {('raw', 'rebalanced')[kind]}")]
    for at in up.ticks:
        parts.append(_line(left, up(at), width - 10, up(at), "grid"))
        parts.append(_text(left - 6, up(at) + 4, _tick(at), "tick", "end"))
    for at in across.ticks:
        parts.append(_text(across(at), height - bottom + 16, _tick(at), "tick", "middle"))
    middle = (left + width - 10) / 2
    parts.append(_text(middle, height - 6, "error in ab, at most; % of pixels", "axis", "middle"))
    for number, row in enumerate(models):
        style = color_style(number - 1) if number else "--c:var(--quiet)"
        shares = row.error_curves[kind]
        points = " ".join(f"{across(t):.1f},{up(100 * s):.1f}" for t, s in enumerate(shares))
        parts.append(
            f'<polyline class="curve" style="{style}" points="{points}">'
            f"<title>{escape(row.model)}</title></polyline>"
        )
    return "".join([*parts, "</svg>"])


def similarities(row: Row) -> str:
    """Draw a histogram of the MS-SSIM between samples over photographs; see `Row.similarities`."""
    width, height, left, bottom, top = 300, 140, 34, 22, 8
    across = _Axis(SIMILARITIES.tolist(), left, width - 6)
    up = _Axis([0, 100 * row.similarities.max()], height - bottom, top)
    parts = [_open(width, height, "Histogram of the MS-SSIM between samples")]
    for at in up.ticks:
        parts.append(_line(left, up(at), width - 6, up(at), "grid"))
        parts.append(_text(left - 5, up(at) + 4, _tick(at), "tick", "end"))
    for at in across.ticks:
        parts.append(_text(across(at), height - 7, _tick(at), "tick", "middle"))
    ends = zip(SIMILARITIES[:-1], SIMILARITIES[1:], row.similarities, strict=True)
    for low, high, share in ends:
        y = up(100 * share)
        parts.append(
            f'<rect class="area" x="{across(low):.1f}" y="{y:.1f}" '
            f'width="{across(high) - across(low) - 1:.1f}" height="{up(0) - y:.1f}"/>'
        )
    return "".join([*parts, "</svg>"])


def _labels(points: list[tuple[str, float, float]]) -> list[str]:
    """Draw the names of points, each at the corner of its point where it overlaps others least."""
    taken = [(cx - 6, cy - 6, cx + 6, cy + 6) for _, cx, cy in points]
    labels = []
    for name, cx, cy in points:
        wide = 6.2 * len(name)
        corners = [
            (anchor, cx + side * 8, low, x0)
            for low in (cy - 7, cy + 15)
            for side, anchor, x0 in ((1, "start", cx + 8), (-1, "end", cx - 8 - wide))
        ]

        def covered(corner: tuple[str, float, float, float], wide: float = wide) -> int:
            _, _, low, x0 = corner
            x1, y0, y1 = x0 + wide, low - 10, low + 2
            return sum(x0 < r and left < x1 and y0 < b and t < y1 for left, t, r, b in taken)

        anchor, x, y, x0 = min(corners, key=covered)
        taken.append((x0, y - 10, x0 + wide, y + 2))
        labels.append(_text(x, y, name, "label", anchor))
    return labels


class _Axis:
    """Map values to pixels, with ticks at round numbers."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        span = (high - low) or max(abs(high), 1.0)
        step = 10.0 ** np.floor(np.log10(span / 4))
        step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 5)
        self.low = np.floor(low / step) * step
        self.high = max(np.ceil(high / step) * step, self.low + step)
        count = round((self.high - self.low) / step)
        self.ticks = [round(float(self.low + k * step), 10) for k in range(count + 1)]
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return float(self._start + share * (self._end - self._start))


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _open(width: int, height: int, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" '
        f'style="max-width:{width}px">'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
