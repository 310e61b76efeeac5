from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tintype.color.guided import resize_bilinear
from tintype.color.spaces import lightness_to_gray, rgb_to_lab
from tintype.errors import UnknownModelError
from tintype.photo import Photo
from tintype.runtime.card import InputSize
from tintype.runtime.engine import Colorizer, colorize, network_size, reduce


@pytest.fixture(scope="module")
def tint():
    return Colorizer("tint", threads=1)


def landscape(height=120, width=160, dtype=np.uint8):
    """A gray hill under a bright sky, with some texture."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / max(height, width)
    gray = np.where(y > 0.4 + 0.1 * np.sin(6 * x), 0.35 + 0.1 * y, 0.8 - 0.2 * y)
    gray = np.clip(gray + 0.03 * random.standard_normal(gray.shape), 0, 1)
    return (gray * np.iinfo(dtype).max).astype(dtype)


def mean_chroma(rgb):
    scale = np.float32(1 / np.iinfo(rgb.dtype).max)
    return float(np.hypot(*np.moveaxis(rgb_to_lab(rgb * scale)[..., 1:], -1, 0)).mean())


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (1, 700), (700, 1), (3, 5), (31, 33), (64, 64), (500, 90)]
)
def test_any_size_and_aspect_comes_back_in_its_size(tint, size):
    photo = Photo.from_array(landscape(*size))
    assert tint.colorize(photo).rgb().shape == (*size, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lightness_is_kept_to_within_a_level(tint, dtype):
    gray = landscape(dtype=dtype)
    rgb = tint.join(gray, 2 * tint.chroma(gray, vividness=1))  # far out of gamut in places
    assert rgb.dtype == dtype
    top = np.iinfo(dtype).max
    found = lightness_to_gray(rgb_to_lab(rgb / np.float32(top))[..., 0]) * top
    # 16-bit levels are finer than float32 Lab; three of them are a hundredth of an 8-bit one.
    assert np.abs(found - gray.astype(float)).max() <= (1.0 if dtype == np.uint8 else 8.0)


def test_the_picture_is_really_coloured_and_zero_saturation_is_really_gray(tint):
    photo = Photo.from_array(landscape(240, 320))
    assert mean_chroma(tint.colorize(photo).rgb()) > 3
    gray = tint.colorize(photo, saturation=0).rgb()
    assert (gray == photo.gray[..., None]).all()


def test_vividness_goes_from_muted_to_vivid_without_a_jump(tint):
    photo = Photo.from_array(landscape(240, 320))
    chroma = [mean_chroma(tint.colorize(photo, vividness=v).rgb()) for v in np.linspace(0, 1, 9)]
    assert chroma[0] < 0.8 * chroma[-1]
    assert np.abs(np.diff(chroma)).max() < 0.5 * (max(chroma) - min(chroma))


def test_same_photo_same_bytes_whatever_the_threads():
    photo = Photo.from_array(landscape(700, 500))
    results = [Colorizer("tint", threads=n).colorize(photo).rgb() for n in (1, 1, 2)]
    assert np.array_equal(results[0], results[1])
    # Another number of threads may add up in another order; nobody would see it.
    assert np.abs(results[0].astype(int) - results[2]).max() <= 1


def test_strips_leave_no_seam(tint, monkeypatch):
    gray = landscape(300, 200)
    ab = tint.chroma(gray)
    whole = tint.join(gray, ab)
    monkeypatch.setattr("tintype.runtime.engine._STRIP_PIXELS", 200 * 7)
    assert np.array_equal(tint.join(gray, ab), whole)


def test_a_colour_photo_is_looked_at_in_gray_only(tint):
    gray = landscape()
    toned = (gray[..., None] * (1.0, 0.9, 0.75)).astype(np.uint8)
    photo = Photo.from_array(toned)
    same_gray = Photo.from_array(photo.gray)
    assert np.array_equal(tint.colorize(photo).rgb(), tint.colorize(same_gray).rgb())


@given(
    height=st.integers(1, 20_000),
    width=st.integers(1, 20_000),
    multiple=st.sampled_from([1, 8, 32]),
)
@settings(max_examples=200, deadline=None)
def test_network_size_obeys_its_rule_and_keeps_the_aspect(height, width, multiple):
    rule = InputSize(short_side=192, multiple=multiple, longest=768)
    found = network_size(height, width, rule)
    assert all(side % multiple == 0 and 0 < side <= 768 for side in found)
    if max(height, width) <= 4 * min(height, width):
        assert abs(min(found) - 192) <= multiple / 2
        stretch = (found[0] / found[1]) / (height / width)
        assert abs(np.log(stretch)) <= np.log1p(multiple / 192)


def test_reducing_keeps_the_mean():
    gray = landscape(900, 1200)
    small = reduce(gray, InputSize(192))
    assert small.shape == (192, 256)
    assert abs(float(small.mean()) * 255 - gray.mean()) < 0.5
    sixteen = reduce(gray.astype(np.uint16) * 257, InputSize(192))
    np.testing.assert_array_equal(sixteen, small)


def test_the_triangle_filter_is_softer_than_lanczos():
    gray = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    sharp, soft = (reduce(gray, InputSize(192, filter=name)) for name in ("lanczos", "triangle"))
    assert soft.std() < 0.9 * sharp.std()
    assert abs(float(soft.mean() - sharp.mean())) < 0.01


def test_a_model_that_looks_at_several_sizes_says_their_mean(tint, monkeypatch):
    gray = landscape(300, 200)
    card = tint.card

    def said(size):
        monkeypatch.setattr(tint, "card", replace(card, size=size))
        return tint.output(gray)

    logits = [said(InputSize(side)) for side in (96, 64, 160)]
    first, *others = (np.exp(look) / np.exp(look).sum(0) for look in logits)
    mean = said(InputSize(96, other_sides=(64, 160)))
    enlarged = [resize_bilinear(other, (first.shape[1], first.shape[2])) for other in others]
    expected = 0.6 * first + 0.2 * sum(enlarged)
    np.testing.assert_allclose(np.exp(mean), expected, atol=1e-6)
    assert np.abs(np.exp(mean) - first).max() > 0.01


def test_a_coarser_look_at_an_elongated_picture_is_coarser_too(tint, monkeypatch):
    seen = []
    run = tint._session.run
    monkeypatch.setattr(tint._session, "run", lambda gray: seen.append(gray.shape) or run(gray))
    size = InputSize(160, longest=640, other_sides=(96,))
    monkeypatch.setattr(tint, "card", replace(tint.card, size=size))
    tint.output(np.zeros((20, 400), dtype=np.uint8))
    assert seen == [(32, 640), (32, 384)]


@pytest.mark.parametrize("options", [{"vividness": 1.1}, {"vividness": -1}, {"saturation": -0.1}])
def test_knobs_out_of_range_say_what_the_range_is(tint, options):
    with pytest.raises(ValueError, match="0"):
        tint.colorize(Photo.from_array(landscape(8, 8)), **options)


def test_anything_a_photograph_can_be_made_of_is_taken(tint, tmp_path):
    gray = landscape(20, 30)
    Photo.from_array(gray).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    sources = (path, str(path), path.read_bytes(), gray, Image.fromarray(gray), Photo.open(path))
    expected = colorize(path).rgb()
    for source in sources:
        assert np.array_equal(tint.colorize(source).rgb(), expected)


def test_a_second_stage_colours_nothing_by_itself():
    with pytest.raises(UnknownModelError, match="name the other model"):
        Colorizer("refinement")
    with pytest.raises(UnknownModelError) as unknown:
        Colorizer("xyzzy")
    assert "refinement" not in str(unknown.value)


def test_threads_below_one_are_refused():
    with pytest.raises(ValueError, match="from 1"):
        Colorizer(threads=0)
