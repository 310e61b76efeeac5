"""Photoshop's image resources, IPTC among them."""

from __future__ import annotations

import struct

# Photoshop's image resources (Adobe, "Image Resource Blocks"): the two kinds of thumbnail and the
# profile tell of the picture as it was.
_STALE = (0x0409, 0x040C, 0x040F)
_IPTC = 0x0404
_MARK = b"8BIM"
_MARKS = (_MARK, b"MeSa", b"PHUT", b"AgHg", b"DCSR")  # marks of other programs
_UNKNOWN = -1


def iptc(photoshop: bytes) -> bytes | None:
    """Return the IPTC record among Photoshop's resources."""
    return {number: data for number, _, data in _split(photoshop)}.get(_IPTC)


def with_iptc(photoshop: bytes | None, record: bytes) -> bytes:
    """Add an IPTC record to Photoshop's resources, unless they have one."""
    photoshop = photoshop or b""
    if any(number == _IPTC for number, _, _ in _split(photoshop)):
        return photoshop
    head = _MARK + struct.pack(">H2xI", _IPTC, len(record))
    return photoshop + head + record + b"\0" * (len(record) % 2)


def normalized(photoshop: bytes) -> bytes | None:
    """Return the resources without those that describe the original pixels."""
    parts = _split(photoshop)
    if not any(number in _STALE for number, _, _ in parts):
        return photoshop
    return b"".join(whole for number, whole, _ in parts if number not in _STALE) or None


def _split(photoshop: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the number, all bytes and the data of each resource.

    Those of other programs, and what is none from some place on, are of unknown number.
    """
    parts, at = [], 0
    while photoshop[at : at + 4] in _MARKS and at + 12 <= len(photoshop):
        (number,) = struct.unpack_from(">H", photoshop, at + 4)
        if photoshop[at : at + 4] != _MARK:
            number = _UNKNOWN
        data_at = at + 6 + (photoshop[at + 6] // 2 + 1) * 2 + 4  # after a name of even length
        if data_at > len(photoshop):
            break
        (size,) = struct.unpack_from(">I", photoshop, data_at - 4)
        end = data_at + size + size % 2
        parts.append((number, photoshop[at:end], photoshop[data_at : data_at + size]))
        at = end
    if at < len(photoshop):
        parts.append((_UNKNOWN, photoshop[at:], b""))
    return parts
