"""Statistics against values worked out by hand, and against those of our own code before scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tintype.study.statistics import (
    binomial_test,
    cluster_bootstrap,
    exact_interval,
    holm_adjust,
    krippendorff_alpha,
    paired_permutation_test,
    percentile_interval,
)

NAN = float("nan")


# What the code gave that was ours before scipy took its place, of commit 58241c5.
DIFFERENCES = np.round(np.sin(1.7 * np.arange(1, 41)) / 2 + 0.12, 3)
BINOMIAL = {
    (0, 5): 0.0625,
    (5, 5): 0.0625,
    (3, 10): 0.34375,
    (25, 50): 1.0,
    (38, 50): 0.00030586400160359517,
    (210, 500): 0.00040041553683977375,
}
EXACT = {1: 1.0, 2: 1.0, 6: 0.375, 10: 0.337890625, 14: 0.2684326171875}
RANDOM = {15: 0.1970895, 25: 0.1212447, 40: 0.0473224}  # of 400,000 signs


def test_the_exact_interval_is_as_worked_out_by_hand() -> None:
    # Of none and of all, the probability of so extreme a count at the other end is 0.025.
    assert exact_interval(0, 10) == pytest.approx((0, 1 - 0.025**0.1))
    assert exact_interval(10, 10) == pytest.approx((0.025**0.1, 1))
    # Of 1 in 2: p² = 0.025 at the lower end's complement.
    assert exact_interval(1, 2) == pytest.approx((1 - 0.975**0.5, 0.975**0.5))


@pytest.mark.parametrize(("choices", "recorded"), BINOMIAL.items())
def test_an_uneven_choice_is_judged_as_before(choices: tuple[int, int], recorded: float) -> None:
    assert binomial_test(*choices) == pytest.approx(recorded, rel=1e-9)


def test_holm_is_as_worked_out_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2 (not below the one before), 0.04 x 1 (the same).
    assert holm_adjust([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm_adjust([0.5, 0.6]) == [1.0, 1.0]
    assert holm_adjust([]) == []


# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011): example C (nominal 0.743) and
# example A (two observers, binary, 0.095).
FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
TWO_OBSERVERS = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float)


def test_alpha_is_that_of_krippendorffs_own_examples() -> None:
    assert krippendorff_alpha(FOUR_OBSERVERS) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(TWO_OBSERVERS) == pytest.approx(0.095, abs=5e-4)


def test_alpha_is_one_for_agreement_and_about_zero_for_chance() -> None:
    same = np.tile([0.0, 1.0, 1.0, 0.0], (3, 1))
    assert krippendorff_alpha(same) == 1.0
    random = np.random.default_rng(0).integers(0, 2, (20, 500)).astype(float)
    alpha = krippendorff_alpha(random)
    assert alpha is not None
    assert abs(alpha) < 0.01


@pytest.mark.parametrize(
    "ratings", [[[NAN, NAN]], [[1, NAN], [NAN, 0]], [[1, 1], [1, 1]], np.empty((2, 0))]
)
def test_alpha_is_undefined_without_pairs_or_without_variety(ratings: list) -> None:
    assert krippendorff_alpha(np.array(ratings, float)) is None


def test_few_differences_have_all_their_signs_tried() -> None:
    # Of 8 ways to sign 3, 2 and 1, two have a sum as far from 0 as 6.
    assert paired_permutation_test([3, 2, 1]) == 2 / 8
    # And six have one as far as 2: all but those that give 0 (+3 -2 -1 and -3 +2 +1).
    assert paired_permutation_test([3, -2, 1]) == 6 / 8
    assert (
        paired_permutation_test([0.1, 0.2, -0.3]) == 1.0
    )  # though 0.1 + 0.2 is not 0.3 to a computer


@pytest.mark.parametrize(("count", "recorded"), EXACT.items())
def test_the_exact_test_is_as_before(count: int, recorded: float) -> None:
    assert paired_permutation_test(DIFFERENCES[:count]) == pytest.approx(recorded, abs=1e-12)


@pytest.mark.parametrize(("count", "recorded"), RANDOM.items())
def test_the_random_test_is_as_before_to_within_chance(count: int, recorded: float) -> None:
    found = paired_permutation_test(DIFFERENCES[:count])
    deviation = (recorded * (1 - recorded) / 20_000) ** 0.5
    assert found == pytest.approx(recorded, abs=5 * deviation)


@pytest.mark.slow
def test_the_test_keeps_its_level_where_there_is_nothing_to_find() -> None:
    random = np.random.default_rng(2)
    p = [paired_permutation_test(random.normal(0, 1, 10)) for _ in range(400)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.08


def test_no_difference_at_all_is_no_evidence() -> None:
    assert paired_permutation_test([0, 0, 0]) == 1.0
    assert paired_permutation_test([]) is None  # there is no test, which is not the same
    assert paired_permutation_test([1.0] * 40, resamples=99) == 0.01  # never nothing


def test_the_bootstrap_has_the_spread_of_the_mean_of_raters() -> None:
    random = np.random.default_rng(3)
    counts = np.full((60, 1), 40)
    rates = random.beta(3, 6, (60, 1))
    hits = random.binomial(counts, rates)
    shares = cluster_bootstrap(hits, counts, 4000)[:, 0]
    of_raters = hits[:, 0] / 40
    assert shares.mean() == pytest.approx(of_raters.mean(), abs=0.005)
    assert shares.std() == pytest.approx(of_raters.std(ddof=1) / 60**0.5, rel=0.06)


def test_the_bootstrap_is_wider_than_the_exact_interval_where_raters_differ() -> None:
    counts = np.full((20, 1), 50)
    hits = np.array([[5], [45]] * 10)
    low, high = percentile_interval(cluster_bootstrap(hits, counts)[:, 0])
    naive = exact_interval(int(hits.sum()), int(counts.sum()))
    assert high - low > 3 * (naive.high - naive.low)


def test_the_bootstrap_is_that_of_scipy() -> None:
    random = np.random.default_rng(4)
    hits = random.binomial(20, 0.3, 25)
    ours = percentile_interval(cluster_bootstrap(hits[:, None], np.full((25, 1), 20), 20_000)[:, 0])
    theirs = stats.bootstrap(
        (hits / 20,), np.mean, method="percentile", n_resamples=20_000, rng=0
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_a_condition_that_a_sample_misses_is_left_out_of_its_interval() -> None:
    shares = cluster_bootstrap(np.array([[1, 0], [1, 1]]), np.array([[2, 0], [2, 2]]), 200)
    assert np.isnan(shares[:, 1]).any()
    assert percentile_interval(shares[:, 1]) == (0.5, 0.5)


def test_the_same_seed_gives_the_same_samples() -> None:
    hits, counts = np.array([[1], [2], [0]]), np.full((3, 1), 2)
    np.testing.assert_array_equal(
        cluster_bootstrap(hits, counts, 50, seed=1), cluster_bootstrap(hits, counts, 50, seed=1)
    )
