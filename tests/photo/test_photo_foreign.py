"""JPEG 2000, GIF and HEIC. Oracle: Pillow."""

from __future__ import annotations

import io
import struct
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from photo.saved import encoded, saved
from PIL import Image

from tintype.errors import PhotoTooLargeError, UnreadablePhotoError, UnwritablePhotoError
from tintype.photo import Photo

RNG = np.random.default_rng(0)


def pixels(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(RNG.integers(0, 65536, (48, 64), dtype=np.uint16))
    levels = RNG.integers(0, 256, (48, 64, 4), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data) + 8, kind) + data


@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_jpeg_2000_is_read_and_written_without_loss(mode: str, container: bool) -> None:
    picture = pixels(mode)
    photo = Photo.open(encoded(picture, "JPEG2000", irreversible=False, no_jp2=not container))
    assert (photo.format, photo.left_out) == ("JPEG2000", ())
    expected = np.asarray(picture.convert("RGB" if "RGB" in mode else "L"))
    np.testing.assert_array_equal(photo.rgb() if "RGB" in mode else photo.gray, expected)
    if container or mode != "LA":
        assert (photo.alpha is not None) == mode.endswith("A")
    rgb = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    again = Photo.open(saved(photo.with_rgb(rgb)))
    assert again.format == "JPEG2000"
    np.testing.assert_array_equal(again.rgb(), rgb)
    if photo.alpha is not None:
        np.testing.assert_array_equal(again.alpha, photo.alpha)


def test_a_jpeg_2000_carries_its_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Kodak"
    source = encoded(pixels("L"), "JPEG", exif=exif.tobytes(), dpi=(300, 300), xmp=b"<x:xmpmeta/>")
    photo = Photo.open(source)
    again = Photo.open(saved(photo, "jp2"))
    assert again.metadata.exif == photo.metadata.exif
    assert again.metadata.xmp == photo.metadata.xmp
    assert again.metadata.dpi == pytest.approx((300, 300), rel=0.001)
    assert again.left_out == ()


@pytest.mark.parametrize("container", [True, False])
def test_a_gray_jpeg_2000_of_16_bits_is_read_and_written_at_16(container: bool) -> None:
    picture = pixels("I;16")
    photo = Photo.open(encoded(picture, "JPEG2000", irreversible=False, no_jp2=not container))
    np.testing.assert_array_equal(photo.gray, np.asarray(picture))
    assert photo.save(io.BytesIO()) == ()
    np.testing.assert_array_equal(Photo.open(saved(photo)).gray, photo.gray)


def test_the_color_of_a_jpeg_2000_of_16_bits_is_written_at_8_and_said() -> None:
    photo = Photo.open(encoded(pixels("I;16"), "JPEG2000", irreversible=False))
    assert photo.left_out == ("JPEG 2000 in colour is written at 8 bits a channel",)
    colored = photo.with_rgb(np.repeat(photo.gray[..., None], 3, axis=2))
    assert "8 bits a channel" in colored.save(io.BytesIO())[0]
    clear = Photo.from_array(np.dstack([photo.gray, photo.gray]))
    assert "8 bits a channel" in clear.save(io.BytesIO(), format="JP2")[0]


def test_boxes_of_other_programs_are_left_out_and_said() -> None:
    data = encoded(pixels("L"), "JPEG2000") + box(b"xml ", b"<archive/>")
    assert "xml" in Photo.open(data).left_out[0]


def test_a_jpeg_2000_is_measured_before_it_is_unpacked() -> None:
    data = bytearray(encoded(pixels("L"), "JPEG2000"))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">2I", 50000, 60000)
    with pytest.raises(PhotoTooLargeError):
        Photo.open(bytes(data))
    with pytest.raises(UnreadablePhotoError):
        Photo.open(data[:60])


@pytest.mark.parametrize("transparent", [False, True])
def test_a_gif_that_stands_still_is_read_and_written_as_png(
    transparent: bool, tmp_path: Any
) -> None:
    gray = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
    gray[0, 0] = 0
    how = {"transparency": 0} if transparent else {}
    path = tmp_path / "a.gif"
    path.write_bytes(encoded(Image.fromarray(gray), "GIF", **how))
    photo = Photo.open(path)
    np.testing.assert_array_equal(photo.gray, gray)
    assert (photo.alpha is not None) == transparent
    assert photo.format == "PNG"
    assert "a GIF is written as PNG" in photo.left_out
    for target, how in ((None, {"in_place": True}), (tmp_path / "b.gif", {})):
        with pytest.raises(UnwritablePhotoError, match="does not say a format"):
            photo.save(target, **how)


def test_frames_of_a_gif_are_counted_up_to_a_limit() -> None:
    frames = [Image.new("L", (4, 4), n % 256) for n in range(300)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadablePhotoError, match="over 100 frames"):
        Photo.open(data)


def test_a_heic_photograph_is_read_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    class File(list[Any]):
        size = (64, 48)

        def to_pillow(self) -> Image.Image:
            return pixels("RGB")

    module = SimpleNamespace(open_heif=lambda file: File([1, 2]))
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    monkeypatch.setattr("tintype.photo.decode_foreign.reads_heic", lambda: True)
    photo = Photo.open(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert (photo.format, photo.width, photo.kind) == ("JPEG", 64, "color")
    assert "written as JPEG" in photo.left_out[0]
    assert "2 pictures" in photo.left_out[1]
