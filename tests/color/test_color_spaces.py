"""Colour spaces against independent implementations, on random and extreme values."""

import warnings

import numpy as np
import pytest
from PIL import Image

from tintype.color.spaces import (
    chroma_to_rgb_matrix,
    gray_to_lightness,
    lab_to_rgb,
    linear_to_srgb,
    rgb_to_lab,
    rgb_to_luma,
    rgb_to_ycbcr,
    rgb_to_yuv,
    srgb_to_linear,
)

color = pytest.importorskip("skimage.color")


@pytest.fixture(scope="module")
def colors():
    """Random colours, many of them dark or nearly gray, and a lattice with all the corners."""
    random = np.random.default_rng(0)
    spread = random.random((20000, 3))
    nearly_gray = np.repeat(random.random((5000, 1)), 3, axis=1) + random.normal(0, 1e-3, (5000, 3))
    axis = np.linspace(0, 1, 18)
    lattice = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    every = [spread, spread * 0.1, spread * 0.03, nearly_gray.clip(0, 1), lattice]
    return np.concatenate(every).astype(np.float32)


def test_lab_agrees_with_scikit_image(colors):
    expected = color.rgb2lab(colors.astype(np.float64))
    assert np.abs(rgb_to_lab(colors) - expected).max() < 1e-4


@pytest.mark.slow
def test_lab_agrees_with_colour_science(colors):
    with warnings.catch_warnings():  # it warns about optional packages that it does not find
        warnings.simplefilter("ignore")
        colour = pytest.importorskip("colour")
        white = colour.CCS_ILLUMINANTS["CIE 1931 2 Degree Standard Observer"]["D65"]
        expected = colour.XYZ_to_Lab(colour.sRGB_to_XYZ(colors), white)
    assert np.abs(rgb_to_lab(colors) - expected).max() < 0.03


def test_lab_to_rgb_agrees_with_scikit_image():
    random = np.random.default_rng(1)
    lab = random.uniform([0, -128, -128], [100, 128, 128], (20000, 3)).astype(np.float32)
    with warnings.catch_warnings():  # it warns that it clips negative light
        warnings.simplefilter("ignore")
        expected = color.lab2rgb(lab.astype(np.float64))
    representable = np.all((expected > 0) & (expected < 1), axis=-1)
    assert representable.sum() > 1000
    assert np.abs(lab_to_rgb(lab) - expected)[representable].max() < 1e-6


@pytest.mark.parametrize(
    ("there", "back", "tolerance"),
    [
        (srgb_to_linear, linear_to_srgb, 1e-6),
        (rgb_to_lab, lab_to_rgb, 2e-6),
    ],
)
def test_conversions_there_and_back_return_even_values_out_of_gamut(colors, there, back, tolerance):
    beyond = colors * 1.5 - 0.25
    assert np.abs(back(there(beyond)) - beyond).max() < tolerance


@pytest.mark.parametrize(
    "convert",
    [
        srgb_to_linear,
        linear_to_srgb,
        rgb_to_lab,
        lab_to_rgb,
        rgb_to_yuv,
        rgb_to_ycbcr,
        rgb_to_luma,
        gray_to_lightness,
    ],
)
def test_results_are_float32_and_inputs_are_left_alone(convert):
    values = np.full((2, 5, 3), 0.25)
    assert convert(values).dtype == np.float32
    assert convert(values).shape == ((2, 5) if convert is rgb_to_luma else (2, 5, 3))
    assert np.all(values == 0.25)


def test_lightness_is_the_l_of_the_gray_colour():
    gray = np.linspace(0, 1, 65536, dtype=np.float32)
    assert np.array_equal(gray_to_lightness(gray), rgb_to_lab(np.stack([gray] * 3, axis=-1))[:, 0])
    assert gray_to_lightness([0, 1]) == pytest.approx([0, 100], abs=1e-5)


def test_luma_of_gray_is_the_gray_exactly():
    gray = np.linspace(0, 1, 65536, dtype=np.float32)
    assert np.array_equal(rgb_to_luma(np.stack([gray] * 3, axis=-1)), gray)
    assert rgb_to_luma([1, 0, 0]) == pytest.approx(0.299)
    assert rgb_to_luma([0, 0, 1]) == pytest.approx(0.114)


def test_yuv_agrees_with_scikit_image(colors):
    expected = color.rgb2yuv(colors.astype(np.float64))
    assert np.abs(rgb_to_yuv(colors) - expected).max() < 3e-4


def test_ycbcr_agrees_with_pillow_within_its_rounding():
    rgb = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    # Pillow has neutral chroma at 128 of 255, half a level above the middle.
    ours = rgb_to_ycbcr(rgb / np.float32(255)) * 255 + np.float32([0, 0.5, 0.5])
    assert np.abs(ours - expected).max() <= 1.01


def test_ycbcr_agrees_with_colour_science(colors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        colour = pytest.importorskip("colour")
        weights = colour.WEIGHTS_YCBCR["ITU-R BT.601"]
        expected = colour.RGB_to_YCbCr(colors, K=weights, out_range=(0, 1, -0.5, 0.5))
    assert np.abs(rgb_to_ycbcr(colors) - [0, 0.5, 0.5] - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("space", "from_rgb", "neutral"), [("yuv", rgb_to_yuv, 0), ("ycbcr", rgb_to_ycbcr, 0.5)]
)
def test_chroma_matrix_is_the_inverse_of_the_conversion(space, from_rgb, neutral):
    chroma = np.random.default_rng(3).uniform(-0.4, 0.4, (50, 2)).astype(np.float32)
    y = np.full((50, 1), 0.5, dtype=np.float32)
    found = from_rgb(y + chroma @ chroma_to_rgb_matrix(space).T)
    assert np.allclose(found[:, :1], y, atol=1e-6)
    assert np.allclose(found[:, 1:], chroma + np.float32(neutral), atol=1e-6)


def test_chroma_matrix_of_another_space_is_refused():
    with pytest.raises(ValueError, match="ycbcr"):
        chroma_to_rgb_matrix("hsv")
