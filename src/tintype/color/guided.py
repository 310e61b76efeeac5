"""The guided filter, and joint upsampling of low-resolution chroma along the edges of the gray.

He, Sun, Tang, "Guided Image Filtering" (ECCV 2010) and "Fast Guided Filter" (arXiv 1505.00996):
within a window the output is linear in the guide, q = slope * guide + offset. `fit_coefficients`
fits slope and offset at a small working size. `enlarge` interpolates them, strip by strip, and
applies them to the gray at full size, so that the chroma follows its edges.

The filter alone blurs more than bicubic upsampling does. Back-projection corrects that: the
difference between the given chroma and the mean of the upsampled chroma over each cell is added to
the offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

# Chosen on photographs (benchmarks/enlarge_chroma.py).
_EPS = 0.004  # variance of the guide, in [0, 1], above which the result follows it
_BACK_PROJECTIONS = 3
_GUIDE_PIXELS_PER_CELL = 4  # working pixels per cell of chroma, each way; more gain nothing

_BLOCK_PIXELS = 1 << 16  # as in `gamut`
_BLOCK_COLUMNS = 256  # columns summed at once, to bound the memory of the float64 sums


def box_mean(plane: Plane, radius: int) -> Plane:
    """Return the mean of a square window around each pixel; the cost does not depend on the radius.

    At the borders the mean is over the pixels of the window that exist.

    Args:
        plane: (H, W).
        radius: in pixels; the window has a side of 2 radius + 1.

    Returns:
        The means, (H, W).

    Raises:
        ValueError: the radius is negative.
    """
    if radius < 0:
        raise ValueError(f"radius must not be negative, not {radius}")
    columns = _box_mean_rows(plane, radius)
    return _box_mean_rows(columns.T, radius).T


def guided_filter(
    guide: Plane, planes: NDArray[np.float32], radius: int, eps: float
) -> NDArray[np.float32]:
    """Smooth planes along the edges of a guide (He, Sun, Tang, ECCV 2010).

    Args:
        guide: (H, W), usually gray in [0, 1].
        planes: input of the filter, (H, W) or (H, W, C).
        radius: radius of the square windows, in pixels.
        eps: regularization: where the variance of the guide is below it, the input is smoothed.

    Returns:
        The filtered planes, in the shape of ``planes``.
    """
    channels = [planes] if planes.ndim == 2 else list(np.moveaxis(planes, -1, 0))
    filtered = [
        slope * guide + offset
        for slope, offset in _linear_coefficients(guide, channels, radius, eps)
    ]
    return filtered[0] if planes.ndim == 2 else np.stack(filtered, axis=-1)


def area_mean(plane: NDArray, size: tuple[int, int]) -> Plane:
    """Reduce a plane to the mean over the area of each new pixel; cut pixels count in part.

    Args:
        plane: (H, W), of any real type.
        size: the new (height, width), neither greater than the old.

    Returns:
        (height, width), in the units of ``plane``.

    Raises:
        ValueError: the new size is empty or greater than the old.
    """
    if not (0 < size[0] <= plane.shape[0] and 0 < size[1] <= plane.shape[1]):
        raise ValueError(f"cannot reduce a plane of {plane.shape} to {size}")
    rows = _area_mean_rows(plane, size[0])
    return _area_mean_rows(rows.T, size[1]).T


def resize_bicubic(chroma: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize chroma (h, w, 2) to (height, width, 2) by Keys' bicubic filter (a = -1/2)."""
    planes = np.moveaxis(chroma, -1, 0)
    return np.stack([_bicubic_plane(np.ascontiguousarray(p), size) for p in planes], axis=-1)


def working_size(cells: tuple[int, ...], full: tuple[int, ...]) -> tuple[int, int]:
    """Return the (height, width) of the guide at which `fit_coefficients` works best.

    Args:
        cells: shape of the chroma, (h, w, ...).
        full: shape of the photograph, (H, W, ...); the result is never larger.
    """
    return min(full[0], _GUIDE_PIXELS_PER_CELL * cells[0]), min(
        full[1], _GUIDE_PIXELS_PER_CELL * cells[1]
    )


@dataclass(frozen=True)
class GuidedCoefficients:
    """Chroma as a linear function of the gray, at a working size (h, w).

    Attributes:
        slope: change of chroma per unit of gray, (2, h, w).
        offset: chroma at a gray of 0, (2, h, w).
        low, high: least and greatest gray in the 3x3 pixels around each, (h, w). Gray outside these
            limits (grain and scratches finer than the working size) is clamped to them, because
            the fit does not hold there.
    """

    slope: Plane
    offset: Plane
    low: Plane
    high: Plane


def fit_coefficients(chroma: NDArray[np.float32], guide: Plane) -> GuidedCoefficients:
    """Fit chroma as a linear function of the gray that keeps the mean of each cell.

    Args:
        chroma: (h, w, 2), cells that cover the guide evenly, in any units.
        guide: gray in [0, 1] at the working size; see `working_size`.

    Returns:
        Coefficients for `enlarge`.
    """
    height, width = guide.shape
    cells = min(chroma.shape[0], height), min(chroma.shape[1], width)
    radius = max(1, round(height / cells[0]), round(width / cells[1]))
    target_cells = [area_mean(plane, cells) for plane in np.moveaxis(chroma, -1, 0)]

    def residual(plane: Plane, target: Plane) -> Plane:
        return _bicubic_plane(target - area_mean(plane, cells), guide.shape)

    sharp = [_bicubic_plane(target, guide.shape) for target in target_cells]
    for plane, target in zip(sharp, target_cells, strict=True):
        for _ in range(_BACK_PROJECTIONS):
            plane += residual(plane, target)

    coefficients = _linear_coefficients(guide, sharp, radius, _EPS)
    for (slope, offset), target in zip(coefficients, target_cells, strict=True):
        for _ in range(_BACK_PROJECTIONS):
            offset += residual(slope * guide + offset, target)

    return _with_limits(coefficients, guide)


def fit_filter_coefficients(
    planes: NDArray[np.float32], guide: Plane, radius: int, eps: float
) -> GuidedCoefficients:
    """Fit planes as the guided filter does, without back-projection.

    With `enlarge` this is the fast guided filter (arXiv 1505.00996); where the guide is the
    photograph itself it is `guided_filter`.

    Args:
        planes: input of the filter, at the size of the guide, (h, w, 2).
        guide: gray in [0, 1] at the working size, (h, w).
        radius, eps: as in `guided_filter`.
    """
    return _with_limits(
        _linear_coefficients(guide, list(np.moveaxis(planes, -1, 0)), radius, eps), guide
    )


def _with_limits(coefficients: Sequence[tuple[Plane, Plane]], guide: Plane) -> GuidedCoefficients:
    slopes, offsets = zip(*coefficients, strict=True)
    return GuidedCoefficients(
        slope=np.stack(slopes),
        offset=np.stack(offsets),
        low=_extreme_3x3(guide, np.minimum),
        high=_extreme_3x3(guide, np.maximum),
    )


def enlarge(
    coefficients: GuidedCoefficients,
    gray: NDArray,
    rows: slice,
    full: tuple[int, ...],
    columns: slice | None = None,
) -> NDArray[np.float32]:
    """Return the chroma of a part of the photograph at full size.

    Parts equal the same pixels of the whole, bit for bit.

    Args:
        coefficients: fitted to the whole photograph.
        gray: gamma-encoded gray of the part, (n, m): uint8, uint16, or float in [0, 1].
        rows: the n rows of the photograph in the part.
        full: shape of the photograph, (H, W).
        columns: the m columns in the part; None for all.

    Returns:
        Chroma, (n, m, 2), in the units of the coefficients; a view of two separate planes.
    """
    height, width = full
    guide_height, guide_width = coefficients.low.shape
    above, down = _interpolation_positions(np.arange(rows.start, rows.stop), height, guide_height)
    across_all = np.arange(width) if columns is None else np.arange(columns.start, columns.stop)
    left, across = _interpolation_positions(across_all, width, guide_width)

    # Horizontally first, and only in the coefficient rows that this strip needs.
    top, bottom = above[0], min(above[-1] + 1, guide_height - 1)
    near = slice(top, bottom + 1)
    fields = np.concatenate(
        [
            coefficients.slope[:, near],
            coefficients.offset[:, near],
            [coefficients.low[near], coefficients.high[near]],
        ]
    )
    wide = fields.take(left, axis=2)
    wide += (fields.take(np.minimum(left + 1, guide_width - 1), axis=2) - wide) * across

    chroma = np.empty((2, *gray.shape), dtype=np.float32)
    scale = _unit_scale(gray)
    longest = max(1, _BLOCK_PIXELS // gray.shape[1])
    start = 0
    while start < len(gray):
        # Rows between the same two coefficient rows, as many as fit in the cache.
        row = above[start]
        stop = min(int(np.searchsorted(above, row, side="right")), start + longest)
        upper, lower = wide[:, row - top, None], wide[:, min(row + 1, bottom) - top, None]
        between = (lower - upper) * down[start:stop, None]
        between += upper
        slope, offset, (low, high) = between[:2], between[2:4], between[4:]
        guide = gray[start:stop] * scale
        np.maximum(guide, low, out=guide)  # in a third of the time of np.clip
        np.minimum(guide, high, out=guide)
        slope *= guide
        np.add(slope, offset, out=chroma[:, start:stop])
        start = stop
    return np.moveaxis(chroma, 0, -1)


def _unit_scale(gray: NDArray) -> np.float32:
    return np.float32(1 / np.iinfo(gray.dtype).max if gray.dtype.kind == "u" else 1)


def _linear_coefficients(
    guide: Plane, planes: Sequence[Plane], radius: int, eps: float
) -> list[tuple[Plane, Plane]]:
    """Fit each plane linearly in the guide; return slopes and offsets averaged over windows."""
    mean_guide = box_mean(guide, radius)
    variance = np.maximum(box_mean(guide * guide, radius) - mean_guide * mean_guide, 0)
    coefficients = []
    for plane in planes:
        mean = box_mean(plane, radius)
        covariance = box_mean(guide * plane, radius) - mean_guide * mean
        slope = np.divide(covariance, variance + eps, dtype=np.float32)
        offset = mean - slope * mean_guide
        coefficients.append((box_mean(slope, radius), box_mean(offset, radius)))
    return coefficients


def _box_mean_rows(plane: Plane, radius: int) -> Plane:
    """Return means over 2 radius + 1 rows, as differences of cumulative sums."""
    rows = np.arange(len(plane))
    first = np.maximum(rows - radius, 0)
    last = np.minimum(rows + radius + 1, len(plane))
    share = (1 / (last - first))[:, None]
    means = np.empty_like(plane, dtype=np.float32)
    for start in range(0, plane.shape[1], _BLOCK_COLUMNS):
        columns = slice(start, start + _BLOCK_COLUMNS)
        # In float64: float32 sums over thousands of rows are too coarse for their differences.
        sums = np.cumsum(plane[:, columns], axis=0, dtype=np.float64)
        sums = np.concatenate([np.zeros_like(sums[:1]), sums])
        means[:, columns] = (sums[last] - sums[first]) * share
    return means


def _area_mean_rows(plane: NDArray, count: int) -> Plane:
    """Average rows, (n, m) to (count, m)."""
    if count == len(plane):
        return plane.astype(np.float32)
    # Sum whole rows from the one in which a new row begins; then subtract the part of the first row
    # that lies before it, and add the part of the next row that lies in it.
    edges = np.arange(count + 1) * len(plane) / count
    begin = edges.astype(np.intp)
    part = (edges - begin).astype(np.float32)[:, None]
    cut = plane[np.minimum(begin, len(plane) - 1)] * part
    if plane.dtype.kind == "f":
        sums = np.add.reduceat(plane, begin[:-1], axis=0, dtype=np.float32)
    else:  # reduceat converts integers in small pieces, seven times as slowly
        sums = np.empty((count, plane.shape[1]), dtype=np.float32)
        for row, (first, end) in enumerate(pairwise(begin)):
            np.add.reduce(plane[first:end], axis=0, dtype=np.float32, out=sums[row])
    sums += cut[1:] - cut[:-1]
    sums *= np.float32(count / len(plane))
    return sums


def _bicubic_plane(plane: Plane, size: tuple[int, ...]) -> Plane:
    rows = _bicubic_rows(plane, size[0])
    return _bicubic_rows(rows.T, size[1]).T


def _bicubic_rows(plane: Plane, count: int) -> Plane:
    """Interpolate rows, (n, m) to (count, m), by Keys' cubic (1981, a = -1/2)."""
    position = (np.arange(count) + 0.5) * len(plane) / count - 0.5
    first = np.floor(position).astype(np.intp) - 1
    rows = np.zeros((count, plane.shape[1]), dtype=np.float32)
    for row in (first, first + 1, first + 2, first + 3):
        d = np.abs(position - row)
        near = 1.5 * d**3 - 2.5 * d**2 + 1
        far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        weight = np.where(d <= 1, near, far).astype(np.float32)
        rows += plane[np.clip(row, 0, len(plane) - 1)] * weight[:, None]
    return rows


def _extreme_3x3(plane: Plane, extreme: np.ufunc) -> Plane:
    """Return the least or greatest value of the 3x3 pixels around each."""
    for _ in range(2):
        wider = plane.copy()
        extreme(wider[1:], plane[:-1], out=wider[1:])
        extreme(wider[:-1], plane[1:], out=wider[:-1])
        plane = wider.T
    return plane


def _interpolation_positions(
    pixels: NDArray[np.intp], length: int, guide_length: int
) -> tuple[NDArray[np.intp], Plane]:
    """Return the positions of pixels on a side of `guide_length`: whole index and fraction."""
    position = np.clip((pixels + 0.5) * guide_length / length - 0.5, 0, guide_length - 1)
    index = position.astype(np.intp)
    return index, (position - index).astype(np.float32)
