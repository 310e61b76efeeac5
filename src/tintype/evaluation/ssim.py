"""Structural similarity (SSIM) and multiscale SSIM of two pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WINDOW = 11
_GAUSSIAN = np.exp(-0.5 * ((np.arange(_WINDOW) - 5) / 1.5) ** 2)
_GAUSSIAN = (_GAUSSIAN / _GAUSSIAN.sum()).astype(np.float32)
_SCALE_EXPONENTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_C1, _C2 = 0.01**2, 0.03**2  # of values in [0, 1]

#: Shortest side in pixels for the five scales of `ms_ssim`.
MS_SSIM_MIN_SIDE = _WINDOW << 4

Planes = NDArray[np.floating]


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two 8-bit RGB pictures (H, W, 3): 1 if equal.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity" (2004): windows of 11x11 with a Gaussian of 1.5, K of 0.01 and 0.03, whole windows
    only; of each channel by itself, then their mean. Equals `ms_ssim` of one scale.

    Raises:
        ValueError: the shapes differ, or a side is below 11 pixels.
    """
    return ms_ssim(first, second, scales=1)


def ms_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8], scales: int = 5) -> float:
    """Return the multiscale structural similarity of two 8-bit RGB pictures (H, W, 3): 1 if equal.

    Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", 2003:
    windows of 11x11 with a Gaussian of 1.5, K of 0.01 and 0.03, halved by means of 2x2, the paper's
    exponents. Of each channel by itself, then their mean, which is our choice: PixColor's Figure 8
    does not say. Colourings of one photograph share its lightness, so values lie near 1.

    Args:
        scales: at most 5; fewer exponents are scaled to the sum 1.

    Raises:
        ValueError: the shapes differ, or a side is below 11 pixels at the last scale.
    """
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(f"two pictures (H, W, 3) of one size, not {first.shape}, {second.shape}")
    if min(first.shape[:2]) >> (scales - 1) < _WINDOW:
        raise ValueError(f"pictures of {first.shape} are too small for {scales} scales")
    exponents = _SCALE_EXPONENTS[:scales] / _SCALE_EXPONENTS[:scales].sum()
    x, y = (
        np.ascontiguousarray(np.moveaxis(picture, -1, 0), np.float32) / np.float32(255)
        for picture in (first, second)
    )
    result = np.ones(len(x))
    for scale, exponent in enumerate(exponents):
        if scale:
            x, y = _downsample(x), _downsample(y)
        luminance, structure = _luminance_and_structure(x, y)
        term = luminance * structure if scale == scales - 1 else structure
        # A negative mean has no real power; the literature clamps it to 0.
        result *= np.maximum(term.mean((1, 2), dtype=np.float64), 0) ** exponent
    return float(result.mean())


def _luminance_and_structure(x: Planes, y: Planes) -> tuple[Planes, Planes]:
    """Return the luminance term, and contrast times structure, of every whole window."""
    mean_x, mean_y, squares, product = (_gaussian_filter(p) for p in (x, y, x * x + y * y, x * y))
    means, mean_squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    luminance = (2 * means + _C1) / (mean_squares + _C1)
    return luminance, (2 * (product - means) + _C2) / (squares - mean_squares + _C2)


def _gaussian_filter(planes: Planes) -> Planes:
    """Return the Gaussian mean of every whole window (no padding)."""
    middle = _WINDOW // 2
    for axis in (1, 2):
        line = np.moveaxis(planes, axis, 0)
        length = len(line) - _WINDOW + 1
        total = _GAUSSIAN[middle] * line[middle : middle + length]
        for k in range(middle):  # the window is symmetric
            mirrored = _WINDOW - 1 - k
            total += _GAUSSIAN[k] * (line[k : k + length] + line[mirrored : mirrored + length])
        planes = np.moveaxis(total, 0, axis)
    return planes


def _downsample(planes: Planes) -> Planes:
    """Average 2x2 pixels; an odd last row or column is dropped."""
    count, height, width = planes.shape
    cut = planes[:, : height // 2 * 2, : width // 2 * 2]
    return cut.reshape(count, height // 2, 2, width // 2, 2).mean((2, 4))
