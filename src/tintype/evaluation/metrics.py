"""Metrics of colorization, as pure functions on arrays.

The literature has several definitions under one name; each docstring says which one is implemented.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000

from tintype.color.bins import ab_bins

_MAX_AB = 110  # histograms of a and b run from -_MAX_AB to _MAX_AB in steps of one
MAX_AUC_THRESHOLD = 150  #: largest threshold of the AuC, in units of ab


def psnr(rgb: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels and channels of 8-bit RGB.

    Since the lightness is given, it measures chroma alone; it favours muted colours. Equal pictures
    give infinity.
    """
    error = np.square(rgb.astype(np.float32) - truth.astype(np.float32)).mean(dtype=np.float64)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def colorfulness(rgb: NDArray[np.uint8], *, absolute: bool = False) -> float:
    """Return the colorfulness (CF) of 8-bit RGB (H, W, 3): 0 gray, 15 muted, 40 vivid, 80 extreme.

    s + 0.3 m, with s and m the lengths of the vectors of standard deviations and of means of the
    opponent channels R - G and (R + G) / 2 - B (Hasler and Süsstrunk, "Measuring colourfulness in
    natural images", 2003).

    Args:
        rgb: the picture.
        absolute: take absolute values of the opponent channels first, as DDColor's published code
            does, and papers that compare with it; values are lower.
    """
    red, green, blue = (rgb[..., k].astype(np.float32) for k in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    std = np.hypot(rg.std(dtype=np.float64), yb.std(dtype=np.float64))
    mean = np.hypot(rg.mean(dtype=np.float64), yb.mean(dtype=np.float64))
    return float(std + 0.3 * mean)


def mean_ciede2000(lab: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the mean CIEDE2000 difference of CIE Lab pictures (H, W, 3): about 1 is just visible.

    CIE 142-2001 with kL = kC = kH = 1; Sharma, Wu, Dalal, "The CIEDE2000 color-difference
    formula" (2005).
    """
    return float(deltaE_ciede2000(lab.astype(np.float64), truth.astype(np.float64)).mean())


def ab_histogram(ab: NDArray[np.float32]) -> NDArray[np.float64]:
    """Count a and b in bins of one Lab unit from -110 to 110: (..., 2) to (2, 220)."""
    cells = np.clip(np.floor(ab + _MAX_AB), 0, 2 * _MAX_AB - 1).astype(np.int64).reshape(-1, 2)
    return np.stack(
        [np.bincount(cells[:, k], minlength=2 * _MAX_AB).astype(np.float64) for k in range(2)]
    )


def histogram_intersection(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the intersection of histograms scaled to sum 1: (..., bins) to (...) in [0, 1].

    The metric of PixColor's Figure 7. The paper does not give its bins; ours are `ab_histogram`'s.
    """
    shares = [h / np.maximum(h.sum(-1, keepdims=True), 1) for h in (first, second)]
    return np.minimum(*shares).sum(-1)


def pixel_auc(ab: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the AuC of each pixel's ab, (..., 2) to (...) in [0, 1].

    The area under the curve "is the distance in ab below t", t from 0 to 150, over 150: 1 where
    both are equal, 0 from a distance of 150 on. Its mean over pixels is the raw AuC of Zhang, Isola
    and Efros, "Colorful Image Colorization" (ECCV 2016), integrated exactly instead of at whole t.
    """
    distance = np.hypot(ab[..., 0] - truth[..., 0], ab[..., 1] - truth[..., 1])
    return np.maximum(1 - distance / np.float32(MAX_AUC_THRESHOLD), 0).astype(np.float32)


def pixel_threshold(ab: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the least whole threshold within which each pixel's error is, (..., 2) to (...).

    From 0 for equal ab to 150; 151 stands for all above.
    """
    distance = np.hypot(ab[..., 0] - truth[..., 0], ab[..., 1] - truth[..., 1])
    return np.minimum(np.ceil(distance), MAX_AUC_THRESHOLD + 1).astype(np.int64)


def auc(
    auc_by_bin: NDArray[np.float64],
    pixels_by_bin: NDArray[np.float64],
    prior: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the AuC of Zhang et al. 2016 in per cent, raw and rebalanced, of sets of pixels.

    Rebalanced weighs a pixel by the inverse of the probability of its true bin (the paper's lambda
    0), so that every colour that occurs counts alike, a rare one as much as gray. On ImageNet, for
    which the paper gives both, gray scores about 89 and 58; both depend on the set of photographs.

    Args:
        auc_by_bin: sum of `pixel_auc` over the pixels of each true ab bin, (..., 313).
        pixels_by_bin: number of these pixels, or their share of the photograph, (..., 313).
        prior: probability of each bin up to a common factor, above 0 for all that occur,
            (..., 313); by default that of the pixels measured.

    Returns:
        Raw and rebalanced AuC, each (...), in [0, 100].

    Raises:
        ValueError: a set has no pixels.
    """
    pixels = pixels_by_bin.sum(-1)
    if not (pixels > 0).all():
        raise ValueError("there are no pixels to measure")
    p = pixels_by_bin if prior is None else prior
    class_weights = np.divide(1, p, out=np.zeros_like(p), where=p > 0)
    rebalanced = (auc_by_bin * class_weights).sum(-1) / (pixels_by_bin * class_weights).sum(-1)
    return 100 * auc_by_bin.sum(-1) / pixels, 100 * rebalanced


def nearest_bin(ab: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the index of the nearest of the 313 ab bins, (..., 2) to (...), of rounded ab."""
    a, b = np.moveaxis(np.clip(np.rint(ab), -_MAX_AB, _MAX_AB).astype(np.int64) + _MAX_AB, -1, 0)
    return _nearest_bins()[a, b]


@cache
def _nearest_bins() -> NDArray[np.int64]:
    """Return the nearest bin of every integer (a, b) from -110 to 110, (221, 221)."""
    axis = np.arange(-_MAX_AB, _MAX_AB + 1, dtype=np.float32)
    bins = ab_bins()
    squares = [(np.subtract.outer(axis, bins[:, k])) ** 2 for k in range(2)]  # each (221, 313)
    return np.stack([(row + squares[1]).argmin(-1) for row in squares[0]])


def chroma_edge_mask(
    ab: NDArray[np.float32], *, threshold: float = 15.0, radius: int = 2
) -> NDArray[np.bool_]:
    """Return a mask of the pixels near chroma edges, where colours bleed: (H, W, 2) to (H, W).

    Args:
        ab: a and b in Lab units.
        threshold: an edge is where ab changes by more than this from one pixel to the next.
        radius: the mask reaches this many pixels from an edge, in rows and in columns.
    """
    mask = np.zeros(ab.shape[:2], dtype=bool)
    for axis, after in ((0, np.s_[1:]), (1, np.s_[:, 1:])):
        change = np.diff(ab, axis=axis)
        mask[after] |= np.hypot(change[..., 0], change[..., 1]) > threshold
    for axis in (0, 1):
        dilated = mask.copy()
        for shift in range(1, radius + 1):
            ahead, behind = np.moveaxis(dilated, axis, 0), np.moveaxis(mask, axis, 0)
            ahead[shift:] |= behind[:-shift]
            ahead[:-shift] |= behind[shift:]
        mask = dilated
    return mask
