"""Statistical methods of a study, as pure functions; docs/reference/studies.md has the formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAX_EXACT = 14  # differences up to which the permutation test is exact: 16,384 signs
_CHUNK = 1 << 20  # random numbers drawn at once


class ConfidenceInterval(NamedTuple):
    """A confidence interval, in the unit of its estimate."""

    low: float
    high: float


def wilson_interval(successes: int, count: int, confidence: float = 0.95) -> ConfidenceInterval:
    """Return Wilson's score interval of a proportion, in [0, 1].

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927. It takes
    observations as independent, which answers of one rater are not.

    Args:
        successes: how many of `count`.
        count: number of observations, at least 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    proportion = successes / count
    center = proportion + z * z / (2 * count)
    margin = z * math.sqrt(proportion * (1 - proportion) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # At both ends the root is exact but for rounding, which could leave [0, 1].
    low = 0.0 if successes == 0 else (center - margin) / scale
    high = 1.0 if successes == count else (center + margin) / scale
    return ConfidenceInterval(low, high)


def cluster_bootstrap(
    successes: NDArray[np.int64],
    counts: NDArray[np.int64],
    resamples: int = 10_000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Resample raters with replacement, each with all answers, and return the proportions.

    Args:
        successes: of each rater in each condition, (raters, conditions).
        counts: how many answers they are of, (raters, conditions).

    Returns:
        (resamples, conditions), in [0, 1]; NaN where a sample has no answers in a condition.
    """
    raters = len(counts)
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // raters)
    proportions = []
    for first in range(0, resamples, step):
        times = random.multinomial(
            raters, np.full(raters, 1 / raters), size=min(step, resamples - first)
        )
        with np.errstate(invalid="ignore"):
            proportions.append((times @ successes) / (times @ counts))
    return np.concatenate(proportions)


def percentile_interval(
    samples: NDArray[np.float64], confidence: float = 0.95
) -> ConfidenceInterval:
    """Return the percentile interval of bootstrap samples (n,); NaN are ignored."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return ConfidenceInterval(float(low), float(high))


def krippendorff_alpha(ratings: NDArray[np.float64]) -> float | None:
    """Return Krippendorff's alpha for nominal data: 1 is perfect agreement, 0 chance.

    Krippendorff, "Content Analysis", 2004, chapter 11. Raters need not have rated every unit.

    Args:
        ratings: (raters, units), one number for each category, NaN where missing.

    Returns:
        Alpha; None where undefined: no unit has two ratings, or all ratings are equal.
    """
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = np.stack([(ratings == value).sum(0) for value in values]) if len(values) else None
    if counts is None:
        return None
    counts = counts[:, counts.sum(0) >= 2].astype(np.float64)  # (values, pairable units)
    of_unit = counts.sum(0)
    of_value = counts.sum(1)
    total = of_value.sum()
    expected = total**2 - np.square(of_value).sum()  # ordered pairs of different values
    if expected == 0:
        return None
    observed = ((of_unit**2 - np.square(counts).sum(0)) / (of_unit - 1)).sum()
    return float(1 - (total - 1) * observed / expected)


def paired_permutation_test(
    differences: Sequence[float] | NDArray[np.float64], resamples: int = 20_000, seed: int = 0
) -> float | None:
    """Return the two-sided p-value of a paired permutation test (random signs) of mean 0.

    Under the null hypothesis the sign of each difference is random (Fisher, "The Design of
    Experiments", 1935). Exact for up to 14 differences; for more, signs are drawn at random and
    the least p-value is 1 / (resamples + 1).

    Args:
        differences: one for each independent unit.

    Returns:
        p in (0, 1]; None without any difference.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0:
        return None
    values = values[values != 0]  # their sign changes nothing
    if len(values) == 0:
        return 1.0
    # Tolerance, so that sums equal but for rounding count as equal.
    threshold = abs(values.sum()) * (1 - 1e-9)
    if len(values) <= _MAX_EXACT:
        signs = np.array(list(itertools.product((1, -1), repeat=len(values))))
        return float(np.mean(np.abs(signs @ values) >= threshold))
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(values))
    extreme = 0
    for first in range(0, resamples, step):
        size = (min(step, resamples - first), len(values))
        signs = 2 * random.integers(0, 2, size, dtype=np.int8) - 1
        extreme += int(np.count_nonzero(np.abs(signs @ values) >= threshold))
    return (extreme + 1) / (resamples + 1)


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple comparisons, in the same order.

    Holm, "A simple sequentially rejective multiple test procedure", 1979; controls the family-wise
    error rate.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, k in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = largest
    return adjusted


def binomial_test(successes: int, count: int) -> float:
    """Return the two-sided p-value of an exact binomial test of probability 1/2."""
    fewer = min(successes, count - successes)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**count)
