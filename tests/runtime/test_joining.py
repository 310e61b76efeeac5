"""Warmth, of what is colored and of nothing else; and joining part by part."""

from __future__ import annotations

import numpy as np
import pytest

from tintype.color.spaces import lab_to_rgb, rgb_to_lab, rgb_to_ycbcr, rgb_to_yuv
from tintype.runtime import joining
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.joining import shift_warmth

A = np.array([[0, 2, 4, 6, 8, 30, -30]], np.float32)
GRAY = np.full((10, 70), 119, np.uint8)  # L* 50


@pytest.mark.parametrize("space", ["lab", "yuv", "ycbcr"])
@pytest.mark.parametrize("warmth", [-1, -0.5, 0.25, 1])
def test_b_moves_where_there_is_color_by_up_to_ten(space, warmth):
    lab = np.stack([np.full_like(A, 50), A, 0 * A], -1)
    rgb = lab_to_rgb(lab)
    gray = np.repeat(GRAY[:1], 1, 0)
    if space == "lab":
        chroma = np.moveaxis(lab[..., 1:], -1, 0)
        found = np.moveaxis(shift_warmth(chroma, gray, space, warmth), 0, -1)
        moved = found - lab[..., 1:]
    else:
        to_space, neutral = (rgb_to_yuv, 0) if space == "yuv" else (rgb_to_ycbcr, 0.5)
        chroma = np.moveaxis(to_space(rgb)[..., 1:] - np.float32(neutral), -1, 0)
        found = shift_warmth(chroma, gray, space, warmth)
        assert np.array_equal(found[..., :2], chroma[..., :2])
        step = found - chroma
        assert np.sign(step[0, 0, 5:]).tolist() == [-np.sign(warmth)] * 2  # less blue: warmer
        moved = None
    if moved is not None:
        np.testing.assert_allclose(moved[..., 0], 0)
        expected = 10 * warmth * np.array([0, 0, 0, 0.5, 1, 1, 1])
        np.testing.assert_allclose(moved[0, :, 1], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["plain", "tint", "filtered", "tint_sampler", "hinted"])
def test_every_model_can_be_warmer(name, landscape):
    colorizer = Colorizer(name, threads=1)

    def mean_b(**options):
        rgb = colorizer.colorize(landscape, **options).rgb()
        return float(rgb_to_lab(rgb / np.float32(255))[..., 2].mean())

    cold, as_is, warm = mean_b(warmth=-1.0), mean_b(), mean_b(warmth=1)
    assert cold + 1 < as_is < warm - 1
    assert warm - cold < 21
    assert mean_b(warmth=0.0) == as_is
    assert mean_b(saturation=0, warmth=1) == mean_b(saturation=0)
    deep = landscape.astype(np.uint16) * 257
    assert colorizer.colorize(deep, warmth=1).bit_depth == 16
    assert colorizer.colorize(np.full((1, 3), 128, np.uint8), warmth=1).width == 3


@pytest.mark.parametrize("name", ["plain", "filtered"])
def test_rows_of_any_length_are_joined_part_by_part(name, landscape, monkeypatch):
    colorizer = Colorizer(name)
    whole = colorizer.colorize(landscape).rgb()
    monkeypatch.setattr(joining, "_STRIP_PIXELS", 70)
    assert np.array_equal(colorizer.colorize(landscape).rgb(), whole)
