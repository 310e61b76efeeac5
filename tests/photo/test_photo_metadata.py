"""What a file carries besides pixels arrives in the result, and is true of it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from photo.carried import (
    FORMATS,
    IPTC,
    MAKER_NOTE,
    THUMBNAIL,
    XMP,
    lying,
    opened,
    picture,
    saved_in_color,
    with_everything,
)
from photo.saved import encoded, saved
from PIL import Image, PngImagePlugin

from tintype.photo import Photo
from tintype.photo.photoshop import with_iptc
from tintype.photo.xmp import normalized as normalize_xmp


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_a_photograph_on_its_side_keeps_what_it_carries_in_every_format(
    source: str, target: str
) -> None:
    data = saved_in_color(Photo.open(with_everything(source)), target)
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


def test_xmp_speaks_of_srgb_afterwards() -> None:
    xmp = (
        b'<a photoshop:ICCProfile="Dot Gain 20%" photoshop:ColorMode="1" exif:ColorSpace="65535"/>'
    )
    settled = normalize_xmp(xmp, 1, 1)
    assert b'ICCProfile="sRGB IEC61966-2.1"' in settled
    assert b'ColorMode="3"' in settled
    assert b'ColorSpace="1"' in settled


def photoshop(*resources: tuple[int, bytes]) -> bytes:
    return b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)
        for number, data in resources
    )


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    extra = b"".join(struct.pack(">BBH", 255, kind, len(d) + 2) + d for kind, d in segments)
    return lying("JPEG", extra=extra)


def test_iptc_goes_from_jpeg_to_tiff_and_back_and_thumbnails_do_not() -> None:
    records = photoshop((0x0404, IPTC), (0x040C, b"old thumbnail"), (0x03F3, b"\0\1\0"))
    source = jpeg_with((0xED, b"Photoshop 3.0\0" + records))
    jpeg = saved_in_color(Photo.open(source))
    assert opened(jpeg).info["photoshop"] == {0x0404: IPTC, 0x03F3: b"\0\1\0"}
    tiff = saved_in_color(Photo.open(jpeg), "TIFF")
    tags = opened(tiff).tag_v2
    assert tags[33723] == IPTC
    assert b"old thumbnail" not in tags[34377]
    back = saved_in_color(Photo.open(tiff), "JPEG")
    assert opened(back).info["photoshop"][0x0404] == IPTC


def test_records_of_other_programs_among_those_of_photoshop_stay() -> None:
    other = b"MeSa" + struct.pack(">HHI", 0x1B5A, 0, 2) + b"ab"
    records = photoshop((0x0409, b"old thumbnail")) + other + photoshop((0x0404, IPTC)) + b"rest"
    photo = Photo.open(jpeg_with((0xED, b"Photoshop 3.0\0" + records)))
    assert photo.metadata.photoshop == other + photoshop((0x0404, IPTC)) + b"rest"
    assert photo.metadata.iptc() == IPTC


def test_iptc_that_only_a_tiff_tag_holds_is_kept() -> None:
    jpeg = saved_in_color(Photo.open(with_everything("TIFF")), "JPEG")
    assert opened(jpeg).info["photoshop"] == {0x0404: IPTC}
    assert with_iptc(photoshop((0x0404, b"own")), IPTC) == photoshop((0x0404, b"own"))


def test_iptc_is_missed_where_a_format_has_no_place_for_it() -> None:
    photo = Photo.open(jpeg_with((0xED, b"Photoshop 3.0\0" + photoshop((0x0404, IPTC)))))
    assert any("IPTC" in note for note in photo.save(io.BytesIO(), format="PNG"))
    assert photo.save(io.BytesIO()) == ()


def test_comments_and_extended_xmp_stay_in_a_jpeg() -> None:
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"0123456789abcdef" * 4
    source = jpeg_with((0xFE, b"first"), (0xE1, extension), (0xFE, b"second"))
    parts = opened(saved_in_color(Photo.open(source))).applist
    assert [data for kind, data in parts if kind == "COM"] == [b"first", b"second"]
    assert ("APP1", extension) in parts


def test_what_only_its_own_format_holds_is_missed_in_others() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Emma")
    jpeg = Photo.open(jpeg_with((0xFE, b"a comment")))
    png = Photo.open(lying("PNG", pnginfo=info))
    assert any("comments" in note for note in jpeg.save(io.BytesIO(), format="PNG"))
    assert any("texts" in note for note in png.save(io.BytesIO(), format="JPEG"))
    assert jpeg.save(io.BytesIO()) == png.save(io.BytesIO()) == ()
    photo = Photo.open(with_everything("JPEG"))
    assert any("EXIF" in note for note in photo.save(io.BytesIO(), format="BMP"))


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
    source = lying("PNG", pnginfo=info)
    for depth in (8, 16):
        photo = Photo.open(source)
        rgb = photo.rgb() if depth == 8 else photo.rgb() * np.uint16(257)
        written = saved(photo.with_rgb(rgb))
        for kind, data, *_ in info.chunks[:5]:
            assert kind + data in written
        for part in (b"does not", b"tIME"):
            assert part not in written
        assert opened(written).text["Title"] == "Großmutter"


def test_a_long_text_in_a_png_does_not_cost_the_photograph() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type 8bim", "0123456789" * 200_000, zip=True)
    assert Photo.open(lying("PNG", pnginfo=info)).gray.shape == (24, 40)


def test_tags_of_a_tiff_are_kept_whatever_they_are() -> None:
    exif = Image.Exif()
    exif[0x010E], exif[285], exif[33550] = "a glass plate", "page", (1.0, 2.0, 0.0)
    exif[0x0112] = 3
    photo = Photo.open(encoded(picture(), "TIFF", exif=exif, compression="tiff_lzw"))
    for compression in ("TIFF", "JPEG"):
        kept = opened(saved_in_color(photo, compression)).getexif()
        assert (kept[0x010E], kept[285], kept[33550]) == ("a glass plate", "page", (1.0, 2.0, 0.0))
        assert kept[0x0112] == 1
    assert 273 not in opened(saved_in_color(photo, "JPEG")).getexif()


def test_resolution_in_centimetres_is_understood() -> None:
    tags = {282: 100.0, 283: 100.0, 296: 3}
    photo = Photo.open(lying("TIFF", tiffinfo=tags))
    assert photo.metadata.dpi == pytest.approx((254, 254))
    written = opened(saved_in_color(photo))
    assert written.tag_v2[296] == 3
    assert written.info["dpi"] == pytest.approx((254, 254))


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "BMP"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_goes_into_every_format(source: str, target: str) -> None:
    photo = Photo.open(lying(source, dpi=(300, 300)))
    again = Photo.open(saved_in_color(photo, target))
    assert again.metadata.dpi == pytest.approx((300, 300), rel=1e-3)


def test_an_image_whose_resolution_is_nothing_has_none() -> None:
    image = picture()
    image.info["dpi"] = (None, None)
    assert Photo.from_pil(image).metadata.dpi is None


def test_a_photograph_without_resolution_gets_none() -> None:
    for format in ("PNG", "WEBP", "BMP", "JPEG"):
        how = {"dpi": (0, 0)} if format == "BMP" else {}
        photo = Photo.open(lying(format, **how))
        assert photo.metadata.dpi is None
        assert Photo.open(saved_in_color(photo)).metadata.dpi is None


def test_xmp_too_large_for_a_jpeg_loses_its_padding_or_is_missed() -> None:
    for filler, kept in ((b" " * 70000, True), (b"x" * 70000, False)):
        xmp = XMP.replace(b"<?xpacket end", filler + b"<?xpacket end")
        photo = Photo.open(lying("WEBP", xmp=xmp))
        file = io.BytesIO()
        notes = photo.save(file, format="JPEG")
        assert ("xmp" in opened(file.getvalue()).info) is kept
        assert bool(notes) is not kept


def test_a_png_keeps_its_crc_and_order() -> None:
    photo = Photo.open(with_everything("PNG"))
    data, at, kinds = saved(photo.with_rgb(photo.rgb() * np.uint16(257))), 8, []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        (crc,) = struct.unpack_from(">I", data, at + 8 + size)
        assert crc == zlib.crc32(data[at + 4 : at + 8 + size])
        kinds.append(kind)
        at += 12 + size
    assert b" ".join(dict.fromkeys(kinds)) == b"IHDR iCCP pHYs eXIf iTXt IDAT IEND"


def test_xmp_is_true_of_the_picture_that_is_written() -> None:
    thumbnails = (
        b"<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>AAAA</xmpGImg:image></rdf:li></rdf:Alt>"
        b"</xmp:Thumbnails>"
    )
    tags = b'photoshop:ColorMode="1" crs:ConvertToGrayscale="True"'
    packet = b"<x:xmpmeta><rdf:Description " + tags + b">" + thumbnails
    packet += b"<xmp:Rating>5</xmp:Rating></rdf:Description></x:xmpmeta>"
    photo = Photo.open(lying(xmp=packet))
    gray = photo.metadata.xmp or b""
    assert b"Thumbnails" not in gray
    assert b'ColorMode="1"' in gray
    assert b'ConvertToGrayscale="True"' in gray
    colored = photo.with_rgb(np.zeros((24, 40, 3), np.uint8)).metadata.xmp or b""
    assert b'ColorMode="3"' in colored
    assert b'ConvertToGrayscale="False"' in colored
    assert b"<xmp:Rating>5</xmp:Rating>" in colored
