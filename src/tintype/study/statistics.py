"""Statistical methods of a study, as pure functions; docs/reference/studies.md has the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_CHUNK = 1 << 20  # random numbers drawn at once, to bound the memory


class ConfidenceInterval(NamedTuple):
    """A confidence interval, in the unit of its estimate."""

    low: float
    high: float


def exact_interval(successes: int, count: int, confidence: float = 0.95) -> ConfidenceInterval:
    """Return the exact interval of a proportion, in [0, 1].

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", 1934. It assumes independent observations, which answers of one rater are not.

    Args:
        successes: number of successes among `count` observations.
        count: number of observations, at least 1.
        confidence: level of the interval, in (0, 1).
    """
    low, high = stats.binomtest(successes, count).proportion_ci(confidence, method="exact")
    return ConfidenceInterval(float(low), float(high))


def cluster_bootstrap(
    successes: NDArray[np.int64],
    counts: NDArray[np.int64],
    resamples: int = 10_000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Resample raters with replacement, each with all answers, and return the proportions.

    Args:
        successes: number of successes of each rater in each condition, (raters, conditions).
        counts: number of answers of each rater in each condition, (raters, conditions).
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        Proportion of successes of each resample in each condition, (resamples, conditions), in
        [0, 1]; NaN where a resample has no answers in a condition.
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
        ratings: number of the category that each rater gave each unit, (raters, units), NaN where
            missing.

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
    """Return the two-sided p-value of a paired permutation test of mean 0.

    Under the null hypothesis the sign of each difference is random (Fisher, "The Design of
    Experiments", 1935). Exact for up to 14 differences, which have no more combinations of signs
    than `resamples`; for more, signs are drawn at random and the smallest possible p-value is
    1 / (resamples + 1).

    Args:
        differences: one difference for each independent unit, (n,).
        resamples: number of random combinations of signs.
        seed: seed of the random signs.

    Returns:
        p in (0, 1]; None without any difference.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0:
        return None
    values = values[values != 0]  # the sign of 0 changes nothing
    if len(values) < 2:
        return 1.0

    def distance(signed: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        # Rounded, so that sums that differ by rounding errors alone count as equal.
        return np.abs(signed.sum(axis)).round(12)

    result = stats.permutation_test(
        (values,),
        distance,
        permutation_type="samples",
        alternative="greater",
        n_resamples=resamples,
        batch=max(1, _CHUNK // len(values)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple comparisons, in the same order.

    Holm, "A simple sequentially rejective multiple test procedure", 1979; it controls the
    family-wise error rate.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, k in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = largest
    return adjusted


def binomial_test(successes: int, count: int) -> float:
    """Return the two-sided p-value of an exact binomial test of probability 1/2."""
    return float(stats.binomtest(successes, count).pvalue)
