import numpy as np
import pytest
import torch

from tintype.color import spaces
from tintype.models.torch_color import (
    cbcr_to_ab,
    f_to_y,
    gray_to_f,
    gray_to_lightness,
    lab_to_srgb,
    linear_to_ab,
    linear_to_cbcr,
    linear_to_srgb,
    linear_to_uv,
    srgb_to_gray,
    srgb_to_linear,
    uv_to_ab,
    y_to_f,
)


@pytest.fixture(scope="module")
def rgb():
    """Random colors, and the corners of the cube."""
    rgb = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    rgb[0, :8] = [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return rgb


@pytest.fixture(scope="module")
def srgb(rgb):
    return torch.from_numpy(rgb).permute(2, 0, 1)[None]


def last(planes):
    """(1, C, H, W) as (H, W, C) in numpy."""
    return planes[0].permute(1, 2, 0).numpy()


def test_ab_is_that_of_numpy(rgb, srgb):
    ab = last(linear_to_ab(srgb_to_linear(srgb)))
    np.testing.assert_allclose(ab, spaces.rgb_to_lab(rgb)[..., 1:], atol=2e-3)


def test_srgb_comes_back_from_linear_light(srgb):
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(srgb)), srgb, atol=1e-5, rtol=0)


def test_luma_uv_and_cbcr_are_those_of_numpy(rgb, srgb):
    linear = srgb_to_linear(srgb)
    np.testing.assert_allclose(srgb_to_gray(srgb)[0, 0].numpy(), spaces.rgb_to_luma(rgb), atol=1e-6)
    uv, cbcr = last(linear_to_uv(linear)), last(linear_to_cbcr(linear))
    np.testing.assert_allclose(uv, spaces.rgb_to_yuv(rgb)[..., 1:], atol=1e-5)
    np.testing.assert_allclose(cbcr, spaces.rgb_to_ycbcr(rgb)[..., 1:] - 0.5, atol=1e-5)


@pytest.mark.parametrize(
    ("forward", "back"), [(linear_to_uv, uv_to_ab), (linear_to_cbcr, cbcr_to_ab)]
)
def test_luma_and_chroma_give_ab(rgb, srgb, forward, back):
    ab = last(back(srgb_to_gray(srgb), forward(srgb_to_linear(srgb))))
    np.testing.assert_allclose(ab, spaces.rgb_to_lab(rgb)[..., 1:], atol=2e-2)


def test_lightness_is_that_of_the_gray_value():
    gray = np.linspace(0, 1, 256, dtype=np.float32)
    found = gray_to_lightness(torch.from_numpy(gray)).numpy()
    np.testing.assert_allclose(found, spaces.gray_to_lightness(gray), atol=2e-3)


def test_f_of_y_and_back():
    y = torch.linspace(0, 1, 500)
    torch.testing.assert_close(f_to_y(y_to_f(y)), y, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gray_to_f(y), y_to_f(srgb_to_linear(y)))


def test_lab_to_srgb_agrees_with_numpy():
    rgb = np.random.default_rng(0).random((50, 3))
    lab = spaces.rgb_to_lab(rgb)
    found = lab_to_srgb(torch.from_numpy(lab).T.reshape(1, 3, 50, 1))
    np.testing.assert_allclose(found[0, :, :, 0].T.numpy(), rgb, atol=2e-5)
