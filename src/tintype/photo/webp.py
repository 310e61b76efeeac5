"""WebP files as a sequence of chunks: metadata, and whether the file is complete.

The decoder takes zeros for data like any other, and refuses what is cut short.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_PICTURE = (b"VP8 ", b"VP8L", b"ALPH")
_KNOWN = (*_PICTURE, b"VP8X", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF")
# A picture's data never ends in so many zeros: even one of a single colour, whose macroblocks
# (of 256 pixels) take a tenth of a bit each.
_ZEROS, _PIXELS_A_ZERO = 64, 8192
# So many bytes at most are put in the place of missing ones: a picture takes no more.
_PIXEL_BYTES, _HEAD_BYTES = 4, 1 << 16


class Contents(NamedTuple):
    """The contents of a WebP.

    Attributes:
        lossless: whether its picture is.
        damage: what is wrong with it; None where nothing is.
        others: chunks of other programs, by name, and what stands behind the end.
    """

    lossless: bool
    damage: str | None
    others: tuple[str, ...]


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, offset and size of each chunk."""
    end = file.seek(0, 2)
    at = 12
    while at + 8 <= end:
        file.seek(at)
        kind, size = struct.unpack("<4sI", file.read(8))
        yield kind, at + 8, size
        at += 8 + size + size % 2


def size(file: BinaryIO) -> tuple[int, int]:
    """Read width and height from the first chunk."""
    kind, at, _ = next(chunks(file), (b"", 0, 0))
    file.seek(at)
    data = file.read(10)
    if len(data) < 10:
        raise ValueError("it has no header")
    if kind == b"VP8X":
        sides = int.from_bytes(data[4:7], "little"), int.from_bytes(data[7:10], "little")
        return sides[0] + 1, sides[1] + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<2H", data, 6)
    return width & 0x3FFF, height & 0x3FFF


def read_contents(file: BinaryIO, pixels: int) -> Contents:
    """Read the chunks of a WebP of that many pixels."""
    lossless, damage, others = False, None, []
    whole, end = _whole_size(file), file.seek(0, 2)
    for kind, at, length in chunks(file):
        lossless = lossless or kind == b"VP8L"
        if at - 8 >= whole:
            others.append("what stands behind its end")
            break
        if kind in _PICTURE:
            zeros = max(_ZEROS, pixels // _PIXELS_A_ZERO)
            file.seek(at + max(0, length - zeros))
            last = file.read(min(zeros, length))
            if at + length > end:
                damage = "its end is missing"
            elif len(last) == zeros and not any(last):
                damage = "the end of its picture is empty"
        elif kind not in _KNOWN:
            others.append(kind.decode("latin-1"))
    if whole > end:
        damage = damage or "its end is missing"
    return Contents(lossless, damage, tuple(dict.fromkeys(others)))


def filled(file: BinaryIO, pixels: int) -> BinaryIO:
    """Return the file, of that many pixels, with its missing end filled with zeros."""
    missing = _whole_size(file) - file.seek(0, 2)
    file.seek(0)
    if not 0 < missing <= pixels * _PIXEL_BYTES + _HEAD_BYTES:
        return file
    return io.BytesIO(file.read() + bytes(missing))


def _whole_size(file: BinaryIO) -> int:
    """Return the length that the file declares."""
    file.seek(4)
    length = file.read(4)
    return 8 + struct.unpack("<I", length)[0] if len(length) == 4 else 0
