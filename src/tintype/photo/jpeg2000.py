"""JPEG 2000 files as boxes: metadata that Pillow does not handle (ISO 15444-1, annex I)."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from tintype.errors import UnreadablePhotoError
from tintype.photo import exif
from tintype.photo.boxes import box, boxes
from tintype.photo.decode import Decoded, ReadRequest, exif_block
from tintype.photo.encoding import Encoding
from tintype.photo.metadata import Metadata

CODESTREAM = b"\xff\x4f\xff\x51"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
_KNOWN = (b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"rreq", b"free")
_HEAD_BYTES = 1 << 16

_START_OF_TILE, _START_OF_DATA, _END = b"\xff\x90", b"\xff\x93", b"\xff\xd9"
# A tile of this many zeros has empty packets only, whose number only a decoder knows.
_EMPTY_TILE, _MAX_EMPTY_TILES = 1 << 10, 1 << 12
_PIXEL_BYTES = 8  # upper bound of the size of a pixel
_PRECISION = 1 << 10  # bisection stops at this fraction of the missing data


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
    image = Jpeg2KImageFile(request.file)
    request.check_size(*image.size)
    cut = _find_cut(request.file, image.width * image.height)
    if cut is None:
        image.load()
    else:
        request.damaged("its end is missing")
        image = _load_cut(cut)
    found = _read_boxes(request.file)
    if found.bits > 16:
        raise UnreadablePhotoError(
            f"{request.name} has {found.bits} bits a channel: convert it to 16-bit TIFF first"
        )
    if found.others:
        request.leave_out(f"boxes of other programs are left out ({', '.join(found.others)})")
    if image.mode == "I;16":
        request.leave_out("JPEG 2000 in colour is written at 8 bits a channel")
    elif found.bits > 8:
        request.leave_out("this JPEG 2000 is taken at 8 bits a channel, though it has more")
    block = exif_block(found.exif)
    dpi = image.info.get("dpi") or exif.dpi(block)
    carried = Metadata(exif=block, xmp=found.xmp, dpi=dpi)
    if image.mode == "I;16":
        samples = np.asarray(image).astype(np.uint16)[..., None]
        samples |= samples >> found.bits if found.bits < 16 else 0
        return Decoded(samples, False, found.icc, carried, Encoding())
    return Decoded(image, False, found.icc, carried, Encoding())


class Cut(NamedTuple):
    """A truncated file.

    Attributes:
        whole: what there is.
        missing: how many bytes the tile lacks in which it ends.
        rest: what makes a whole file of it then: empty tiles, and the end.
    """

    whole: bytes
    missing: int
    rest: bytes


def _find_cut(file: BinaryIO, pixels: int) -> Cut | None:
    """Return what a file of that many pixels lacks; None if it is complete."""
    file.seek(0)
    data = file.read()
    places = [at for kind, at, _ in boxes(file) if kind == b"jp2c"]
    start = 0 if data.startswith(CODESTREAM) else (*places, -1)[0]
    at = data.find(_START_OF_TILE, start)
    if start < 0 or at < 0:
        return None
    x, y, x_tile, y_tile, x_first, y_first = struct.unpack_from(">2I8x4I", data, start + 8)
    tiles = -(-(x - x_first) // x_tile) * -(-(y - y_first) // y_tile)
    last, begun = at, set[int]()
    while data[at : at + 2] == _START_OF_TILE and at + 12 <= len(data):
        number, size = struct.unpack_from(">HI", data, at + 4)
        if size == 0:  # extends to the end
            if data.endswith(_END):
                return None
            size = max(len(data) - at, 12)
        last, at = at, at + max(size, 12)
        begun.add(number)
    if at < len(data) - 1:
        return None  # the end of the file, or other damage
    missing = at - len(data)
    if missing > 0 and _START_OF_DATA not in data[last:]:
        begun.discard(struct.unpack_from(">H", data, last + 4)[0])
        data, missing = data[:last], 0
    if not begun or missing > pixels * _PIXEL_BYTES or tiles - len(begun) > _MAX_EMPTY_TILES:
        raise ValueError("nothing of the picture is in it" if not begun else "its end is missing")
    head = _START_OF_TILE + struct.pack(">H", 10)
    empty = struct.pack(">IBB", 14 + _EMPTY_TILE, 0, 1) + _START_OF_DATA + bytes(_EMPTY_TILE)
    lacking = (number for number in range(tiles) if number not in begun)
    tail = b"".join(head + struct.pack(">H", number) + empty for number in lacking)
    return Cut(data, max(missing, 0), tail + _END)


def _load_cut(cut: Cut) -> Jpeg2KImageFile:
    """Load the part of a picture that is present.

    In the data of a packet ones stand for no further detail, and a packet that begins with a zero
    is empty. Where the packet ends that was cut is found by trying: ones beyond it are an error.
    """
    image, ones, low, high = None, cut.missing, 0, cut.missing
    while image is None or high - low > cut.missing // _PRECISION:
        filling = b"\xff" * ones + bytes(cut.missing - ones)
        try:
            tried = Jpeg2KImageFile(io.BytesIO(cut.whole + filling + cut.rest))
            tried.load()
        except OSError:
            if ones == 0:
                raise
            high = ones - 1
        else:
            image, low = tried, ones
        ones = (low + high + 1) // 2
    return image


def with_boxes(encoded: bytes, carried: Metadata) -> bytes:
    """Return a file that Pillow wrote, with metadata added."""
    out = io.BytesIO()
    for kind, at, size in boxes(io.BytesIO(encoded)):
        data = encoded[at : at + size]
        if kind == b"jp2h" and carried.dpi:
            data += box(b"res ", box(b"resc", _resolution(carried.dpi)))
        if kind == b"jp2c":
            if carried.exif:
                out.write(box(b"uuid", _EXIF + carried.exif))
            if carried.xmp:
                out.write(box(b"uuid", _XMP + carried.xmp))
        out.write(box(kind, data))
    return out.getvalue()


def _resolution(dpi: tuple[float, float]) -> bytes:
    """Return dots per metre, vertical first, as fractions with exponents of ten."""
    x, y = (round(value / 0.0254) for value in dpi)
    scale = 0 if max(x, y) < 1 << 16 else 2
    x, y = (round(value / 10**scale) for value in (x, y))
    return struct.pack(">HHHHBB", y, 1, x, 1, scale, scale)


def _read_boxes(file: BinaryIO) -> Boxes:
    icc = xmp = block = None
    others: list[str] = []
    file.seek(0)
    if file.read(4) == CODESTREAM:
        return Boxes(None, None, None, (), _bits(file, 0))
    bits = 8
    for kind, at, size in boxes(file):
        file.seek(at)
        if kind == b"jp2h":
            head = file.read(min(size, 1 << 24))
            for inner, inner_at, inner_size in boxes(io.BytesIO(head)):
                data = head[inner_at : inner_at + inner_size]
                if inner == b"colr" and data[:1] in (b"\2", b"\3") and icc is None:
                    icc = data[3:]
        elif kind == b"jp2c":
            bits = _bits(file, at)
        elif kind == b"uuid" and (mark := file.read(16)) in (_XMP, _EXIF):
            data = file.read(max(0, size - 16))
            xmp, block = (data, block) if mark == _XMP else (xmp, data)
        elif kind not in _KNOWN:
            others.append(kind.decode("latin-1").strip())
    return Boxes(icc, xmp, block, tuple(dict.fromkeys(others)), bits)


def _bits(file: BinaryIO, at: int) -> int:
    """Return the largest bit depth of a channel, from the codestream's header."""
    file.seek(at)
    head = file.read(_HEAD_BYTES)
    (count,) = struct.unpack_from(">H", head, 40)
    return max((head[42 + 3 * n] & 0x7F) + 1 for n in range(count))
