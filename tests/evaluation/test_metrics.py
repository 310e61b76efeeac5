import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from tintype.color.bins import ab_bins, soft_encode
from tintype.evaluation.metrics import (
    ab_histogram,
    auc,
    chroma_edge_mask,
    colorfulness,
    histogram_intersection,
    nearest_bin,
    pixel_auc,
    psnr,
)

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_psnr_is_that_of_scikit_image():
    other = RANDOM.integers(0, 256, PICTURE.shape, dtype=np.uint8)
    assert psnr(PICTURE, other) == pytest.approx(peak_signal_noise_ratio(PICTURE, other), abs=1e-4)
    assert psnr(PICTURE, PICTURE) == float("inf")


def test_colorfulness_of_known_pictures():
    gray = np.repeat(PICTURE[..., :1], 3, -1)
    assert colorfulness(gray) == 0
    assert colorfulness(gray, absolute=True) == 0
    # Half red, half cyan: rg is +-255, yb is +-127.5; no mean, only spread.
    halves = np.zeros((2, 2, 3), dtype=np.uint8)
    halves[0, :, 0] = 255
    halves[1, :, 1:] = 255
    assert colorfulness(halves) == pytest.approx(np.hypot(255, 127.5))
    # In absolute values it is the other way round.
    assert colorfulness(halves, absolute=True) == pytest.approx(0.3 * np.hypot(255, 127.5))


def test_histograms_meet_where_pictures_agree():
    ab = RANDOM.normal(0, 20, (40, 40, 2)).astype(np.float32)
    own = ab_histogram(ab)
    assert own.shape == (2, 220)
    assert own.sum() == 2 * 1600
    np.testing.assert_allclose(histogram_intersection(own, own), [1, 1])
    shifted = ab_histogram(ab + np.float32([0, 300]))
    np.testing.assert_allclose(histogram_intersection(own, shifted), [1, 0])
    np.testing.assert_allclose(histogram_intersection(own, 7 * own), [1, 1])


def test_zero_stands_at_the_lower_edge_of_its_cell():
    counts = ab_histogram(np.float32([[0.0, -0.1]]))
    assert counts[0, 110] == 1
    assert counts[1, 109] == 1


def test_nearest_bin_is_the_first_of_soft_encoding():
    ab = np.rint(np.random.default_rng(1).normal(0, 30, (500, 2)).clip(-105, 105)).astype("f4")
    found, first = nearest_bin(ab), soft_encode(ab)[0][:, 0]
    distance = [np.square(ab - ab_bins()[index]).sum(-1) for index in (found, first)]
    np.testing.assert_array_equal(*distance)


def by_bin(ab, truth):
    """What `auc` takes, of pixels (n, 2)."""
    index = nearest_bin(truth)
    return (
        np.bincount(index, pixel_auc(ab, truth), len(ab_bins())),
        np.bincount(index, minlength=len(ab_bins())).astype(float),
    )


def test_auc_is_the_area_under_the_swept_share_of_close_pixels():
    random = np.random.default_rng(2)
    truth = random.normal(0, 30, (4000, 2)).astype(np.float32)
    ab = truth + random.normal(0, 60, truth.shape).astype(np.float32)  # some are beyond 150
    distance = np.linalg.norm(ab - truth, axis=-1)
    thresholds = np.linspace(0, 150, 3001)
    swept = np.trapezoid((distance[:, None] <= thresholds).mean(0), thresholds) / 150
    assert auc(*by_bin(ab, truth))[0] == pytest.approx(100 * swept, abs=0.02)
    assert auc(*by_bin(truth, truth)) == (100, 100)
    assert pixel_auc(truth, truth + 200).max() == 0


def test_rebalanced_auc_counts_every_colour_that_occurs_alike():
    # 99 gray pixels hit exactly, and a red one missed by 75.
    truth = np.zeros((100, 2), np.float32)
    truth[0] = (75, 0)
    raw, rebalanced = auc(*by_bin(np.zeros_like(truth), truth))
    assert raw == pytest.approx(99.5)
    assert rebalanced == pytest.approx(75)
    # By a prior of where both are as likely, red weighs no more than another pixel.
    own = by_bin(np.zeros_like(truth), truth)
    assert auc(*own, prior=np.ones(len(ab_bins())))[1] == pytest.approx(raw)
    with pytest.raises(ValueError, match="no pixel"):
        auc(np.zeros(313), np.zeros(313))


def test_chroma_edges_are_pixels_within_two_of_a_strong_step():
    ab = np.zeros((9, 12, 2), np.float32)
    ab[:, 6:, 0] = 16  # a strong step between columns 5 and 6
    ab[4:, :, 1] = 10  # one too weak between rows 3 and 4
    found = chroma_edge_mask(ab)
    np.testing.assert_array_equal(found, np.tile(np.abs(np.arange(12) - 6) <= 2, (9, 1)))
    corner = np.zeros((7, 7, 2), np.float32)
    corner[3, 3] = 30
    np.testing.assert_array_equal(
        chroma_edge_mask(corner, radius=0).nonzero(), ([3, 3, 4], [3, 4, 3])
    )
