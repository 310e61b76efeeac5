"""What a file carries besides pixels arrives in the result, and is true of it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from tintype.photo import Photo, ifd
from tintype.photo.exif import normalized as normalize_exif
from tintype.photo.exif import parse as exif_directory
from tintype.photo.photoshop import with_iptc
from tintype.photo.xmp import normalized as normalize_xmp

MAKER_NOTE = bytes(range(200, 256)) * 3
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="6" exif:PixelXDimension="40" '
    b"dc:source='album 3'><tiff:ImageWidth>40</tiff:ImageWidth></rdf:Description></rdf:RDF>"
    b'</x:xmpmeta><?xpacket end="w"?>'
)
IPTC = b"\x1c\x02\x78\x00\x0bGrandmother"
THUMBNAIL = b"\xff\xd8" + b"old thumbnail" + b"\xff\xd9"


class Block:
    """An EXIF block as a camera writes it, with a maker's note, a place and a thumbnail."""

    def __init__(self, order: str = "<", orientation: int = 6, trailer: bytes = b"") -> None:
        self.order = order
        self.data = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
        main = [
            (0x010F, 2, b"Kodak\0"),
            (0x0112, 3, struct.pack(order + "H", orientation)),
            (0x011A, 5, struct.pack(order + "II", 300, 1)),
            (0x011B, 5, struct.pack(order + "II", 150, 1)),
            (0x0128, 3, struct.pack(order + "H", 2)),
            (0x8769, 4, b"EXIF"),
            (0x8825, 4, b"GPS!"),
        ]
        exif = [
            (0x9003, 2, b"1931:05:17 12:00:00\0"),
            (0x927C, 7, MAKER_NOTE),
            (0xA001, 3, struct.pack(order + "H", 65535)),
            (0xA002, 4, struct.pack(order + "I", 40)),
            (0xA003, 4, struct.pack(order + "I", 24)),
            (0xA005, 4, b"INTR"),
        ]
        gps = [(1, 2, b"N\0"), (2, 5, struct.pack(order + "6I", 52, 1, 31, 1, 0, 1))]
        self.directory(main, next=True)
        self.point(b"EXIF")
        self.directory(exif)
        self.point(b"GPS!")
        self.directory(gps)
        self.point(b"INTR")
        self.directory([(1, 2, b"R03\0")])
        self.point(b"NEXT")
        size = struct.pack(order + "I", len(THUMBNAIL))
        self.directory([(0x0201, 4, b"THUM"), (0x0202, 4, size)])
        self.point(b"THUM")
        self.data += THUMBNAIL + trailer

    def directory(self, entries: list[tuple[int, int, bytes]], next: bool = False) -> None:
        start = len(self.data)
        values_at = start + 2 + 12 * len(entries) + 4
        sizes = {2: 1, 3: 2, 4: 4, 5: 8, 7: 1}
        table, values = struct.pack(self.order + "H", len(entries)), b""
        for tag, kind, value in entries:
            table += struct.pack(self.order + "HHI", tag, kind, len(value) // sizes[kind])
            if len(value) > 4:
                table += struct.pack(self.order + "I", values_at + len(values))
                values += value + bytes(len(value) % 2)
            else:
                table += value.ljust(4, b"\0")
        self.data += table + (b"NEXT" if next else bytes(4)) + values

    def point(self, mark: bytes) -> None:
        self.data = self.data.replace(mark, struct.pack(self.order + "I", len(self.data)))


EXIF = Block().data


def picture(mode: str = "L", width: int = 40, height: int = 24) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert(mode)


def encoded(format: str, **how: Any) -> bytes:
    file = io.BytesIO()
    picture().save(file, format, **how)
    return file.getvalue()


def with_everything(format: str) -> bytes:
    """A photograph, lying on its side, that carries all that its format has a place for."""
    how: dict[str, Any] = {"exif": b"Exif\0\0" + EXIF, "dpi": (300, 150)}
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        return encoded(format, **how, pnginfo=info)
    if format == "TIFF":
        exif = Image.Exif()
        exif.load(EXIF)
        exif[700] = XMP
        exif[33723] = IPTC
        return encoded(format, exif=exif)
    return encoded(format, **how, xmp=XMP)


EVERYTHING = with_everything("JPEG")


def saved(photo: Photo, format: str | None = None) -> bytes:
    file = io.BytesIO()
    photo.with_rgb(photo.rgb()).save(file, format=format)
    return file.getvalue()


def opened(data: bytes) -> ImageFile.ImageFile:
    """By Pillow, as anybody would open it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_a_photograph_on_its_side_keeps_what_it_carries_in_every_format(
    source: str, target: str
) -> None:
    data = saved(Photo.open(with_everything(source)), target)
    image = opened(data)
    assert image.size == (24, 40)
    exif = image.getexif()
    assert exif.get(0x0112, 1) == 1
    assert exif[0x010F] == "Kodak"
    inner = exif.get_ifd(0x8769)
    assert inner[0x9003] == "1931:05:17 12:00:00"
    assert (inner[0xA001], inner[0xA002], inner[0xA003]) == (1, 24, 40)
    assert inner[0x927C] == MAKER_NOTE
    assert exif.get_ifd(0x8825)[2] == (52.0, 31.0, 0.0)
    assert THUMBNAIL not in data
    xmp = image.info["xmp"]
    assert b'tiff:Orientation="1"' in xmp
    assert b'exif:PixelXDimension="24"' in xmp
    assert b"<tiff:ImageWidth>24<" in xmp
    assert b"dc:source='album 3'" in xmp
    again = Photo.open(data)
    assert again.metadata.orientation() == 1
    assert again.metadata.dpi == pytest.approx((150, 300), rel=1e-3)
    if target in ("JPEG", "PNG", "TIFF"):
        assert image.info["dpi"] == pytest.approx((150, 300), rel=1e-3)


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
    assert after in saved(photo)


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
    data = encoded("JPEG", exif=b"Exif\0\0" + block)
    # As far as the table goes, it holds: its second tag is the orientation.
    shape = (40, 24) if len(block) == 40 else (24, 40)
    assert Photo.open(saved(Photo.open(data))).gray.shape == shape


def test_an_exif_whose_directories_point_at_each_other_ends() -> None:
    head = b"II*\0" + struct.pack("<I", 8)
    looped = head + struct.pack("<H", 1) + struct.pack("<HHII", 0x8769, 4, 1, 8) + bytes(4)
    assert normalize_exif(looped, 1, 1, transposed=False) == looped
    assert exif_directory(looped) is not None


def test_an_orientation_that_only_xmp_has_is_applied() -> None:
    photo = Photo.open(encoded("JPEG", xmp=XMP))
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
        plain = encoded("TIFF")
        at = struct.unpack_from("<I", plain, 4)[0]
        (count,) = struct.unpack_from("<H", plain, at)
        entries = [plain[at + 2 + 12 * k :][:12] for k in range(count)]
        entries = sorted([*entries, entry], key=lambda e: struct.unpack_from("<H", e))
        data = plain[:4] + struct.pack("<I", len(plain)) + plain[8:]
        data += struct.pack("<H", count + 1) + b"".join(entries) + bytes(4)
    else:
        data = encoded(format, exif=b"Exif\0\0" + exif)
    photo = Photo.open(data)
    assert photo.gray.shape == ((40, 24) if transposed else (24, 40))
    again = Photo.open(saved(photo))
    assert again.gray.shape == photo.gray.shape


def test_an_orientation_that_does_not_exist_is_none() -> None:
    photo = Photo.open(encoded("JPEG", exif=b"Exif\0\0" + Block(orientation=9).data))
    assert photo.gray.shape == (24, 40)


def test_xmp_speaks_of_srgb_afterwards() -> None:
    xmp = (
        b'<a photoshop:ICCProfile="Dot Gain 20%" photoshop:ColorMode="1" exif:ColorSpace="65535"/>'
    )
    settled = normalize_xmp(xmp, 1, 1)
    assert b'ICCProfile="sRGB IEC61966-2.1"' in settled
    assert b'ColorMode="3"' in settled
    assert b'ColorSpace="1"' in settled


def test_what_a_gray_file_says_of_its_channels_is_made_true_of_colors() -> None:
    numbers = {0x0106: 1, 0x0115: 1, 0x0102: 8}
    exif = b"II*\0" + struct.pack("<IH", 8, len(numbers))
    exif += b"".join(struct.pack("<HHIHH", tag, 3, 1, n, 0) for tag, n in sorted(numbers.items()))
    xmp = b'<a tiff:SamplesPerPixel="1"><tiff:PhotometricInterpretation >1</a>'
    photo = Photo.open(encoded("JPEG", exif=b"Exif\0\0" + exif + bytes(4), xmp=xmp))
    coloured = photo.with_rgb(photo.rgb()).metadata
    for carried, expected in ((photo.metadata, (1, 1)), (coloured, (2, 3))):
        directory = exif_directory(carried.exif)
        assert directory is not None
        assert tuple(directory.number(tag, 0) for tag in (0x0106, 0x0115)) == expected
    assert coloured.xmp is not None
    assert b'SamplesPerPixel="3"' in coloured.xmp
    assert b"PhotometricInterpretation >2<" in coloured.xmp


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


def test_utf_8_text_of_exif_goes_into_every_format() -> None:
    text = "Großmutter".encode()
    at = 8 + 2 + 12 + 4
    exif = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x010E, 129, len(text), at) + bytes(4) + text
    source = encoded("JPEG", exif=b"Exif\0\0" + exif)
    for format in FORMATS:
        carried = Photo.open(saved(Photo.open(source), format)).metadata.exif
        assert carried is not None
        assert text in carried, format


def photoshop(*resources: tuple[int, bytes]) -> bytes:
    return b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)
        for number, data in resources
    )


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    extra = b"".join(struct.pack(">BBH", 255, kind, len(d) + 2) + d for kind, d in segments)
    return encoded("JPEG", extra=extra)


def test_iptc_goes_from_jpeg_to_tiff_and_back_and_thumbnails_do_not() -> None:
    records = photoshop((0x0404, IPTC), (0x040C, b"old thumbnail"), (0x03F3, b"\0\1\0"))
    source = jpeg_with((0xED, b"Photoshop 3.0\0" + records))
    jpeg = saved(Photo.open(source))
    assert opened(jpeg).info["photoshop"] == {0x0404: IPTC, 0x03F3: b"\0\1\0"}
    tiff = saved(Photo.open(jpeg), "TIFF")
    tags = opened(tiff).tag_v2
    assert tags[33723] == IPTC
    assert b"old thumbnail" not in tags[34377]
    back = saved(Photo.open(tiff), "JPEG")
    assert opened(back).info["photoshop"][0x0404] == IPTC


def test_records_of_other_programs_among_those_of_photoshop_stay() -> None:
    other = b"MeSa" + struct.pack(">HHI", 0x1B5A, 0, 2) + b"ab"
    records = photoshop((0x0409, b"old thumbnail")) + other + photoshop((0x0404, IPTC)) + b"rest"
    photo = Photo.open(jpeg_with((0xED, b"Photoshop 3.0\0" + records)))
    assert photo.metadata.photoshop == other + photoshop((0x0404, IPTC)) + b"rest"
    assert photo.metadata.iptc() == IPTC


def test_iptc_that_only_a_tiff_tag_holds_is_kept() -> None:
    jpeg = saved(Photo.open(with_everything("TIFF")), "JPEG")
    assert opened(jpeg).info["photoshop"] == {0x0404: IPTC}
    assert with_iptc(photoshop((0x0404, b"own")), IPTC) == photoshop((0x0404, b"own"))


def test_iptc_is_missed_where_a_format_has_no_place_for_it() -> None:
    photo = Photo.open(jpeg_with((0xED, b"Photoshop 3.0\0" + photoshop((0x0404, IPTC)))))
    assert any("IPTC" in note for note in photo.save(io.BytesIO(), format="PNG"))
    assert photo.save(io.BytesIO()) == ()


def test_comments_and_extended_xmp_stay_in_a_jpeg() -> None:
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"0123456789abcdef" * 4
    source = jpeg_with((0xFE, b"first"), (0xE1, extension), (0xFE, b"second"))
    parts = opened(saved(Photo.open(source))).applist
    assert [data for kind, data in parts if kind == "COM"] == [b"first", b"second"]
    assert ("APP1", extension) in parts


def test_what_only_its_own_format_holds_is_missed_in_others() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Emma")
    jpeg = Photo.open(jpeg_with((0xFE, b"a comment")))
    png = Photo.open(encoded("PNG", pnginfo=info))
    assert any("comments" in note for note in jpeg.save(io.BytesIO(), format="PNG"))
    assert any("texts" in note for note in png.save(io.BytesIO(), format="JPEG"))
    assert jpeg.save(io.BytesIO()) == png.save(io.BytesIO()) == ()
    assert any("EXIF" in note for note in Photo.open(EVERYTHING).save(io.BytesIO(), format="BMP"))


@pytest.mark.parametrize("format", ["AVIF", "TIFF"])
def test_damaged_exif_does_not_cost_the_photograph(format: str) -> None:
    photo = Photo.open(encoded("JPEG", exif=b"Exif\0\0" + b"nonsense"))
    file = io.BytesIO()
    assert any("damaged" in note for note in photo.save(file, format=format))
    assert Photo.open(file.getvalue()).metadata.exif is None or format == "TIFF"


def test_other_pictures_in_a_jpeg_are_missed() -> None:
    photo = Photo.open(jpeg_with((0xE2, b"MPF\0" + bytes(20))))
    assert any("MPF" in note for note in photo.left_out)


def test_text_of_a_png_is_kept_to_the_byte() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Müller")
    info.add_text("Comment", "one")
    info.add_text("Comment", "two", zip=True)
    info.add_itxt("Title", "Großmutter", lang="de")
    info.add(b"prVw", b"stays true when pixels change")
    info.add(b"prVX", b"does not")
    info.add(b"tIME", bytes(7))
    source = encoded("PNG", pnginfo=info)
    for depth in (8, 16):
        photo = Photo.open(source)
        rgb = photo.rgb() if depth == 8 else photo.rgb() * np.uint16(257)
        file = io.BytesIO()
        photo.with_rgb(rgb).save(file)
        written = file.getvalue()
        for kind, data, *_ in info.chunks[:5]:
            assert kind + data in written
        for part in (b"does not", b"tIME"):
            assert part not in written
        assert opened(written).text["Title"] == "Großmutter"


def test_a_long_text_in_a_png_does_not_cost_the_photograph() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type 8bim", "0123456789" * 200_000, zip=True)
    assert Photo.open(encoded("PNG", pnginfo=info)).gray.shape == (24, 40)


def test_exif_that_an_old_program_wrote_as_text_is_understood() -> None:
    text = f"\nexif\n{len(EXIF):8}\n{(b'Exif' + bytes(2) + EXIF).hex()}\n"
    for zipped in (True, False):
        info = PngImagePlugin.PngInfo()
        info.add_text("Raw profile type exif", text, zip=zipped)
        image = opened(saved(Photo.open(encoded("PNG", pnginfo=info))))
        assert image.size == (24, 40)
        assert image.info["exif"]
        assert "Raw profile type exif" not in image.text


def test_tags_of_a_tiff_are_kept_whatever_they_are() -> None:
    exif = Image.Exif()
    exif[0x010E], exif[285], exif[33550] = "a glass plate", "page", (1.0, 2.0, 0.0)
    exif[0x0112] = 3
    photo = Photo.open(encoded("TIFF", exif=exif, compression="tiff_lzw"))
    for compression in ("TIFF", "JPEG"):
        kept = opened(saved(photo, compression)).getexif()
        assert (kept[0x010E], kept[285], kept[33550]) == ("a glass plate", "page", (1.0, 2.0, 0.0))
        assert kept[0x0112] == 1
    assert 273 not in opened(saved(photo, "JPEG")).getexif()


def test_resolution_in_centimetres_is_understood() -> None:
    tags = {282: 100.0, 283: 100.0, 296: 3}
    photo = Photo.open(encoded("TIFF", tiffinfo=tags))
    assert photo.metadata.dpi == pytest.approx((254, 254))
    written = opened(saved(photo))
    assert written.tag_v2[296] == 3
    assert written.info["dpi"] == pytest.approx((254, 254))


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "BMP"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_goes_into_every_format(source: str, target: str) -> None:
    photo = Photo.open(encoded(source, dpi=(300, 300)))
    again = Photo.open(saved(photo, target))
    assert again.metadata.dpi == pytest.approx((300, 300), rel=1e-3)


def test_an_image_whose_resolution_is_nothing_has_none() -> None:
    image = picture()
    image.info["dpi"] = (None, None)
    assert Photo.from_pil(image).metadata.dpi is None


def test_a_photograph_without_resolution_gets_none() -> None:
    for format in ("PNG", "WEBP", "BMP", "JPEG"):
        how = {"dpi": (0, 0)} if format == "BMP" else {}
        photo = Photo.open(encoded(format, **how))
        assert photo.metadata.dpi is None
        assert Photo.open(saved(photo)).metadata.dpi is None


def test_exif_too_large_for_a_jpeg_loses_its_largest_part_and_says_so() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Kodak"
    exif[50706 + 1000] = b"x" * 70000
    photo = Photo.open(encoded("TIFF", exif=exif))
    file = io.BytesIO()
    notes = photo.save(file, format="JPEG")
    assert any("EXIF" in note for note in notes)
    assert opened(file.getvalue()).getexif()[0x010F] == "Kodak"


def test_xmp_too_large_for_a_jpeg_loses_its_padding_or_is_missed() -> None:
    for filler, kept in ((b" " * 70000, True), (b"x" * 70000, False)):
        xmp = XMP.replace(b"<?xpacket end", filler + b"<?xpacket end")
        photo = Photo.open(encoded("WEBP", xmp=xmp))
        file = io.BytesIO()
        notes = photo.save(file, format="JPEG")
        assert ("xmp" in opened(file.getvalue()).info) is kept
        assert bool(notes) is not kept


def test_a_png_keeps_its_crc_and_order() -> None:
    photo = Photo.open(with_everything("PNG"))
    file = io.BytesIO()
    photo.with_rgb(photo.rgb() * np.uint16(257)).save(file)
    data, at, kinds = file.getvalue(), 8, []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        (crc,) = struct.unpack_from(">I", data, at + 8 + size)
        assert crc == zlib.crc32(data[at + 4 : at + 8 + size])
        kinds.append(kind)
        at += 12 + size
    assert list(dict.fromkeys(kinds)) == [
        b"IHDR",
        b"iCCP",
        b"pHYs",
        b"eXIf",
        b"iTXt",
        b"IDAT",
        b"IEND",
    ]


def test_xmp_is_true_of_the_picture_that_is_written() -> None:
    thumbnails = (
        b"<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>AAAA</xmpGImg:image></rdf:li></rdf:Alt>"
        b"</xmp:Thumbnails>"
    )
    tags = b'photoshop:ColorMode="1" crs:ConvertToGrayscale="True"'
    packet = b"<x:xmpmeta><rdf:Description " + tags + b">" + thumbnails
    packet += b"<xmp:Rating>5</xmp:Rating></rdf:Description></x:xmpmeta>"
    file = io.BytesIO()
    Image.new("L", (40, 24), 99).save(file, "JPEG", xmp=packet)
    photo = Photo.open(file.getvalue())
    gray = photo.metadata.xmp or b""
    assert b"Thumbnails" not in gray
    assert b'ColorMode="1"' in gray
    assert b'ConvertToGrayscale="True"' in gray
    colored = photo.with_rgb(np.zeros((24, 40, 3), np.uint8)).metadata.xmp or b""
    assert b'ColorMode="3"' in colored
    assert b'ConvertToGrayscale="False"' in colored
    assert b"<xmp:Rating>5</xmp:Rating>" in colored


def test_a_makers_note_keeps_its_offset_in_a_tiff_too() -> None:
    block = Block().data
    source = encoded("JPEG", exif=b"Exif\0\0" + block)
    at = block.index(MAKER_NOTE)
    first, second, last = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Photo.open(source).save(first, format="TIFF")
    photo = Photo.open(first.getvalue())
    photo.save(second)
    photo.save(last, format="JPEG")
    assert first.getvalue().index(MAKER_NOTE) == second.getvalue().index(MAKER_NOTE) == at
    exif = Photo.open(last.getvalue()).metadata.exif
    assert exif
    assert exif.index(MAKER_NOTE) == at
    np.testing.assert_array_equal(Photo.open(second.getvalue()).gray, photo.gray)
    for file in (first, second):
        with Image.open(file) as image:
            assert image.getexif().get_ifd(0x8769)[0x927C] == MAKER_NOTE


def test_a_makers_note_far_back_in_a_tiff_is_moved_and_said() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    source = Photo.open(encoded("JPEG", exif=b"Exif\0\0" + Block().data))
    source.save(first, format="TIFF")
    data = bytearray(first.getvalue()) + bytes(70000) + MAKER_NOTE
    place = data.index(struct.pack("<HHI", 0x927C, 7, len(MAKER_NOTE))) + 8
    struct.pack_into("<I", data, place, len(data) - len(MAKER_NOTE))
    photo = Photo.open(bytes(data))
    assert "maker's note is moved" in photo.left_out[0]
    photo.save(second)
    assert MAKER_NOTE in second.getvalue()
    assert len(second.getvalue()) < 70000
