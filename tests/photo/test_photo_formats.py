"""What comes in through each format and mode, and what goes out again."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from photo.saved import chunk, coloured, encoded, image, saved
from PIL import Image

from tintype.photo import Photo
from tintype.photo.avif import is_high_bit_depth_avif

LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "packbits"}),
    ("WEBP", {"lossless": True, "exact": True}),
    ("BMP", {}),
]
if int(PIL.__version__.split(".")[0]) >= 13:  # earlier ones may come without Zstandard
    LOSSLESS.append(("TIFF", {"compression": "zstd"}))
LOSSY = ["JPEG", "WEBP", "AVIF"]
MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"],
    "BMP": ["1", "L", "P", "RGB"],
    "WEBP": ["L", "LA", "P", "RGB", "RGBA"],
    "AVIF": ["L", "RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK"],
}


@pytest.mark.parametrize(
    ("format", "how", "mode"), [(f, how, mode) for f, how in LOSSLESS for mode in MODES[f]]
)
def test_a_lossless_photograph_keeps_its_gray_alpha_and_format(
    format: str, how: dict[str, Any], mode: str
) -> None:
    source = image(mode)
    photo = Photo.open(encoded(source, format, **how))
    expected = source.convert("RGB").convert("L")
    np.testing.assert_array_equal(photo.gray, np.asarray(expected))
    assert (photo.format, photo.bit_depth) == (format, 8)

    result = coloured(photo)
    again = Image.open(io.BytesIO(saved(result)))
    assert again.format == format
    np.testing.assert_array_equal(np.asarray(again.convert("RGB")), result.rgb())
    if mode in ("LA", "RGBA"):
        alpha = np.asarray(source.getchannel("A"))
        np.testing.assert_array_equal(photo.alpha, alpha)
        np.testing.assert_array_equal(np.asarray(again.getchannel("A")), alpha)
    else:
        assert photo.alpha is None
    if format == "TIFF":
        assert again.info["compression"] == how.get("compression", "raw")


@pytest.mark.parametrize(("format", "mode"), [(f, mode) for f in LOSSY for mode in MODES[f]])
def test_a_lossy_photograph_keeps_its_lightness(format: str, mode: str) -> None:
    data = encoded(image(mode), format, quality=95)
    photo = Photo.open(data)
    expected = Image.open(io.BytesIO(data)).convert("RGB").convert("L")
    np.testing.assert_array_equal(photo.gray, np.asarray(expected))
    neutral = photo.with_rgb(np.repeat(photo.gray[..., None], 3, axis=2))
    again = Photo.open(saved(neutral))
    assert again.format == format
    difference = again.gray.astype(int) - photo.gray
    assert np.abs(difference).mean() < 2
    if photo.alpha is not None and again.alpha is not None:
        assert np.abs(again.alpha.astype(int) - photo.alpha).max() == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    how=st.sampled_from(LOSSLESS),
)
def test_the_pixels_of_any_8_bit_gray_picture_are_its_luminance(
    pixels: np.ndarray, how: tuple[str, dict[str, Any]]
) -> None:
    format, options = how
    photo = Photo.open(encoded(Image.fromarray(pixels), format, **options))
    np.testing.assert_array_equal(photo.gray, pixels)
    np.testing.assert_array_equal(photo.luminance(), pixels.astype(np.float32) / np.float32(255))
    again = Photo.open(saved(photo))
    np.testing.assert_array_equal(again.gray, pixels)
    assert again.kind == "gray"


@pytest.mark.parametrize(("format", "how"), [*LOSSLESS, *((name, {}) for name in LOSSY)])
def test_the_same_photograph_gives_the_same_bytes(format: str, how: dict[str, Any]) -> None:
    data = encoded(image("RGB"), format, **how)
    assert saved(coloured(data)) == saved(coloured(data))


@pytest.mark.parametrize("source", ["PNG", "TIFF", "JPEG", "BMP"])
@pytest.mark.parametrize("target", ["PNG", "TIFF", "WEBP", "BMP", "JPEG", "AVIF"])
def test_every_format_goes_into_every_other(source: str, target: str) -> None:
    photo = coloured(encoded(image("L"), source))
    again = Photo.open(saved(photo, target))
    assert again.format == target
    limit = 0 if target in ("PNG", "TIFF", "BMP") else 24
    assert np.abs(again.rgb().astype(int) - photo.rgb()).max() <= limit


def test_transparency_given_by_one_color_or_by_the_palette_is_alpha() -> None:
    gray = np.array([[10, 20], [30, 20]], dtype=np.uint8)
    photo = Photo.open(encoded(Image.fromarray(gray), "PNG", transparency=20))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[255, 0], [255, 0]]
    palette = image("P")
    photo = Photo.open(encoded(palette, "PNG", transparency=bytes(range(50))))
    np.testing.assert_array_equal(photo.alpha, np.asarray(palette))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_transparency_of_a_png_of_few_levels_is_alpha(depth: int) -> None:
    row = {1: 0b10_000000, 2: 0b11_01_0000, 4: 0xF5}[depth]  # the highest level, then another
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 2, 1, depth, 0, 0, 0, 0)}
    chunks |= {b"tRNS": struct.pack(">H", (1 << depth) - 1)}
    chunks |= {b"IDAT": zlib.compress(bytes([0, row])), b"IEND": b""}
    data = b"\x89PNG\r\n\x1a\n"
    photo = Photo.open(data + b"".join(chunk(*each) for each in chunks.items()))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[0, 255]]


def test_an_avif_of_more_than_8_bits_is_noticed() -> None:
    data = encoded(image("L"), "AVIF", quality=95)
    at = data.index(b"av1C")
    deep = bytearray(data)
    deep[at + 6] |= 0x40  # high_bitdepth
    assert not is_high_bit_depth_avif(io.BytesIO(data))
    assert is_high_bit_depth_avif(io.BytesIO(bytes(deep)))
    assert not is_high_bit_depth_avif(io.BytesIO(data[: at + 5]))


def test_alpha_survives_bmp() -> None:
    photo = Photo.open(encoded(image("RGBA"), "PNG"))
    again = Photo.open(saved(photo, "BMP"))
    np.testing.assert_array_equal(again.alpha, photo.alpha)
    np.testing.assert_array_equal(again.rgb(), photo.rgb())


def test_jpeg_lays_a_transparent_photograph_over_white_and_says_so() -> None:
    rgba = np.zeros((8, 8, 4), dtype=np.uint8)
    rgba[:, 4:, 3] = 255
    file = io.BytesIO()
    notes = Photo.from_array(rgba).save(file, format="jpg")
    again = Photo.open(file.getvalue())
    assert any("white" in note for note in notes)
    assert again.gray[0, 0] > 250
    assert again.gray[0, 7] < 5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_once(format: str, orientation: int) -> None:
    picture = np.zeros((16, 32), dtype=np.uint8)
    picture[:8, :8] = 255
    picture[8:, :8] = 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "AVIF" else {}
    data = encoded(Image.fromarray(picture), format, exif=exif.tobytes(), **how)
    upright = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.T,
        6: picture.T[:, ::-1],
        7: picture.T[::-1, ::-1],
        8: picture.T[::-1],
    }[orientation]
    photo = Photo.open(data)
    assert np.abs(photo.gray.astype(int) - upright).max() <= 6
    again = Photo.open(saved(coloured(photo)))
    assert again.gray.shape == upright.shape
    with Image.open(io.BytesIO(saved(coloured(photo)))) as written:
        assert written.getexif().get(0x0112, 1) == 1


def test_a_jpeg_keeps_its_quantisation_and_its_progression() -> None:
    data = encoded(image("RGB"), "JPEG", quality=60, progressive=True)
    source = Image.open(io.BytesIO(data))
    written = Image.open(io.BytesIO(saved(coloured(data))))
    assert written.quantization == source.quantization
    assert written.info["progressive"]
    assert [layer[1:3] for layer in written.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_a_gray_jpeg_gets_the_chroma_steps_of_its_own_quality(quality: int) -> None:
    data = encoded(image("L"), "JPEG", quality=quality)
    written = Image.open(io.BytesIO(saved(coloured(data))))
    in_color = Image.open(io.BytesIO(encoded(image("RGB"), "JPEG", quality=quality)))
    assert written.quantization == in_color.quantization


def test_a_photograph_of_another_format_becomes_a_jpeg_of_high_quality() -> None:
    written = Image.open(io.BytesIO(saved(coloured(encoded(image("L"), "PNG")), "jpeg")))
    expected = Image.open(io.BytesIO(encoded(image("RGB"), "JPEG", quality=95)))
    assert written.quantization == expected.quantization


def test_a_webp_stays_lossless_or_lossy() -> None:
    for lossless in (True, False):
        data = encoded(image("RGB"), "WEBP", lossless=lossless)
        assert (b"VP8L" in saved(coloured(data))) is lossless


def test_a_lossless_photograph_becomes_a_lossless_webp() -> None:
    for format, lossless in (("PNG", True), ("TIFF", True), ("BMP", True), ("JPEG", False)):
        photo = coloured(encoded(image("RGB"), format))
        assert (b"VP8L" in saved(photo, "webp")) is lossless


def test_a_bilevel_tiff_becomes_a_lossless_one() -> None:
    photo = Photo.open(encoded(image("1"), "TIFF", compression="group4"))
    written = Image.open(io.BytesIO(saved(coloured(photo))))
    assert written.info["compression"] == "tiff_adobe_deflate"
