"""JPEG files as a sequence of segments: metadata, and how much of the picture is present.

Pillow fills what is missing of a picture without a word, and libjpeg does so with middle gray.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

END = b"\xff\xd9"
_TABLES, _START_OF_SCAN, _END_OF_IMAGE = 0xC4, 0xDA, 0xD9
_FRAMES = (*(n for n in range(0xC0, 0xD0) if n not in (0xC4, 0xC8, 0xCC)), 0xF7)
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
# In the data of a scan: a marker that is neither a stuffed byte, a restart nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FILL = b"\0\xff\r\n \t"
# This many zeros in a row are no data: the all-zero code is one symbol, repeated.
_ZEROS = bytes(64)
_END_OF_BLOCK = 0
_OTHER = b"\x2a\x95\x5a" * 64
_BLOCK = 8
_FLAT = 1  # difference in levels that rounding can cause


class Contents(NamedTuple):
    """What a JPEG holds.

    Attributes:
        end: where the picture ends, behind its last marker; None where that is missing.
        usable: where its data ends, without that marker and without a segment cut short.
        beyond: how many bytes stand behind it, if they are more than filling.
        progressive: whether it has several scans.
        frame: the marker of its frame and the bits of a channel; zeros without one.
        size: width and height by that frame; None without one.
        zeros: where many zeros begin in the data of a scan; None for nowhere.
        flat: whether they may stand for an area of one gray.
    """

    end: int | None
    usable: int
    beyond: int
    progressive: bool
    frame: tuple[int, int]
    size: tuple[int, int] | None = None
    zeros: int | None = None
    flat: bool = False


def read_contents(data: bytes) -> Contents:
    """Read the segments of a JPEG up to the end of its first picture."""
    at, scans, frame, zeros, flat = 2, 0, (0, 0), None, False
    size: tuple[int, int] | None = None
    symbols: dict[int, int] = {}
    while at + 1 < len(data):
        if data[at] != 0xFF:
            found = _MARKER.search(data, at)  # damage, or the data of a scan
            if found is None:
                at = len(data)
                break
            at = found.start()
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == _END_OF_IMAGE:
            behind = data[at + 2 :]
            beyond = len(behind) if behind.strip(_FILL) else 0
            return Contents(at + 2, at, beyond, scans > 1, frame, size, zeros, flat)
        elif marker in _ALONE:
            at += 2
        else:
            if at + 4 > len(data):
                break
            if marker in _FRAMES and not frame[0] and at + 9 <= len(data):
                bits, height, width = struct.unpack_from(">B2H", data, at + 4)
                frame, size = (marker, bits), (width, height)
            after = at + 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
            if after > len(data):
                break
            content, at = data[at + 4 : after], after
            if marker == _TABLES:
                symbols |= _first_symbols(content)
            elif marker == _START_OF_SCAN:
                scans += 1
                found = _MARKER.search(data, at)
                end = len(data) if found is None else found.start()
                if (
                    zeros is None
                    and _has_codes(content)
                    and (run := data.find(_ZEROS, at, end)) > 0
                ):
                    zeros, flat = run, symbols.get(0x10 | content[2] & 0x0F, 0) == _END_OF_BLOCK
                at = end
    return Contents(None, min(at, len(data)), 0, scans > 1, frame, size, zeros, flat)


def _first_symbols(content: bytes) -> dict[int, int]:
    """Return the symbol of the all-zero code in each Huffman table of a segment."""
    symbols, at = {}, 0
    while at + 17 < len(content):
        symbols[content[at]] = content[at + 17]
        at += 17 + sum(content[at + 1 : at + 17])
    return symbols


def _has_codes(scan: bytes) -> bool:
    """Tell whether a scan has AC coefficients, not the blocks' means (DC) only."""
    return len(scan) >= 6 and scan[-2] > 0


def missing_share(data: bytes, contents: Contents, image: JpegImageFile) -> float:
    """Return how much of a loaded picture, from below, its data does not reach; 0 for none.

    Data put behind that of the last scan changes the picture where, and only where, that one was
    not complete; of several scans this tells nothing more than that it was.
    """
    pixels = np.asarray(image)
    last = pixels[-_BLOCK:, -_BLOCK:].reshape(-1, *pixels.shape[2:]).astype(int)
    if not contents.progressive and np.ptp(last, axis=0).max() > _FLAT:
        return 0.0
    return _changed_share(pixels, data[: contents.usable].rstrip(b"\xff"))


def emptied_share(data: bytes, contents: Contents, image: JpegImageFile) -> float:
    """Return how much of a loaded picture, from below, comes after zeros that are no data.

    Zeros that stand for an area of one gray take the place of nothing: the picture ends where its
    data does. Where they took that of other data it ends before.
    """
    pixels = np.asarray(image)
    if contents.zeros is None:
        return 0.0
    if contents.flat:
        restart = _RESTART.search(data, contents.zeros)
        end = restart.start() if restart else contents.usable
        if _changed_share(pixels, data[: end - len(_OTHER) // 4], data[end:]):
            return 0.0
    return _changed_share(pixels, data[: contents.zeros])


def _changed_share(pixels: NDArray[np.uint8], beginning: bytes, rest: bytes = END) -> float:
    """Return how much of a picture, from below, changes where other data follows a beginning."""
    with JpegImageFile(io.BytesIO(beginning + _OTHER + rest)) as other:
        other.load()
        changed = np.asarray(other)
    rows = (pixels != changed).reshape(len(pixels), -1).any(axis=1)
    return 1 - int(np.argmax(rows)) / len(pixels) if rows.any() else 0.0


def matching_chroma_table(luma: Sequence[int]) -> list[int]:
    """Return the standard chroma table at the quality that a luma table comes nearest to.

    Args:
        luma: 64 steps, row by row.
    """

    def distance(tables: dict[int, list[int]]) -> int:
        return sum(abs(a - b) for a, b in zip(tables[0], luma, strict=True))

    return min(_standard_tables(), key=distance)[1]


@cache
def _standard_tables() -> list[dict[int, list[int]]]:
    """Return libjpeg's quantization tables at each quality, the best first."""
    tables = []
    for quality in range(100, 0, -1):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        file.seek(0)
        with JpegImageFile(file) as image:
            tables.append(image.quantization)
    return tables


def unread_kind(marker: int, bits: int) -> str | None:
    """Return the name of an unsupported kind of JPEG, by frame marker and depth; else None."""
    if marker == 0xF7:
        return "a JPEG-LS picture"
    if marker in (0xC3, 0xC7, 0xCB, 0xCF):
        return "a lossless JPEG"
    if marker and bits not in (0, 8):
        return f"a JPEG of {bits} bits a channel"
    return None
