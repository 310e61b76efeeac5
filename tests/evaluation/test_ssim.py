import numpy as np
import pytest
from skimage.metrics import structural_similarity

from tintype.evaluation.ssim import ms_ssim, ssim

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)


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
    assert ssim(first, second) == pytest.approx(expected, abs=1e-6)


def test_similarity_falls_from_one_with_the_scales_of_the_difference():
    y, x = np.mgrid[:192, :192] / 192
    picture = np.stack((x, y, (x + y) / 2), -1)
    picture = (255 * picture).astype(np.uint8)
    noise = RANDOM.normal(0, 30, picture.shape)
    fine = np.clip(picture + noise, 0, 255).astype(np.uint8)
    coarse = np.clip(picture + noise[::16, ::16].repeat(16, 0).repeat(16, 1), 0, 255)
    assert ms_ssim(picture, picture) == pytest.approx(1)
    # What is averaged away at the larger scales weighs less.
    assert ms_ssim(picture, coarse.astype(np.uint8)) < ms_ssim(picture, fine) < 1


def test_similarity_of_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="one size"):
        ms_ssim(PICTURE, PICTURE[:10])
    with pytest.raises(ValueError, match="too small"):
        ms_ssim(PICTURE, PICTURE)
