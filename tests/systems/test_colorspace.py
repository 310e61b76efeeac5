import numpy as np
import torch

from tintype.color import spaces
from tintype.systems.colorspace import ab_of_linear, f_of_gray, srgb_to_linear


def test_torch_conversions_agree_with_the_numpy_ones():
    rgb = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    rgb[0, :8] = [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    linear = srgb_to_linear(torch.from_numpy(rgb).permute(2, 0, 1)[None])
    ab = ab_of_linear(linear)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ab, spaces.rgb_to_lab(rgb)[..., 1:], atol=2e-3)


def test_lightness_function_is_that_of_the_gray_value():
    gray = np.linspace(0, 1, 256, dtype=np.float32)
    f = f_of_gray(torch.from_numpy(gray)).numpy()
    np.testing.assert_allclose(116 * f - 16, spaces.lightness(gray), atol=2e-3)
