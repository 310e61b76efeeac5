"""JPEG as a row of segments: what a file holds besides its picture, and how far the picture goes.

Pillow fills what is missing of a picture without a word, and libjpeg does so with middle gray.
"""

from __future__ import annotations

import io
import re
import struct
from typing import NamedTuple

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

END = b"\xff\xd9"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAMES = (*(n for n in range(0xC0, 0xD0) if n not in (0xC4, 0xC8, 0xCC)), 0xF7)
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
# In the data of a scan: a marker that is neither a stuffed byte, a restart nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_FILL = b"\0\xff\r\n \t"
_BLOCK = 8
_FLAT = 1  # levels by which rounding makes of one gray another


class Contents(NamedTuple):
    """What a JPEG holds.

    Attributes:
        end: where the picture ends, behind its last marker; None where that is missing.
        usable: where its data ends, without that marker and without a segment cut short.
        beyond: how many bytes stand behind it, if they are more than filling.
        progressive: whether it has several scans.
        frame: the marker of its frame and the bits of a channel; zeros without one.
    """

    end: int | None
    usable: int
    beyond: int
    progressive: bool
    frame: tuple[int, int]


def read_contents(data: bytes) -> Contents:
    """Walk through the segments of a JPEG up to the end of its first picture."""
    at, scans, frame = 2, 0, (0, 0)
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
            return Contents(at + 2, at, beyond, scans > 1, frame)
        elif marker in _ALONE:
            at += 2
        else:
            if at + 4 > len(data):
                break
            if marker in _FRAMES and not frame[0]:
                frame = marker, data[at + 4] if at + 4 < len(data) else 0
            after = at + 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
            if after > len(data):
                break
            at = after
            if marker == _START_OF_SCAN:
                scans += 1
                found = _MARKER.search(data, at)
                at = len(data) if found is None else found.start()
    return Contents(None, min(at, len(data)), 0, scans > 1, frame)


def missing_share(data: bytes, contents: Contents, image: JpegImageFile) -> float:
    """Return how much of a loaded picture, from below, its data does not reach; 0 for none.

    Data put behind that of the last scan changes the picture where, and only where, that one was
    not complete; of several scans this tells nothing more than that it was.
    """
    pixels = np.asarray(image)
    last = pixels[-_BLOCK:, -_BLOCK:].reshape(-1, *pixels.shape[2:]).astype(int)
    if not contents.progressive and np.ptp(last, axis=0).max() > _FLAT:
        return 0.0
    more = data[: contents.usable].rstrip(b"\xff") + b"\x2a\x95\x5a" * 64 + END
    with JpegImageFile(io.BytesIO(more)) as other:
        other.load()
        changed = np.asarray(other)
    rows = (pixels != changed).reshape(len(pixels), -1).any(axis=1)
    if not rows.any():
        return 0.0
    return 1 - int(np.argmax(rows)) / len(pixels)


def unread_kind(marker: int, bits: int) -> str | None:
    """Return what a JPEG of a frame's marker and depth is called; None for one that is read."""
    if marker == 0xF7:
        return "a JPEG-LS picture"
    if marker in (0xC3, 0xC7, 0xCB, 0xCF):
        return "a lossless JPEG"
    if marker and bits not in (0, 8):
        return f"a JPEG of {bits} bits a channel"
    return None
