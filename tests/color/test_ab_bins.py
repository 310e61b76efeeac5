"""The 313 ab bins, soft encoding, the prior, and rebalancing."""

import numpy as np
import pytest

from tintype.color.bins import (
    ab_bins,
    count_bins,
    rebalancing_weights,
    smooth_prior,
    soft_encode,
)

COUNTS = [5, 8, 10, 12, 14, 15, 16, 16, 17, 18, 18, 18, 19, 20, 19, 20, 20, 19, 19, 10]


def some_ab(count=500):
    return np.random.default_rng(0).uniform(-120, 120, (count, 2)).astype(np.float32)


def test_bins_are_the_published_set():
    bins = ab_bins()
    assert bins.shape == (313, 2)
    assert bins.dtype == np.float32
    values, counts = np.unique(bins[:, 0], return_counts=True)
    assert values.tolist() == list(range(-90, 101, 10))
    assert counts.tolist() == COUNTS
    assert bins[[0, -1]].tolist() == [[-90, 50], [100, 0]]
    assert np.array_equal(bins, bins[np.lexsort((bins[:, 1], bins[:, 0]))])
    assert len(np.unique(bins, axis=0)) == 313


def test_bins_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        ab_bins()[0] = 0


def test_soft_encoding_equals_a_direct_one():
    ab = some_ab()
    indices, weights = soft_encode(ab)
    for colour, index, weight in zip(ab, indices, weights, strict=True):
        squared = ((ab_bins() - colour) ** 2).sum(axis=1)
        nearest = np.argsort(squared, kind="stable")[:10]
        expected = np.exp(-(squared[nearest] - squared[nearest[0]]) / 50)
        assert index.tolist() == nearest.tolist()
        assert weight == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_soft_encoding_of_a_bin_centre_peaks_there():
    indices, weights = soft_encode(ab_bins())
    assert indices[:, 0].tolist() == list(range(313))
    assert np.all(weights[:, 0] > weights[:, 1])


def test_soft_encoding_keeps_leading_axes_and_neutral_mean():
    indices, weights = soft_encode(np.zeros((2, 3, 2)), neighbors=5)
    assert indices.shape == weights.shape == (2, 3, 5)
    mean = (ab_bins()[indices] * weights[..., None]).sum(axis=-2)
    assert np.abs(mean).max() < 1e-4


def test_soft_encoding_does_not_depend_on_how_much_is_encoded_at_once():
    ab = np.resize(some_ab(100), (9000, 2))
    indices, weights = soft_encode(ab)
    one_index, one_weight = soft_encode(ab[8999])
    assert np.array_equal(indices[8999], one_index)
    assert np.array_equal(weights[8999], one_weight)


def test_weights_add_up_to_one_even_far_out_of_gamut():
    _, weights = soft_encode(np.array([[1000.0, -1000.0], [0.0, 0.0]]))
    assert weights.sum(axis=-1) == pytest.approx([1, 1])


@pytest.mark.parametrize("neighbors", [0, 314])
def test_an_impossible_number_of_neighbors_is_refused(neighbors):
    with pytest.raises(ValueError, match="neighbors"):
        soft_encode(some_ab(1), neighbors=neighbors)


def test_chroma_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        soft_encode(np.zeros((4, 3)))


def test_prior_counts_add_up_over_batches():
    indices, weights = soft_encode(some_ab())
    whole = count_bins(indices, weights)
    halves = count_bins(indices[:200], weights[:200]) + count_bins(indices[200:], weights[200:])
    assert whole == pytest.approx(halves)
    assert whole.sum() == pytest.approx(500)


def test_smoothing_spreads_a_single_colour_over_its_neighbors_only():
    counts = np.zeros(313)
    neutral = int(np.flatnonzero((ab_bins() == 0).all(axis=1))[0])
    counts[neutral] = 7
    p = smooth_prior(counts)
    assert p.sum() == pytest.approx(1)
    assert p.argmax() == neutral
    beside = np.flatnonzero((ab_bins() == (10, 0)).all(axis=1))[0]
    assert p[beside] / p[neutral] == pytest.approx(np.exp(-2), rel=0.02)


def test_smoothing_nothing_is_refused():
    with pytest.raises(ValueError, match="zero"):
        smooth_prior(np.zeros(313))


def test_rebalancing_weights_have_mean_one_and_favour_rare_colours():
    p = smooth_prior(count_bins(*soft_encode(some_ab() * 0.2)))
    weights = rebalancing_weights(p)
    assert p @ weights == pytest.approx(1)
    assert weights[p.argmin()] == weights.max()
    common, rare = p.argmax(), p.argmin()
    expected = (0.5 * p[common] + 0.5 / 313) / (0.5 * p[rare] + 0.5 / 313)
    assert weights[rare] / weights[common] == pytest.approx(expected, rel=1e-5)
    assert rebalancing_weights(p, lam=1.0) == pytest.approx(np.ones(313))
