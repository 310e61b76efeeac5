"""Gray, toned and colour photographs are told apart."""

from __future__ import annotations

import io

import numpy as np
import pytest
from photo.saved import colors, encoded, image
from PIL import Image

from tintype.errors import PhotoError
from tintype.photo import Photo


def test_gray_toned_and_color_are_told_apart() -> None:
    gray = colors()[..., 0]
    sepia = np.stack([gray * 0.95, gray * 0.8, gray * 0.6], axis=-1).astype(np.uint8)
    noisy = Image.open(io.BytesIO(encoded(Image.fromarray(sepia), "JPEG", quality=80)))
    assert Photo.from_array(gray).kind == "gray"
    assert Photo.from_pil(Image.fromarray(gray).convert("RGB")).kind == "gray"
    assert Photo.from_array(sepia).kind == "toned"
    assert Photo.from_pil(noisy).kind == "toned"
    assert Photo.from_array(colors()).kind == "color"


def test_a_stamp_in_color_makes_a_gray_picture_one_in_color() -> None:
    gray = np.random.default_rng(0).integers(40, 200, (600, 800, 1), dtype=np.uint8)
    scan = np.repeat(gray, 3, axis=2)
    scan[100:103, 100:103] = (200, 20, 20)  # a speck
    assert Photo.from_array(scan).kind == "gray"
    scan[300:330, 300:330] = (200, 20, 20)  # 0.2 % of the picture
    assert Photo.from_array(scan).kind == "color"


def yellowed(seed: int, fox: int = 0) -> np.ndarray:
    """A print whose paper is yellow here and nearly white there, with brown spots if asked for."""
    random = np.random.default_rng(seed)
    gray = Image.fromarray(random.integers(20, 240, (12, 15), np.uint8)).resize((300, 240), 3)
    amount = Image.fromarray(random.random((3, 3), np.float32)).resize((300, 240), 2)
    spots = np.zeros((240, 300))
    y, x = np.mgrid[:240, :300]
    for _ in range(fox):
        away = (y - random.uniform(0, 240)) ** 2 + (x - random.uniform(0, 300)) ** 2
        spots = np.maximum(spots, 0.8 * np.exp(-away / 30))
    paper = 1 - np.asarray(amount)[..., None] * (0.0, 0.16, 0.45)
    foxed = 1 - spots[..., None] * (0.25, 0.42, 0.6)
    return (np.asarray(gray)[..., None] * paper * foxed).astype(np.uint8)


@pytest.mark.parametrize("fox", [0, 40])
@pytest.mark.parametrize("seed", range(4))
def test_a_print_that_yellowed_unevenly_is_toned_and_that_is_said(seed: int, fox: int) -> None:
    photo = Photo.open(encoded(Image.fromarray(yellowed(seed, fox)), "JPEG", quality=88))
    assert photo.kind == "toned"
    assert "its toning varies" in "".join(photo.notes)
    assert photo.left_out == photo.notes  # for it may be in colour: not replaced in place


@pytest.mark.parametrize("kind", ["sunset", "sea", "tinted"])
def test_colors_of_one_mood_are_colors(kind: str) -> None:
    down, across = np.mgrid[:240, :300] / 240
    if kind == "sunset":  # from violet over red and orange to yellow, through clouds
        sky = np.stack([0.45 + 0.55 * down, 0.25 + 0.6 * down**2, 0.5 - 0.3 * down], -1)
        picture = sky * (0.7 + 0.3 * np.sin(9 * across + 5 * down))[..., None]
    elif kind == "sea":
        picture = (0.3 + 0.6 * down)[..., None] * np.stack(
            [1 - across / 2, 1 - across / 4, 1 + 0 * down], -1
        )
    else:  # a cheek in a yellowed print
        picture = yellowed(0) / 255
        picture[60:120, 60:120] *= (1.0, 0.7, 0.8)
    assert Photo.from_array((255 * picture).astype(np.uint8)).kind == "color"


def test_a_toned_picture_gives_its_luma() -> None:
    sepia = Image.new("RGB", (4, 4), (112, 66, 20))
    assert (Photo.open(encoded(sepia, "PNG")).gray == 75).all()


def test_colors_are_there_to_compare_with_unless_they_are_given_up() -> None:
    data = encoded(image("RGB"), "PNG")
    np.testing.assert_array_equal(Photo.open(data).rgb(), colors())
    without = Photo.open(data, keep_colors=False)
    assert without.kind == "color"
    with pytest.raises(PhotoError, match="keep_colors"):
        without.rgb()


def test_a_gray_photograph_is_three_times_its_gray() -> None:
    photo = Photo.open(encoded(image("L"), "PNG"))
    np.testing.assert_array_equal(photo.rgb()[..., 1], photo.gray)
