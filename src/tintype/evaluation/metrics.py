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
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The AuC of Zhang et al. 2016 in per cent, raw and rebalanced, of one or more sets of pixels.

    Rebalanced weighs a pixel by the inverse of the probability of its true bin (their lambda 0), so
    that every colour that occurs counts alike, a rare one as much as gray. Gray scores about
    89 and 58 on ImageNet, where these are published; both are relative to the set measured on.

    Args:
        closeness_of_bin: sum of `closeness` over the pixels of each true bin, (..., 313).
        pixels_of_bin: how many they are, or their share of their photograph, (..., 313).
        prior: probability of each bin, above 0 for all that occur, to any scale, (..., 313); by
            default those of the pixels measured.

    Returns:
        Both, each (...).

    Raises:
        ValueError: a set has no pixels.
    """
    pixels = pixels_of_bin.sum(-1)
    if not (pixels > 0).all():
        raise ValueError("no pixel to measure")
    p = pixels_of_bin if prior is None else prior
    alike = np.divide(1, p, out=np.zeros_like(p), where=p > 0)
    rebalanced = (closeness_of_bin * alike).sum(-1) / (pixels_of_bin * alike).sum(-1)
    return 100 * closeness_of_bin.sum(-1) / pixels, 100 * rebalanced


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


def near_chroma_edges(
    ab: NDArray[np.float32], *, step: float = 15.0, width: int = 2
) -> NDArray[np.bool_]:
    """Where colours of one thing could bleed into another: (H, W, 2) to (H, W).

    Pixels at most `width` (in rows and in columns) from where the chroma of CIE Lab changes by more
    than `step` units from one pixel to the next.
    """
    strong = np.zeros(ab.shape[:2], dtype=bool)
    for axis, after in ((0, np.s_[1:]), (1, np.s_[:, 1:])):
        change = np.diff(ab, axis=axis)
        strong[after] |= np.hypot(change[..., 0], change[..., 1]) > step
    for axis in (0, 1):
        reach = strong.copy()
        for shift in range(1, width + 1):
            ahead, behind = np.moveaxis(reach, axis, 0), np.moveaxis(strong, axis, 0)
            ahead[shift:] |= behind[:-shift]
            ahead[:-shift] |= behind[shift:]
        strong = reach
    return strong
