"""Structural similarity (SSIM) and multiscale SSIM of two pictures, by scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

_WINDOW = 11  # pixels to which scikit-image truncates a Gaussian of sigma 1.5
_SCALE_EXPONENTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # Wang et al. 2003

#: Smallest side in pixels for the five scales of `ms_ssim`.
MS_SSIM_MIN_SIDE = _WINDOW << 4


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two 8-bit RGB pictures (H, W, 3): 1 if equal.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity" (2004): 11x11 Gaussian windows of sigma 1.5 that lie within the picture, K1 0.01, K2
    0.03; the mean of the channels' values. It equals `ms_ssim` with one scale.

    Raises:
        ValueError: the shapes differ, or a side is below 11 pixels.
    """
    return ms_ssim(first, second, scales=1)


def ms_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8], scales: int = 5) -> float:
    """Return the multiscale structural similarity of two 8-bit RGB pictures (H, W, 3): 1 if equal.

    Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", 2003:
    11x11 Gaussian windows of sigma 1.5, K1 0.01, K2 0.03, scales halved by means of 2x2 pixels, the
    paper's exponents. The mean of the channels' values, which is our choice: PixColor's Figure 8
    does not say. Colourings of one photograph share its lightness, so values lie near 1.

    Args:
        first, second: the pictures.
        scales: number of scales, 1 to 5; with fewer than 5 the exponents are scaled to sum to 1.

    Raises:
        ValueError: the shapes differ, or a side is below 11 pixels at the last scale.
    """
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(
            f"expected pictures (H, W, 3) of one size, got {first.shape} and {second.shape}"
        )
    if min(first.shape[:2]) >> (scales - 1) < _WINDOW:
        raise ValueError(f"pictures of {first.shape} are too small for {scales} scales")
    exponents = _SCALE_EXPONENTS[:scales] / _SCALE_EXPONENTS[:scales].sum()
    x, y = first / np.float64(255), second / np.float64(255)
    result = np.ones(x.shape[-1])
    for scale, exponent in enumerate(exponents, start=1):
        # Luminance counts at the last scale only: elsewhere so large a K1 makes its term 1.
        k1 = 0.01 if scale == scales else 1e6
        means = [_mean_similarity(x[..., k], y[..., k], K1=k1) for k in range(len(result))]
        # A negative mean has no real power; the literature clamps it to 0.
        result *= np.maximum(means, 0) ** exponent
        x, y = _halve(x), _halve(y)
    return float(result.mean())


def _mean_similarity(x: NDArray[np.float64], y: NDArray[np.float64], **constants: Any) -> float:
    """Return the SSIM of two planes (H, W) in [0, 1], mean over the windows within them."""
    similarity: Any = structural_similarity(
        x,
        y,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        **constants,
    )
    return float(similarity)


def _halve(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average blocks of 2x2 pixels of (H, W, C); an odd last row or column is dropped."""
    height, width = (side // 2 for side in picture.shape[:2])
    return picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean((1, 3))
