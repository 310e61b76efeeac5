"""The pixels of a TIFF: of 8 to 16 bits, of any layout.

libtiff, inside Pillow, unpacks strips whatever they mean. Here a strip is handed to it as rows of
plain bytes, in a TIFF in memory that holds nothing else, and its meaning (depth, channels, byte
order, predictor) is dealt with in numpy. So every compression that Pillow knows serves pixels of
every layout: Pillow itself has no 16-bit colour, and misreads some layouts of 8 bits.
"""

from __future__ import annotations

import io
import zlib
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import TiffImageFile

from tintype.photo import ifd, tiff
from tintype.photo.pillow import image_to_array, no_pixel_limit
from tintype.photo.tiff import DEFLATE, LOSSLESS, NONE, OLD_DEFLATE

_STRIP_BYTES = 1 << 20
# Largest number of strips or tiles, unless they have this many pixels each on average.
_MAX_BLOCKS, _LEAST_PIXELS = 1 << 16, 64
_UNSIGNED, _VOID = 1, 4


class Layout(NamedTuple):
    """How the pixels of a directory are stored."""

    width: int
    height: int
    channels: int
    bits: int
    order: str
    compression: int
    predictor: int
    separate: bool  # channels are stored in separate planes
    block: tuple[int, int]  # rows and columns of a strip or a tile
    tiled: bool
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    def row_bytes(self, depth: int) -> int:
        """Return the bytes of a row of a block with so many channels."""
        return -(-self.block[1] * depth * self.bits // 8)


def are_readable(directory: ifd.Directory) -> bool:
    """Tell whether every channel is a whole number of 8 to 16 bits, packed as can be read here."""
    bits = set(directory.numbers(tiff.BITS))
    return (
        len(bits) == 1
        and 8 <= min(bits) <= 16
        and set(directory.numbers(tiff.SAMPLE_FORMAT)) <= {_UNSIGNED, _VOID}
        and directory.number(tiff.FILL_ORDER, 1) == 1
        and directory.number(tiff.COMPRESSION, NONE) in (NONE, OLD_DEFLATE, *LOSSLESS)
    )


def read_samples(
    file: BinaryIO, directory: ifd.Directory, kept: Sequence[int], damage: list[str]
) -> NDArray[np.uint8 | np.uint16]:
    """Read some channels of a picture, (H, W, len(kept)), at 8 bits or scaled to 16.

    Args:
        file: the whole file.
        directory: of the picture.
        kept: which channels.
        damage: gets what is wrong with the file, though something of the picture can be read; what
            cannot is zero.

    Raises:
        ValueError: nothing of it can be read.
    """
    layout = _layout(directory, file.seek(0, 2), damage)
    rows, columns = layout.block
    planes, depth = (list(kept), 1) if layout.separate else ([0], layout.channels)
    tops, lefts = range(0, layout.height, rows), range(0, layout.width, columns)
    each = len(tops) * len(lefts)
    area = layout.width * layout.height
    if len(planes) * each > max(_MAX_BLOCKS, area // _LEAST_PIXELS):
        raise ValueError("it is cut into too many pieces")
    places = [
        (plane * each + index, plane, top, left)
        for plane in planes
        for index, (top, left) in enumerate((top, left) for top in tops for left in lefts)
    ]
    type_ = np.uint8 if layout.bits == 8 else np.uint16
    samples = np.zeros((layout.height, layout.width, len(kept)), dtype=type_)
    lost = 0
    row_bytes = layout.row_bytes(depth)
    for group in _groups(layout, places, _STRIP_BYTES // (rows * row_bytes)):
        # The last strip ends with the picture; a tile never does.
        high = rows if layout.tiled else min(rows, layout.height - group[0][2])
        plain, missing = _unpacked_group(file, layout, [place[0] for place in group], high, depth)
        lost += missing
        blocks = _to_samples(plain, layout, depth).reshape(len(group), high, columns, depth)
        if layout.predictor == 2:
            blocks = np.add.accumulate(blocks, axis=2, dtype=blocks.dtype)
        for (_, plane, top, left), block in zip(group, blocks, strict=True):
            into = [kept.index(plane)] if layout.separate else slice(None)
            part = samples[top : top + high, left : left + columns, into]
            chosen = block if layout.separate else block[..., list(kept)]
            samples[top : top + high, left : left + columns, into] = chosen[
                : part.shape[0], : part.shape[1]
            ]
    if lost == len(places):
        raise ValueError("no strip or tile of it is whole")
    if lost:
        damage.append(f"{lost} of its {len(places)} strips or tiles are damaged or cut short")
    return _spread(samples, layout.bits)


def missing_bytes(file: BinaryIO, directory: ifd.Directory) -> int:
    """Return how many bytes are missing at the end of a file that a picture's pixels need.

    Raises:
        ValueError: nothing of it can be read, or more is missing than its pixels may take.
    """
    end = file.seek(0, 2)
    layout = _layout(directory, end, [])
    blocks = list(zip(layout.offsets, layout.sizes, strict=False))
    missing = max((at + size for at, size in blocks), default=0) - end
    if missing > layout.width * layout.height * layout.channels * 2 + _STRIP_BYTES or all(
        at >= end for at, _ in blocks
    ):
        raise ValueError("nothing of the picture is in it")
    return missing


def _to_samples(
    plain: NDArray[np.uint8], layout: Layout, depth: int
) -> NDArray[np.uint8 | np.uint16]:
    """Return the samples as rows of bytes."""
    if layout.bits == 8:
        return plain
    if layout.bits == 16:
        return plain.view(layout.order + "u2").astype(np.uint16, copy=False)
    if layout.predictor == 2:
        raise ValueError(f"{layout.bits} bits with a predictor")
    count = layout.block[1] * depth
    bits = np.unpackbits(plain, axis=1)[:, : count * layout.bits]
    places = (1 << np.arange(layout.bits)[::-1]).astype(np.uint16)
    return (bits.reshape(len(plain), count, layout.bits) * places).sum(axis=2, dtype=np.uint16)


def _spread(samples: NDArray[np.uint8 | np.uint16], bits: int) -> NDArray[np.uint8 | np.uint16]:
    """Return samples of 9 to 15 bits scaled to 16; those of 8 and 16 bits as they are."""
    if bits in (8, 16):
        return samples
    return (samples << (16 - bits) | samples >> (2 * bits - 16)).astype(np.uint16, copy=False)


_Place = tuple[int, int, int, int]  # index, plane, top, left


def _groups(layout: Layout, places: list[_Place], most: int) -> Iterator[list[_Place]]:
    """Yield strips or tiles of one size in batches: some files have thousands."""
    group: list[_Place] = []
    for place in places:
        short = not layout.tiled and place[2] + layout.block[0] > layout.height
        if group and (short or len(group) >= most):
            yield group
            group = []
        group.append(place)
        if short:
            yield group
            group = []
    if group:
        yield group


def _unpacked_group(
    file: BinaryIO, layout: Layout, indexes: list[int], high: int, depth: int
) -> tuple[NDArray[np.uint8], int]:
    """Decompress strips or tiles of one size; count those that are incomplete."""
    row_bytes = layout.row_bytes(depth)
    size = high * row_bytes
    packed = [_read_block(file, layout, index, size) for index in indexes]
    try:
        if all(packed):
            return _unpack(packed, layout.compression, high, row_bytes), 0
    except (ValueError, OSError):
        pass
    blocks, missing = [], 0
    for strip in packed:
        try:
            blocks.append(_unpack([strip], layout.compression, high, row_bytes).reshape(-1))
        except (ValueError, OSError):
            part = np.frombuffer(_beginning(strip, layout.compression, size), np.uint8)
            blocks.append(np.pad(part, (0, size - len(part))))
            missing += 1
    return np.concatenate(blocks).reshape(-1, row_bytes), missing


def _beginning(strip: bytes, compression: int, size: int) -> bytes:
    """Decompress as much as possible of a damaged or truncated strip."""
    if compression == NONE:
        return strip[:size]
    plain = b""
    if compression in (DEFLATE, OLD_DEFLATE):
        unpacker = zlib.decompressobj()
        for at in range(0, len(strip), 64):
            try:
                plain += unpacker.decompress(strip[at : at + 64], max(size - len(plain), 1))
            except zlib.error:
                break
            if len(plain) >= size or unpacker.unconsumed_tail:
                break
    return plain[:size]


def _read_block(file: BinaryIO, layout: Layout, index: int, plain_size: int) -> bytes:
    """Read the bytes of one strip or tile as the file has them."""
    if index >= len(layout.offsets):
        return b""
    end = file.seek(0, 2)
    offset, size = layout.offsets[index], layout.sizes[index]
    if offset >= end:
        return b""
    if layout.compression == NONE:
        size = min(size, plain_size)
    file.seek(offset)
    return file.read(max(0, min(size, end - offset)))


def _layout(directory: ifd.Directory, end: int, damage: list[str]) -> Layout:
    width, height = directory.number(tiff.WIDTH, 0), directory.number(tiff.HEIGHT, 0)
    tiled = tiff.TILE_OFFSETS in directory.entries
    if tiled:
        block = (directory.number(tiff.TILE_HEIGHT, 0), directory.number(tiff.TILE_WIDTH, 0))
    else:
        block = (min(directory.number(tiff.ROWS_PER_STRIP, height) or height, height), width)
    if min(block) < 1 or block[0] * block[1] > 4 * max(width * height, 1 << 20):
        raise ValueError("its strips or tiles have no proper size")
    offsets = directory.numbers(tiff.TILE_OFFSETS if tiled else tiff.STRIP_OFFSETS)
    sizes = directory.numbers(tiff.TILE_SIZES if tiled else tiff.STRIP_SIZES)
    if len(sizes) < len(offsets) or not all(sizes):
        damage.append("the sizes of its strips are not written")
        sizes += (0,) * (len(offsets) - len(sizes))
        # At most up to the next strip, or to the end.
        ends = sorted({*offsets, end})
        sizes = tuple(
            size or ends[min(bisect(ends, at), len(ends) - 1)] - at
            for at, size in zip(offsets, sizes[: len(offsets)], strict=True)
        )
    return Layout(
        width,
        height,
        directory.number(tiff.CHANNELS, 1),
        directory.number(tiff.BITS, 1),
        directory.order,
        directory.number(tiff.COMPRESSION, NONE),
        directory.number(tiff.PREDICTOR, 1),
        directory.number(tiff.PLANAR, 1) == 2,
        block,
        tiled,
        offsets,
        sizes,
    )


def _unpack(packed: list[bytes], compression: int, rows: int, row_bytes: int) -> NDArray[np.uint8]:
    """Decompress strips or tiles of one size, (strips * rows, row_bytes)."""
    size = rows * row_bytes
    if compression == NONE:
        plain = packed
    elif compression in (DEFLATE, OLD_DEFLATE):
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
    """Return strips as a gray 8-bit TIFF of their own, one byte per pixel."""
    directory = ifd.Directory("<")
    directory.set_numbers(tiff.WIDTH, ifd.LONG, row_bytes)
    directory.set_numbers(tiff.HEIGHT, ifd.LONG, rows * len(packed))
    directory.set_numbers(tiff.BITS, ifd.SHORT, 8)
    directory.set_numbers(tiff.COMPRESSION, ifd.SHORT, compression)
    directory.set_numbers(tiff.PHOTOMETRIC, ifd.SHORT, 1)
    directory.set_numbers(tiff.CHANNELS, ifd.SHORT, 1)
    directory.set_numbers(tiff.ROWS_PER_STRIP, ifd.LONG, rows)
    directory.set_numbers(tiff.STRIP_SIZES, ifd.LONG, *map(len, packed))
    directory.set_numbers(tiff.STRIP_OFFSETS, ifd.LONG, *[0] * len(packed))
    start = len(ifd.build_block(directory))
    offsets = [start + before for before in accumulate(map(len, packed[:-1]), initial=0)]
    directory.set_numbers(tiff.STRIP_OFFSETS, ifd.LONG, *offsets)
    return io.BytesIO(ifd.build_block(directory) + b"".join(packed))
