"""The 313 ab bins, soft encoding, the prior over the bins, and class rebalancing.

Zhang, Isola and Efros, "Colorful Image Colorization" (ECCV 2016, arXiv 1603.08511), section 2.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The authors' set of bins: (a, first b, last b), in steps of 10.
_AB_ROWS = (
    (-90, 50, 90),
    (-80, 20, 90),
    (-70, 0, 90),
    (-60, -20, 90),
    (-50, -30, 100),
    (-40, -40, 100),
    (-30, -50, 100),
    (-20, -50, 100),
    (-10, -60, 100),
    (0, -70, 100),
    (10, -80, 90),
    (20, -80, 90),
    (30, -90, 90),
    (40, -100, 90),
    (50, -100, 80),
    (60, -110, 80),
    (70, -110, 80),
    (80, -110, 70),
    (90, -110, 70),
    (100, -90, 0),
)

# Colors encoded at once: 4,096 x 313 float32 distances and int64 ranks take 15 MB.
_ENCODE_CHUNK = 4096


@cache
def ab_bins() -> NDArray[np.float32]:
    """Return the centers of the 313 ab bins in CIE Lab units, float32 (313, 2).

    They are the in-gamut points of a grid of step 10, ordered by a and then by b. The array is
    shared and read-only.
    """
    bins = np.array(
        [(a, b) for a, first, last in _AB_ROWS for b in range(first, last + 1, 10)],
        dtype=np.float32,
    )
    bins.setflags(write=False)
    return bins


def soft_encode(
    ab: ArrayLike, *, neighbors: int = 10, sigma: float = 5.0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Soft-encode colors: spread each over its nearest bins with Gaussian weights.

    Zhang et al. 2016, section 2.2. The paper prints 5 neighbors; the authors' code has 10.

    Args:
        ab: chroma in CIE Lab, (..., 2).
        neighbors: number of bins that share a color, 1 to 313.
        sigma: standard deviation of the Gaussian, in units of ab.

    Returns:
        Indices of the bins, (..., neighbors), the nearest first and of equally near ones the
        lower index first; and their weights, (..., neighbors), which add up to 1.

    Raises:
        ValueError: ``neighbors`` is out of range or ``ab`` does not end in an axis of 2.
    """
    bins = ab_bins()
    colors = np.asarray(ab, dtype=np.float32)
    if colors.ndim == 0 or colors.shape[-1] != 2:
        raise ValueError(f"ab must have shape (..., 2), not {colors.shape}")
    if not 1 <= neighbors <= len(bins):
        raise ValueError(f"neighbors must be between 1 and {len(bins)}, not {neighbors}")

    flat = colors.reshape(-1, 2)
    indices = np.empty((len(flat), neighbors), dtype=np.int64)
    weights = np.empty((len(flat), neighbors), dtype=np.float32)
    for start in range(0, len(flat), _ENCODE_CHUNK):
        chunk = slice(start, start + _ENCODE_CHUNK)
        off_a = flat[chunk, :1] - bins[:, 0]
        off_b = flat[chunk, 1:] - bins[:, 1]
        distance = off_a * off_a + off_b * off_b  # (n, 313), squared
        nearest = np.sort(np.argpartition(distance, neighbors - 1, axis=1)[:, :neighbors])
        near = np.take_along_axis(distance, nearest, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        near = np.take_along_axis(near, order, axis=1)
        indices[chunk] = np.take_along_axis(nearest, order, axis=1)
        # Relative to the nearest, so that colors far from every bin do not underflow to 0 / 0.
        weight = np.exp((near[:, :1] - near) / (2 * sigma**2))
        weights[chunk] = weight / weight.sum(axis=1, keepdims=True)
    shape = (*colors.shape[:-1], neighbors)
    return indices.reshape(shape), weights.reshape(shape)


def count_bins(indices: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return the total weight of each bin in a set of encoded colors, float64 (313,).

    Counts of several batches may be added.

    Args:
        indices: indices of bins, of any shape, as from `soft_encode`.
        weights: their weights, of the same shape.
    """
    bins, shares = np.asarray(indices).ravel(), np.asarray(weights).ravel()
    return np.bincount(bins, shares, minlength=len(ab_bins())).astype(np.float64)


def smooth_prior(counts: ArrayLike, *, sigma: float = 5.0) -> NDArray[np.float64]:
    """Return the prior over the bins, smoothed by a Gaussian in ab space, float64 (313,).

    Zhang et al. 2016, section 2.2. Each bin's mass is spread in shares that add up to 1, so none is
    lost beyond the gamut.

    Args:
        counts: weight of each bin, (313,), not all zero, as from `count_bins`.
        sigma: standard deviation of the Gaussian, in units of ab.

    Raises:
        ValueError: the counts are all zero.
    """
    mass = np.asarray(counts, dtype=np.float64)
    if mass.sum() <= 0:
        raise ValueError("counts are all zero: count at least one color before smoothing")
    bins = ab_bins().astype(np.float64)
    squared = ((bins[:, None] - bins) ** 2).sum(axis=-1)
    kernel = np.exp(-squared / (2 * sigma**2))
    kernel /= kernel.sum(axis=0)
    return kernel @ mass / mass.sum()


def rebalancing_weights(prior: ArrayLike, *, lam: float = 0.5) -> NDArray[np.float32]:
    """Return the class-rebalancing weight of each bin, float32 (313,).

    w is proportional to 1 / ((1 - lam) p + lam / Q), scaled so that its mean under p is 1
    (Zhang et al. 2016, equation 4).

    Args:
        prior: distribution p over the bins, (313,), as from `smooth_prior`.
        lam: weight of the uniform distribution in the mixture, 0 to 1; 1 gives equal weights.
    """
    p = np.asarray(prior, dtype=np.float64)
    p = p / p.sum()
    weights = 1.0 / ((1.0 - lam) * p + lam / len(p))
    return (weights / (p @ weights)).astype(np.float32)
