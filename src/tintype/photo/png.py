"""PNG: chunks that Pillow does not keep, and 16-bit pixels, which it cannot hold.

Pillow has no 16-bit colour mode, but it has two ways to make 8 bits of 16: of big-endian samples it
keeps the first byte, of little-endian ones the second. Read as the one and as the other, a file
gives both bytes of every sample, exactly and in compiled code.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from tintype.photo.pillow import image_to_array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6

# The ways to unpack a row that give the high byte of every sample, and the low one.
_RAWMODES = {_RGB: ("RGB;16B", "RGB;16L"), _RGB_ALPHA: ("RGBA;16B", "RGBA;16L")}
# Where this machine has the high byte.
_HIGH = 1 if sys.byteorder == "little" else 0

_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW_EXIF_KEYWORDS = (b"Raw profile type exif", b"Raw profile type APP1")
_MAX_TEXT = 1 << 24

# Filtered rows are gathered up to this many bytes before they are compressed.
_STRIP_BYTES = 1 << 22


def read_header(file: BinaryIO) -> tuple[int, int, int, int]:
    """Read width, height, bit depth and colour type of a PNG.

    Raises:
        ValueError: there is no whole header.
    """
    file.seek(0)
    head = file.read(29)
    if len(head) < 29 or head[12:16] != b"IHDR":
        raise ValueError("it has no header")
    return struct.unpack_from(">IIBB", head, 16)


def read_ancillary_chunks(file: BinaryIO) -> tuple[tuple[tuple[bytes, bytes], ...], bytes | None]:
    """Read the text and private chunks to be copied, and EXIF that an old program wrote as text.

    XMP is not among them. A private chunk is copied where its name says that it stays true when
    the pixels change.
    """
    kept: list[tuple[bytes, bytes]] = []
    exif = None
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        private = kind[1:2].islower() and kind[3:4].islower()
        if kind not in _TEXT and not private:
            file.seek(size + 4, 1)
            continue
        data = file.read(size)
        file.read(4)
        keyword = data.partition(b"\0")[0]
        if kind in _TEXT and keyword in _RAW_EXIF_KEYWORDS:
            exif = exif or _raw_profile(kind, data)
        elif keyword != _XMP_KEYWORD:
            kept.append((kind, data))
    return tuple(kept), exif


def _raw_profile(kind: bytes, data: bytes) -> bytes | None:
    """Read EXIF as it was stored before PNG had a chunk for it: hexadecimal after three lines."""
    text = data.partition(b"\0")[2]
    try:
        if kind == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], _MAX_TEXT)
        exif = bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except (ValueError, zlib.error):
        return None
    return exif if exif.startswith((b"Exif\0\0", b"II", b"MM")) else None


def xmp_chunk(xmp: bytes) -> tuple[bytes, bytes]:
    """Return the chunk that holds an XMP packet."""
    return b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + xmp


def read_16(
    image: PngImageFile, open_again: Callable[[], PngImageFile], color_type: int
) -> NDArray[np.uint16]:
    """Read the samples of a 16-bit PNG with alpha or colour.

    Args:
        image: the opened file, which will be loaded.
        open_again: opens it another time.
        colour_type: 2, 4 or 6, from the header.

    Returns:
        (H, W, 2), (H, W, 3) or (H, W, 4) samples.
    """
    if color_type == _GRAY_ALPHA:
        # Four bytes a pixel: RGBA to Pillow, to us a gray and an alpha of two bytes each.
        return _load_with_rawmode(image, "RGBA").view(">u2").astype(np.uint16)
    high, low = _RAWMODES[color_type]
    half = _load_with_rawmode(image, high)
    samples = np.empty((*half.shape, 2), dtype=np.uint8)
    samples[..., _HIGH] = half
    samples[..., 1 - _HIGH] = _load_with_rawmode(open_again(), low)
    return samples.view(np.uint16)[..., 0]


def _load_with_rawmode(image: PngImageFile, rawmode: str) -> NDArray[np.uint8]:
    """Load a picture with its rows unpacked in another way than Pillow chose."""
    image.tile = [tile._replace(args=rawmode) for tile in image.tile]
    image.load()
    return image_to_array(image)


def write_16(
    file: BinaryIO,
    size: tuple[int, int],
    strips: Iterator[NDArray[np.uint8 | np.uint16]],
    channels: int,
    chunks: list[tuple[bytes, bytes]],
) -> None:
    """Write a 16-bit PNG.

    Args:
        file: where to, from where it stands.
        size: width and height.
        strips: the rows in order, (rows, W, channels) at a time.
        channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
        chunks: what stands between header and pixels.
    """
    color_type = {1: _GRAY, 2: _GRAY_ALPHA, 3: _RGB, 4: _RGB_ALPHA}[channels]
    file.write(SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", *size, 16, color_type, 0, 0, 0))
    for kind, data in chunks:
        _write_chunk(file, kind, data)
    # The low bytes of a photograph are noise, in which searching for repeats finds nothing: runs
    # alone give files as small in a quarter of the time.
    packer = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    for filtered in _paeth_filtered(strips, size[0], 2 * channels):
        if packed := packer.compress(filtered.data):
            _write_chunk(file, b"IDAT", packed)
    _write_chunk(file, b"IDAT", packer.flush())
    _write_chunk(file, b"IEND", b"")


def _paeth_filtered(
    strips: Iterator[NDArray[np.uint8 | np.uint16]], width: int, pixel: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield rows under PNG's fourth filter, Paeth's, which serves photographs best of the five."""
    above = np.zeros((1, width * pixel), dtype=np.uint8)
    step = max(1, _STRIP_BYTES // (width * pixel))
    for strip in strips:
        for top in range(0, len(strip), step):
            part = np.ascontiguousarray(strip[top : top + step], dtype=">u2")
            rows = part.view(np.uint8).reshape(len(part), width * pixel)
            out = np.empty((len(rows), 1 + width * pixel), dtype=np.uint8)
            out[:, 0] = 4
            up = np.concatenate([above, rows[:-1]]).astype(np.int16)
            left, corner = np.zeros_like(up), np.zeros_like(up)
            left[:, pixel:] = rows[:, :-pixel]
            corner[:, pixel:] = up[:, :-pixel]
            to_left, to_up = np.abs(up - corner), np.abs(left - corner)
            to_corner = np.abs(left + up - 2 * corner)
            nearest = np.where(to_up <= to_corner, up, corner)
            nearest = np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
            np.subtract(rows, nearest.astype(np.uint8), out=out[:, 1:])
            above = rows[-1:]
            yield out


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
