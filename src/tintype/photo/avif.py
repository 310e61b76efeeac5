"""AVIF files as a sequence of boxes: facts that Pillow does not give, and truncated files."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from tintype.photo.boxes import missing_bytes
from tintype.photo.decode import Decoded, ReadRequest, plain_metadata, space_profile
from tintype.photo.encoding import Encoding

_HEAD_BYTES = 1 << 16  # at the start of a file, which hold the description of its pictures
_PIXEL_BYTES = 4  # upper bound of the size of a pixel


def decode_avif(request: ReadRequest) -> Decoded:
    """Read an AVIF at 8 bits, whatever its depth: Pillow decodes no more."""
    from PIL.AvifImagePlugin import AvifImageFile

    file, missing = request.file, missing_bytes(request.file)
    if missing > 0:
        request.damaged("its end is missing")
        file = _filled(request, missing)
    file.seek(0)
    image = AvifImageFile(file)
    request.check_size(*image.size)
    request.refuse_frames(image)
    image.load()
    if is_high_bit_depth_avif(request.file):
        request.leave_out("this AVIF is taken at 8 bits a channel, though it has more")
    icc = image.info.get("icc_profile") or space_profile(request, *_avif_space(request.file))
    return Decoded(image, False, icc, plain_metadata(image), Encoding())


def _avif_space(file: BinaryIO) -> tuple[int, int]:
    """Return the numbers of an AVIF's primaries and transfer function; 2 where unspecified."""
    head = _head(file)
    at = head.find(b"colrnclx")
    return struct.unpack_from(">2H", head, at + 8) if 0 <= at <= len(head) - 12 else (2, 2)


def is_high_bit_depth_avif(file: BinaryIO) -> bool:
    """Return whether an AVIF has 10 or 12 bits a channel, by the configuration of its codec."""
    head = _head(file)
    at = head.find(b"av1C")
    # AV1 in ISOBMFF, section 2.3.3: tier, high_bitdepth and more in the third byte.
    return at >= 0 and len(head) > at + 6 and bool(head[at + 6] & 0x40)


def _filled(request: ReadRequest, missing: int) -> BinaryIO:
    """Return the file with zeros for what is missing at its end.

    The decoder needs all of its data to be there, and what it makes of zeros stands below the rest.
    """
    head = _head(request.file)
    at = head.find(b"ispe")
    if b"mdat" not in head or not 0 <= at <= len(head) - 16:
        raise ValueError("nothing of the picture is in it")
    width, height = struct.unpack_from(">2I", head, at + 8)
    request.check_size(width, height)
    if missing > width * height * _PIXEL_BYTES + _HEAD_BYTES:
        raise ValueError("its end is missing")
    request.file.seek(0)
    return io.BytesIO(request.file.read() + bytes(missing))


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(_HEAD_BYTES)
