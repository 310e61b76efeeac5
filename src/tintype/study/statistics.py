"""Statistics of a study, as pure functions on numbers; docs/study.md has the formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_EXACT_UP_TO = 14  # differences whose signs are all tried: 16,384 ways
_BLOCK = 1 << 20  # numbers drawn at once


class Interval(NamedTuple):
    """A confidence interval; both ends are the same kind of number as the estimate."""

    low: float
    high: float


def wilson(successes: int, count: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share, in [0, 1].

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927. It takes
    the answers for independent, which those of one rater are not.

    Args:
        successes: how many of `count`.
        count: at least 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / count
    centre = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # At both ends the root is exact but for rounding, which could leave [0, 1].
    low = 0.0 if successes == 0 else (centre - reach) / scale
    high = 1.0 if successes == count else (centre + reach) / scale
    return Interval(low, high)


def clustered_bootstrap(
    successes: NDArray[np.int64],
    counts: NDArray[np.int64],
    resamples: int = 10_000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Shares in samples of raters drawn with replacement, with all their answers.

    Args:
        successes: of each rater in each condition, (raters, conditions).
        counts: how many answers they are of, (raters, conditions).

    Returns:
        (resamples, conditions), in [0, 1]; NaN where a sample has no answers in a condition.
    """
    raters = len(counts)
    random = np.random.default_rng(seed)
    step = max(1, _BLOCK // raters)
    shares = []
    for first in range(0, resamples, step):
        times = random.multinomial(
            raters, np.full(raters, 1 / raters), size=min(step, resamples - first)
        )
        with np.errstate(invalid="ignore"):
            shares.append((times @ successes) / (times @ counts))
    return np.concatenate(shares)


def percentile_interval(samples: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """The middle of a bootstrap's samples (n,); NaN among them are left out."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return Interval(float(low), float(high))


def krippendorff_alpha(ratings: NDArray[np.float64]) -> float | None:
    """Krippendorff's alpha for nominal values: 1 is full agreement, 0 what chance gives.

    Krippendorff, "Content Analysis", 2004, chapter 11. Raters need not have rated every unit.

    Args:
        ratings: (raters, units), one number for each value, NaN where there is none.

    Returns:
        None where it is undefined: no unit has two ratings, or all ratings are the same.
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


def sign_flip_test(
    differences: Sequence[float] | NDArray[np.float64], resamples: int = 20_000, seed: int = 0
) -> float | None:
    """Two-sided p-value of a mean difference of 0, by a permutation test on paired differences.

    Were both conditions alike, each difference might as well have the other sign (Fisher, "The
    Design of Experiments", 1935). All signs are tried for up to 14 differences, random ones
    for more, where the least p-value is 1 / (resamples + 1).

    Args:
        differences: one of each unit that was drawn independently.

    Returns:
        p in (0, 1]; None where there is no unit to test.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0:
        return None
    values = values[values != 0]  # their sign changes nothing
    if len(values) == 0:
        return 1.0
    # What floating point makes of equal sums must still count as equal.
    bar = abs(values.sum()) * (1 - 1e-9)
    if len(values) <= _EXACT_UP_TO:
        signs = np.array(list(itertools.product((1, -1), repeat=len(values))))
        return float(np.mean(np.abs(signs @ values) >= bar))
    random = np.random.default_rng(seed)
    step = max(1, _BLOCK // len(values))
    extreme = 0
    for first in range(0, resamples, step):
        size = (min(step, resamples - first), len(values))
        signs = 2 * random.integers(0, 2, size, dtype=np.int8) - 1
        extreme += int(np.count_nonzero(np.abs(signs @ values) >= bar))
    return (extreme + 1) / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many tests there are, in the same order.

    Holm, "A simple sequentially rejective multiple test procedure", 1979: the chance of one false
    discovery among all of them is kept.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, k in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = largest
    return adjusted


def even_choice(successes: int, count: int) -> float:
    """Two-sided p-value of so many successes where either outcome is as likely (exact binomial)."""
    fewer = min(successes, count - successes)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**count)
