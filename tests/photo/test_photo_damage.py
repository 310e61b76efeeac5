"""Damaged photographs: what can be read is read and said, and nothing else comes out."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from tintype.errors import PhotoError, PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import Photo, ifd, tiff

BROKEN = Path(__file__).parent / "broken"
END = b"\xff\xd9"
SCENE = Path(__file__).parents[2] / "examples" / "cameraman.jpg"


def encoded(format: str, size: tuple[int, int] = (96, 64), **how: object) -> bytes:
    file = io.BytesIO()
    with Image.open(SCENE) as scene:
        scene.convert("L").resize(size).save(file, format, **how)
    return file.getvalue()


def saved(photo: Photo, format: str | None = None) -> bytes:
    file = io.BytesIO()
    photo.save(file, format=format)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow, of a table cut short
@pytest.mark.parametrize("path", sorted(BROKEN.iterdir()), ids=lambda path: path.name)
def test_whatever_the_bytes_are_there_is_a_picture_or_an_error_of_ours(path: Path) -> None:
    with suppress(PhotoError):
        assert Image.open(io.BytesIO(saved(Photo.open(path)))).size[0] > 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AssertionError(), UnreadablePhotoError),
        (OverflowError("too large"), UnreadablePhotoError),
        (RecursionError(), UnreadablePhotoError),
        (ZeroDivisionError(), UnreadablePhotoError),
        (MemoryError(), PhotoTooLargeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("where", ["decode.decode_png", "photo._build_photo"])
def test_whatever_a_decoder_trips_over_is_an_error_of_ours(
    where: str, error: BaseException, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(*_: object) -> None:
        raise error

    if where.startswith("decode"):
        from tintype.photo import read

        monkeypatch.setitem(read._DECODERS, "PNG", trip)
    else:
        monkeypatch.setattr("tintype.photo.photo._build_photo", trip)
    with pytest.raises(expected):
        Photo.open(encoded("PNG"))


def test_what_stands_behind_the_end_of_a_png_is_not_read() -> None:
    data = encoded("PNG")
    after = chunk(b"tEXt", b"Comment\0hello") + chunk(b"zTXt", b"Comment\0\1" + zlib.compress(b"a"))
    photo = Photo.open(data + after)
    assert photo.metadata.chunks == ()
    assert str(len(after)) in photo.left_out[0]
    np.testing.assert_array_equal(Photo.open(saved(photo)).gray, Photo.open(data).gray)


@pytest.mark.parametrize("depth", [8, 16])
def test_texts_of_a_png_that_no_reader_can_unpack_are_not_written(depth: int) -> None:
    data = encoded("PNG")
    if depth == 16:
        data = saved(Photo.from_array(Photo.open(data).gray.astype(np.uint16) * 257), "PNG")
    texts = [chunk(b"zTXt", b"A\0\1" + zlib.compress(b"a")), chunk(b"zTXt", b"B\0\0nonsense")]
    texts += [chunk(b"iTXt", b"C\0\1\0\0\0cut"), chunk(b"tEXt", b"no keyword's end")]
    good = chunk(b"zTXt", b"D\0\0" + zlib.compress(b"right"))
    photo = Photo.open(data[:33] + b"".join([*texts, good]) + data[33:])
    assert [content[:1] for _, content in photo.metadata.chunks] == [b"D"]
    assert "4 damaged or too long texts" in photo.left_out[0]
    with Image.open(io.BytesIO(saved(photo))) as again:
        again.load()
        assert again.text == {"D": "right"}


def test_packed_texts_of_a_png_have_one_limit_for_all() -> None:
    data = encoded("PNG")
    bomb = chunk(b"zTXt", b"Bomb\0\0" + zlib.compress(bytes(9 << 20), 9))
    photo = Photo.open(data[:33] + bomb * 40 + data[33:])
    assert len(photo.metadata.chunks) == 1
    assert "39 damaged or too long texts" in photo.left_out[0]


def test_a_wrong_sum_in_a_png_costs_no_more_than_its_chunk() -> None:
    data = encoded("PNG")
    text = bytearray(chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 1
    photo = Photo.open(data[:33] + text + data[33:])
    np.testing.assert_array_equal(photo.gray, Photo.open(data).gray)
    assert "tEXt" in photo.left_out[0]
    assert photo.metadata.chunks == ()
    with pytest.raises(UnreadablePhotoError, match="--strict"):
        Photo.open(data[:33] + text + data[33:], strict=True)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.97])
def test_of_a_png_cut_short_the_upper_part_is_read(share: float, deep: bool) -> None:
    gray = Photo.open(encoded("PNG")).gray
    pixels = np.random.default_rng(0).integers(0, 65536, (64, 96, 3), np.uint16) if deep else gray
    whole = Photo.from_array(pixels)
    data = saved(whole, "PNG")
    photo = Photo.open(data[: int(len(data) * share)])
    rows = int(64 * share * 0.6)
    np.testing.assert_array_equal(photo.gray[:rows], whole.gray[:rows])
    assert (photo.gray[-1] == 0).all() or share > 0.9
    assert "damaged" in photo.left_out[0]


def test_reading_damage_changes_nothing_for_others() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    Photo.open(encoded("PNG")[:-20])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def read_and_said(data: bytes, what: str) -> Photo:
    """Open a damaged file, which is refused where that is asked for."""
    photo = Photo.open(data)
    assert any("damaged" in note and what in note for note in photo.left_out)
    with pytest.raises(UnreadablePhotoError, match="--strict"):
        Photo.open(data, strict=True)
    return photo


JPEGS = [
    {"format": "JPEG", "progressive": progressive, "restart_marker_rows": rows}
    for progressive in (False, True)
    for rows in (0, 1)
]


@pytest.mark.parametrize("how", JPEGS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_of_a_jpeg_cut_short_the_upper_part_is_read(mode: str, how: dict[str, Any]) -> None:
    file = io.BytesIO()
    with Image.open(SCENE) as scene:
        scene.convert(mode).resize((512, 512)).save(file, quality=90, **how)
    data = file.getvalue()
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
    file, how = io.BytesIO(), {"optimize": optimize, "restart_marker_rows": restarts}
    with Image.open(SCENE) as scene:
        scene.convert(mode).resize((512, 512)).save(file, "JPEG", quality=quality, **how)
    data = bytearray(file.getvalue())
    whole = Photo.open(bytes(data))
    at = len(data) * 6 // 10
    data[at : at + 600] = bytes(600)
    photo = read_and_said(bytes(data), "a part of its data is zeros")
    np.testing.assert_array_equal(photo.gray[:200], whole.gray[:200])


def test_zeros_in_the_midst_of_a_progressive_jpeg_are_seen() -> None:
    data = bytearray(encoded("JPEG", (512, 512), progressive=True, quality=90))
    at = len(data) * 8 // 10
    data[at : at + 600] = bytes(600)
    read_and_said(bytes(data), "a part of its data is zeros")


@pytest.mark.parametrize("progressive", [False, True])
def test_a_white_mount_round_a_jpeg_is_no_damage(progressive: bool) -> None:
    page, file = Image.new("L", (1200, 1200), 255), io.BytesIO()
    with Image.open(SCENE) as scene:
        page.paste(scene.resize((500, 500)), (350, 500))
    page.save(file, "JPEG", quality=40, optimize=True, progressive=progressive)
    assert progressive or bytes(64) in file.getvalue()
    assert Photo.open(file.getvalue()).left_out == ()


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
    with Image.open(SCENE) as scene:
        picture, file = scene.convert(mode).resize((256, 256)), io.BytesIO()
    picture.save(file, "JPEG2000", **how)
    data = file.getvalue()
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
    with Image.open(SCENE) as scene:
        picture, file = scene.convert(mode).resize((512, 512)), io.BytesIO()
    picture.save(file, "AVIF", quality=90)
    data = file.getvalue()
    whole = Photo.open(data)
    photo = read_and_said(data[: len(data) * 6 // 10], "its end is missing")
    np.testing.assert_array_equal(photo.gray[:128], whole.gray[:128])
    for end in (data.index(b"mdat"), 60):
        with pytest.raises(UnreadablePhotoError):
            Photo.open(data[:end])


@pytest.mark.parametrize("interlace", [0, 1])
def test_of_a_gif_cut_short_the_upper_part_is_read(interlace: int) -> None:
    with Image.open(SCENE) as scene:
        picture, file = scene.resize((256, 256)), io.BytesIO()
    picture.save(file, "GIF", interlace=interlace)
    data = file.getvalue()
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
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 3
    with Image.open(SCENE) as scene:
        picture = scene.convert("RGB").resize((512, 512)).convert(mode)
    picture.save(file, "TIFF", compression=compression, exif=exif)
    data = directory_first(file.getvalue())
    whole = Photo.open(data)
    assert whole.left_out == ()
    photo = read_and_said(data[: len(data) * 7 // 10], "its end is missing")
    np.testing.assert_array_equal(photo.gray[-200:], whole.gray[-200:])


def test_flat_pictures_are_whole() -> None:
    for level in (0, 128, 255):
        for progressive in (False, True):
            file = io.BytesIO()
            picture = Image.new("L", (800, 600), level)
            picture.save(file, "JPEG", progressive=progressive, optimize=True)
            assert Photo.open(file.getvalue()).left_out == ()
        for lossless in (False, True):
            file = io.BytesIO()
            Image.new("L", (2000, 1500), level).save(file, "WEBP", lossless=lossless)
            assert Photo.open(file.getvalue()).left_out == ()


def test_a_jpeg_of_nothing_is_no_picture() -> None:
    data = encoded("JPEG")
    scan = data.index(b"\xff\xda")
    for end in (b"", END):
        with pytest.raises(UnreadablePhotoError, match="nothing of the picture"):
            Photo.open(data[: scan + 10] + end)


def test_a_film_behind_a_jpeg_is_left_out_and_said() -> None:
    data = encoded("JPEG")
    assert "9 bytes behind" in Photo.open(data + b"\0\0ftypmp4").left_out[0]
    assert Photo.open(data + bytes(50) + b"\n").left_out == ()


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def test_unknown_segments_of_a_jpeg_stay_in_it_and_its_seals_do_not() -> None:
    data = encoded("JPEG")
    thermal = segment(0xE1, b"FLIR\0\1\0\0thermal")
    other = segment(0xE7, b"another program's")
    seal = segment(0xEB, b"JP\0\1\0\0\0\1jumb")
    photo = Photo.open(data[:2] + thermal + other + seal + seal + data[2:])
    written = saved(photo)
    assert thermal in written
    assert other in written
    assert seal not in written
    (note,) = photo.left_out
    assert "C2PA" in note
    lost = photo.save(io.BytesIO(), format="PNG")
    assert any("extensions of a JPEG" in note for note in lost)


@pytest.mark.parametrize(
    ("frame", "bits", "what"),
    [
        (0xC1, 12, "a JPEG of 12 bits a channel"),
        (0xF7, 8, "a JPEG-LS picture"),
        (0xC3, 8, "a lossless JPEG"),
    ],
)
def test_jpegs_that_are_not_read_are_called_by_their_name(frame: int, bits: int, what: str) -> None:
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = frame, bits
    with pytest.raises(UnreadablePhotoError, match=what) as caught:
        Photo.open(bytes(data))
    assert "whole copy" not in str(caught.value)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_whose_end_is_empty_or_missing_is_read_and_said(lossless: bool) -> None:
    data = encoded("WEBP", (512, 512), lossless=lossless, exif=b"")
    whole = Photo.open(data)
    assert whole.left_out == ()
    half = len(data) // 2
    for broken in (data[:half] + bytes(len(data) - half), data[:half]):
        photo = read_and_said(broken, "")
        if not lossless:
            np.testing.assert_array_equal(photo.gray[:100], whole.gray[:100])


def test_unknown_chunks_of_a_webp_are_left_out_and_said() -> None:
    data = encoded("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    more = data[:4] + struct.pack("<I", len(data)) + data[8:] + b"ABCD" + bytes(4)
    assert "ABCD" in Photo.open(more).left_out[0]
    assert "behind its end" in Photo.open(data + b"a film in here").left_out[0]


def test_of_a_bmp_cut_short_the_lower_part_is_read() -> None:
    data = encoded("BMP")
    photo = read_and_said(data[: len(data) * 3 // 4], "its end")
    np.testing.assert_array_equal(photo.gray[-40:], Photo.open(data).gray[-40:])


def test_an_exif_table_cut_short_turns_the_picture_once() -> None:
    photo = Photo.open(BROKEN / "bug_exif.jpg")
    assert photo.gray.shape == (40, 24)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        assert Photo.open(saved(photo, format)).gray.shape == (40, 24)


def test_colours_of_another_space_are_converted_or_said() -> None:
    data = encoded("PNG")

    def png(*numbers: int) -> Photo:
        return Photo.open(data[:33] + chunk(b"cICP", bytes([*numbers, 0, 1])) + data[33:])

    assert "its colours are of PQ (HDR): read as sRGB" in png(9, 16).notes
    assert "its colours are of DCI-P3: read as sRGB" in png(11, 13).notes
    for primaries, transfer in ((1, 13), (2, 2), (1, 1), (6, 6)):
        assert (png(primaries, transfer).notes, png(1, 13).profile) == ((), None)
    assert png(1, 8).profile == "sRGB, gamma 1.0"
    avif = bytearray(encoded("AVIF"))
    at = avif.index(b"colrnclx") + 8
    assert Photo.open(bytes(avif)).notes == ()
    avif[at : at + 4] = struct.pack(">2H", 9, 18)
    assert "its colours are of HLG (HDR): read as sRGB" in Photo.open(bytes(avif)).notes
    avif[at : at + 4] = struct.pack(">2H", 9, 4)
    assert Photo.open(bytes(avif)).profile == "BT.2020, gamma 2.2"
