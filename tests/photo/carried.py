"""A photograph that carries all that its format has a place for."""

from __future__ import annotations

import io
import struct
from typing import Any

from photo.saved import encoded, saved
from PIL import Image, ImageFile, PngImagePlugin

from tintype.photo import Photo

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]


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


def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((40, 24))


def lying(format: str = "JPEG", exif: bytes | None = None, **how: Any) -> bytes:
    """A gray ramp, 40 wide and 24 high, with an EXIF block where one is given."""
    if exif is not None:
        how["exif"] = b"Exif\0\0" + exif
    return encoded(picture(), format, **how)


def with_everything(format: str) -> bytes:
    """It lies on its side by what it carries."""
    how: dict[str, Any] = {"exif": EXIF, "dpi": (300, 150)}
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        return lying(format, **how, pnginfo=info)
    if format == "TIFF":
        exif = Image.Exif()
        exif.load(EXIF)
        exif[700] = XMP
        exif[33723] = IPTC
        return encoded(picture(), format, exif=exif)
    return lying(format, **how, xmp=XMP)


def saved_in_color(photo: Photo, format: str | None = None) -> bytes:
    return saved(photo.with_rgb(photo.rgb()), format)


def opened(data: bytes) -> ImageFile.ImageFile:
    """By Pillow, as anybody would open it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
