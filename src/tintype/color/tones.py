"""The tones of a faded print brought to the range that photographs have.

What counts are the picture's own tones: not those of the mount it is glued on, the bed of the
scanner around it, or the paper that shows in a tear.
"""

from __future__ import annotations

import numpy as np
import numpy.ma  # else loaded by the first percentile, and not while a model loads
from numpy.typing import NDArray

Plane = NDArray[np.float32]

# Chosen on faded copies of old photographs, on mounts and without, and on whole photographs.
_TAILS = (0.5, 99.5)  # percent of the picture between which its range lies
# Range from which nothing is changed, and up to which all of it is. Of photographs in color one in
# six has less than 0.7 of it: fog, night, things of one tone, which the whole range would make
# gray. What lies on a mount or a scanner's bed is a print, and more likely faded.
_PICTURE, _PRINT = (0.7, 0.2), (0.8, 0.5)
_MOST = 10.0  # times that contrast may grow: beyond it there is only grain
_DEEPEST = 0.3  # of a side, that a border takes
_ROUNDS = 3  # of borders within borders
_STEP = 0.025  # least difference of a border to the picture
_ACROSS = 4  # pixels from what is surely border to what is surely picture
_ALONG = 0.7  # share of the border's length along which it differs, one way
_MOSTLY = 0.55  # the same of a side whose neighbors are known to be a border's
_GRAIN = 0.03  # greatest change from pixel to pixel in nine tenths of a border
_TORN = 0.06  # share of the picture that may be torn off
_GAP = 0.15  # of tones that nothing has, between the picture's and those of a tear


def stretched(gray: Plane) -> Plane:
    """Return gray (H, W) in [0, 1] with the range of its picture brought to the whole.

    The more of the range is missing, the more of it is brought back, and sooner of a print on a
    mount; where the range is whole, the result is the same array.
    """
    own = gray[picture(gray)]
    low, high = tones(own)
    whole, faded = _PICTURE if own.shape == gray.shape else _PRINT
    share = min(1.0, max(0.0, (whole - (high - low)) / (whole - faded)))
    if share == 0:
        return gray
    full = 1 / max(high - low, 1e-6)
    share = min(share, (_MOST - 1) / max(full - 1, 1e-6))
    # Between what is and the whole: what stays missing is missing at both ends as before.
    factor = (1 - share) + share * full
    result = gray * np.float32(factor) - np.float32(share * full * low)
    return np.clip(result, 0, 1, dtype=np.float32)


def picture(gray: Plane) -> tuple[slice, slice]:
    """Return rows and columns of gray (H, W) that are the picture: without mounts and beds."""
    rows, columns = slice(0, gray.shape[0]), slice(0, gray.shape[1])
    for _ in range(_ROUNDS):
        depths = [_border(side) for side in _sides(gray[rows, columns])]
        top, bottom, left, right = map(bool, depths)
        # One side alone may be the sky; two that meet, or face each other, are a mount or a bed.
        if not (((top or bottom) and (left or right)) or (top and bottom) or (left and right)):
            break
        rows, columns = _without(rows, columns, depths)
        # Of a mount, one side may be lighter here and darker there than the picture beside it.
        sides = _sides(gray[rows, columns])
        more = [0 if d else _border(side, True) for d, side in zip(depths, sides, strict=True)]
        rows, columns = _without(rows, columns, more)
    return rows, columns


def _sides(gray: Plane) -> tuple[Plane, ...]:
    """The same picture with its top, bottom, left and right side at the top."""
    return gray, gray[::-1], gray.T, gray.T[::-1]


def _without(rows: slice, columns: slice, depths: list[int]) -> tuple[slice, slice]:
    top, bottom, left, right = depths
    rows = slice(rows.start + top, rows.stop - bottom)
    return rows, slice(columns.start + left, columns.stop - right)


def tones(gray: Plane) -> tuple[float, float]:
    """Return the darkest and the lightest of a picture's tones, tears left out."""
    kept = gray[~(_torn(gray) | _torn(1 - gray))]
    low, high = np.percentile(kept, _TAILS)
    return float(low), float(high)


def _torn(gray: Plane) -> NDArray[np.bool_]:
    """Where the paper shows, (H, W): far lighter than all else, and reaching the picture's edge."""
    levels = np.percentile(gray, 100 - np.arange(0, 100 * _TORN + 2, 0.2))  # the lightest first
    apart = np.flatnonzero(levels[:-4] - levels[4:] >= _GAP)
    if not len(apart):
        return np.zeros(gray.shape, bool)
    light = gray > (levels[apart[-1]] + levels[apart[-1] + 4]) / 2
    torn = np.zeros(gray.shape, bool)
    torn[[0, -1]] = torn[:, [0, -1]] = True
    torn &= light
    count = -1
    while count != (count := np.count_nonzero(torn)):
        torn = _wider(torn) & light
    # Beside a tear a pixel is half of it.
    return _wider(_wider(torn))


def _wider(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and the pixels beside it."""
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    wider[:, 1:] |= mask[:, :-1]
    wider[:, :-1] |= mask[:, 1:]
    return wider


def _border(gray: Plane, either: bool = False) -> int:
    """How many rows at the top are a border; 0 if none are.

    Args:
        gray: (H, W).
        either: it may be lighter than the picture at one place and darker at another.
    """
    deepest = int(_DEEPEST * len(gray))
    if deepest < _ACROSS or gray.shape[1] < 8:
        return 0
    steps = gray[_ACROSS : deepest + 1] - gray[: deepest + 1 - _ACROSS]
    ways = (np.abs(steps),) if either else (steps, -steps)
    along = np.max([(way > _STEP).mean(1) for way in ways], 0)
    size = np.max([np.median(way, 1) for way in ways], 0) * (
        along >= (_MOSTLY if either else _ALONG)
    )
    for row in np.argsort(-size, kind="stable")[:_ACROSS]:
        grain = np.abs(np.diff(gray[: row + 1], axis=1))
        if size[row] > 0 and np.percentile(grain, 90) <= _GRAIN:
            return int(row) + _ACROSS
    return 0
