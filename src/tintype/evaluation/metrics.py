"""Measures of a colouring, as pure functions on arrays.

The literature uses several definitions under one name; each docstring says which this is.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from tintype.color.bins import ab_bins

_REACH = 110  # histograms of a and b run from -_REACH to _REACH in steps of one
_AUC_REACH = 150  # largest threshold of the AuC, in units of ab


def psnr(rgb: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and the three channels of 8-bit RGB.

    Both have the same lightness here, so it measures chroma only and favours muted colours.
    Equal pictures give infinity.
    """
    error = np.square(rgb.astype(np.float32) - truth.astype(np.float32)).mean(dtype=np.float64)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def colorfulness(rgb: NDArray[np.uint8], *, absolute: bool = False) -> float:
    """Colorfulness of 8-bit RGB (H, W, 3): about 0 for gray, 15 muted, 40 colourful, 80 extreme.

    s + 0.3 m with the standard deviation s and mean m of the opponent channels R - G and
    (R + G) / 2 - B (Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003).

    Args:
        absolute: take absolute values of the opponent channels first, as the code published with
            DDColor does and the papers that compare with it; values come out lower.
    """
    red, green, blue = (rgb[..., k].astype(np.float32) for k in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    spread = np.hypot(rg.std(dtype=np.float64), yb.std(dtype=np.float64))
    centre = np.hypot(rg.mean(dtype=np.float64), yb.mean(dtype=np.float64))
    return float(spread + 0.3 * centre)


def multiscale_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8], scales: int = 5) -> float:
    """Multiscale structural similarity of two 8-bit RGB pictures (H, W, 3): 1 if they are equal.

    Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", 2003:
    windows of 11x11 with a Gaussian of 1.5, K of 0.01 and 0.03, halved by means of 2x2, the paper's
    exponents. Of each channel by itself, then their mean, as PixColor's Figure 8 does not say.
    Colourings of one photograph share its lightness, so values lie near 1.

    Args:
        scales: at most 5; fewer exponents are scaled to the sum 1.

    Raises:
        ValueError: the shapes differ, or a side is below 11 pixels at the last scale.
    """
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(f"two pictures (H, W, 3) of one size, not {first.shape}, {second.shape}")
    if min(first.shape[:2]) >> (scales - 1) < _WINDOW:
        raise ValueError(f"pictures of {first.shape} are too small for {scales} scales")
    exponents = _EXPONENTS[:scales] / _EXPONENTS[:scales].sum()
    x, y = (np.moveaxis(picture, -1, 0).astype(np.float64) / 255 for picture in (first, second))
    result = np.ones(len(x))
    for scale, exponent in enumerate(exponents):
        if scale:
            x, y = _halved(x), _halved(y)
        luminance, structure = _ssim_terms(x, y)
        term = luminance * structure if scale == scales - 1 else structure
        # A negative mean has no real power; the literature takes it for no likeness at all.
        result *= np.maximum(term.mean((1, 2)), 0) ** exponent
    return float(result.mean())


_WINDOW = 11
_EXPONENTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_GAUSSIAN = np.exp(-0.5 * ((np.arange(_WINDOW) - 5) / 1.5) ** 2)
_GAUSSIAN /= _GAUSSIAN.sum()


def _ssim_terms(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The luminance term, and contrast times structure, of every whole window of (C, H, W)."""
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y, xx, yy, xy = (_windowed(p) for p in (x, y, x * x, y * y, x * y))
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    spread = xx - mean_x**2 + yy - mean_y**2
    return luminance, (2 * (xy - mean_x * mean_y) + c2) / (spread + c2)


def _windowed(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means of every whole window."""
    for axis in (1, 2):
        length = planes.shape[axis] - _WINDOW + 1
        planes = np.sum(
            [w * planes.take(range(k, k + length), axis) for k, w in enumerate(_GAUSSIAN)], axis=0
        )
    return planes


def _halved(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    count, height, width = planes.shape
    cut = planes[:, : height // 2 * 2, : width // 2 * 2]
    return cut.reshape(count, height // 2, 2, width // 2, 2).mean((2, 4))


def ab_histogram(ab: NDArray[np.float32]) -> NDArray[np.float64]:
    """Counts of a and of b in steps of one Lab unit from -110 to 110, (2, 220)."""
    cells = np.clip(np.floor(ab + _REACH), 0, 2 * _REACH - 1).astype(np.int64).reshape(-1, 2)
    return np.stack(
        [np.bincount(cells[:, k], minlength=2 * _REACH).astype(np.float64) for k in range(2)]
    )


def histogram_intersection(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shared area of two sets of histograms, each scaled to sum 1: (..., bins) to (...) in [0, 1].

    The measure of PixColor's Figure 7, whose binning is not printed; ours is `ab_histogram`'s.
    """
    shares = [h / np.maximum(h.sum(-1, keepdims=True), 1) for h in (first, second)]
    return np.minimum(*shares).sum(-1)


def closeness(ab: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """How close chroma is to the truth, pixel by pixel: (..., 2) to (...) in [0, 1].

    The area under the curve "is the distance in ab below t", t from 0 to 150, over 150: 1 where
    both agree, 0 from a distance of 150 on. Its mean over pixels is the raw AuC of Zhang, Isola and
    Efros, "Colorful Image Colorization" (ECCV 2016), integrated exactly instead of at whole t.
    """
    distance = np.hypot(ab[..., 0] - truth[..., 0], ab[..., 1] - truth[..., 1])
    return np.maximum(1 - distance / np.float32(_AUC_REACH), 0).astype(np.float32)


def auc(
    closeness_of_bin: NDArray[np.float64],
    pixels_of_bin: NDArray[np.float64],
    prior: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """The AuC of Zhang et al. 2016 in per cent, raw and rebalanced.

    Rebalanced weighs a pixel by the inverse of the probability of its true bin (their lambda 0), so
    that every colour that occurs counts alike, a rare one as much as gray. Gray scores about
    89 and 58 on ImageNet, where these are published; both are relative to the set measured on.

    Args:
        closeness_of_bin: sum of `closeness` over the pixels of each true bin, (313,).
        pixels_of_bin: how many they are, or their share of their photograph, (313,).
        prior: probability of each bin, above 0 for all that occur, to any scale; by default those
            of the pixels measured.

    Raises:
        ValueError: there are no pixels.
    """
    seen = pixels_of_bin > 0
    if not seen.any():
        raise ValueError("no pixel to measure")
    total, pixels = closeness_of_bin[seen], pixels_of_bin[seen]
    p = pixels if prior is None else np.asarray(prior)[seen]
    raw = total.sum() / pixels.sum()
    return float(100 * raw), float(100 * (total / p).sum() / (pixels / p).sum())


def nearest_bin(ab: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index of the nearest of the 313 ab bins, (..., 2) to (...); ab is taken to whole units."""
    a, b = np.moveaxis(np.clip(np.rint(ab), -_REACH, _REACH).astype(np.int64) + _REACH, -1, 0)
    return _nearest_bins()[a, b]


@cache
def _nearest_bins() -> NDArray[np.int64]:
    """Nearest bin of every whole (a, b): a look-up in place of 313 distances for each pixel."""
    axis = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
    bins = ab_bins()
    squares = [(np.subtract.outer(axis, bins[:, k])) ** 2 for k in range(2)]  # each (221, 313)
    return np.stack([(row + squares[1]).argmin(-1) for row in squares[0]])
