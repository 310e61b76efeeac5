"""The guided filter against direct implementations, and enlargement along edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tintype.color.guided import (
    GuidedCoefficients,
    area_mean,
    box_mean,
    enlarge,
    fit_coefficients,
    guided_filter,
    working_size,
)


def random_plane(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def direct_box_mean(plane, radius):
    means = np.empty(plane.shape)
    for y, x in np.ndindex(*plane.shape):
        window = plane[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        means[y, x] = window.mean(dtype=np.float64)
    return means


def direct_guided_filter(guide, plane, radius, eps):
    """He, Sun and Tang, equations 5, 6 and 8, window by window."""
    guide, plane = guide.astype(np.float64), plane.astype(np.float64)
    slope, offset = np.empty(guide.shape), np.empty(guide.shape)
    for y, x in np.ndindex(*guide.shape):
        window = (
            slice(max(0, y - radius), y + radius + 1),
            slice(max(0, x - radius), x + radius + 1),
        )
        i, p = guide[window], plane[window]
        slope[y, x] = ((i * p).mean() - i.mean() * p.mean()) / (i.var() + eps)
        offset[y, x] = p.mean() - slope[y, x] * i.mean()
    return direct_box_mean(slope, radius) * guide + direct_box_mean(offset, radius)


def bicubic(chroma, size):
    planes = np.moveaxis(chroma, -1, 0)
    resized = [Image.fromarray(p).resize(size[::-1], Image.Resampling.BICUBIC) for p in planes]
    return np.stack([np.asarray(p) for p in resized], axis=-1)


@pytest.mark.parametrize("radius", [0, 1, 3, 50])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (12, 17)])
def test_box_mean_equals_a_direct_one(shape, radius):
    plane = random_plane(*shape)
    assert box_mean(plane, radius) == pytest.approx(direct_box_mean(plane, radius), abs=1e-6)


def test_box_mean_keeps_its_precision_over_long_sums():
    plane = 1000 + random_plane(20000, 2)
    assert np.array_equal(box_mean(plane, 0), plane)


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="radius"):
        box_mean(random_plane(3, 3), -1)


@pytest.mark.parametrize("radius", [1, 4])
@pytest.mark.parametrize("eps", [1e-4, 0.01])
def test_guided_filter_equals_a_direct_one(radius, eps):
    guide, plane = random_plane(13, 18), random_plane(13, 18, seed=1)
    expected = direct_guided_filter(guide, plane, radius, eps)
    assert guided_filter(guide, plane, radius, eps) == pytest.approx(expected, abs=1e-4)


def test_guided_filter_takes_each_plane_for_itself():
    guide, planes = random_plane(9, 11), random_plane(9, 11, 2, seed=1)
    both = guided_filter(guide, planes, 2, 0.01)
    assert both.shape == (9, 11, 2)
    for channel in range(2):
        assert np.array_equal(
            both[..., channel], guided_filter(guide, planes[..., channel], 2, 0.01)
        )


def test_guided_filter_keeps_an_edge_of_the_guide_and_smooths_elsewhere():
    guide = np.zeros((20, 20), np.float32)
    guide[:, 10:] = 1
    noisy = guide * 5 + random_plane(20, 20)
    smooth = guided_filter(guide, noisy, 3, 1e-4)
    assert smooth[:, :10].max() < 1
    assert smooth[:, 10:].min() > 5
    assert smooth[:, :10].std() < noisy[:, :10].std() / 2


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (12, 18), (1, 1), (11, 17)])
def test_area_mean_equals_a_direct_one(size):
    plane = random_plane(12, 18)
    fine = np.repeat(np.repeat(plane, size[0], axis=0), size[1], axis=1)
    expected = fine.reshape(size[0], 12, size[1], 18).mean(axis=(1, 3))
    assert area_mean(plane, size) == pytest.approx(expected, abs=1e-6)


def test_area_mean_reads_integers_and_does_not_enlarge():
    assert area_mean(np.full((40, 40), 255, np.uint8), (3, 3)) == pytest.approx(255)
    with pytest.raises(ValueError, match="reduce"):
        area_mean(random_plane(3, 3), (4, 3))


def scene(height=128, width=160):
    """Gray and chroma of regions with crisp edges, and texture in the gray."""
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 3) ** 2
    gray = np.where(inside, 0.7, 0.35) + 0.03 * np.sin(x / 2) * np.cos(y / 3)
    chroma = np.stack([np.where(inside, 40, -5), np.where(inside, 20, 15)], axis=-1)
    return gray.astype(np.float32), chroma.astype(np.float32)


def upsampled(chroma, gray):
    guide = area_mean(gray, working_size(chroma.shape, gray.shape))
    if gray.dtype.kind == "u":
        guide /= np.float32(np.iinfo(gray.dtype).max)
    return enlarge(fit_coefficients(chroma, guide), gray, slice(0, len(gray)), gray.shape)


def reduced(chroma, size):
    return np.stack([area_mean(plane, size) for plane in np.moveaxis(chroma, -1, 0)], axis=-1)


@pytest.mark.parametrize("cells", [(32, 40), (16, 20), (8, 10), (11, 13)])
def test_enlargement_is_closer_to_the_truth_than_bicubic(cells):
    gray, chroma = scene()
    small = reduced(chroma, cells)
    error = np.abs(upsampled(small, gray) - chroma).mean()
    assert error < 0.6 * np.abs(bicubic(small, gray.shape) - chroma).mean()


def test_enlargement_does_not_ring():
    gray, chroma = scene(512, 640)
    enlarged = upsampled(reduced(chroma, (16, 20)), gray)
    reach = chroma.max(axis=(0, 1)) - chroma.min(axis=(0, 1))
    assert np.all(enlarged.max(axis=(0, 1)) < chroma.max(axis=(0, 1)) + 0.12 * reach)
    assert np.all(enlarged.min(axis=(0, 1)) > chroma.min(axis=(0, 1)) - 0.12 * reach)


def test_enlargement_keeps_the_average_of_each_cell():
    gray, chroma = scene()
    small = reduced(chroma, (32, 40))
    again = reduced(upsampled(small, gray), (32, 40))
    assert np.abs(again - small).max() < 1
    assert np.abs(again - small).mean() < 0.1


def test_even_chroma_stays_even_whatever_the_gray():
    enlarged = upsampled(np.full((5, 7, 2), 12.5, np.float32), random_plane(90, 71))
    assert enlarged == pytest.approx(np.full((90, 71, 2), 12.5), abs=1e-3)


def test_specks_finer_than_the_fit_do_not_take_chroma_beyond_their_surroundings():
    gray, chroma = scene(512, 640)
    small = reduced(chroma, (16, 20))
    coefficients = fit_coefficients(small, area_mean(gray, working_size(small.shape, gray.shape)))
    specks = gray.copy()
    specks[::9, ::11] = 1
    specks[4::9, ::11] = 0
    enlarged = enlarge(coefficients, specks, slice(0, 512), gray.shape)
    assert enlarged.max() < 50
    assert enlarged.min() > -15


@pytest.mark.parametrize("step", [1, 7, 64, 1000])
def test_strips_joined_equal_the_whole_bit_for_bit(step):
    gray = random_plane(211, 97)
    chroma = random_plane(13, 6, 2, seed=1)
    coefficients = fit_coefficients(chroma, area_mean(gray, working_size(chroma.shape, gray.shape)))
    whole = enlarge(coefficients, gray, slice(0, 211), gray.shape)
    strips = []
    for start in range(0, 211, step):
        rows = slice(start, min(start + step, 211))
        parts = [slice(0, 40), slice(40, 97)]
        strip = [enlarge(coefficients, gray[rows, c], rows, gray.shape, c) for c in parts]
        assert np.array_equal(
            np.concatenate(strip, 1), enlarge(coefficients, gray[rows], rows, gray.shape)
        )
        strips.append(np.concatenate(strip, 1))
    assert np.array_equal(np.concatenate(strips), whole)
    assert np.array_equal(whole, upsampled(chroma, gray))


@settings(max_examples=60, deadline=None)
@given(
    full=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    cells=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    guide=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_any_sizes_go_together(full, cells, guide):
    chroma = random_plane(*cells, 2) * 20
    enlarged = enlarge(
        fit_coefficients(chroma, random_plane(*guide)), random_plane(*full), slice(0, full[0]), full
    )
    assert enlarged.shape == (*full, 2)
    assert np.abs(enlarged).max() < 1000
    assert upsampled(chroma, random_plane(*full)).shape == (*full, 2)


def test_a_single_pixel_gets_the_mean_chroma():
    chroma = np.arange(32, dtype=np.float32).reshape(4, 4, 2)
    assert upsampled(chroma, np.array([[0.5]], np.float32))[0, 0] == pytest.approx([15, 16])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integer_gray_gives_the_same_chroma(dtype):
    top = np.iinfo(dtype).max
    gray = (random_plane(50, 60) * top).astype(dtype)
    chroma = random_plane(5, 6, 2, seed=1)
    expected = upsampled(chroma, gray / np.float32(top))
    assert upsampled(chroma, gray) == pytest.approx(expected, abs=1e-5)


def test_the_working_size_never_exceeds_the_photograph():
    assert working_size((64, 48, 2), (3000, 2000)) == (256, 192)
    assert working_size((64, 48, 2), (100, 2000)) == (100, 192)


@pytest.mark.parametrize("size", [(7, 9), (14, 27), (40, 53), (6, 8), (1, 1)])
def test_bilinear_enlargement_is_that_of_a_direct_implementation(size):
    planes = np.random.default_rng(0).standard_normal((2, 7, 9)).astype(np.float32)
    expected = np.empty((2, *size))
    for i, j in np.ndindex(*size):
        y = np.clip((i + 0.5) * 7 / size[0] - 0.5, 0, 6)
        x = np.clip((j + 0.5) * 9 / size[1] - 0.5, 0, 8)
        near_y = np.maximum(0, 1 - np.abs(np.arange(7) - y))
        near_x = np.maximum(0, 1 - np.abs(np.arange(9) - x))
        expected[:, i, j] = np.einsum("nhw,h,w->n", planes, near_y, near_x)
    nowhere = np.zeros((7, 9), np.float32)
    flat = GuidedCoefficients(np.zeros_like(planes), planes, nowhere, nowhere)
    enlarged = enlarge(flat, np.zeros(size, np.uint8), slice(0, size[0]), size)
    np.testing.assert_allclose(np.moveaxis(enlarged, -1, 0), expected, atol=1e-5)
