"""Files made of boxes (ISO base media, annex I of ISO 15444-1): JPEG 2000, AVIF."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's type and its data's offset and size, cut at the end of the file."""
    end = file.seek(0, 2)
    for kind, at, size in _announced(file):
        yield kind, at, min(size, end - at)


def missing_bytes(file: BinaryIO) -> int:
    """Return how many bytes the file lacks of what its boxes declare."""
    return max((at + size for _, at, size in _announced(file)), default=0) - file.seek(0, 2)


def box(kind: bytes, data: bytes) -> bytes:
    """Return the bytes of a box: its size, type and data."""
    if len(data) + 8 < 1 << 32:
        return struct.pack(">I4s", len(data) + 8, kind) + data
    return struct.pack(">I4sQ", 1, kind, len(data) + 16) + data


def _announced(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's type and its data's offset and declared size."""
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
        yield kind, at + head, length - head
        at += length
