"""EXIF stays where it was, byte for byte, and is true of the result."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from photo.carried import (
    EXIF,
    FORMATS,
    MAKER_NOTE,
    THUMBNAIL,
    XMP,
    Block,
    lying,
    opened,
    picture,
    saved_in_color,
    with_everything,
)
from photo.saved import encoded, saved
from PIL import Image, PngImagePlugin

from tintype.photo import Photo, ifd
from tintype.photo.exif import normalized as normalize_exif
from tintype.photo.exif import parse as exif_directory


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_keeps_its_place_byte_for_byte(format: str) -> None:
    photo = Photo.open(with_everything(format))
    before, after = EXIF, photo.metadata.exif
    assert after is not None
    different = [at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    # Orientation, the resolutions' offsets, colour space, two sizes, R98, the link to a thumbnail.
    assert len(different) < 20
    assert len(after) == len(before) - len(THUMBNAIL)
    assert after.index(MAKER_NOTE) == before.index(MAKER_NOTE)
    assert after in saved_in_color(photo)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_either_byte_order_is_made_true(order: str) -> None:
    settled = normalize_exif(Block(order).data, 24, 40, transposed=True)
    exif = Image.Exif()
    exif.load(settled)
    assert exif[0x0112] == 1
    assert (exif[0x011A], exif[0x011B]) == (150, 300)
    assert exif.get_ifd(0x8769)[0xA002] == 24
    assert b"R98\0" in settled
    assert THUMBNAIL not in settled
    assert not exif.get_ifd(1)


def test_a_thumbnail_before_other_data_is_blanked() -> None:
    block = Block(trailer=b"more of the maker's").data
    settled = normalize_exif(block, 40, 24, transposed=False)
    assert len(settled) == len(block)
    assert THUMBNAIL not in settled
    assert settled.endswith(b"more of the maker's")


@pytest.mark.parametrize("block", [b"", b"II", b"nonsense that is no EXIF", EXIF[:40], EXIF[:9]])
def test_damaged_exif_is_left_alone(block: bytes) -> None:
    assert len(normalize_exif(block, 40, 24, transposed=False)) == len(block)
    data = lying("JPEG", block)
    # As far as the table goes, it holds: its second tag is the orientation.
    shape = (40, 24) if len(block) == 40 else (24, 40)
    assert Photo.open(saved_in_color(Photo.open(data))).gray.shape == shape


@pytest.mark.parametrize("format", ["AVIF", "TIFF"])
def test_damaged_exif_does_not_cost_the_photograph(format: str) -> None:
    photo = Photo.open(lying("JPEG", b"nonsense"))
    file = io.BytesIO()
    assert any("damaged" in note for note in photo.save(file, format=format))
    assert Photo.open(file.getvalue()).metadata.exif is None or format == "TIFF"


def test_an_exif_whose_directories_point_at_each_other_ends() -> None:
    head = b"II*\0" + struct.pack("<I", 8)
    looped = head + struct.pack("<H", 1) + struct.pack("<HHII", 0x8769, 4, 1, 8) + bytes(4)
    assert normalize_exif(looped, 1, 1, transposed=False) == looped
    assert exif_directory(looped) is not None


def test_pointers_to_directories_without_end_are_not_all_followed(monkeypatch: Any) -> None:
    pointers = b"".join(struct.pack("<HHII", 0x8769, 4, 1, 8 + 12 * k) for k in range(1000))
    exif = b"II*\0" + struct.pack("<IH", 8, 1000) + pointers + bytes(4)
    walked: list[int] = []
    read = ifd.read_directory

    def counted(file: io.BytesIO, offset: int, *more: Any, **options: Any) -> Any:
        walked.append(offset)
        return read(file, offset, *more, **options)

    monkeypatch.setattr(ifd, "read_directory", counted)
    normalize_exif(exif, 1, 1, transposed=False)
    assert 0 < len(walked) <= 4


def test_an_orientation_that_only_xmp_has_is_applied() -> None:
    photo = Photo.open(lying("JPEG", xmp=XMP))
    assert photo.gray.shape == (40, 24)
    assert photo.metadata.xmp is not None
    assert b'tiff:Orientation="1"' in photo.metadata.xmp


@pytest.mark.parametrize("format", FORMATS[:4])  # Pillow writes no such AVIF
@pytest.mark.parametrize(
    ("kind", "length", "value", "transposed"),
    [
        (3, 2, struct.pack("<2H", 6, 6), True),
        (4, 1, struct.pack("<I", 6), True),
        (8, 1, struct.pack("<h", 6), True),
        (1, 1, b"\6", False),  # others take no byte for an orientation either
    ],
)
def test_an_orientation_of_an_unusual_type_is_applied_once_or_never(
    kind: int, length: int, value: bytes, transposed: bool, format: str
) -> None:
    entry = struct.pack("<HHI", 0x0112, kind, length) + value.ljust(4, b"\0")
    exif = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    if format == "TIFF":
        plain = lying("TIFF")
        at = struct.unpack_from("<I", plain, 4)[0]
        (count,) = struct.unpack_from("<H", plain, at)
        entries = [plain[at + 2 + 12 * k :][:12] for k in range(count)]
        entries = sorted([*entries, entry], key=lambda e: struct.unpack_from("<H", e))
        data = plain[:4] + struct.pack("<I", len(plain)) + plain[8:]
        data += struct.pack("<H", count + 1) + b"".join(entries) + bytes(4)
    else:
        data = lying(format, exif)
    photo = Photo.open(data)
    assert photo.gray.shape == ((40, 24) if transposed else (24, 40))
    again = Photo.open(saved_in_color(photo))
    assert again.gray.shape == photo.gray.shape


def test_an_orientation_that_does_not_exist_is_none() -> None:
    photo = Photo.open(lying("JPEG", Block(orientation=9).data))
    assert photo.gray.shape == (24, 40)


def test_what_a_gray_file_says_of_its_channels_is_made_true_of_colors() -> None:
    numbers = {0x0106: 1, 0x0115: 1, 0x0102: 8}
    exif = b"II*\0" + struct.pack("<IH", 8, len(numbers))
    exif += b"".join(struct.pack("<HHIHH", tag, 3, 1, n, 0) for tag, n in sorted(numbers.items()))
    xmp = b'<a tiff:SamplesPerPixel="1"><tiff:PhotometricInterpretation >1</a>'
    photo = Photo.open(lying("JPEG", exif=exif + bytes(4), xmp=xmp))
    coloured = photo.with_rgb(photo.rgb()).metadata
    for carried, expected in ((photo.metadata, (1, 1)), (coloured, (2, 3))):
        directory = exif_directory(carried.exif)
        assert directory is not None
        assert tuple(directory.number(tag, 0) for tag in (0x0106, 0x0115)) == expected
    assert coloured.xmp is not None
    assert b'SamplesPerPixel="3"' in coloured.xmp
    assert b"PhotometricInterpretation >2<" in coloured.xmp


def test_utf_8_text_of_exif_goes_into_every_format() -> None:
    text = "Großmutter".encode()
    at = 8 + 2 + 12 + 4
    exif = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x010E, 129, len(text), at) + bytes(4) + text
    source = lying("JPEG", exif)
    for format in FORMATS:
        carried = Photo.open(saved_in_color(Photo.open(source), format)).metadata.exif
        assert carried is not None
        assert text in carried, format


def test_exif_that_an_old_program_wrote_as_text_is_understood() -> None:
    text = f"\nexif\n{len(EXIF):8}\n{(b'Exif' + bytes(2) + EXIF).hex()}\n"
    for zipped in (True, False):
        info = PngImagePlugin.PngInfo()
        info.add_text("Raw profile type exif", text, zip=zipped)
        image = opened(saved_in_color(Photo.open(lying("PNG", pnginfo=info))))
        assert image.size == (24, 40)
        assert image.info["exif"]
        assert "Raw profile type exif" not in image.text


def test_exif_too_large_for_a_jpeg_loses_its_largest_part_and_says_so() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Kodak"
    exif[50706 + 1000] = b"x" * 70000
    photo = Photo.open(encoded(picture(), "TIFF", exif=exif))
    file = io.BytesIO()
    notes = photo.save(file, format="JPEG")
    assert any("EXIF" in note for note in notes)
    assert opened(file.getvalue()).getexif()[0x010F] == "Kodak"


def test_a_makers_note_keeps_its_offset_in_a_tiff_too() -> None:
    at = EXIF.index(MAKER_NOTE)
    first = saved(Photo.open(lying(exif=EXIF)), "TIFF")
    photo = Photo.open(first)
    second, last = saved(photo), saved(photo, "JPEG")
    assert first.index(MAKER_NOTE) == second.index(MAKER_NOTE) == at
    exif = Photo.open(last).metadata.exif
    assert exif
    assert exif.index(MAKER_NOTE) == at
    np.testing.assert_array_equal(Photo.open(second).gray, photo.gray)
    for data in (first, second):
        assert opened(data).getexif().get_ifd(0x8769)[0x927C] == MAKER_NOTE


def test_a_makers_note_far_back_in_a_tiff_is_moved_and_said() -> None:
    data = bytearray(saved(Photo.open(lying(exif=EXIF)), "TIFF")) + bytes(70000) + MAKER_NOTE
    place = data.index(struct.pack("<HHI", 0x927C, 7, len(MAKER_NOTE))) + 8
    struct.pack_into("<I", data, place, len(data) - len(MAKER_NOTE))
    photo = Photo.open(bytes(data))
    assert "maker's note is moved" in photo.left_out[0]
    written = saved(photo)
    assert MAKER_NOTE in written
    assert len(written) < 70000
