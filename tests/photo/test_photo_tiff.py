"""TIFFs as scanners, cameras and archives write them. Oracle: tifffile."""

from __future__ import annotations

import io
import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo.saved import BROKEN, encoded
from PIL import Image

from tintype.errors import PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import Photo, ifd, tiff

tifffile = pytest.importorskip("tifffile")

H, W = 45, 38


def samples(channels: int, bits: int = 8) -> np.ndarray:
    rng = np.random.default_rng(channels)
    return rng.integers(0, 1 << bits, (H, W, channels)).astype(np.uint8 if bits == 8 else np.uint16)


def written(pixels: np.ndarray, **how: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **how)
    return file.getvalue()


def handmade(pixels: bytes, tags: dict[int, Any], big: bool = False) -> bytes:
    """A TIFF of one strip behind the header, with these tags as LONGs unless they are entries."""
    directory = ifd.Directory("<")
    base = {256: W, 257: H, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: H, 279: len(pixels)}
    for tag, value in {**base, **tags}.items():
        if isinstance(value, ifd.Entry):
            directory.entries[tag] = value
        elif value is not None:
            values = value if isinstance(value, tuple) else (value,)
            directory.set_numbers(tag, ifd.LONG, *values)
    pixels += b"\0" * (len(pixels) % 2)
    at = 8 + len(pixels)
    return b"II*\0" + struct.pack("<I", at) + pixels + ifd.build(directory, at)


LAYOUTS = list(
    itertools.product(
        [1, 2, 3, 4],
        ["contig", "separate"],
        [None, "zlib"],
        [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}, {"byteorder": ">"}, {"bigtiff": True}],
    )
)


@pytest.mark.parametrize(("channels", "planar", "compression", "how"), LAYOUTS)
def test_an_8_bit_tiff_of_any_layout_keeps_every_level(
    channels: int, planar: str, compression: str | None, how: dict[str, Any]
) -> None:
    pixels = samples(channels)
    shown = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
    if channels == 1:
        shown = pixels[..., 0]
    how = dict(how)
    if channels > 1:
        how["planarconfig"] = planar
    if channels in (2, 4):
        how["extrasamples"] = ["unassalpha"]
    predictor = compression == "zlib"
    data = written(
        shown,
        photometric="rgb" if channels > 2 else "minisblack",
        compression=compression,
        predictor=predictor,
        **how,
    )
    photo = Photo.open(data)
    assert (photo.bit_depth, photo.left_out) == (8, ())
    np.testing.assert_array_equal(
        photo.rgb() if channels > 2 else photo.gray,
        pixels[..., :3] if channels > 2 else pixels[..., 0],
    )
    if channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, pixels[..., -1])
    else:
        assert photo.alpha is None


def test_alpha_in_a_plane_of_its_own_is_read() -> None:
    photo = Photo.open(BROKEN / "bug_la_separate.tif")
    np.testing.assert_array_equal(photo.alpha, np.full((20, 20), 50))
    assert photo.left_out == ()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("extra", [1, 2])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_further_channels_are_left_out_and_said(
    bits: int, colors: int, extra: int, planar: str
) -> None:
    pixels = samples(colors + extra, bits)
    shown = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
    how: dict[str, Any] = {"photometric": "rgb" if colors == 3 else "minisblack"}
    data = written(shown, planarconfig=planar, extrasamples=["unspecified"] * extra, **how)
    photo = Photo.open(data)
    assert "infrared" in photo.left_out[0]
    if colors == 3:
        np.testing.assert_array_equal(photo.rgb(), pixels[..., :3])
    else:
        np.testing.assert_array_equal(photo.gray, pixels[..., 0])


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
def test_10_12_and_14_bits_fill_the_16(bits: int, channels: int) -> None:
    pixels = samples(channels, bits)
    rows = pixels.reshape(H, -1)[..., None] >> np.arange(bits)[::-1] & 1
    packed = np.packbits(rows.reshape(H, -1).astype(np.uint8), axis=1).tobytes()
    depth = ifd.Entry(ifd.SHORT, channels, struct.pack("<H", bits) * channels)
    tags = {258: depth, 277: channels, 262: 2 if channels == 3 else 1}
    photo = Photo.open(handmade(packed, tags))
    top = photo.rgb() if channels == 3 else photo.gray[..., None]
    np.testing.assert_array_equal(top >> (16 - bits), pixels)
    assert photo.bit_depth == 16
    assert top.max() == 65535 or pixels.max() < (1 << bits) - 1


def test_values_without_a_meaning_are_whole_numbers_and_no_rows_a_strip_are_all() -> None:
    pixels = samples(1)
    for tags in ({339: 4}, {278: 0}, {278: None}):
        photo = Photo.open(handmade(pixels.tobytes(), tags))
        np.testing.assert_array_equal(photo.gray, pixels[..., 0])
        assert photo.left_out == ()


@pytest.mark.parametrize("sizes", [0, None])
@pytest.mark.parametrize("bits", [8, 16])
def test_strips_without_sizes_are_read_and_said(bits: int, sizes: int | None) -> None:
    pixels = samples(1, bits)
    data = handmade(pixels.tobytes(), {258: bits, 279: sizes})
    photo = Photo.open(data)
    np.testing.assert_array_equal(photo.gray, pixels[..., 0])
    assert "sizes of its strips" in photo.left_out[0]
    with pytest.raises(UnreadablePhotoError, match="--strict"):
        Photo.open(data, strict=True)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_whole_strips_are_read_where_others_are_cut_short(compression: str | None) -> None:
    pixels = samples(1)[..., 0]
    data = bytearray(written(pixels, rowsperstrip=9, compression=compression))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offsets, sizes = file.pages[0].dataoffsets, file.pages[0].databytecounts
        tag = file.pages[0].tags[273]
    if compression:
        data[offsets[2] + 2 : offsets[2] + sizes[2]] = bytes(sizes[2] - 2)
    else:
        code, size = {3: ("H", 2), 4: ("I", 4)}[int(tag.dtype)]
        struct.pack_into("<" + code, data, tag.valueoffset + 2 * size, 65000)
    photo = Photo.open(bytes(data))
    np.testing.assert_array_equal(photo.gray[:18], pixels[:18])
    np.testing.assert_array_equal(photo.gray[27:], pixels[27:])
    assert "1 of its 5 strips" in photo.left_out[0]


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({258: 16, 339: 2}, "16-bit signed whole"),
        ({258: 8, 339: 2}, "8-bit signed whole"),
        ({258: 16, 339: 3}, "16-bit floating-point"),
        ({258: 32, 339: 3}, "32-bit floating-point"),
        ({258: 32}, "32-bit whole"),
        ({259: 34712}, "packed as JPEG 2000"),
        ({259: 50002}, "packed as JPEG XL"),
        ({262: 32803}, "raw camera file"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(tags: dict[int, Any], what: str) -> None:
    with pytest.raises(UnreadablePhotoError, match=what) as caught:
        Photo.open(handmade(bytes(4 * W * H), tags))
    assert "whole copy" not in str(caught.value)


def test_a_raw_file_is_said_to_be_taken_by_its_preview(tmp_path: Path) -> None:
    photo = Photo.open(BROKEN / "bug_nef.tif")
    assert "raw camera file" in photo.left_out[0]
    assert photo.gray.shape == (8, 8)
    pixels = samples(1).tobytes()
    plain = handmade(pixels, {})
    canon = bytearray(handmade(b"CR\2\0" + pixels, {273: 12}))
    below = handmade(pixels, {330: 8})  # points to nothing
    assert Photo.open(plain).left_out == ()
    assert "raw camera file" in Photo.open(bytes(canon)).left_out[0]
    assert Photo.open(below).left_out == ()
    for extension in ("NEF", "cr2", "arw", "pef"):
        path = tmp_path / f"photo.{extension}"
        path.write_bytes(plain)
        assert "raw camera file" in Photo.open(path).left_out[0]


def pages(*pictures: np.ndarray, kinds: tuple[int, ...] = (), **how: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for number, picture in enumerate(pictures):
            kind = kinds[number] if kinds else 0
            writer.write(picture, metadata=None, subfiletype=kind, **how)
    return file.getvalue()


@pytest.mark.parametrize("bits", [8, 16])
def test_the_first_of_several_pages_is_taken_or_the_one_that_is_named(bits: int) -> None:
    pictures = [samples(1, bits)[..., 0] // (k + 1) for k in range(3)]
    data = pages(*pictures)
    photo = Photo.open(data)
    np.testing.assert_array_equal(photo.gray, pictures[0])
    assert "3 pages: the first is taken; --page N" in photo.left_out[0]
    for number, picture in enumerate(pictures, 1):
        chosen = Photo.open(data, page=number)
        np.testing.assert_array_equal(chosen.gray, picture)
        assert chosen.left_out
    for number in (0, 4):
        with pytest.raises(UnreadablePhotoError, match=f"no page {number}: it has 3"):
            Photo.open(data, page=number)


def test_a_named_page_that_pillow_reads_is_that_page() -> None:
    first, *others = (Image.new("L", (16, 16), level) for level in (10, 100, 200))
    data = encoded(first, "TIFF", save_all=True, append_images=others, compression="jpeg")
    for number, level in enumerate((10, 100, 200), 1):
        assert Photo.open(data, page=number).gray[0, 0] == level


def test_a_picture_of_one_page_has_no_second() -> None:
    data = encoded(Image.new("L", (16, 16)), "PNG")
    assert Photo.open(data, page=1).width == 16
    with pytest.raises(UnreadablePhotoError, match="no page 2"):
        Photo.open(data, page=2)


@pytest.mark.parametrize("kind", [0, 2])
def test_the_infrared_page_of_a_scanner_is_left_out_and_said(kind: int) -> None:
    color, infrared = samples(3), samples(1)[..., 0]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(color, metadata=None, photometric="rgb")
        writer.write(infrared, metadata=None, subfiletype=kind)
    photo = Photo.open(file.getvalue())
    np.testing.assert_array_equal(photo.rgb(), color)
    assert any("infrared" in note for note in photo.left_out)


def test_directories_that_point_at_the_same_bytes_are_read_once() -> None:
    shared = b"x" * (1 << 20)
    data = bytearray(b"II*\0" + struct.pack("<I", 8 + len(shared)) + shared)
    for _ in range(60):
        at = len(data)
        data += struct.pack("<HHHIIHHIII", 2, 256, 4, 1, 8, 700, 1, len(shared), 8, at + 30)
    directories = tiff.read_directories(io.BytesIO(bytes(data)))
    held = sum(len(entry.value) for page in directories for entry in page.entries.values())
    assert held < 2 * len(data)


def test_a_million_tiles_of_one_pixel_are_refused() -> None:
    count = 1000 * 1000
    offsets = ifd.Entry(ifd.LONG, count, struct.pack("<I", 8) * count)
    tags = {256: 1000, 257: 1000, 322: 1, 323: 1, 324: offsets, 325: offsets, 273: None, 279: None}
    with pytest.raises(UnreadablePhotoError, match="too many pieces"):
        Photo.open(handmade(b"12", tags))


def test_more_bytes_than_the_limit_on_pixels_allows_are_refused_before_they_are_unpacked() -> None:
    tags = {256: 12000, 257: 12000, 258: ifd.Entry(ifd.SHORT, 8, b"\x10\0" * 8), 277: 8, 278: 12000}
    with pytest.raises(PhotoTooLargeError, match="--max-pixels"):
        Photo.open(handmade(b"12", tags))


def test_numbers_of_a_bigtiff_are_written_in_a_type_that_a_tiff_knows() -> None:
    wide = ifd.Entry(16, 2, struct.pack("<2Q", 7, 8))
    huge = ifd.Entry(16, 1, struct.pack("<Q", 1 << 40))
    block = ifd.build_block(ifd.Directory("<", {60000: wide, 60001: huge}))
    order, _, first = ifd.read_header(io.BytesIO(block))
    again = ifd.read_directory(io.BytesIO(block), first, order)
    assert again.entries[60000] == ifd.Entry(ifd.LONG, 2, struct.pack("<2I", 7, 8))
    assert again.entries[60001] == ifd.Entry(ifd.UNDEFINED, 8, huge.value)
