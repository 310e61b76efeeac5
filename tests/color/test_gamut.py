"""The promise of the join: the lightness is the photograph's, whatever the chroma."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import gray_levels

from tintype.color.gamut import join_lab, join_luma
from tintype.color.spaces import rgb_to_lab, rgb_to_luma, rgb_to_ycbcr, rgb_to_yuv

chromas = st.floats(-1e6, 1e6, width=32) | st.floats(-130, 130, width=32)


def chroma_disc():
    """Colours of every hue and of any strength, well beyond what sRGB holds, (n, 2)."""
    hue = np.deg2rad(np.arange(0, 360, 3))
    strength = np.concatenate([np.linspace(0, 30, 16), np.linspace(35, 180, 20), [1e3, 1e6]])
    disc = strength[:, None, None] * np.stack([np.cos(hue), np.sin(hue)], axis=-1)
    return disc.reshape(-1, 2).astype(np.float32)


def test_every_gray_level_is_kept_at_any_chroma():
    ab = chroma_disc()
    gray = np.repeat(np.arange(256, dtype=np.uint8)[:, None], len(ab), axis=1)
    rgb = join_lab(gray, np.broadcast_to(ab, (*gray.shape, 2)))
    assert rgb.dtype == np.uint8
    assert np.abs(gray_levels(rgb) - gray).max() <= 1


@settings(deadline=None)
@given(level=st.integers(0, 255), a=chromas, b=chromas)
def test_gray_level_is_kept(level, a, b):
    rgb = join_lab(np.array([[level]], np.uint8), np.array([[[a, b]]], np.float32))
    assert abs(gray_levels(rgb)[0, 0] - level) <= 1


@settings(deadline=None)
@given(level=st.integers(0, 65535), a=chromas, b=chromas)
def test_gray_level_of_sixteen_bits_is_kept(level, a, b):
    gray, ab = np.array([[level]], np.uint16), np.array([[[a, b]]], np.float32)
    assert abs(gray_levels(join_lab(gray, ab, dtype=np.uint16))[0, 0] - level) <= 1


def test_neutral_chroma_gives_back_every_gray_level():
    for dtype in (np.uint8, np.uint16):
        gray = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)[None]
        rgb = join_lab(gray, np.zeros((*gray.shape, 2), np.float32), dtype=dtype)
        assert np.array_equal(rgb, np.stack([gray] * 3, axis=-1))


def test_black_and_white_stay_neutral():
    gray = np.array([[0, 255]], np.uint8)
    rgb = join_lab(gray, np.full((1, 2, 2), 60, np.float32))
    assert rgb.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_representable_colours_are_reproduced():
    rgb = np.random.default_rng(0).random((1, 5000, 3)).astype(np.float32)
    lab = rgb_to_lab(rgb)
    joined = join_lab(gray_levels(rgb), lab[..., 1:], dtype=np.uint16)
    assert np.abs(joined / 65535 - rgb).max() < 5e-4  # an eighth of a level of 8 bits


def test_hue_is_kept_and_chroma_only_shrinks():
    random = np.random.default_rng(1)
    gray = random.integers(6000, 60000, (1, 5000)).astype(np.uint16)
    ab = random.normal(0, 80, (1, 5000, 2)).astype(np.float32)
    mapped = rgb_to_lab(join_lab(gray, ab, dtype=np.uint16) / np.float32(65535))[..., 1:]
    before, after = np.linalg.norm(ab, axis=-1), np.linalg.norm(mapped, axis=-1)
    across = ab[..., 0] * mapped[..., 1] - ab[..., 1] * mapped[..., 0]
    assert np.abs(across / before).max() < 0.05  # ab units beside the ray toward neutral
    assert np.all(after < before + 0.05)


def test_mapped_colours_lie_on_the_surface_of_the_gamut():
    random = np.random.default_rng(2)
    gray = random.integers(6000, 60000, (1, 5000)).astype(np.uint16)
    direction = random.normal(0, 1, (1, 5000, 2))
    ab = (150 * direction / np.linalg.norm(direction, axis=-1, keepdims=True)).astype(np.float32)
    rgb = join_lab(gray, ab, dtype=np.uint16) / 65535
    assert np.minimum(rgb.min(axis=-1), 1 - rgb.max(axis=-1)).max() < 0.02


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_may_come_as_integers_or_as_floats(dtype):
    random = np.random.default_rng(3)
    gray = random.integers(0, np.iinfo(dtype).max, (20, 30), endpoint=True, dtype=dtype)
    ab = random.normal(0, 40, (20, 30, 2)).astype(np.float32)
    unit = gray / np.float32(np.iinfo(dtype).max)
    assert np.array_equal(join_lab(gray, ab, dtype=dtype), join_lab(unit, ab, dtype=dtype))


@pytest.mark.parametrize("join", [join_lab, partial(join_luma, space="yuv")])
def test_strips_written_in_place_equal_the_whole(join):
    random = np.random.default_rng(4)
    gray = random.integers(0, 256, (50, 700), dtype=np.uint8)
    ab = random.normal(0, 40, (2, 50, 700)).astype(np.float32).transpose(1, 2, 0)
    out = np.empty((50, 700, 3), np.uint8)
    for start in range(0, 50, 13):
        rows = slice(start, start + 13)
        join(gray[rows], ab[rows], out=out[rows])
    assert np.array_equal(out, join(gray, ab))


@pytest.mark.parametrize("shape", [(1, 1), (3, 0), (0, 5), (1, 40000)])
def test_any_shape_is_joined(shape):
    gray = np.full(shape, 99, np.uint8)
    for joined in (
        join_lab(gray, np.zeros((*shape, 2), np.float32)),
        join_luma(gray, np.zeros((*shape, 2), np.float32), "yuv"),
    ):
        assert joined.shape == (*shape, 3)
        assert np.all(joined == 99)


@settings(deadline=None)
@given(level=st.integers(0, 255), first=chromas, second=chromas)
def test_luma_is_kept_in_the_luma_spaces(level, first, second):
    gray, chroma = np.array([[level]], np.uint8), np.array([[[first, second]]], np.float32)
    for space in ("yuv", "ycbcr"):
        rgb = join_luma(gray, chroma, space)
        assert abs(rgb_to_luma(rgb)[0, 0] - level) <= 0.51


@pytest.mark.parametrize(("space", "split"), [("yuv", rgb_to_yuv), ("ycbcr", rgb_to_ycbcr)])
def test_luma_join_inverts_the_conversion(space, split):
    rgb = np.random.default_rng(5).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    values = split(rgb / np.float32(255))
    assert np.array_equal(join_luma(values[..., 0], values[..., 1:], space), rgb)


def test_luma_join_shrinks_all_channels_together():
    chroma = np.array([[[0.1, 0.5]]], np.float32)
    rgb = join_luma(np.array([[0.6]], np.float32), chroma, "yuv", dtype=np.uint16) / 65535
    mapped = rgb_to_yuv(rgb)[0, 0]
    assert mapped[2] / mapped[1] == pytest.approx(5, rel=1e-3)
    assert rgb.max() == pytest.approx(1, abs=1e-4)


def test_shapes_that_do_not_agree_are_refused():
    gray = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="shapes"):
        join_lab(gray, np.zeros((4, 5, 2), np.float32))
    with pytest.raises(ValueError, match="uint8 or uint16"):
        join_lab(gray, np.zeros((4, 4, 2), np.float32), out=np.zeros((4, 4, 3), np.float32))
