"""Hints: colors that the user gives at pixels of a photograph, and their hint map.

A network takes a hint map at the resolution of its output, (1, 3, h, w): a / 110, b / 110 and a
mask of 0 and 1, all zero where no color is given (Zhang et al. 2017, arXiv 1705.02999).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tintype.color.gamut import gamut_share
from tintype.color.spaces import rgb_to_lab
from tintype.errors import HintError, SettingError
from tintype.runtime.resize import ImageArray

#: Pixels of a network's input per cell of the hint map, each way.
CELL = 4

_UNITS = 110  # ab is divided by it in the hint map
_RADIUS = 1 / 80  # default radius of a hint, relative to the shorter side
_POINTS = 8  # sample points per cell, each way, for the share that a disc covers
_NOTED = 2.0  # units of ab that gamut mapping may change a hint without a note
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Hint:
    """A color given at a pixel of the photograph; its lightness is not used.

    Attributes:
        x, y: column and row of the pixel in the upright photograph, from 0, top left.
        color: ``"#8a3324"``, or r, g, b from 0 to 255, in sRGB.
        radius: radius of a disc of that color, in pixels; by default 1/80 of the shorter side.

    Raises:
        SettingError: a value is not valid.
    """

    x: float
    y: float
    color: str | tuple[int, int, int]
    radius: float | None = None

    def __post_init__(self) -> None:
        if not (is_number(self.x) and is_number(self.y)):
            raise SettingError(
                f"a hint's x and y must be numbers, not {self.x!r:.40}, {self.y!r:.40}"
            )
        if self.radius is not None and not (is_number(self.radius) and self.radius > 0):
            raise SettingError(f"a hint's radius must be a number above 0, not {self.radius!r:.40}")
        _rgb(self.color)

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Return the color as r, g, b from 0 to 255."""
        return _rgb(self.color)

    def to_json(self) -> dict[str, Any]:
        """Return the hint as `hint_from_json` reads it."""
        # JSON cannot hold numbers of numpy.
        place = {"x": _plain(self.x), "y": _plain(self.y), "color": to_hex(self.rgb)}
        return place if self.radius is None else {**place, "radius": _plain(self.radius)}


def hint_from_json(record: object) -> Hint:
    """Return the hint in ``{"x": 1, "y": 2, "color": "#8a3324", "radius": 5}``.

    Raises:
        SettingError: the record is not a valid hint.
    """
    if not isinstance(record, dict) or not {"x", "y", "color"} <= record.keys():
        raise SettingError("a hint must be a JSON object with x, y and color, e.g. " + _EXAMPLE)
    if surplus := sorted(record.keys() - {"x", "y", "color", "radius"}):
        raise SettingError(f"a hint has no {surplus[0]!a:.40}; it is e.g. {_EXAMPLE}")
    color = record["color"]
    return Hint(**{**record, "color": tuple(color) if isinstance(color, list) else color})


_EXAMPLE = '{"x": 1, "y": 2, "color": "#8a3324"}'


def to_hex(rgb: Sequence[int]) -> str:
    """Return ``"#8a3324"`` of r, g, b from 0 to 255."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def draw_hints(
    hints: Sequence[Hint], gray: ImageArray, cells: tuple[int, int]
) -> tuple[NDArray[np.float32], list[str]]:
    """Return the hint map of hints, (1, 3, h, w), and notes about hints that were changed.

    A hint sets the cells of which its disc covers at least half, and the cell that it lies in;
    later hints replace earlier ones. A color that is out of gamut at the mean lightness in the disc
    becomes the nearest of the same hue.

    Args:
        hints: any number of hints.
        gray: luminance of the photograph, (H, W).
        cells: size of the map, (h, w).

    Raises:
        HintError: a hint lies outside the photograph.
    """
    drawn, weaker = np.zeros((1, 3, *cells), np.float32), []
    for hint in hints:
        y, x = pixel(gray, hint.x, hint.y)
        radius = hint.radius or _RADIUS * min(gray.shape)
        ab = rgb_to_lab(np.array(hint.rgb) / 255)[1:]
        share = gamut_share(_mean_gray(gray, y, x, radius), ab)
        if (1 - share) * math.hypot(*ab) > _NOTED:
            weaker.append(hint)
        rows, columns, covered = _covered(gray.shape, cells, hint, radius)
        part = drawn[0, :, rows, columns]
        part[:2, covered] = (share * ab / _UNITS)[:, None]
        part[2, covered] = 1
    return drawn, _notes(weaker)


def pixel(gray: ImageArray, x: float, y: float) -> tuple[int, int]:
    """Return the row and column of the pixel at x, y.

    Raises:
        HintError: it lies outside the photograph.
        SettingError: x or y is not a finite number.
    """
    if not (is_number(x) and is_number(y)):
        raise SettingError(f"x and y are numbers, not {x!r:.40}, {y!r:.40}")
    height, width = gray.shape
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
        raise HintError(
            f"{float(x):g},{float(y):g} is outside the photograph: its pixels go from 0,0 to "
            f"{width - 1},{height - 1}"
        )
    return round(y), round(x)


def _notes(weaker: Sequence[Hint]) -> list[str]:
    """Return a note about hints whose colors are out of gamut."""
    if not weaker:
        return []
    first = f"{to_hex(weaker[0].rgb)} at {weaker[0].x:g},{weaker[0].y:g}"
    if len(weaker) == 1:
        which = f"the hint {first} is"
    else:
        which = f"{len(weaker)} hints ({first} the first of them) are"
    return [
        f"{which} too strong for the lightness there: the nearest color of the same hue was taken"
    ]


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    try:
        return not isinstance(value, (bool, str)) and math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return False


def _covered(
    full: tuple[int, ...], cells: tuple[int, int], hint: Hint, radius: float
) -> tuple[slice, slice, NDArray[np.bool_]]:
    """Return the rows and columns around a hint, and a mask of the cells that it sets."""
    parts, squares = [], []
    for place, length, count in zip((hint.y, hint.x), full, cells, strict=True):
        cell = length / count  # in pixels
        center = place + 0.5
        own = min(int(center / cell), count - 1)
        first = max(0, min(own, math.floor((center - radius) / cell)))
        last = min(count - 1, max(own, math.floor((center + radius) / cell)))
        points = (first + (np.arange((last + 1 - first) * _POINTS) + 0.5) / _POINTS) * cell
        parts.append((slice(first, last + 1), own - first))
        squares.append((points - center) ** 2)
    (rows, row), (columns, column) = parts
    inside = squares[0][:, None] + squares[1] <= radius * radius
    height, width = rows.stop - rows.start, columns.stop - columns.start
    covered = inside.reshape(height, _POINTS, width, _POINTS).mean((1, 3)) >= 0.5
    covered[row, column] = True
    return rows, columns, covered


def _mean_gray(gray: ImageArray, y: int, x: int, radius: float) -> float:
    """Return the mean luminance in a disc, in [0, 1], of at most a few hundred pixels."""
    reach = int(min(radius, max(gray.shape)))
    step = max(1, reach // 8)
    rows, columns = (
        np.arange(place - reach // step * step, place + reach + 1, step) for place in (y, x)
    )
    rows, columns = (
        places[(places >= 0) & (places < length)]
        for places, length in zip((rows, columns), gray.shape, strict=True)
    )
    inside = (rows[:, None] - y) ** 2 + (columns - x) ** 2 <= max(radius, 0.5) ** 2
    return float(gray[np.ix_(rows, columns)][inside].mean()) / float(np.iinfo(gray.dtype).max)


def _rgb(color: Any) -> tuple[int, int, int]:
    if isinstance(color, str):
        if _HEX.fullmatch(color):
            red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
            return red, green, blue
    else:
        try:
            red, green, blue = map(operator.index, color)
            if all(0 <= value <= 255 for value in (red, green, blue)):
                return red, green, blue
        except (TypeError, ValueError):
            pass
    raise SettingError(f'a color is "#8a3324" or three numbers from 0 to 255, not {color!a:.40}')


def _plain(value: Any) -> int | float:
    number = float(value)
    return int(number) if number.is_integer() else number
