"""JPEG 2000 as a row of boxes: what Pillow neither reads nor writes (ISO 15444-1, annex I)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tintype.errors import UnreadablePhotoError
from tintype.photo.decode import Decoded, ReadRequest, exif_block
from tintype.photo.encoding import Encoding
from tintype.photo.metadata import Metadata, exif_directory, resolution

CODESTREAM = b"\xff\x4f\xff\x51"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
_KNOWN = (b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"rreq", b"free")
_HEAD_BYTES = 1 << 16


class Boxes(NamedTuple):
    """What a file holds besides its pixels.

    Attributes:
        icc: the colour profile.
        xmp, exif: the packets.
        others: the kinds of boxes that are not read.
        bits: the most bits of a channel.
    """

    icc: bytes | None
    xmp: bytes | None
    exif: bytes | None
    others: tuple[str, ...]
    bits: int


def decode_jpeg2000(request: ReadRequest) -> Decoded:
    """Read a JPEG 2000: gray of up to 16 bits, colour of 8."""
    import numpy as np
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    image = Jpeg2KImageFile(request.file)
    request.check_size(*image.size)
    image.load()
    boxes = _read_boxes(request.file)
    if boxes.bits > 16:
        raise UnreadablePhotoError(
            f"{request.name} has {boxes.bits} bits a channel: convert it to 16-bit TIFF first"
        )
    if boxes.others:
        request.leave_out(f"boxes of other programs are left out ({', '.join(boxes.others)})")
    if boxes.bits > 8:
        request.leave_out("JPEG 2000 of more than 8 bits a channel is written at 8")
    exif = exif_block(boxes.exif)
    dpi = image.info.get("dpi") or resolution(exif_directory(exif))
    carried = Metadata(exif=exif, xmp=boxes.xmp, dpi=dpi)
    if image.mode == "I;16":
        samples = np.asarray(image).astype(np.uint16)[..., None]
        samples |= samples >> boxes.bits if boxes.bits < 16 else 0
        return Decoded(samples, False, boxes.icc, carried, Encoding())
    return Decoded(image, False, boxes.icc, carried, Encoding())


def with_boxes(encoded: bytes, carried: Metadata) -> bytes:
    """Return what Pillow wrote with metadata in it."""
    out = io.BytesIO()
    for kind, at, size in _boxes(io.BytesIO(encoded)):
        data = encoded[at : at + size]
        if kind == b"jp2h" and carried.dpi:
            data += _box(b"res ", _box(b"resc", _resolution(carried.dpi)))
        if kind == b"jp2c":
            if carried.exif:
                out.write(_box(b"uuid", _EXIF + carried.exif))
            if carried.xmp:
                out.write(_box(b"uuid", _XMP + carried.xmp))
        out.write(_box(kind, data))
    return out.getvalue()


def _resolution(dpi: tuple[float, float]) -> bytes:
    """Dots a metre, the vertical first: fractions with exponents of ten."""
    x, y = (round(value / 0.0254) for value in dpi)
    scale = 0 if max(x, y) < 1 << 16 else 2
    x, y = (round(value / 10**scale) for value in (x, y))
    return struct.pack(">HHHHBB", y, 1, x, 1, scale, scale)


def _read_boxes(file: BinaryIO) -> Boxes:
    icc = xmp = exif = None
    others: list[str] = []
    file.seek(0)
    if file.read(4) == CODESTREAM:
        return Boxes(None, None, None, (), _bits(file, 0))
    bits = 8
    for kind, at, size in _boxes(file):
        file.seek(at)
        if kind == b"jp2h":
            head = file.read(min(size, 1 << 24))
            for inner, inner_at, inner_size in _boxes(io.BytesIO(head)):
                data = head[inner_at : inner_at + inner_size]
                if inner == b"colr" and data[:1] in (b"\2", b"\3") and icc is None:
                    icc = data[3:]
        elif kind == b"jp2c":
            bits = _bits(file, at)
        elif kind == b"uuid" and (mark := file.read(16)) in (_XMP, _EXIF):
            data = file.read(max(0, size - 16))
            xmp, exif = (data, exif) if mark == _XMP else (xmp, data)
        elif kind not in _KNOWN:
            others.append(kind.decode("latin-1").strip())
    return Boxes(icc, xmp, exif, tuple(dict.fromkeys(others)), bits)


def _bits(file: BinaryIO, at: int) -> int:
    """Read the most bits of a channel from the head of a codestream."""
    file.seek(at)
    head = file.read(_HEAD_BYTES)
    (count,) = struct.unpack_from(">H", head, 40)
    return max((head[42 + 3 * n] & 0x7F) + 1 for n in range(count))


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and the place and size of its data."""
    end, at = file.seek(0, 2), 0
    while at + 8 <= end:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            wide = file.read(8)
            length, head = int.from_bytes(wide, "big"), 16
        if length == 0:
            length = end - at
        if length < head:
            return
        yield kind, at + head, min(length, end - at) - head
        at += length


def _box(kind: bytes, data: bytes) -> bytes:
    if len(data) + 8 < 1 << 32:
        return struct.pack(">I4s", len(data) + 8, kind) + data
    return struct.pack(">I4sQ", 1, kind, len(data) + 16) + data
