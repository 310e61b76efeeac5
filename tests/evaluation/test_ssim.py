import numpy as np
import pytest

from tintype.evaluation.ssim import ms_ssim

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)


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
