"""Files that are no photographs, and what is said of them."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo.saved import chunk, encoded, saved
from PIL import Image

from tintype.errors import PhotoError, PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import DEFAULT_MAX_PIXELS, Photo

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP"]


def gradient(format: str, size: tuple[int, int] = (24, 16), **how: Any) -> bytes:
    return encoded(Image.radial_gradient("L").resize(size).convert("RGB"), format, **how)


def animated(format: str) -> bytes:
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in ("black", "red", "white"))
    return encoded(first, format, save_all=True, append_images=others)


def png_header(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b""))


def tiff_header(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (279, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def bmp_header(width: int, height: int) -> bytes:
    return struct.pack("<2sIIIIiiHHIIIIII", b"BM", 0, 0, 54, 40, width, height, 1, 24, *[0] * 6)


def webp_header(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(gradient("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


HEADERS = {
    "PNG": png_header,
    "TIFF": tiff_header,
    "BMP": bmp_header,
    "WEBP": webp_header,
    "JPEG": jpeg_header,
}


def refused(source: Any, **how: Any) -> str:
    with pytest.raises(PhotoError) as caught:
        Photo.open(source, **how)
    return str(caught.value)


def test_a_file_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing.jpg"
    assert refused(missing) == f"{missing} does not exist: check the path"
    assert "folder" in refused(tmp_path)
    assert "cannot be read" in refused("a\0b")

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", denied)
    assert "permissions" in refused(missing)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    assert refused(path) == f"{path} is empty: get a whole copy of it"
    assert refused(b"") == "the photograph is empty: get a whole copy of it"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_file_that_is_cut_short_is_called_so(format: str, share: float) -> None:
    data = gradient(format)
    message = refused(data[: int(len(data) * share)], strict=True)
    assert "damaged" in message or "not a photograph" in message
    assert "whole copy" in message or share == 0.05


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"hello, this is a letter", "not a photograph"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"<svg xmlns=", "SVG"),
        (b"FUJIFILMCCD-RAW 0201", "raw camera file"),
    ],
)
def test_what_is_no_photograph_is_called_by_its_name(data: bytes, what: str) -> None:
    message = refused(data)
    assert what in message
    assert "convert it to JPEG, PNG or TIFF" in message or "it reads JPEG" in message


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "AVIF"])
def test_an_animation_is_called_one_with_its_frames(format: str) -> None:
    assert "animated (3 frames)" in refused(animated(format))


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_a_heic_photograph_names_the_extra_that_reads_it(
    brand: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tintype.photo.decode_foreign.reads_heic", lambda: False)
    message = refused(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic")
    assert "pip install 'tintype[heic]'" in message
    assert "convert it to JPEG, PNG or TIFF" in message


def test_pages_of_a_tiff_are_counted_and_reduced_copies_are_not() -> None:
    assert "3 pages" in Photo.open(animated("TIFF")).left_out[0]
    large, small = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (4, 4))
    data = bytearray(encoded(large, "TIFF", save_all=True, append_images=[small]))
    # Pillow cannot mark a page as a reduced copy: its tag of the width becomes that of the kind.
    second = data.index(
        struct.pack("<HHI", 256, 4, 1), data.index(struct.pack("<HHI", 256, 4, 1)) + 1
    )
    data[second : second + 12] = struct.pack("<HHII", 254, 4, 1, 1)
    photo = Photo.open(bytes(data))
    assert photo.gray.shape == (8, 8)
    assert any("reduced copies" in note for note in photo.notes)


def test_a_raw_camera_file_is_not_taken_for_its_preview() -> None:
    exif = Image.Exif()
    exif[50706] = b"\1\4\0\0"
    assert "raw camera file" in refused(gradient("TIFF", exif=exif))


# A WebP has no way to say zero: its header counts from one.
@pytest.mark.parametrize("format", sorted(HEADERS.keys() - {"WEBP"}))
@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_width_or_height_is_called_empty(
    format: str, size: tuple[int, int]
) -> None:
    assert "nothing to see" in refused(HEADERS[format](*size))


@pytest.mark.parametrize("format", HEADERS)
def test_too_large_a_picture_is_refused_by_its_header_alone(format: str) -> None:
    width, height = (60000, 50000) if format == "JPEG" else (16000, 60000)
    message = refused(HEADERS[format](width, height))
    assert f"{width * height:,} pixels" in message
    assert f"{DEFAULT_MAX_PIXELS:,}" in message
    assert f"--max-pixels {width * height} (max_pixels= in the library)" in message


def test_the_limit_is_on_pixels_and_can_be_moved() -> None:
    data = gradient("PNG", (30, 20))
    assert Photo.open(data, max_pixels=600).width == 30
    assert Photo.open(data, max_pixels=None).width == 30
    with pytest.raises(PhotoTooLargeError, match="600 pixels"):
        Photo.open(data, max_pixels=599)
    avif = gradient("AVIF", (30, 20))
    with pytest.raises(PhotoTooLargeError):
        Photo.open(avif, max_pixels=599)


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "PNG", "JPEG", "BMP"])
def test_pillows_own_limit_is_never_heard_of(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gradient(format, (2000, 1500))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_400_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = Photo.open(data)
        photo.save(io.BytesIO())
    assert photo.gray.shape == (1500, 2000)
    assert Image.MAX_IMAGE_PIXELS == 1_400_000


def test_a_hundred_megapixels_are_within_the_limit() -> None:
    assert DEFAULT_MAX_PIXELS >= 12288 * 8192


@pytest.mark.parametrize("format", FORMATS)
def test_damage_anywhere_gives_a_picture_or_an_error_of_ours(format: str) -> None:
    rng = np.random.default_rng(FORMATS.index(format))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Kodak"
    how: dict[str, Any] = {} if format == "BMP" else {"exif": exif.tobytes()}
    whole = np.frombuffer(gradient(format, **how), dtype=np.uint8)
    for _ in range(150):
        data = whole.copy()
        # The beginning, where the structure is, gets most of the damage.
        at = (rng.random(rng.integers(1, 6)) ** 3 * len(data)).astype(int)
        data[at] = rng.integers(0, 256, len(at))
        with suppress(PhotoError):
            Photo.open(data.tobytes(), max_pixels=1_000_000).save(io.BytesIO())


@pytest.mark.slow
def test_damage_in_16_bit_files_gives_a_picture_or_an_error_of_ours() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (16, 24, 3), dtype=np.uint16)
    for format in ("PNG", "TIFF"):
        whole = np.frombuffer(saved(Photo.from_array(pixels), format), dtype=np.uint8)
        for _ in range(150):
            data = whole.copy()
            at = rng.integers(0, len(data), 3)
            # A TIFF has its structure at the end.
            at = len(data) - 1 - at // 8 if format == "TIFF" else at // 8
            data[at] = rng.integers(0, 256, len(at))
            with suppress(PhotoError):
                Photo.open(data.tobytes(), max_pixels=1_000_000)


def test_photographs_come_from_paths_bytes_and_open_files(tmp_path: Path) -> None:
    data = gradient("PNG")
    path = tmp_path / "photo.with.no.known.suffix"
    path.write_bytes(data)
    from_path = Photo.open(path)
    assert from_path.path == path
    assert Photo.open(str(path)).path == path
    with path.open("rb") as file:
        from_file = Photo.open(file)
    read, write = os.pipe()
    with os.fdopen(write, "wb") as sink:
        sink.write(data)
    with os.fdopen(read, "rb") as pipe:
        from_pipe = Photo.open(pipe)
    for photo in (from_file, from_pipe, Photo.open(bytearray(data)), Photo.open(memoryview(data))):
        np.testing.assert_array_equal(photo.gray, from_path.gray)
        assert photo.path is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_is_read_and_is_no_place_to_save_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = threading.Thread(target=path.write_bytes, args=(gradient("JPEG"),))
    sink.start()
    photo = Photo.open(path)
    sink.join()
    assert (photo.width, photo.format, photo.path) == (24, "JPEG", None)


def test_what_is_no_file_of_bytes_is_refused_with_what_to_give(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(gradient("PNG"))
    with path.open("rb") as closed:
        pass
    assert "closed" in refused(closed)
    with path.open(encoding="latin-1") as text:
        assert "open(path, 'rb')" in refused(text)
    with (tmp_path / "empty").open("wb") as unreadable:
        assert "open(path, 'rb')" in refused(unreadable)
    assert "gives no bytes" in refused(type("Words", (), {"read": lambda self: "words"})())
    assert "NoneType is no photograph" in refused(None)


def test_a_name_that_leads_nowhere_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert refused("") == "an empty name was given: name a photograph"
    file = tmp_path / "b.jpg"
    file.touch()
    below = file / "c.jpg"
    assert refused(below) == f"{below} cannot be read: {file} is a file, not a folder"
    long = tmp_path / ("x" * 300)
    assert refused(long).startswith(f"{long} cannot be read: ")
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    assert refused(loop).startswith(f"{loop} cannot be read: ")


def test_a_disk_that_fails_to_read_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", lambda *_: Failing())
    assert refused(tmp_path) == f"{tmp_path} cannot be read: Input/output error"


@pytest.mark.parametrize(
    "pixels", [[[1, 2], [3]], np.zeros((0, 5)), np.zeros((5, 0, 3), np.uint8), [], None, "abc"]
)
def test_what_is_no_array_of_pixels_is_refused(pixels: Any) -> None:
    with pytest.raises(UnreadablePhotoError):
        Photo.from_array(pixels)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_a_pillow_image_of_no_pixels_is_refused(mode: str, size: tuple[int, int]) -> None:
    with pytest.raises(UnreadablePhotoError, match="nothing to see"):
        Photo.from_pil(Image.new(mode, size))
