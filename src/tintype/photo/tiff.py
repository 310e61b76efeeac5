"""TIFF: 16-bit pixels, which Pillow cannot hold or misreads, and the tags that make a TIFF whole.

libtiff, inside Pillow, packs and unpacks strips whatever they mean. Here a strip is handed to it as
rows of plain bytes, in a TIFF in memory that holds nothing else, and its meaning (depth, channels,
byte order, predictor) is dealt with in numpy. So every compression that Pillow knows serves pixels
of every layout (TIFF 6.0; Adobe Photoshop TIFF technical notes).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from tintype.photo import ifd
from tintype.photo.pillow import image_to_array, no_pixel_limit

SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, CHANNELS, ROWS_PER_STRIP, STRIP_SIZES = 266, 273, 277, 278, 279
PLANAR, PREDICTOR, EXTRA_SAMPLES, SAMPLE_FORMAT = 284, 317, 338, 339
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 322, 323, 324, 325
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
_OLD_DEFLATE = 32946
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
# Whatever a file says, no more of its directories are looked at.
_MAX_DIRECTORIES = 64
_MAX_FILE_BYTES = 1 << 32


class Layout(NamedTuple):
    """How the pixels of a directory are stored."""

    width: int
    height: int
    channels: int
    order: str
    compression: int
    predictor: int
    separate: bool  # each channel by itself
    block: tuple[int, int]  # rows and columns of a strip or a tile
    tiled: bool
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


def read_directories(file: BinaryIO) -> list[ifd.Directory]:
    """Read the directories of a TIFF file, one for each of its pages and reduced copies.

    Raises:
        ValueError: the first of them is damaged.
    """
    order, big, offset = ifd.read_header(file)
    directories: list[ifd.Directory] = []
    seen: set[int] = set()
    while offset and offset not in seen and len(directories) < _MAX_DIRECTORIES:
        seen.add(offset)
        try:
            directory = ifd.read_directory(file, offset, order, big)
        except ValueError:
            if not directories:
                raise
            break
        directories.append(directory)
        offset = directory.next
    return directories


def is_16_bit(directory: ifd.Directory) -> bool:
    """Tell whether every channel is a whole number of 16 bits, compressed as can be read here."""
    return (
        set(directory.numbers(BITS)) == {16}
        and set(directory.numbers(SAMPLE_FORMAT)) <= {1}
        and directory.number(FILL_ORDER, 1) == 1
        and directory.number(COMPRESSION, NONE) in (NONE, _OLD_DEFLATE, *LOSSLESS)
    )


def read_16(file: BinaryIO, directory: ifd.Directory) -> NDArray[np.uint16]:
    """Read the samples of a 16-bit picture, (H, W, C), as they are stored.

    Raises:
        ValueError: a strip or a tile is damaged or cut short.
    """
    layout = _layout(directory)
    rows, columns = layout.block
    planes, depth = (layout.channels, 1) if layout.separate else (1, layout.channels)
    tops, lefts = range(0, layout.height, rows), range(0, layout.width, columns)
    if len(layout.offsets) < planes * len(tops) * len(lefts):
        raise ValueError("strips are missing")
    places = [(plane, top, left) for plane in range(planes) for top in tops for left in lefts]
    row_bytes = columns * depth * 2
    samples = np.empty((layout.height, layout.width, layout.channels), dtype=np.uint16)
    for group in _groups(layout, places, _STRIP_BYTES // (rows * row_bytes)):
        _, top, _ = places[group[0]]
        # The last strip ends with the picture; a tile never does.
        high = rows if layout.tiled else min(rows, layout.height - top)
        packed = [_read_block(file, layout, index, high * row_bytes) for index in group]
        plain = _unpack(packed, layout.compression, high, row_bytes)
        blocks = plain.view(layout.order + "u2").reshape(len(group), high, columns, depth)
        if layout.predictor == 2:
            blocks = np.add.accumulate(blocks, axis=2, dtype=np.uint16)
        for index, block in zip(group, blocks, strict=True):
            plane, top, left = places[index]
            channels = slice(plane, plane + 1) if layout.separate else slice(None)
            part = samples[top : top + high, left : left + columns, channels]
            part[...] = block[: part.shape[0], : part.shape[1]]
    return samples


def _groups(layout: Layout, places: list[tuple[int, int, int]], most: int) -> Iterator[list[int]]:
    """Yield strips or tiles of one size, by index, so many at a time: some files have thousands."""
    group: list[int] = []
    for index, (_, top, _) in enumerate(places):
        short = not layout.tiled and top + layout.block[0] > layout.height
        if group and (short or len(group) >= most):
            yield group
            group = []
        group.append(index)
        if short:
            yield group
            group = []
    if group:
        yield group


def _read_block(file: BinaryIO, layout: Layout, index: int, plain_size: int) -> bytes:
    """Read the bytes of one strip or tile as the file has them."""
    offset = layout.offsets[index]
    size = layout.sizes[index] if index < len(layout.sizes) else plain_size
    if offset + size > file.seek(0, 2):
        raise ValueError("a strip is cut short")
    file.seek(offset)
    return file.read(size)


def _layout(directory: ifd.Directory) -> Layout:
    width, height = directory.number(WIDTH, 0), directory.number(HEIGHT, 0)
    tiled = TILE_OFFSETS in directory.entries
    if tiled:
        block = (directory.number(TILE_HEIGHT, 0), directory.number(TILE_WIDTH, 0))
    else:
        block = (min(directory.number(ROWS_PER_STRIP, height), height), width)
    if min(block) < 1 or block[0] * block[1] > 4 * max(width * height, 1 << 20):
        raise ValueError("its strips or tiles have no proper size")
    return Layout(
        width,
        height,
        directory.number(CHANNELS, 1),
        directory.order,
        directory.number(COMPRESSION, NONE),
        directory.number(PREDICTOR, 1),
        directory.number(PLANAR, 1) == 2,
        block,
        tiled,
        directory.numbers(TILE_OFFSETS if tiled else STRIP_OFFSETS),
        directory.numbers(TILE_SIZES if tiled else STRIP_SIZES),
    )


def _unpack(packed: list[bytes], compression: int, rows: int, row_bytes: int) -> NDArray[np.uint8]:
    """Unpack some strips or tiles of one size, (strips * rows, row_bytes)."""
    size = rows * row_bytes
    if compression == NONE:
        plain = packed
    elif compression in (DEFLATE, _OLD_DEFLATE):
        try:
            plain = [zlib.decompressobj().decompress(strip, size) for strip in packed]
        except zlib.error as error:
            raise ValueError("a strip is damaged") from error
    else:
        with no_pixel_limit:
            image = TiffImageFile(_plain_tiff(packed, compression, rows, row_bytes))
            image.load()
        return image_to_array(image)
    if min(len(strip) for strip in plain) < size:
        raise ValueError("a strip is cut short")
    joined = plain[0] if len(plain) == 1 else b"".join(strip[:size] for strip in plain)
    return np.frombuffer(joined, dtype=np.uint8, count=len(plain) * size).reshape(-1, row_bytes)


def _plain_tiff(packed: list[bytes], compression: int, rows: int, row_bytes: int) -> io.BytesIO:
    """Wrap strips as a gray 8-bit TIFF of their own, a byte a pixel."""
    directory = ifd.Directory("<")
    directory.set_numbers(WIDTH, ifd.LONG, row_bytes)
    directory.set_numbers(HEIGHT, ifd.LONG, rows * len(packed))
    directory.set_numbers(BITS, ifd.SHORT, 8)
    directory.set_numbers(COMPRESSION, ifd.SHORT, compression)
    directory.set_numbers(PHOTOMETRIC, ifd.SHORT, 1)
    directory.set_numbers(CHANNELS, ifd.SHORT, 1)
    directory.set_numbers(ROWS_PER_STRIP, ifd.LONG, rows)
    directory.set_numbers(STRIP_SIZES, ifd.LONG, *map(len, packed))
    directory.set_numbers(STRIP_OFFSETS, ifd.LONG, *[0] * len(packed))
    start = len(ifd.build_block(directory))
    offsets = [start + before for before in accumulate(map(len, packed[:-1]), initial=0)]
    directory.set_numbers(STRIP_OFFSETS, ifd.LONG, *offsets)
    return io.BytesIO(ifd.build_block(directory) + b"".join(packed))


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
    file.write(mark + struct.pack(order + "HI", 42, 0))
    width, height = size
    predictor = 2 if compression in _PREDICTABLE else 1
    offsets, sizes, rows, bits, at = [], [], height, 8, 8
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
    directory = ifd.Directory(order, dict(tags.entries), dict(tags.children))
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
        directory.set_numbers(EXTRA_SAMPLES, ifd.SHORT, 2)  # alpha, not multiplied in
    file.write(ifd.build(directory, at))
    file.seek(4)
    file.write(struct.pack(order + "I", at))
    file.seek(0, 2)


def strip_rows(width: int, channels: int, itemsize: int) -> int:
    """Return the rows of a strip of about a mebibyte."""
    return max(1, _STRIP_BYTES // (width * channels * itemsize))
