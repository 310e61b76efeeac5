"""Chroma as classes: the 313 ab bins, and uniform levels for Cr and Cb.

The bins, soft encoding, rebalancing and the annealed mean are those of Zhang, Isola and Efros,
"Colorful Image Colorization" (ECCV 2016); the Cr and Cb levels those of Guadarrama et al.,
"PixColor" (BMVC 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The published set of bins, read from the authors' array: (a, first b, last b), in steps of 10.
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

# Colours encoded at once: 4,096 x 313 float32 distances and int64 ranks are 15 MB.
_ENCODE_CHUNK = 4096


@cache
def ab_bins() -> NDArray[np.float32]:
    """Return the centres of the 313 ab bins, (313, 2), ordered by a and then by b.

    The array is shared and read-only. In-gamut points of the grid of step 10 in CIE Lab.
    """
    bins = np.array(
        [(a, b) for a, first, last in _AB_ROWS for b in range(first, last + 1, 10)],
        dtype=np.float32,
    )
    bins.setflags(write=False)
    return bins


def soft_encode(
    ab: ArrayLike, *, neighbours: int = 10, sigma: float = 5.0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Spread each colour over its nearest bins with Gaussian weights.

    The paper prints 5 neighbours; its code and its author say 10.

    Args:
        ab: chroma in CIE Lab, (..., 2).
        neighbours: how many bins share a colour, 1 to 313.
        sigma: standard deviation of the weights, in units of ab.

    Returns:
        Indices of the bins, (..., neighbours), the nearest first and of equally near ones the
        lower index first; and their weights, (..., neighbours), which add up to 1.

    Raises:
        ValueError: ``neighbours`` is out of range or ``ab`` does not end in an axis of 2.
    """
    bins = ab_bins()
    colors = np.asarray(ab, dtype=np.float32)
    if colors.ndim == 0 or colors.shape[-1] != 2:
        raise ValueError(f"ab must have shape (..., 2), not {colors.shape}")
    if not 1 <= neighbours <= len(bins):
        raise ValueError(f"neighbours must be between 1 and {len(bins)}, not {neighbours}")

    flat = colors.reshape(-1, 2)
    indices = np.empty((len(flat), neighbours), dtype=np.int64)
    weights = np.empty((len(flat), neighbours), dtype=np.float32)
    for start in range(0, len(flat), _ENCODE_CHUNK):
        chunk = slice(start, start + _ENCODE_CHUNK)
        off_a = flat[chunk, :1] - bins[:, 0]
        off_b = flat[chunk, 1:] - bins[:, 1]
        distance = off_a * off_a + off_b * off_b  # (n, 313), squared
        nearest = np.sort(np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours])
        near = np.take_along_axis(distance, nearest, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        near = np.take_along_axis(near, order, axis=1)
        indices[chunk] = np.take_along_axis(nearest, order, axis=1)
        # Relative to the nearest, so that colours far from every bin do not underflow to 0 / 0.
        weight = np.exp((near[:, :1] - near) / (2 * sigma**2))
        weights[chunk] = weight / weight.sum(axis=1, keepdims=True)
    shape = (*colors.shape[:-1], neighbours)
    return indices.reshape(shape), weights.reshape(shape)


def count_bins(indices: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Count how much of a set of encoded colours falls on each bin, (313,).

    Counts of several sets add up, so a training set is counted batch by batch.

    Args:
        indices: bins, of any shape, as from `soft_encode`.
        weights: the share of each, of the same shape.
    """
    bins, shares = np.asarray(indices).ravel(), np.asarray(weights).ravel()
    return np.bincount(bins, shares, minlength=len(ab_bins())).astype(np.float64)


def smooth_prior(counts: ArrayLike, *, sigma: float = 5.0) -> NDArray[np.float64]:
    """Turn counts into a distribution over the bins, smoothed by a Gaussian in ab space, (313,).

    Each bin hands its mass to itself and its neighbours in shares that add up to 1, so nothing is
    lost over the edge of the gamut.

    Args:
        counts: mass of each bin, (313,), not all zero.
        sigma: standard deviation of the Gaussian, in units of ab.

    Raises:
        ValueError: the counts are all zero.
    """
    mass = np.asarray(counts, dtype=np.float64)
    if mass.sum() <= 0:
        raise ValueError("counts are all zero: count at least one colour before smoothing")
    bins = ab_bins().astype(np.float64)
    squared = ((bins[:, None] - bins) ** 2).sum(axis=-1)
    kernel = np.exp(-squared / (2 * sigma**2))
    kernel /= kernel.sum(axis=0)
    return kernel @ mass / mass.sum()


def rebalancing_weights(prior: ArrayLike, *, lam: float = 0.5) -> NDArray[np.float32]:
    """Return the weight of each bin that makes rare colours count, (313,).

    w is proportional to 1 / ((1 - lam) p + lam / Q), scaled so that its mean under p is 1.

    Args:
        prior: distribution p over the bins, (313,), as from `smooth_prior`.
        lam: share of the uniform distribution: 1 weighs all bins alike.
    """
    p = np.asarray(prior, dtype=np.float64)
    p = p / p.sum()
    weights = 1.0 / ((1.0 - lam) * p + lam / len(p))
    return (weights / (p @ weights)).astype(np.float32)


def annealed_mean(
    probabilities: ArrayLike, *, temperature: float = 0.38, axis: int = -1
) -> NDArray[np.float32]:
    """Decode distributions over the bins to ab: the mean after sharpening by a temperature.

    p^(1/T) / sum p^(1/T), then the expectation over the bin centres. T = 1 is the plain mean,
    T near 0 the mode. For logits the normalisation cancels: see `annealed_mean_of_logits`.

    Args:
        probabilities: distributions over the 313 bins along ``axis``, not negative.
        temperature: T, above 0.
        axis: the axis of the bins; it is taken out.

    Returns:
        Chroma in CIE Lab, (..., 2), the other axes in their order.
    """
    p = np.asarray(probabilities, dtype=np.float32)
    logits = np.log(np.maximum(p, np.finfo(np.float32).tiny))
    return annealed_mean_of_logits(logits, temperature=temperature, axis=axis)


def annealed_mean_of_logits(
    logits: ArrayLike, *, temperature: float = 0.38, axis: int = -1
) -> NDArray[np.float32]:
    """Decode logits over the bins to ab, as `annealed_mean` decodes their softmax.

    Args:
        logits: logits over the 313 bins along ``axis``.
        temperature: T, above 0.
        axis: the axis of the bins; it is taken out.

    Returns:
        Chroma in CIE Lab, (..., 2), the other axes in their order.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    z = np.moveaxis(np.asarray(logits, dtype=np.float32), axis, -1)
    # The maximum goes before the division: a tiny temperature then overflows to -inf, never nan.
    with np.errstate(over="ignore"):
        z = np.exp((z - z.max(axis=-1, keepdims=True)) / np.float32(temperature))
    return (z @ ab_bins()) / z.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class ChromaLevels:
    """Evenly spaced levels of one chroma channel; a value belongs to the nearest.

    Attributes:
        count: number of levels, at most 256.
        low: centre of the first level.
        high: centre of the last level.
    """

    count: int
    low: float
    high: float


# PixColor's 32 levels of full-range Cr or Cb in [0, 1]: 8 of 256 grey levels each, so the centres
# are (8 k + 3.5) / 255. Neutral, 0.5, lies on the edge between levels 15 and 16.
CHROMA_32 = ChromaLevels(32, 3.5 / 255, 251.5 / 255)


def level_centers(levels: ChromaLevels = CHROMA_32) -> NDArray[np.float32]:
    """Return the centre of each level, (count,). Index it by levels to decode them."""
    return np.linspace(levels.low, levels.high, levels.count, dtype=np.float32)


def quantize_chroma(chroma: ArrayLike, levels: ChromaLevels = CHROMA_32) -> NDArray[np.uint8]:
    """Return the nearest level of each chroma value, of the same shape.

    With the default levels this is floor(c / 8) for every 8-bit value c / 255.

    Args:
        chroma: one or more chroma channels on the scale of ``levels``; values beyond the outer
            levels belong to these.
        levels: the levels to choose from.
    """
    step = (levels.high - levels.low) / (levels.count - 1)
    position = (np.asarray(chroma, dtype=np.float32) - levels.low) / step
    return np.clip(np.floor(position + 0.5), 0, levels.count - 1).astype(np.uint8)


def entropy(log_probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy of each place's distribution in bits, (N, 1, h, w).

    Args:
        log_probabilities: natural logarithms, up to a constant at each place, (N, bins, h, w).
    """
    centered = log_probabilities - log_probabilities.max(1, keepdims=True)
    weights = np.exp(centered)
    total = weights.sum(1, keepdims=True)
    nats = np.log(total) - (weights * centered).sum(1, keepdims=True) / total
    return nats / np.float32(np.log(2))
