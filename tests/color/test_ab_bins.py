"""The 313 ab bins, soft encoding, rebalancing and decoding, and the levels of Cr and Cb."""

import numpy as np
import pytest

from tintype.color.bins import (
    ChromaLevels,
    ab_bins,
    annealed_mean,
    annealed_mean_of_logits,
    count_bins,
    level_centers,
    quantize_chroma,
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
    indices, weights = soft_encode(np.zeros((2, 3, 2)), neighbours=5)
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


@pytest.mark.parametrize("neighbours", [0, 314])
def test_an_impossible_number_of_neighbours_is_refused(neighbours):
    with pytest.raises(ValueError, match="neighbours"):
        soft_encode(some_ab(1), neighbours=neighbours)


def test_chroma_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        soft_encode(np.zeros((4, 3)))


def test_prior_counts_add_up_over_batches():
    indices, weights = soft_encode(some_ab())
    whole = count_bins(indices, weights)
    halves = count_bins(indices[:200], weights[:200]) + count_bins(indices[200:], weights[200:])
    assert whole == pytest.approx(halves)
    assert whole.sum() == pytest.approx(500)


def test_smoothing_spreads_a_single_colour_over_its_neighbours_only():
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


def test_annealed_mean_goes_from_the_mode_to_the_mean():
    p = np.zeros(313)
    p[[0, 200]] = 0.4, 0.6
    bins = ab_bins()
    assert annealed_mean(p, temperature=1e-6) == pytest.approx(bins[200])
    assert annealed_mean(p, temperature=1) == pytest.approx(
        0.4 * bins[0] + 0.6 * bins[200], rel=1e-5
    )
    sharp = np.array([0.4, 0.6]) ** (1 / 0.38)
    expected = sharp @ bins[[0, 200]] / sharp.sum()
    assert annealed_mean(p) == pytest.approx(expected, rel=1e-5)


def test_annealed_mean_of_logits_is_that_of_their_softmax():
    logits = np.random.default_rng(1).normal(0, 4, (2, 313, 3, 5)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ab = annealed_mean_of_logits(logits, axis=1)
    assert ab.shape == (2, 3, 5, 2)
    assert ab.dtype == np.float32
    assert np.allclose(ab, annealed_mean(p, axis=1), atol=1e-3)


def test_annealed_mean_is_safe_at_extreme_logits_and_temperatures():
    logits = np.zeros(313, dtype=np.float32)
    logits[7] = 1e4
    assert annealed_mean_of_logits(logits, temperature=1e-30) == pytest.approx(ab_bins()[7])
    assert annealed_mean_of_logits(-logits * 3e34) == pytest.approx(
        np.delete(ab_bins(), 7, axis=0).mean(axis=0), abs=1e-3
    )


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        annealed_mean(np.full(313, 1 / 313), temperature=0)


def test_the_32_levels_are_eight_grey_levels_each():
    values = np.arange(256)
    assert np.array_equal(quantize_chroma(values / 255), values // 8)
    assert level_centers() == pytest.approx((8 * np.arange(32) + 3.5) / 255)


def test_a_level_is_its_own_nearest_and_values_beyond_belong_to_the_outer():
    assert quantize_chroma(level_centers()).tolist() == list(range(32))
    assert quantize_chroma([-3.0, 2.0]).tolist() == [0, 31]


def test_an_odd_number_of_levels_has_one_at_neutral():
    levels = ChromaLevels(33, -0.3, 0.3)
    assert level_centers(levels)[16] == pytest.approx(0, abs=1e-7)
    assert quantize_chroma(np.zeros((4, 2)), levels).tolist() == [[16, 16]] * 4
