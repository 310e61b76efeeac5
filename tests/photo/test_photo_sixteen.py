"""16 bits a channel: in, out, and nothing lost between. Oracles: plain Python for PNG, tifffile."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from photo.saved import chunk, encoded, saved
from PIL import Image

from tintype.errors import UnreadablePhotoError
from tintype.photo import Photo

tifffile = pytest.importorskip("tifffile")

H, W = 23, 37
COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def samples(channels: int, height: int = H, width: int = W) -> np.ndarray:
    """A ramp through neighbouring levels, and noise over all 16 bits: (H, W, channels)."""
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 65536, (height, width, channels), dtype=np.uint16)
    ramp = np.arange(width, dtype=np.uint16)[:, None] + np.arange(channels, dtype=np.uint16)
    pixels[0] = 40000 + ramp
    pixels[1] = 65535 - ramp
    return pixels


def luma(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels[..., :3] @ np.array([0.299, 0.587, 0.114]))


def png(pixels: np.ndarray, *extra: bytes, interlaced: bool = False) -> bytes:
    """A 16-bit PNG without filters, of one pass or of Adam7's seven."""
    height, width, channels = pixels.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
            (0, 1, 1, 2),
        ]
    data = b""
    for x, y, across, down in passes:
        for row in pixels[y::down, x::across].astype(">u2"):
            data += b"\0" + row.tobytes() if row.size else b""
    head = struct.pack(">IIBBBBB", width, height, 16, COLOR_TYPES[channels], 0, 0, interlaced)
    parts = [chunk(b"IHDR", head), *extra, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def read_png(data: bytes) -> np.ndarray:
    """The samples of a 16-bit PNG, by the letter of the standard and slowly."""
    chunks, at = {}, 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        chunks[kind] = chunks.get(kind, b"") + data[at + 8 : at + 8 + size]
        at += 12 + size
    width, height, depth, color_type = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert depth == 16
    channels = {value: key for key, value in COLOR_TYPES.items()}[color_type]
    plain, size = zlib.decompress(chunks[b"IDAT"]), width * 2 * channels
    rows: list[list[int]] = [[0] * size]
    for y in range(height):
        line = plain[y * (size + 1) :][: size + 1]
        assert line[0] == 2
        rows.append(
            [(value + above) % 256 for value, above in zip(line[1:], rows[-1], strict=True)]
        )
    packed = np.array(rows[1:], dtype=np.uint8)
    return packed.view(">u2").reshape(height, width, channels).astype(np.uint16)


def tiff(pixels: np.ndarray, **how: Any) -> bytes:
    """A 16-bit TIFF by tifffile."""
    file = io.BytesIO()
    channels = pixels.shape[-1]
    if how.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    elif channels == 1:
        pixels = pixels[..., 0]
    how.setdefault("photometric", "rgb" if channels > 2 else "minisblack")
    if channels in (2, 4):
        how.setdefault("extrasamples", ["unassalpha"])
    if channels == 2:
        how.setdefault("planarconfig", "contig")
    tifffile.imwrite(file, pixels, metadata=None, **how)
    return file.getvalue()


def check(photo: Photo, pixels: np.ndarray) -> None:
    """The photograph is these samples, to the last of 65536 levels."""
    channels = pixels.shape[-1]
    assert photo.bit_depth == 16
    if channels < 3:
        np.testing.assert_array_equal(photo.gray, pixels[..., 0])
    else:
        assert np.abs(photo.gray - luma(pixels)).max() <= 1
        np.testing.assert_array_equal(photo.rgb(), pixels[..., :3])
    if channels in (2, 4):
        np.testing.assert_array_equal(photo.alpha, pixels[..., -1])
    else:
        assert photo.alpha is None


def in_color(photo: Photo) -> Photo:
    return photo.with_rgb(samples(3))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_16_bit_png_keeps_every_level(channels: int, interlaced: bool) -> None:
    pixels = samples(channels)
    photo = Photo.open(png(pixels, interlaced=interlaced))
    check(photo, pixels)
    np.testing.assert_array_equal(read_png(saved(photo)), pixels)
    written = read_png(saved(in_color(photo)))
    np.testing.assert_array_equal(written[..., :3], samples(3))
    if channels in (2, 4):
        np.testing.assert_array_equal(written[..., 3], pixels[..., -1])


def test_a_16_bit_png_is_one_that_pillow_reads() -> None:
    with Image.open(io.BytesIO(saved(Photo.open(png(samples(4)))))) as image:
        image.load()
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image), samples(4) >> 8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_16_bit_png_with_a_transparent_color_has_alpha(channels: int) -> None:
    pixels = samples(channels)
    key = pixels[5, 7]
    photo = Photo.open(png(pixels, chunk(b"tRNS", key.astype(">u2").tobytes())))
    expected = np.where((pixels == key).all(axis=-1), 0, 65535)
    np.testing.assert_array_equal(photo.alpha, expected)
    assert expected.min() == 0


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"rowsperstrip": 5},
    {"tile": (16, 16)},
    {"planarconfig": "separate"},
    {"planarconfig": "separate", "tile": (16, 16), "byteorder": ">"},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "zlib", "predictor": True, "rowsperstrip": 4, "byteorder": ">"},
    {"compression": "zlib", "predictor": True, "tile": (16, 32), "planarconfig": "separate"},
]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout.values())))
def test_a_16_bit_tiff_of_any_layout_keeps_every_level(
    layout: dict[str, Any], channels: int
) -> None:
    if channels == 1:
        layout = {key: value for key, value in layout.items() if key != "planarconfig"}
    pixels = samples(channels)
    photo = Photo.open(tiff(pixels, **layout))
    check(photo, pixels)
    written = tifffile.imread(io.BytesIO(saved(photo)))
    np.testing.assert_array_equal(written.reshape(pixels.shape), pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_16_bit_tiff_keeps_its_compression(compression: str, channels: int) -> None:
    # A gray 16-bit file by Pillow gives the compression; colour comes in by with_rgb.
    gray = samples(1)[..., 0]
    photo = Photo.open(encoded(Image.fromarray(gray), "TIFF", compression=compression))
    np.testing.assert_array_equal(photo.gray, gray)
    data = saved(in_color(photo))
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["compression"] == compression
        np.testing.assert_array_equal(np.asarray(image), samples(3) >> 8)
    check(Photo.open(data), samples(3))


def test_many_small_strips_of_lzw_are_read() -> None:
    gray = Image.fromarray(samples(1)[..., 0])
    data = encoded(gray, "TIFF", compression="tiff_lzw", strip_size=160)
    assert len(Image.open(io.BytesIO(data)).tag_v2[273]) > 10
    check(Photo.open(data), samples(1))


def test_a_tiff_whose_zero_is_white_is_turned_to_black() -> None:
    for order in "<>":
        data = tiff(samples(1), photometric="miniswhite", byteorder=order)
        np.testing.assert_array_equal(Photo.open(data).gray, 65535 - samples(1)[..., 0])


def test_alpha_that_was_multiplied_in_is_taken_out() -> None:
    pixels = np.array([[[1000, 2000, 3000, 32768], [0, 0, 0, 0]]], dtype=np.uint16)
    photo = Photo.open(tiff(pixels, extrasamples=["assocalpha"]))
    np.testing.assert_allclose(photo.rgb()[0, 0], [2000, 4000, 6000], atol=1)
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[32768, 0]]


def test_a_channel_of_another_kind_is_left_out_and_said() -> None:
    photo = Photo.open(tiff(samples(4), extrasamples=["unspecified"]))
    check(photo, samples(4)[..., :3])
    assert any("left out" in note for note in photo.notes)


def test_12_bits_fill_the_16() -> None:
    values = [0, 4095, 1, 2048]
    packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(6, "big")
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 6}
    entries = (struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    ifd = struct.pack("<H", len(tags)) + b"".join(entries)
    data = b"II*\0" + struct.pack("<I", 14) + packed + ifd + bytes(4)
    assert Photo.open(data).gray.tolist() == [[0, 65535, 16, 32776]]


def test_16_bit_cmyk_is_taken_at_8_and_said() -> None:
    pixels = samples(4)
    photo = Photo.open(tiff(pixels, photometric="separated", extrasamples=[]))
    expected = Image.frombytes("CMYK", (W, H), (pixels >> 8).astype(np.uint8).tobytes())
    np.testing.assert_array_equal(photo.gray, np.asarray(expected.convert("RGB").convert("L")))
    assert any("8 bits" in note for note in photo.notes)
    assert photo.left_out == ("16-bit CMYK is taken at 8 bits",)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float32, np.float16])
def test_values_that_are_no_pixels_are_refused(dtype: type) -> None:
    with pytest.raises(UnreadablePhotoError):
        Photo.open(tiff((samples(1) // 4).astype(dtype)))


def test_damaged_strips_are_an_error() -> None:
    data = tiff(samples(3), compression="zlib")
    with pytest.raises(UnreadablePhotoError, match="cut short"):
        Photo.open(data[: len(data) // 2])
    at = data.index(b"\x78", 300)
    with pytest.raises(UnreadablePhotoError, match="damaged"):
        Photo.open(data[:at] + b"\xff\xff" + data[at + 2 :])


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "BMP"])
def test_a_format_of_8_bits_gets_rounded_values_and_says_so(format: str) -> None:
    flat = np.full((8, 8), 257 * 100 + 120, dtype=np.uint16)
    file = io.BytesIO()
    notes = Photo.from_array(flat).save(file, format=format)
    assert any("8 bits" in note for note in notes)
    assert np.abs(Photo.open(file.getvalue()).gray.astype(int) - 100).max() <= 1


def test_every_16_bit_level_is_rounded_to_the_nearest_of_8() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    written = Photo.open(saved(Photo.from_array(levels), "BMP"))
    np.testing.assert_array_equal(written.gray, np.rint(levels / 257))


def test_8_bit_colors_of_a_16_bit_photograph_are_written_at_16() -> None:
    photo = Photo.open(png(samples(2))).with_rgb((samples(3) >> 8).astype(np.uint8))
    written = read_png(saved(photo))
    np.testing.assert_array_equal(written[..., :3], (samples(3) >> 8) * 257)
    np.testing.assert_array_equal(written[..., 3], samples(2)[..., 1])


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bits_and_what_the_file_carries_go_together(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    gray = samples(1)[..., 0]
    photo = Photo.open(encoded(Image.fromarray(gray), format, exif=exif, dpi=(600, 600)))
    np.testing.assert_array_equal(photo.gray, gray.T[:, ::-1])
    written = Image.open(io.BytesIO(saved(photo.with_rgb(np.zeros((W, H, 3), np.uint16)))))
    assert written.size == (H, W)
    assert written.getexif()[0x010F] == "Camera"
    assert written.getexif().get(0x0112, 1) == 1
    assert [round(value) for value in written.info["dpi"]] == [600, 600]
    assert "icc_profile" in written.info


def test_a_16_bit_photograph_gives_the_same_bytes_each_time() -> None:
    for data in (png(samples(4)), tiff(samples(4), compression="zlib")):
        assert saved(Photo.open(data)) == saved(Photo.open(data))


def test_gray_toned_and_color_are_told_apart_at_16_bits() -> None:
    rng = np.random.default_rng(0)
    gray = np.linspace(5000, 60000, 400 * 500).reshape(400, 500, 1)
    grain = rng.normal(0, 500, (400, 500, 3))
    toned = np.clip(gray * (0.95, 0.8, 0.6) + grain, 0, 65535).astype(np.uint16)
    assert Photo.from_array(np.repeat(gray.astype(np.uint16), 3, axis=2)).kind == "gray"
    assert Photo.from_array(toned).kind == "toned"
    assert Photo.from_array(samples(3)).kind == "color"
