from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scenes import gray_levels
from tiny_models import bins_model, write

from tintype.card import Size
from tintype.color.spaces import rgb_to_lab, rgb_to_luma, rgb_to_ycbcr
from tintype.errors import CorruptModelError, PhotoError, SettingError, UnknownModelError
from tintype.photo import Photo
from tintype.runtime.colorizer import Colorizer, colorize, sample
from tintype.runtime.hints import Hint
from tintype.runtime.registry import WEIGHTS_VARIABLE
from tintype.runtime.resize import network_size, reduce

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "color"
NAMES = ("plain", "tint", "filtered", "tint_sampler", "tint_sampler.plain")


@pytest.fixture
def tint():
    return Colorizer("tint", threads=1)


def mean_chroma(rgb):
    scale = np.float32(1 / np.iinfo(rgb.dtype).max)
    return float(np.hypot(*np.moveaxis(rgb_to_lab(rgb * scale)[..., 1:], -1, 0)).mean())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (700, 1), (3, 5), (31, 33), (64, 64), (500, 90)])
def test_any_size_and_aspect_comes_back_in_its_size(name, size):
    gray = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    assert Colorizer(name, threads=1).colorize(gray).rgb().shape == (*size, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lightness_is_kept_to_within_a_level(tint, landscape, dtype):
    gray = landscape.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    rgb = tint.join(gray, 2 * tint.chroma(gray, vividness=1))  # far out of gamut in places
    assert rgb.dtype == dtype
    found = gray_levels(rgb)
    # 16-bit levels are finer than float32 Lab; three of them are a hundredth of an 8-bit one.
    assert np.abs(found - gray.astype(float)).max() <= (1.0 if dtype == np.uint8 else 8.0)


@pytest.mark.parametrize("name", ["filtered", "tint_sampler"])
def test_luma_is_kept_in_the_spaces_that_have_it(name, landscape):
    rgb = Colorizer(name).colorize(landscape).rgb()
    assert np.abs(rgb_to_luma(rgb / np.float32(255)) * 255 - landscape).max() <= 1.5


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_colored_and_zero_saturation_is_gray(name, landscape):
    colorizer = Colorizer(name)
    whole = mean_chroma(colorizer.colorize(landscape).rgb())
    assert whole > 3
    gray = colorizer.colorize(landscape, saturation=0).rgb()
    assert (gray == landscape[..., None]).all()
    assert 0 < mean_chroma(colorizer.colorize(landscape, saturation=0.3).rgb()) < 0.6 * whole


def test_chroma_is_what_the_graph_says_of_the_reduced_luminance(landscape):
    colorizer = Colorizer("plain")
    seen = reduce(landscape, colorizer.card.size)
    cells = seen.reshape(seen.shape[0] // 4, 4, seen.shape[1] // 4, 4).mean((1, 3))
    expected = np.array([30, -20])[:, None, None] * cells
    np.testing.assert_allclose(colorizer.chroma(landscape), expected, atol=1e-4)


def test_vividness_reaches_the_decoding(tint, landscape):
    whole = tint.chroma(landscape, vividness=1)
    np.testing.assert_allclose(tint.chroma(landscape, vividness=0.3), 0.3 * whole, rtol=1e-5)
    np.testing.assert_allclose(tint.chroma(landscape), 0.8 * whole, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_same_photo_same_bytes_whatever_the_threads(name, landscape, monkeypatch):
    monkeypatch.setattr("tintype.runtime.joining._STRIP_PIXELS", 160 * 7)
    results = [Colorizer(name, threads=n).colorize(landscape).rgb() for n in (1, 2, 5)]
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("way", ["guided", "bilinear"])
def test_strips_leave_no_seam(tint, landscape, monkeypatch, way):
    chroma = tint.chroma(landscape)
    whole = tint.join(landscape, chroma, enlarge=way)
    monkeypatch.setattr("tintype.runtime.joining._STRIP_PIXELS", 160 * 7)
    assert np.array_equal(tint.join(landscape, chroma, enlarge=way), whole)


def test_bilinear_enlargement_looks_at_no_edge(landscape):
    colorizer = Colorizer("tint_sampler")
    chroma = np.random.default_rng(0).uniform(-0.05, 0.05, (2, 15, 20)).astype(np.float32)
    gray = np.full((120, 160), 128, np.uint8)
    rgb = colorizer.join(gray, chroma, enlarge="bilinear")
    found = rgb_to_ycbcr(rgb / np.float32(255))[..., 1:] - 0.5
    planes = [Image.fromarray(p).resize((160, 120), Image.Resampling.BILINEAR) for p in chroma]
    expected = np.stack([np.asarray(plane) for plane in planes], -1)
    assert np.abs(found - expected).max() < 0.01
    guided = colorizer.join(landscape, chroma)
    assert not np.array_equal(colorizer.join(landscape, chroma, enlarge="bilinear"), guided)


def test_a_filter_smooths_and_may_be_left_out(landscape):
    colorizer = Colorizer("filtered")
    results = {
        way: colorizer.colorize(landscape, filter=way) for way in ("none", "chroma", "image")
    }
    pictures = {way: photo.rgb().astype(int) for way, photo in results.items()}
    assert np.array_equal(pictures["chroma"], colorizer.colorize(landscape).rgb())
    assert np.abs(pictures["none"] - pictures["chroma"]).max() > 1
    assert np.abs(pictures["image"] - pictures["chroma"]).mean() < 1
    assert mean_chroma(colorizer.colorize(landscape, enlarge="bilinear").rgb()) > 3


def test_the_second_stage_may_be_left_out(landscape):
    colorizer = Colorizer("tint_sampler")
    coarse = colorizer.chroma(landscape, refine=False, seed=3)
    finer = colorizer.chroma(landscape, seed=3)
    assert finer.shape == (2, 4 * coarse.shape[1], 4 * coarse.shape[2])
    np.testing.assert_allclose(finer[:, ::4, ::4], coarse / 2)


def test_samples_come_the_likeliest_first_and_one_by_one(landscape):
    colorizer = Colorizer("tint_sampler", threads=2)
    samples = list(colorizer.sample(landscape, 4, seed=2))
    assert sorted(one.number for one in samples) == [1, 2, 3, 4]
    assert [one.bits for one in samples] == sorted(one.bits for one in samples)
    assert samples[0].nats == max(one.nats for one in samples)
    first = next(one for one in samples if one.number == 1)
    assert np.array_equal(first.photo.rgb(), colorizer.colorize(landscape, seed=2).rgb())
    assert not np.array_equal(samples[0].photo.rgb(), samples[1].photo.rgb())
    again = sample(landscape, 2, seed=2)
    assert {one.number: one.nats for one in again}[1] == first.nats


def test_a_likely_coloring_scores_better_than_an_unlikely_one(landscape):
    colorizer = Colorizer("tint_sampler.plain")
    chroma = colorizer.chroma(landscape, temperature=1.0)
    likely, unlikely = (colorizer.score(colorizer.join(landscape, c)) for c in (chroma, -chroma))
    assert likely.bits < unlikely.bits
    for score in (likely, unlikely):
        assert score.bits == pytest.approx(sum(score.bits_by_channel) / 2)
        assert score.nats == pytest.approx(-score.bits * score.values * np.log(2), rel=1e-5)


def test_colors_are_less_likely_with_the_luminance_of_another_photograph(monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE)  # the package's own model, which has learnt
    sampler = Colorizer("tint_sampler")
    one, other = (EXAMPLES / name for name in ("coffee.jpg", "rocket.jpg"))
    own = sampler.score(one)
    assert sampler.score(one, one) == own
    assert sampler.score(one, other).bits > 1.2 * own.bits


def test_what_does_not_sample_and_what_has_no_colors_is_said(tint, landscape):
    for work in (tint.sample, tint.score):
        with pytest.raises(SettingError, match="tint_sampler"):
            work(landscape)
    sampler = Colorizer("tint_sampler")
    with pytest.raises(PhotoError, match="no colors of its own"):
        sampler.score(landscape)
    with pytest.raises(SettingError, match="from 1"):
        sampler.sample(landscape, 0)
    with pytest.raises(ValueError, match="from 1"):
        Colorizer("tint", threads=0)


def test_a_color_photo_is_looked_at_in_gray_only(tint, landscape):
    toned = (landscape[..., None] * (1.0, 0.9, 0.75)).astype(np.uint8)
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
    found = network_size(height, width, Size(192, multiple=multiple, longest=768))
    assert all(side % multiple == 0 and 0 < side <= 768 for side in found)
    if max(height, width) <= 4 * min(height, width):
        assert abs(min(found) - 192) <= multiple / 2
        stretch = (found[0] / found[1]) / (height / width)
        assert abs(np.log(stretch)) <= np.log1p(multiple / 192)
    assert network_size(height, width, Size(224, shape="square")) == (224, 224)


@pytest.mark.parametrize("resample", ["lanczos", "triangle", "bicubic", "bilinear"])
def test_reducing_keeps_the_mean(resample):
    y, x = np.mgrid[:900, :1200]
    gray = (128 + 60 * np.sin(x / 90) + 60 * np.cos(y / 70)).astype(np.uint8)
    small = reduce(gray, Size(192, resample=resample))
    assert small.shape == (192, 256)
    assert abs(float(small.mean()) * 255 - gray.mean()) < 0.5
    sixteen = reduce(gray.astype(np.uint16) * 257, Size(192, resample=resample))
    np.testing.assert_array_equal(sixteen, small)


def test_filters_differ_in_how_soft_they_are():
    gray = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    names = ("bilinear", "lanczos", "bicubic", "triangle")
    soft = [float(reduce(gray, Size(192, resample=name)).std()) for name in names]
    assert soft == sorted(soft, reverse=True)


def test_bilinear_is_that_of_tensors():
    torch = pytest.importorskip("torch")
    gray = np.random.default_rng(0).integers(0, 256, (100, 130), dtype=np.uint8)
    found = reduce(gray, Size(64, multiple=8, resample="bilinear"))
    tensor = torch.from_numpy(gray.astype(np.float32))[None, None] / 255
    expected = torch.nn.functional.interpolate(tensor, size=found.shape, mode="bilinear")
    assert np.abs(found - expected[0, 0].numpy()).max() <= 1e-5


def test_anything_a_photograph_can_be_made_of_is_taken(tint, landscape, tmp_path):
    path = tmp_path / "a.png"
    Photo.from_array(landscape).save(path)
    sources = (path, str(path), path.read_bytes(), landscape, Image.fromarray(landscape))
    results = [tint.colorize(source).rgb() for source in (*sources, Photo.open(path))]
    assert all(np.array_equal(results[0], other) for other in results[1:])
    assert np.array_equal(colorize(path).rgb(), results[0])


NAN = """net (float[1,1,H,W] gray) => (float[1,c,H,W] chroma) {
    zero = Sub (gray, gray)
    nothing = Div (zero, zero)
    chroma = Concat <axis = 1> (nothing, nothing)
}"""


@pytest.mark.parametrize("graph", [NAN, NAN.replace("(nothing, nothing)", "(gray, gray, gray)")])
def test_chroma_that_is_none_is_never_written(tmp_path, landscape, graph):
    card = write(tmp_path, "odd.small", {"": graph})
    with pytest.raises(CorruptModelError, match=r"where a model gives \(1, 2, h, w\)"):
        Colorizer(card.path).colorize(landscape)


def test_a_faded_print_gets_the_colors_of_the_whole_one(tmp_path, landscape):
    low, high = np.percentile(landscape, (0.5, 99.5))
    whole = (255 * np.clip((landscape - low) / (high - low), 0, 1)).round().astype(np.uint8)
    faded = (100 + whole * 0.2).round().astype(np.uint8)
    colorizer = Colorizer(bins_model(tmp_path, normalise=True).path)
    wanted = colorizer.chroma(whole)
    missed, unaided = (
        np.abs(colorizer.chroma(faded, normalise=on) - wanted).mean() for on in (True, False)
    )
    assert missed < 0.3 * unaided
    lightness = rgb_to_lab(colorizer.colorize(faded).rgb() / 255)[..., 0]
    assert np.abs(lightness - rgb_to_lab(faded[..., None] / 255 * np.ones(3))[..., 0]).max() < 0.5


@pytest.mark.parametrize("tall", [False, True])
def test_a_panorama_has_the_colors_of_its_parts(tmp_path, tall):
    random = np.random.default_rng(0)
    height, width = 64, 64 * 9
    ramp = np.linspace(0.2, 0.8, width) + 0.02 * random.standard_normal((height, width))
    panorama = (255 * ramp).round().astype(np.uint8)
    colorizer = Colorizer(bins_model(tmp_path, size=Size(64, longest=256, multiple=8)).path)
    chroma = colorizer.chroma(panorama.T if tall else panorama)
    if tall:
        chroma = chroma.transpose(0, 2, 1)
    assert chroma.shape == (2, 16, 16 * 9)
    for start in range(0, width - 128, 64):
        part = colorizer.chroma(np.ascontiguousarray(panorama[:, start : start + 128]))
        cells = slice(start // 4, start // 4 + 32)
        np.testing.assert_allclose(chroma[:, :, cells], part, atol=1e-3)


def test_the_longest_picture_there_can_be_is_looked_at_in_bounds():
    assert network_size(2, 4_000_000, Size(160, longest=640), windows=True) == (32, 5120)
    assert network_size(4_000_000, 2, Size(160, longest=640), windows=True) == (5120, 32)


def test_what_a_network_cannot_see_well_is_said(tmp_path, landscape):
    dots = np.where(landscape > 120, 255, 0).astype(np.uint8)
    assert "pure black or pure white" in Colorizer("tint").colorize(dots).notes[0]
    long = np.tile(landscape, (1, 4))
    assert "sees it small" in Colorizer("tint_sampler").colorize(long).notes[0]
    assert not Colorizer("tint").colorize(long).notes


def test_a_square_network_colors_any_shape(tmp_path, landscape):
    card = bins_model(tmp_path, size=Size(64, shape="square", resample="bilinear"))
    colorizer = Colorizer(card.path)
    assert colorizer.chroma(landscape).shape == (2, 16, 16)
    assert colorizer.colorize(landscape).rgb().shape == (120, 160, 3)


def test_an_unknown_model_is_an_error():
    with pytest.raises(UnknownModelError):
        Colorizer("nothing-like-it")


def test_a_hint_keeps_its_place_in_a_panorama(landscape):
    colorizer, long = Colorizer("hinted"), np.tile(landscape, (1, 5))
    plain = colorizer.chroma(long)
    hinted = colorizer.chroma(long, hints=[Hint(700, 60, "#ff0000", radius=10)])
    moved = np.abs(hinted - plain).sum(0)
    row, column = np.unravel_index(moved.argmax(), moved.shape)
    assert abs(column * 800 / moved.shape[1] - 700) < 15
    assert abs(row * 120 / moved.shape[0] - 60) < 15
    assert (moved[:, : moved.shape[1] // 2] < 1e-4).all()
