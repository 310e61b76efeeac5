import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tintype.color.bins import ab_bins, soft_encode
from tintype.evaluation.metrics import (
    ab_histogram,
    auc,
    closeness,
    colorfulness,
    histogram_intersection,
    multiscale_ssim,
    nearest_bin,
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
        np.bincount(index, closeness(ab, truth), len(ab_bins())),
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
    assert closeness(truth, truth + 200).max() == 0


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


def test_similarity_at_one_scale_is_that_of_scikit_image():
    first = RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    second = np.clip(first + RANDOM.normal(0, 40, first.shape), 0, 255).astype(np.uint8)
    found = structural_similarity(
        *(first, second),
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    # scikit-image's window of sigma 1.5 is as wide; at its borders it reflects.
    expected = found[1][5:-5, 5:-5].mean()
    assert multiscale_ssim(first, second, scales=1) == pytest.approx(expected, abs=1e-6)


def test_similarity_falls_from_one_with_the_scales_of_the_difference():
    y, x = np.mgrid[:192, :192] / 192
    picture = np.stack((x, y, (x + y) / 2), -1)
    picture = (255 * picture).astype(np.uint8)
    noise = RANDOM.normal(0, 30, picture.shape)
    fine = np.clip(picture + noise, 0, 255).astype(np.uint8)
    coarse = np.clip(picture + noise[::16, ::16].repeat(16, 0).repeat(16, 1), 0, 255)
    assert multiscale_ssim(picture, picture) == pytest.approx(1)
    # What is averaged away at the larger scales weighs less.
    assert multiscale_ssim(picture, coarse.astype(np.uint8)) < multiscale_ssim(picture, fine) < 1


def test_similarity_of_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="one size"):
        multiscale_ssim(PICTURE, PICTURE[:10])
    with pytest.raises(ValueError, match="too small"):
        multiscale_ssim(PICTURE, PICTURE)
