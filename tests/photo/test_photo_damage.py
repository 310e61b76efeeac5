"""Odd and damaged parts of a file: left out and said, and no other error than ours."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from photo.saved import BROKEN, chunk, encoded, saved, scene, with_chunks
from PIL import Image, ImageFile

from tintype.errors import PhotoError, PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import Photo


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
        Photo.open(encoded(scene(), "PNG"))


def test_what_stands_behind_the_end_of_a_png_is_not_read() -> None:
    data = encoded(scene(), "PNG")
    after = chunk(b"tEXt", b"Comment\0hello") + chunk(b"zTXt", b"Comment\0\1" + zlib.compress(b"a"))
    photo = Photo.open(data + after)
    assert photo.metadata.chunks == ()
    assert str(len(after)) in photo.left_out[0]
    np.testing.assert_array_equal(Photo.open(saved(photo)).gray, Photo.open(data).gray)


@pytest.mark.parametrize("depth", [8, 16])
def test_texts_of_a_png_that_no_reader_can_unpack_are_not_written(depth: int) -> None:
    data = encoded(scene(), "PNG")
    if depth == 16:
        data = saved(Photo.from_array(Photo.open(data).gray.astype(np.uint16) * 257), "PNG")
    texts = [chunk(b"zTXt", b"A\0\1" + zlib.compress(b"a")), chunk(b"zTXt", b"B\0\0nonsense")]
    texts += [chunk(b"iTXt", b"C\0\1\0\0\0cut"), chunk(b"tEXt", b"no keyword's end")]
    good = chunk(b"zTXt", b"D\0\0" + zlib.compress(b"right"))
    photo = Photo.open(with_chunks(data, *texts, good))
    assert [content[:1] for _, content in photo.metadata.chunks] == [b"D"]
    assert "4 damaged or too long texts" in photo.left_out[0]
    with Image.open(io.BytesIO(saved(photo))) as again:
        again.load()
        assert again.text == {"D": "right"}


@pytest.mark.slow
def test_packed_texts_of_a_png_have_one_limit_for_all() -> None:
    data = encoded(scene(), "PNG")
    bomb = chunk(b"zTXt", b"Bomb\0\0" + zlib.compress(bytes(9 << 20), 9))
    photo = Photo.open(with_chunks(data, bomb * 40))
    assert len(photo.metadata.chunks) == 1
    assert "39 damaged or too long texts" in photo.left_out[0]


def test_a_wrong_sum_in_a_png_costs_no_more_than_its_chunk() -> None:
    data = encoded(scene(), "PNG")
    text = bytearray(chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 1
    photo = Photo.open(with_chunks(data, text))
    np.testing.assert_array_equal(photo.gray, Photo.open(data).gray)
    assert "tEXt" in photo.left_out[0]
    assert photo.metadata.chunks == ()
    with pytest.raises(UnreadablePhotoError, match="--strict"):
        Photo.open(with_chunks(data, text), strict=True)


def test_reading_damage_changes_nothing_for_others() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    Photo.open(encoded(scene(), "PNG")[:-20])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_film_behind_a_jpeg_is_left_out_and_said() -> None:
    data = encoded(scene(), "JPEG")
    assert "9 bytes behind" in Photo.open(data + b"\0\0ftypmp4").left_out[0]
    assert Photo.open(data + bytes(50) + b"\n").left_out == ()


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def test_unknown_segments_of_a_jpeg_stay_in_it_and_its_seals_do_not() -> None:
    data = encoded(scene(), "JPEG")
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
    data = bytearray(encoded(scene(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = frame, bits
    with pytest.raises(UnreadablePhotoError, match=what) as caught:
        Photo.open(bytes(data))
    assert "whole copy" not in str(caught.value)


def test_unknown_chunks_of_a_webp_are_left_out_and_said() -> None:
    data = encoded(scene(), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    more = data[:4] + struct.pack("<I", len(data)) + data[8:] + b"ABCD" + bytes(4)
    assert "ABCD" in Photo.open(more).left_out[0]
    assert "behind its end" in Photo.open(data + b"a film in here").left_out[0]


def test_an_exif_table_cut_short_turns_the_picture_once() -> None:
    photo = Photo.open(BROKEN / "bug_exif.jpg")
    assert photo.gray.shape == (40, 24)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        assert Photo.open(saved(photo, format)).gray.shape == (40, 24)


def test_colours_of_another_space_are_converted_or_said() -> None:
    data = encoded(scene(), "PNG")

    def png(*numbers: int) -> Photo:
        return Photo.open(with_chunks(data, chunk(b"cICP", bytes([*numbers, 0, 1]))))

    assert "its colours are of PQ (HDR): read as sRGB" in png(9, 16).notes
    assert "its colours are of DCI-P3: read as sRGB" in png(11, 13).notes
    for primaries, transfer in ((1, 13), (2, 2), (1, 1), (6, 6)):
        assert (png(primaries, transfer).notes, png(1, 13).profile) == ((), None)
    assert png(1, 8).profile == "sRGB, gamma 1.0"
    avif = bytearray(encoded(scene(), "AVIF"))
    at = avif.index(b"colrnclx") + 8
    assert Photo.open(bytes(avif)).notes == ()
    avif[at : at + 4] = struct.pack(">2H", 9, 18)
    assert "its colours are of HLG (HDR): read as sRGB" in Photo.open(bytes(avif)).notes
    avif[at : at + 4] = struct.pack(">2H", 9, 4)
    assert Photo.open(bytes(avif)).profile == "BT.2020, gamma 2.2"
