"""Hints: how they are drawn, and what comes of them with a model that follows them plainly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_models import PEAKS

import tintype
from tintype.color.spaces import rgb_to_lab
from tintype.errors import HintError, SettingError, TintypeError
from tintype.photo import Photo
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.hints import Hint, draw_hints, hint_from_json
from tintype.runtime.registry import WEIGHTS_VARIABLE

MIDDLE = np.full((120, 160), 119, np.uint8)  # L* 50
BROWN = "#8a3324"


@pytest.fixture(scope="module")
def hinted(models):
    return Colorizer(models / "hinted.small.json", threads=1)


def ab_of(color):
    return rgb_to_lab(np.array(Hint(0, 0, color).rgb) / 255)[1:]


def ab_at(photo, x, y):
    rgb = photo.rgb()
    return rgb_to_lab(rgb[y, x] / np.float32(np.iinfo(rgb.dtype).max))[1:]


def cells(hints, gray=MIDDLE, size=(30, 40)):
    """The rows and columns of the cells that are covered."""
    return set(zip(*np.nonzero(draw_hints(hints, gray, size)[0][0, 2]), strict=True))


def test_a_hint_gives_its_cell_a_and_b_and_nothing_elsewhere():
    drawn, notes = draw_hints([Hint(50, 22, BROWN)], MIDDLE, (30, 40))
    assert (drawn.dtype, drawn.shape, notes) == (np.float32, (1, 3, 30, 40), [])
    assert set(zip(*np.nonzero(drawn[0, 2]), strict=True)) == {(5, 12)}
    np.testing.assert_allclose(110 * drawn[0, :2, 5, 12], ab_of(BROWN), atol=1e-3)
    assert not drawn[0, :, 0].any()
    assert not draw_hints([], MIDDLE, (30, 40))[0].any()


def test_a_disc_covers_the_cells_it_covers_half_of():
    y, x = np.mgrid[:120, :160]  # cells of four pixels
    for radius in (3.0, 7.5, 20.0):
        share = ((x - 50) ** 2 + (y - 22) ** 2 <= radius**2).reshape(30, 4, 40, 4).mean((1, 3))
        found = cells([Hint(50, 22, BROWN, radius)])
        assert {tuple(at) for at in np.argwhere(share >= 0.65)} <= found
        assert found <= {tuple(at) for at in np.argwhere(share >= 0.35)} | {(5, 12)}
    assert len(cells([Hint(50, 22, BROWN, 1e6)])) == 30 * 40


def test_the_default_radius_is_an_eightieth_of_the_shorter_side():
    large = np.full((1600, 2400), 119, np.uint8)
    assert cells([Hint(1000, 800, BROWN)], large, (400, 600)) == cells(
        [Hint(1000, 800, BROWN, 20)], large, (400, 600)
    )


def test_the_later_of_two_hints_at_one_place_holds():
    for colors in ((BROWN, "#204080"), ("#204080", BROWN)):
        drawn, _ = draw_hints([Hint(50, 22, color) for color in colors], MIDDLE, (30, 40))
        np.testing.assert_allclose(110 * drawn[0, :2, 5, 12], ab_of(colors[-1]), atol=1e-3)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    radius=st.one_of(st.none(), st.floats(1e-3, 1e4)),
)
@settings(max_examples=200, deadline=None)
def test_every_hint_inside_covers_the_cell_it_lies_in(height, width, place, radius):
    gray = np.full((height, width), 119, np.uint8)
    x, y = place[0] * (width - 1), place[1] * (height - 1)
    found = cells([Hint(x, y, BROWN, radius)], gray, (16, 24))
    own = int((y + 0.5) * 16 / height), int((x + 0.5) * 24 / width)
    assert (min(own[0], 15), min(own[1], 23)) in found


@pytest.mark.parametrize(("x", "y"), [(-1, 5), (160, 5), (5, 120), (159.5, 5), (1e300, 0)])
def test_a_hint_outside_is_an_error_of_that_photograph(hinted, x, y):
    with pytest.raises(HintError, match="outside the photograph"):
        hinted.colorize(MIDDLE, hints=[Hint(x, y, BROWN)])
    with pytest.raises(HintError, match="outside the photograph"):
        hinted.suggest(MIDDLE, x, y)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (159, 0), (0, 119), (159, 119)])
def test_a_hint_at_the_very_edge_colors_it(hinted, x, y):
    colored = hinted.colorize(MIDDLE, hints=[Hint(x, y, BROWN, radius=20)])
    assert np.abs(ab_at(colored, x, y) - ab_of(BROWN)).max() < 6


def test_a_hint_colors_its_place_and_nothing_far_away(hinted):
    without = hinted.colorize(MIDDLE)
    colored = hinted.colorize(MIDDLE, hints=[Hint(50, 60, BROWN, radius=12)])
    assert np.abs(ab_at(colored, 50, 60) - ab_of(BROWN)).max() < 4
    assert np.array_equal(colored.rgb()[:, 100:], without.rgb()[:, 100:])
    assert not np.array_equal(colored.rgb()[60, 50], without.rgb()[60, 50])
    assert np.array_equal(hinted.colorize(MIDDLE, hints=[]).rgb(), without.rgb())
    assert colored.notes == ()


def test_lightness_is_the_photographs_whatever_the_hints(hinted):
    hints = [Hint(20, 20, "#000000", 16), Hint(80, 60, "#ffffff", 9), Hint(140, 90, BROWN, 9)]
    colored = hinted.colorize(MIDDLE, hints=hints).rgb()
    assert np.abs(rgb_to_lab(colored / np.float32(255))[..., 0] - 50).max() < 0.8
    assert np.abs(ab_at(hinted.colorize(MIDDLE, hints=hints), 20, 20)).max() < 3


def test_sixteen_bits_take_hints_as_eight_do(hinted):
    deep = MIDDLE.astype(np.uint16) * 257
    hints = [Hint(50, 60, BROWN, radius=12)]
    colored = hinted.colorize(deep, hints=hints)
    assert colored.bit_depth == 16
    shallow = hinted.colorize(MIDDLE, hints=hints).rgb()
    assert np.abs(colored.rgb() / 257 - shallow).max() <= 1


def test_a_color_that_is_not_there_at_that_lightness_becomes_one_of_its_hue(hinted):
    light = np.full((120, 160), 245, np.uint8)
    colored = hinted.colorize(light, hints=[Hint(50, 60, "#0000ff", radius=16)])
    (note,) = colored.notes
    assert "#0000ff at 50,60" in note
    found, blue = ab_at(colored, 50, 60), ab_of("#0000ff")
    assert 2 < np.hypot(*found) < 30
    drawn, _ = draw_hints([Hint(50, 60, "#0000ff", radius=16)], light, (30, 40))
    several = hinted.colorize(light, hints=[Hint(x, 60, "#0000ff") for x in (50, 90)])
    assert len(several.notes) == 1
    assert several.notes[0].startswith("2 hints (#0000ff at 50,60 the first of them)")
    kept = 110 * drawn[0, :2, 15, 12]
    assert np.arctan2(*kept) == pytest.approx(np.arctan2(*blue), abs=1e-3)


def test_coordinates_are_of_the_upright_photograph(hinted, tmp_path):
    image = Image.fromarray(MIDDLE)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "turned.jpg", exif=exif)
    colored = hinted.colorize(tmp_path / "turned.jpg", hints=[Hint(100, 140, BROWN, radius=12)])
    assert (colored.width, colored.height) == (120, 160)
    assert np.abs(ab_at(colored, 100, 140) - ab_of(BROWN)).max() < 5
    assert np.abs(ab_at(colored, 20, 20) - ab_of(BROWN)).max() > 15


def test_a_sampler_is_conditioned_on_hints():
    sampler = Colorizer("tint_sampler.hinted", threads=1)
    hints = [Hint(80, 60, "#ff2000", radius=60)]
    assert np.array_equal(
        sampler.colorize(MIDDLE, hints=[]).rgb(), Colorizer("tint_sampler").colorize(MIDDLE).rgb()
    )
    with_hints = sampler.colorize(MIDDLE, hints=hints).rgb()
    assert not np.array_equal(with_hints, sampler.colorize(MIDDLE).rgb())
    first = next(one for one in sampler.sample(MIDDLE, 3, hints=hints) if one.number == 1)
    assert np.array_equal(first.photo.rgb(), with_hints)
    assert np.isfinite(sampler.score(first.photo).bits)


def test_the_sample_of_a_number_is_made_alone(landscape):
    sampler = Colorizer("tint_sampler", threads=1)
    by_number = {one.number: one.photo.rgb() for one in sampler.sample(landscape, 3, seed=4)}
    for number, rgb in by_number.items():
        alone = sampler.colorize(landscape, seed=4, sample=number)
        assert np.array_equal(alone.rgb(), rgb)


@pytest.mark.parametrize("name", ["plain", "tint", "tint_sampler"])
def test_a_model_without_hints_says_which_have_them(name, monkeypatch):
    with pytest.raises(SettingError, match=r"takes no hints; hinted\.small or tint_sampler\.hin"):
        Colorizer(name).colorize(MIDDLE, hints=[Hint(1, 2, BROWN)])
    colorizer = Colorizer(name)
    monkeypatch.delenv(WEIGHTS_VARIABLE)
    monkeypatch.setattr("tintype.runtime.registry.list_models", list)
    with pytest.raises(SettingError, match="nor does another model that is installed: import one"):
        colorizer.colorize(MIDDLE, hints=[Hint(1, 2, BROWN)])


def test_suggestions_are_the_peaks_with_half_of_the_weights_taken_out(hinted):
    found = hinted.suggest(MIDDLE, 50, 60, 5)
    assert all(isinstance(one, tintype.Suggestion) for one in found)
    assert len(found) == 2
    assert [one.probability for one in found] == pytest.approx([0.6, 0.4], abs=0.02)
    for one, (a, b, _) in zip(found, PEAKS, strict=True):
        color = rgb_to_lab(np.array(Hint(0, 0, one.color).rgb) / 255)
        assert color[0] == pytest.approx(50, abs=1)
        assert np.abs(color[1:] - (a, b)).max() < 4
    assert hinted.suggest(MIDDLE, 50, 60, 1) == found[:1]
    dark = hinted.suggest(np.full((40, 40), 60, np.uint8), 0, 39, 1)
    assert rgb_to_lab(np.array(Hint(0, 0, dark[0].color).rgb) / 255)[0] < 30


def test_where_a_hint_is_its_color_is_suggested(hinted):
    (one, *_) = hinted.suggest(MIDDLE, 50, 60, hints=[Hint(50, 60, BROWN)])
    assert one.probability > 0.9
    assert np.abs(ab_of(one.color) - ab_of(BROWN)).max() < 8


def test_suggestions_need_a_distribution_and_a_place(hinted):
    with pytest.raises(SettingError, match="predicts no distribution"):
        Colorizer("plain").suggest(MIDDLE, 1, 1)
    with pytest.raises(SettingError, match="from 1"):
        hinted.suggest(MIDDLE, 1, 1, 0)
    with pytest.raises(SettingError, match="are numbers"):
        hinted.suggest(MIDDLE, float("nan"), 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": float("nan")},
        {"y": float("inf")},
        {"x": "5"},
        {"x": True},
        {"x": 10**400},
        {"y": None},
        {"color": "brown"},
        {"color": "#8a332"},
        {"color": "#8a3324\n"},
        {"color": "#\ud800a3324"},
        {"color": (1, 2)},
        {"color": (1, 2, 256)},
        {"color": (1, 2, 3.5)},
        {"color": None},
        {"radius": 0},
        {"radius": -1},
        {"radius": float("inf")},
        {"radius": "5"},
        {"size": 5},
    ],
)
def test_what_is_no_hint_is_said(wrong):
    record = {"x": 1, "y": 2, "color": BROWN, **wrong}
    with pytest.raises(SettingError):
        hint_from_json(record)


def test_hints_survive_json():
    hints = [
        Hint(1, 2, BROWN),
        Hint(1.5, 2, (138, 51, 36), 5),
        Hint(np.int64(3), np.float32(4), np.array([1, 2, 3])),
    ]
    assert [hint.to_json() for hint in hints] == [
        {"x": 1, "y": 2, "color": BROWN},
        {"x": 1.5, "y": 2, "color": BROWN, "radius": 5},
        {"x": 3, "y": 4, "color": "#010203"},
    ]
    assert hint_from_json(hints[1].to_json()).rgb == (138, 51, 36)
    assert hint_from_json({"x": 1, "y": 2, "color": [1, 2, 3]}).rgb == (1, 2, 3)
    for record in (None, [], {"x": 1}, 5):
        with pytest.raises(TintypeError, match="a hint must be"):
            hint_from_json(record)


def test_the_package_exports_it_all(models):
    assert tintype.Hint is Hint
    hints = [tintype.Hint(50, 60, BROWN, radius=12)]
    direct = tintype.colorize(MIDDLE, "hinted", hints=hints)
    loaded = tintype.load("hinted").colorize(Photo.from_array(MIDDLE), hints=hints)
    assert np.array_equal(direct.rgb(), loaded.rgb())
    assert tintype.sample(MIDDLE, 2, "tint_sampler.hinted", hints=hints)
