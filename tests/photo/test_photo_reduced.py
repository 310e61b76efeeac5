"""Photographs read at a reduced size, for training."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from photo.saved import encoded
from photo.srgb import make_profile
from PIL import Image

from tintype.errors import GrayPhotoError, UnreadablePhotoError
from tintype.photo import Photo
from tintype.photo import read_reduced as read_image


def picture(width: int = 340, height: int = 210) -> Image.Image:
    """A smooth picture in colour, unlike any of its turns."""
    small = np.random.default_rng(0).integers(40, 216, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def read_reduced(source: bytes | Path, short_side: int) -> NDArray[np.uint8]:
    image = read_image(source, short_side)
    assert image.mode == "RGB"
    return np.asarray(image)


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_the_shorter_side_is_reduced(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    expected = picture().resize((162, 100), Image.Resampling.LANCZOS)
    found = read_reduced(encoded(picture(), format, **options), 100)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_a_jpeg_is_decoded_at_a_part_of_its_size_and_looks_the_same(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(encoded(picture(3400, 2100), "JPEG", quality=95))
    found = read_reduced(path, 100).astype(int)
    expected = picture(3400, 2100).resize((162, 100), Image.Resampling.LANCZOS)
    assert np.abs(found - np.asarray(expected)).mean() < 1.5


@pytest.mark.parametrize("short_side", [210, 400])
def test_no_photograph_is_enlarged(short_side: int) -> None:
    np.testing.assert_array_equal(read_reduced(encoded(picture(), "PNG"), short_side), picture())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_it_is_upright_as_an_opened_photograph_is(format: str, orientation: int) -> None:
    data = encoded(picture(), format, exif=exif(orientation))
    whole = Photo.open(data).rgb()
    np.testing.assert_array_equal(read_reduced(data, 210), whole)
    reduced = Image.fromarray(whole).resize((100, 162) if orientation > 4 else (162, 100))
    assert np.abs(read_reduced(data, 100).astype(int) - np.asarray(reduced)).mean() < 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_every_mode_of_colour_is_read(mode: str) -> None:
    image = picture().convert(mode)
    found = read_reduced(encoded(image, "TIFF"), 210)
    np.testing.assert_array_equal(found, image.convert("RGB"))


def test_profiles_are_applied_and_broken_ones_left_aside() -> None:
    linear = make_profile("linear", "RGB ", (1.0,))
    data = encoded(picture(), icc_profile=linear)
    np.testing.assert_array_equal(read_reduced(data, 210), Photo.open(data).rgb())
    assert read_reduced(data, 210).mean() > np.asarray(picture()).mean() + 20
    broken = encoded(picture(), icc_profile=linear[:200])
    np.testing.assert_array_equal(read_reduced(broken, 210), picture())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_a_gray_file_is_told_apart(mode: str) -> None:
    image = picture().convert("L").convert("I").convert("I;16") if mode == "I;16" else picture()
    with pytest.raises(GrayPhotoError, match="is gray"):
        read_reduced(encoded(image.convert(mode)), 100)


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(picture(), "JPEG")[:900]])
def test_an_unreadable_file_is_one_error(data: bytes) -> None:
    with pytest.raises(UnreadablePhotoError):
        read_reduced(data, 100)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"nowhere\.jpg does not exist"):
        read_reduced(tmp_path / "nowhere.jpg", 100)


def test_photographs_need_numpy_and_pillow_alone() -> None:
    heavy = "onnxruntime cyclopts torch safetensors tintype.runtime"
    code = f"import sys, tintype.photo; print([m for m in '{heavy}'.split() if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
