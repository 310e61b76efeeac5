"""Stretch the tonal range of faded prints.

The range is measured on the picture alone: without the mount it is glued on, the scanner bed around
it, and bare paper in torn places.
"""

from __future__ import annotations

import numpy as np
import numpy.ma  # np.percentile would import it during the first photograph
from numpy.typing import NDArray

Plane = NDArray[np.float32]

# Chosen on faded copies of old photographs, with and without mounts, and on unfaded photographs.
_TAILS = (0.5, 99.5)  # percentiles of the tones that bound the range
# Range above which nothing is stretched, and range below which all of it is. One in six color
# photographs has a range below 0.7 (fog, night, objects of one tone); stretched fully, they would
# be colored gray. A picture on a mount or scanner bed is a print, and more likely faded.
_PICTURE, _PRINT = (0.7, 0.2), (0.8, 0.5)
_MOST = 10.0  # largest factor on the contrast; beyond it only grain is amplified
_DEEPEST = 0.3  # largest share of a side that a border takes
_ROUNDS = 3  # nested borders that are removed
_STEP = 0.025  # least difference in tone between border and picture
_ACROSS = 4  # pixels across which that difference is measured
_ALONG = 0.7  # share of the border's length along which it must differ in one direction
_MOSTLY = 0.55  # the same for a side where other sides are known to have borders
_GRAIN = 0.03  # largest difference between neighbors in nine tenths of a border's pixels
_TORN = 0.06  # largest share of the picture that may be torn off
_GAP = 0.15  # least gap between the tones of the picture and of a tear


def stretch_tones(gray: Plane) -> Plane:
    """Return gray (H, W) in [0, 1] whose tonal range is stretched where it is narrow.

    The narrower the range, the closer the result comes to the full range; a picture on a mount is
    stretched already at a wider range. Where the range is wide enough, the same array is returned.
    """
    own = gray[find_picture(gray)]
    low, high = tonal_range(own)
    whole, faded = _PICTURE if own.shape == gray.shape else _PRINT
    share = min(1.0, max(0.0, (whole - (high - low)) / (whole - faded)))
    if share == 0:
        return gray
    full = 1 / max(high - low, 1e-6)
    share = min(share, (_MOST - 1) / max(full - 1, 1e-6))
    # Interpolate between no change and the full range, at both ends alike.
    factor = (1 - share) + share * full
    result = gray * np.float32(factor) - np.float32(share * full * low)
    return np.clip(result, 0, 1, dtype=np.float32)


def find_picture(gray: Plane) -> tuple[slice, slice]:
    """Return the rows and columns of gray (H, W) without mount and scanner bed."""
    rows, columns = slice(0, gray.shape[0]), slice(0, gray.shape[1])
    for _ in range(_ROUNDS):
        depths = [_border(side) for side in _sides(gray[rows, columns])]
        top, bottom, left, right = map(bool, depths)
        # A single side may be sky; two sides, adjacent or opposite, are a mount or scanner bed.
        if not (((top or bottom) and (left or right)) or (top and bottom) or (left and right)):
            break
        rows, columns = _without(rows, columns, depths)
        # One side of a mount may be lighter in some places and darker in others than the picture.
        sides = _sides(gray[rows, columns])
        more = [0 if d else _border(side, True) for d, side in zip(depths, sides, strict=True)]
        rows, columns = _without(rows, columns, more)
    return rows, columns


def _sides(gray: Plane) -> tuple[Plane, ...]:
    """Return the picture turned so that its top, bottom, left and right side come first."""
    return gray, gray[::-1], gray.T, gray.T[::-1]


def _without(rows: slice, columns: slice, depths: list[int]) -> tuple[slice, slice]:
    top, bottom, left, right = depths
    rows = slice(rows.start + top, rows.stop - bottom)
    return rows, slice(columns.start + left, columns.stop - right)


def tonal_range(gray: Plane) -> tuple[float, float]:
    """Return the darkest and lightest tone of a picture (H, W), without torn places."""
    kept = gray[~(_torn(gray) | _torn(1 - gray))]
    low, high = np.percentile(kept, _TAILS)
    return float(low), float(high)


def _torn(gray: Plane) -> NDArray[np.bool_]:
    """Return a mask (H, W) of bare paper: far lighter than all else, connected to the border."""
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
    # Pixels at the border of a tear are partly paper.
    return _wider(_wider(torn))


def _wider(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask grown by one pixel."""
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    wider[:, 1:] |= mask[:, :-1]
    wider[:, :-1] |= mask[:, 1:]
    return wider


def _border(gray: Plane, either: bool = False) -> int:
    """Return the number of rows at the top that are a border.

    Args:
        gray: (H, W).
        either: the border may be lighter than the picture in some places and darker in others.
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
