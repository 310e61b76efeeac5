"""TIFF: its tags and directories, and writing it with all of them (TIFF 6.0; Adobe's notes)."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.photo import ifd

SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, CHANNELS, ROWS_PER_STRIP, STRIP_SIZES = 266, 273, 277, 278, 279
PLANAR, PREDICTOR, EXTRA_SAMPLES, SAMPLE_FORMAT = 284, 317, 338, 339
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 322, 323, 324, 325
MAKE, SUB_DIRECTORIES = 271, 330
XMP, IPTC, PHOTOSHOP, ICC, LAYERS, DNG_VERSION = 700, 33723, 34377, 34675, 37724, 50706

#: Tags that describe how pixels are stored, or are kept elsewhere: no part of the metadata.
STRUCTURE = frozenset(
    {
        *range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 301,
        *range(317, 326), *range(327, 348), *range(351, 354), *range(512, 522), *range(529, 533),
        XMP, IPTC, PHOTOSHOP, ICC, LAYERS, 65535,
    }
)  # fmt: skip

NONE, LZW, DEFLATE, PACKBITS, LZMA, ZSTD = 1, 5, 8, 32773, 34925, 50000
OLD_DEFLATE = 32946
#: Compressions that keep every pixel, by Pillow's name.
LOSSLESS = {
    LZW: "tiff_lzw",
    DEFLATE: "tiff_adobe_deflate",
    PACKBITS: "packbits",
    LZMA: "lzma",
    ZSTD: "zstd",
}
_PREDICTABLE = (LZW, DEFLATE, LZMA, ZSTD)

_STRIP_BYTES = 1 << 20
# The largest number of directories that are read.
_MAX_DIRECTORIES = 64
_MAX_FILE_BYTES = 1 << 32


def read_directories(file: BinaryIO) -> list[ifd.Directory]:
    """Read the directories of a TIFF file, one for each of its pages and reduced copies.

    Raises:
        ValueError: the first of them is damaged.
    """
    order, big, offset = ifd.read_header(file)
    directories: list[ifd.Directory] = []
    seen: set[int] = set()
    # Many directories may point to the same bytes: all together may not read more than the file.
    budget = ifd.Budget(file.seek(0, 2))
    while offset and offset not in seen and len(directories) < _MAX_DIRECTORIES:
        seen.add(offset)
        try:
            directory = ifd.read_directory(file, offset, order, big, budget=budget)
        except ValueError:
            if not directories:
                raise
            break
        directories.append(directory)
        offset = directory.next
    return directories


def read_sub_directories(file: BinaryIO, directory: ifd.Directory) -> list[ifd.Directory]:
    """Read the subdirectories of one of the file's directories, as far as they are complete."""
    order, big, _ = ifd.read_header(file)
    budget = ifd.Budget(file.seek(0, 2))
    found: list[ifd.Directory] = []
    for offset in directory.numbers(SUB_DIRECTORIES)[:_MAX_DIRECTORIES]:
        with suppress(ValueError):
            found.append(ifd.read_directory(file, offset, order, big, budget=budget))
    return found


def _pack(rows: NDArray[np.uint8], compression: int, strategy: int) -> bytes:
    """Pack one strip of bytes (rows, row_bytes)."""
    if compression == NONE:
        return rows.tobytes()
    if compression == DEFLATE:
        packer = zlib.compressobj(6, zlib.DEFLATED, 15, 9, strategy)
        return packer.compress(rows.data) + packer.flush()
    file = io.BytesIO()
    image = Image.fromarray(rows)
    image.save(file, "TIFF", compression=LOSSLESS[compression], strip_size=rows.size)
    (directory,) = read_directories(file)
    file.seek(directory.number(STRIP_OFFSETS, 0))
    return file.read(directory.number(STRIP_SIZES, 0))


def write(
    file: BinaryIO,
    size: tuple[int, int],
    strips: Iterator[NDArray[np.uint8 | np.uint16]],
    channels: int,
    compression: int,
    tags: ifd.Directory,
) -> None:
    """Write a TIFF of 8 or 16 bits a channel.

    Args:
        file: where to, from its beginning; seekable.
        size: width and height.
        strips: the rows in order, (rows, W, channels) at a time, all but the last as many.
        channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
        compression: `NONE` or one of `LOSSLESS`.
        tags: all tags that do not describe how the pixels are stored.

    Raises:
        ValueError: the file would pass the 4 GiB that a TIFF can hold.
    """
    order = tags.order
    mark = b"II" if order == "<" else b"MM"
    tags, start = ifd.with_header_room(tags)
    file.write(mark + struct.pack(order + "HI", 42, 0) + start[8:])
    width, height = size
    predictor = 2 if compression in _PREDICTABLE else 1
    offsets, sizes, rows, bits, at = [], [], height, 8, len(start)
    for strip in strips:
        bits = 8 * strip.itemsize
        if not offsets:
            rows = len(strip)
        if predictor == 2:
            strip = np.concatenate([strip[:, :1], np.diff(strip, axis=1)], axis=1)
        plain = np.ascontiguousarray(strip, dtype=f"{order}u{strip.itemsize}")
        # The low bytes of 16 are noise, in which searching for repeats only takes time.
        strategy = zlib.Z_RLE if bits == 16 else zlib.Z_DEFAULT_STRATEGY
        packed = _pack(plain.view(np.uint8).reshape(len(strip), -1), compression, strategy)
        if at + len(packed) + (1 << 20) > _MAX_FILE_BYTES:
            raise ValueError("a TIFF cannot pass 4 GiB")
        offsets.append(at)
        sizes.append(len(packed))
        packed += b"\0" * (len(packed) % 2)
        file.write(packed)
        at += len(packed)
    directory = ifd.Directory(order, dict(tags.entries), children=dict(tags.children))
    directory.set_numbers(WIDTH, ifd.LONG, width)
    directory.set_numbers(HEIGHT, ifd.LONG, height)
    directory.set_numbers(BITS, ifd.SHORT, *[bits] * channels)
    directory.set_numbers(COMPRESSION, ifd.SHORT, compression)
    directory.set_numbers(PHOTOMETRIC, ifd.SHORT, 2 if channels > 2 else 1)
    directory.set_numbers(STRIP_OFFSETS, ifd.LONG, *offsets)
    directory.set_numbers(CHANNELS, ifd.SHORT, channels)
    directory.set_numbers(ROWS_PER_STRIP, ifd.LONG, rows)
    directory.set_numbers(STRIP_SIZES, ifd.LONG, *sizes)
    directory.set_numbers(PLANAR, ifd.SHORT, 1)
    if predictor == 2:
        directory.set_numbers(PREDICTOR, ifd.SHORT, 2)
    if channels % 2 == 0:
        directory.set_numbers(EXTRA_SAMPLES, ifd.SHORT, 2)  # alpha, not premultiplied
    file.write(ifd.build(directory, at))
    file.seek(4)
    file.write(struct.pack(order + "I", at))
    file.seek(0, 2)


def strip_rows(width: int, channels: int, itemsize: int) -> int:
    """Return the rows of a strip of about a mebibyte."""
    return max(1, _STRIP_BYTES // (width * channels * itemsize))
