"""Photographs cut short or full of zeros: what there is is read, and that is said."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from photo.saved import encoded, saved, scene
from PIL import Image

from tintype.errors import UnreadablePhotoError
from tintype.photo import Photo, ifd, tiff

END = b"\xff\xd9"


def read_and_said(data: bytes, what: str) -> Photo:
    """Open a damaged file, which is refused where that is asked for."""
    photo = Photo.open(data)
    assert any("damaged" in note and what in note for note in photo.left_out)
    with pytest.raises(UnreadablePhotoError, match="--strict"):
        Photo.open(data, strict=True)
    return photo


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.97])
def test_of_a_png_cut_short_the_upper_part_is_read(share: float, deep: bool) -> None:
    gray = Photo.open(encoded(scene(), "PNG")).gray
    pixels = np.random.default_rng(0).integers(0, 65536, (64, 96, 3), np.uint16) if deep else gray
    whole = Photo.from_array(pixels)
    data = saved(whole, "PNG")
    photo = Photo.open(data[: int(len(data) * share)])
    rows = int(64 * share * 0.6)
    np.testing.assert_array_equal(photo.gray[:rows], whole.gray[:rows])
    assert (photo.gray[-1] == 0).all() or share > 0.9
    assert "damaged" in photo.left_out[0]


JPEGS = [
    {"progressive": progressive, "restart_marker_rows": rows}
    for progressive in (False, True)
    for rows in (0, 1)
]


@pytest.mark.parametrize("how", JPEGS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_of_a_jpeg_cut_short_the_upper_part_is_read(mode: str, how: dict[str, Any]) -> None:
    data = encoded(scene(mode, (512, 512)), "JPEG", quality=90, **how)
    whole = Photo.open(data)
    assert whole.left_out == ()
    for end in (b"", END):
        what = "" if how["progressive"] else "% are cut short"
        photo = read_and_said(data[: len(data) * 6 // 10] + end, what)
        if not how["progressive"]:
            np.testing.assert_array_equal(photo.gray[:200], whole.gray[:200])
    np.testing.assert_array_equal(read_and_said(data[:-2], "its end").gray, whole.gray)


@pytest.mark.parametrize("restarts", [0, 1])
@pytest.mark.parametrize(("quality", "optimize"), [(90, False), (20, True), (75, True)])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_zeros_in_the_midst_of_a_jpeg_are_seen(
    mode: str, quality: int, optimize: bool, restarts: int
) -> None:
    how = {"optimize": optimize, "restart_marker_rows": restarts, "quality": quality}
    data = encoded(scene(mode, (512, 512)), "JPEG", **how)
    photo = read_and_said(zeroed(data, 6), "a part of its data is zeros")
    np.testing.assert_array_equal(photo.gray[:200], Photo.open(data).gray[:200])


def test_zeros_in_the_midst_of_a_progressive_jpeg_are_seen() -> None:
    data = encoded(scene("L", (512, 512)), "JPEG", progressive=True, quality=90)
    read_and_said(zeroed(data, 8), "a part of its data is zeros")


def zeroed(data: bytes, tenths: int) -> bytes:
    """600 bytes become zeros."""
    at = len(data) * tenths // 10
    return data[:at] + bytes(600) + data[at + 600 :]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_white_mount_round_a_jpeg_is_no_damage(progressive: bool) -> None:
    page = Image.new("L", (1200, 1200), 255)
    page.paste(scene("L", (500, 500)), (350, 500))
    data = encoded(page, "JPEG", quality=40, optimize=True, progressive=progressive)
    assert progressive or bytes(64) in data
    assert Photo.open(data).left_out == ()


JPEG2000S: list[dict[str, Any]] = [
    {},
    {"no_jp2": True},
    {"irreversible": True, "quality_layers": [40, 10]},
    {"progression": "PCRL", "mct": 1},
    {"tile_size": (64, 64)},
]


@pytest.mark.parametrize("how", JPEG2000S)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_of_a_jpeg_2000_cut_short_what_there_is_is_read(mode: str, how: dict[str, Any]) -> None:
    data = encoded(scene(mode, (256, 256)), "JPEG2000", **how)
    whole = Photo.open(data).gray.astype(int)
    for share, most in ((0.3, 12), (0.6, 8), (0.95, 2)):
        photo = read_and_said(data[: int(len(data) * share)], "its end is missing")
        tiled = 256 if "tile_size" not in how else 64 * int(4 * share - 0.2)
        assert np.abs(photo.gray - whole)[:tiled].mean() < most
    np.testing.assert_array_equal(read_and_said(data[:-2], "its end").gray, whole)
    with pytest.raises(UnreadablePhotoError):
        Photo.open(data[:80])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_of_an_avif_cut_short_the_upper_part_is_read(mode: str) -> None:
    data = encoded(scene(mode, (512, 512)), "AVIF", quality=90)
    whole = Photo.open(data)
    photo = read_and_said(data[: len(data) * 6 // 10], "its end is missing")
    np.testing.assert_array_equal(photo.gray[:128], whole.gray[:128])
    for end in (data.index(b"mdat"), 60):
        with pytest.raises(UnreadablePhotoError):
            Photo.open(data[:end])


@pytest.mark.parametrize("interlace", [0, 1])
def test_of_a_gif_cut_short_the_upper_part_is_read(interlace: int) -> None:
    data = encoded(scene("L", (256, 256)), "GIF", interlace=interlace)
    whole = Photo.open(data)
    photo = read_and_said(data[: len(data) * 7 // 10], "its end is missing")
    np.testing.assert_array_equal(photo.gray[:100:8], whole.gray[:100:8])
    if interlace:  # every second row at the least
        assert np.abs(photo.gray - whole.gray.astype(int)).mean() < 10


def directory_first(data: bytes) -> bytes:
    """Put the directory of a TIFF before its pixels, where it survives a cut."""
    (page,) = tiff.read_directories(io.BytesIO(data))
    places = zip(page.numbers(tiff.STRIP_OFFSETS), page.numbers(tiff.STRIP_SIZES), strict=True)
    strips = [data[at : at + size] for at, size in places]
    at = len(ifd.build_block(page))
    offsets = [at + sum(map(len, strips[:before])) for before in range(len(strips))]
    page.set_numbers(tiff.STRIP_OFFSETS, ifd.LONG, *offsets)
    return ifd.build_block(page) + b"".join(strips)


@pytest.mark.parametrize(
    ("mode", "compression"),
    [("RGB", "jpeg"), ("1", "group4"), ("1", "raw"), ("P", "raw"), ("P", "tiff_lzw")],
)
def test_of_a_tiff_that_pillow_reads_the_upper_part_is_read(mode: str, compression: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    picture = scene("RGB", (512, 512)).convert(mode)
    data = directory_first(encoded(picture, "TIFF", compression=compression, exif=exif))
    whole = Photo.open(data)
    assert whole.left_out == ()
    photo = read_and_said(data[: len(data) * 7 // 10], "its end is missing")
    np.testing.assert_array_equal(photo.gray[-200:], whole.gray[-200:])


@pytest.mark.slow
def test_flat_pictures_are_whole() -> None:
    for level in (0, 128, 255):
        flat = Image.new("L", (800, 600), level)
        for yes in (False, True):
            jpeg = encoded(flat, "JPEG", progressive=yes, optimize=True)
            webp = encoded(flat.resize((2000, 1500)), "WEBP", lossless=yes)
            assert Photo.open(jpeg).left_out == Photo.open(webp).left_out == ()


def test_a_jpeg_of_nothing_is_no_picture() -> None:
    data = encoded(scene(), "JPEG")
    scan = data.index(b"\xff\xda")
    for end in (b"", END):
        with pytest.raises(UnreadablePhotoError, match="nothing of the picture"):
            Photo.open(data[: scan + 10] + end)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_whose_end_is_empty_or_missing_is_read_and_said(lossless: bool) -> None:
    data = encoded(scene("L", (512, 512)), "WEBP", lossless=lossless, exif=b"")
    whole = Photo.open(data)
    assert whole.left_out == ()
    half = len(data) // 2
    for broken in (data[:half] + bytes(len(data) - half), data[:half]):
        photo = read_and_said(broken, "")
        if not lossless:
            np.testing.assert_array_equal(photo.gray[:100], whole.gray[:100])


def test_of_a_bmp_cut_short_the_lower_part_is_read() -> None:
    data = encoded(scene(), "BMP")
    photo = read_and_said(data[: len(data) * 3 // 4], "its end")
    np.testing.assert_array_equal(photo.gray[-40:], Photo.open(data).gray[-40:])
