"""Damaged photographs: what can be read is read and said, and nothing else comes out."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from tintype.errors import PhotoError, PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import Photo

BROKEN = Path(__file__).parent / "broken"
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
