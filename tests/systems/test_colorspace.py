import numpy as np
import torch

from tintype.color import spaces
from tintype.systems.colorspace import (
    ab_of_linear,
    ab_of_uv,
    f_of_gray,
    linear_to_srgb,
    srgb_to_linear,
    uv_of_linear,
)


def test_torch_conversions_agree_with_the_numpy_ones():
    rgb = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    rgb[0, :8] = [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    linear = srgb_to_linear(torch.from_numpy(rgb).permute(2, 0, 1)[None])
    ab = ab_of_linear(linear)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ab, spaces.rgb_to_lab(rgb)[..., 1:], atol=2e-3)


def test_chroma_of_yuv_agrees_with_the_numpy_conversions():
    rgb = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    rgb[0, :8] = [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(tensor)), tensor, atol=1e-5, rtol=0)
    uv = uv_of_linear(srgb_to_linear(tensor))
    np.testing.assert_allclose(
        uv[0].permute(1, 2, 0).numpy(), spaces.rgb_to_yuv(rgb)[..., 1:], atol=1e-5
    )
    luma = torch.from_numpy(spaces.rgb_to_luma(rgb))[None, None]
    ab = ab_of_uv(luma, uv)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ab, spaces.rgb_to_lab(rgb)[..., 1:], atol=2e-2)


def test_lightness_function_is_that_of_the_gray_value():
    gray = np.linspace(0, 1, 256, dtype=np.float32)
    f = f_of_gray(torch.from_numpy(gray)).numpy()
    np.testing.assert_allclose(116 * f - 16, spaces.gray_to_lightness(gray), atol=2e-3)
