"""Photographs from arrays and Pillow images, and arrays from photographs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from photo.saved import colors, coloured, encoded, image
from PIL import Image

from tintype.errors import UnreadablePhotoError
from tintype.photo import Photo


def test_luminance_is_float32_from_zero_to_one() -> None:
    luminance = Photo.from_array(np.array([[0, 255]], dtype=np.uint8)).luminance()
    assert luminance.dtype == np.float32
    assert luminance.tolist() == [[0.0, 1.0]]


def test_arrays_of_every_layout_and_type_are_taken() -> None:
    rgb = colors()
    assert Photo.from_array(rgb[..., 0]).gray.shape == rgb.shape[:2]
    assert Photo.from_array(rgb[..., :1]).gray.shape == rgb.shape[:2]
    assert Photo.from_array(rgb[..., :2]).alpha is not None
    np.testing.assert_array_equal(Photo.from_array(rgb[::-1]).rgb(), rgb[::-1])
    assert Photo.from_array(rgb[..., 0] > 100).gray.max() == 255
    assert Photo.from_array(rgb.astype(np.uint16) * 257).bit_depth == 16
    assert Photo.from_array([[0.0, 1.0]]).gray.tolist() == [[0, 65535]]
    for wrong in (np.zeros(3), np.zeros((0, 3)), np.full((2, 2), 1.5), np.zeros((2, 2, 5), "u1")):
        with pytest.raises(UnreadablePhotoError):
            Photo.from_array(wrong)
    with pytest.raises(UnreadablePhotoError, match="int64"):
        Photo.from_array(np.zeros((2, 2), dtype=np.int64))


def test_half_precision_and_any_byte_order_give_the_same_pixels() -> None:
    half = np.array([[0, 0.25, 1]], dtype=np.float16)
    assert Photo.from_array(half).gray.tolist() == [[0, 16384, 65535]]
    levels = np.array([[0, 258, 65535]], dtype=np.uint16)
    for order in (">u2", "<u2"):
        assert Photo.from_array(levels.astype(order)).gray.tolist() == levels.tolist()
    assert Photo.from_array(half.astype(">f8")).gray.tolist() == [[0, 16384, 65535]]


def test_an_array_or_an_image_of_the_caller_stays_as_it_was() -> None:
    array = colors()
    photo = Photo.from_array(array)
    array[:] = 0
    assert photo.rgb().max() > 200
    assert array.flags.writeable
    picture = image("RGB")
    before = picture.tobytes()
    Photo.from_pil(picture)
    assert picture.tobytes() == before


def test_pillow_images_bring_what_they_carry() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image("L"), "JPEG", exif=exif.tobytes(), dpi=(300, 300), quality=70)
    photo = Photo.from_pil(Image.open(io.BytesIO(data)))
    assert photo.gray.shape == (34, 21)
    assert photo.metadata.dpi == (300, 300)
    assert photo.encoding.luma_table is not None
    deep = Photo.from_pil(Image.fromarray(np.full((2, 2), 40000, dtype=np.uint16)))
    assert deep.gray[0, 0] == 40000
    with pytest.raises(UnreadablePhotoError, match="mode F"):
        Photo.from_pil(Image.new("F", (2, 2)))


def test_colors_of_another_shape_or_type_are_refused() -> None:
    photo = Photo.from_array(colors())
    for wrong in (colors(5, 5), colors().astype(np.float32), colors()[..., 0]):
        with pytest.raises(ValueError, match="colours for this photograph"):
            photo.with_rgb(wrong)


def test_a_colored_photograph_keeps_the_luminance_and_what_the_file_carries() -> None:
    photo = Photo.open(encoded(image("L"), "JPEG", dpi=(120, 120)))
    result = coloured(photo)
    assert result.gray is photo.gray
    assert result.metadata == photo.metadata
    assert result.kind == "color"
    with pytest.raises(ValueError, match="read-only"):
        result.rgb()[0, 0] = 1
    assert repr(result) == "Photo(34 × 21, 8-bit color, JPEG)"
