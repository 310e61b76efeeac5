"""EXIF, changed in place, byte for byte.

Makers' notes hold offsets that nobody else can correct, so nothing in a block may move.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from dataclasses import replace

from tintype.photo import ifd

ORIENTATION = 0x0112
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128

# The size of the picture in the main, the EXIF and the interoperability directory.
_WIDTHS, _HEIGHTS = (0x0100, 0xA002, 0x1001), (0x0101, 0xA003, 0x1002)
_COLOR_SPACE, _INTEROP_INDEX = 0xA001, 0x0001
_THUMBNAIL_AT, _THUMBNAIL_SIZE = 0x0201, 0x0202
# Values for a color picture: photometric interpretation RGB, three channels.
_COLOR_TAGS = {0x0106: 2, 0x0115: 3}
# The types of tags that are set to integers.
WHOLE = {ifd.SHORT: "H", ifd.LONG: "I", ifd.SIGNED_SHORT: "h", ifd.SIGNED_LONG: "i"}


def parse(exif: bytes | None) -> ifd.Directory | None:
    """Parse an EXIF block and its subdirectories; return None if it is damaged or absent."""
    if not exif:
        return None
    file = io.BytesIO(exif)
    try:
        order, big, first = ifd.read_header(file)
        return None if big else ifd.read_directory(file, first, order, partly=True)
    except (ValueError, struct.error):
        return None


def dpi(exif: bytes | None) -> tuple[float, float] | None:
    """Return the resolution of an EXIF block in dots per inch."""
    return resolution(parse(exif))


def resolution(directory: ifd.Directory | None) -> tuple[float, float] | None:
    """Return the resolution of a directory's tags in dots per inch."""
    if directory is None:
        return None
    unit = {2: 1.0, 3: 2.54}.get(directory.number(RESOLUTION_UNIT, 2))
    x, y = directory.rational(X_RESOLUTION), directory.rational(Y_RESOLUTION)
    return (x * unit, y * unit) if unit and x and y else None


def set_resolution(directory: ifd.Directory, dpi: tuple[float, float] | None) -> None:
    """Set a directory's resolution tags in dots per inch, unless they have that value."""
    known = resolution(directory)
    if dpi and (known is None or any(abs(a - b) > 0.01 for a, b in zip(known, dpi, strict=True))):
        directory.set_rational(X_RESOLUTION, dpi[0])
        directory.set_rational(Y_RESOLUTION, dpi[1])
        directory.set_numbers(RESOLUTION_UNIT, ifd.SHORT, 2)


def with_resolution(exif: bytes | None, dpi: tuple[float, float] | None) -> bytes | None:
    """Return an EXIF block with the resolution, for formats that cannot store it elsewhere."""
    directory = parse(exif)
    if not dpi or resolution(directory) or (exif and directory is None):
        return exif
    directory = directory or ifd.Directory("<")
    set_resolution(directory, dpi)
    return ifd.build_block(directory)


def normalized(exif: bytes, width: int, height: int, transposed: bool) -> bytes:
    """Return an EXIF block corrected for the upright sRGB picture.

    Orientation becomes 1, sizes the picture's own, colour space sRGB; the thumbnail, which shows
    the picture as it was, goes. A damaged block stays as it is, as far as it is damaged.
    """
    numbers = {ORIENTATION: 1, _COLOR_SPACE: 1}
    numbers |= dict.fromkeys(_WIDTHS, width) | dict.fromkeys(_HEIGHTS, height)

    def normalize(block: bytearray, directory: ifd.Directory) -> None:
        for each in directory.with_all_below():
            _normalize_directory(block, each, numbers, transposed)
        _drop_thumbnail(block, directory)

    return _edited(exif, normalize)


def _edited(exif: bytes, change: Callable[[bytearray, ifd.Directory], None]) -> bytes:
    """Change an EXIF block in place, as far as it is not damaged.

    Args:
        exif: the block.
        change: gets the bytes to change, and the first directory in them.
    """
    block, directory = bytearray(exif), parse(exif)
    if directory:
        with contextlib.suppress(ValueError, struct.error):
            change(block, directory)
    return bytes(block)


def _normalize_directory(
    block: bytearray, directory: ifd.Directory, numbers: dict[int, int], transposed: bool
) -> None:
    resolutions = []
    for slot in directory.slots:
        if slot.tag in numbers:
            _set_number(block, slot, directory.order, numbers[slot.tag])
        elif slot.tag in (X_RESOLUTION, Y_RESOLUTION):
            resolutions.append(slot.position)
        elif slot.tag == _INTEROP_INDEX and block[slot.position :][:3] == b"R03":
            # Adobe RGB by the rule for camera files; R98 is its sRGB.
            block[slot.position : slot.position + 3] = b"R98"
    if transposed and len(resolutions) == 2:
        x, y = (slice(at, at + 4) for at in resolutions)
        block[x], block[y] = block[y], block[x]


def _set_number(block: bytearray, slot: ifd.Slot, order: str, value: int) -> None:
    """Set the whole number of a tag, where it has one that can hold the value.

    Of an orientation that is written several times the first counts, so it is set there.
    """
    code = WHOLE.get(slot.type)
    if code is None or not (slot.length == 1 or (slot.tag == ORIENTATION and slot.length)):
        return
    at, size = slot.position, struct.calcsize(code)
    if size * slot.length > 4:
        (at,) = struct.unpack_from(order + "I", block, at)
    sign_bit = int(code.islower())
    if value < 1 << 8 * size - sign_bit and at + size <= len(block):
        struct.pack_into(order + code, block, at, value)


def as_color(exif: bytes) -> bytes:
    """Return an EXIF block that declares a color picture."""

    def set_color(block: bytearray, directory: ifd.Directory) -> None:
        for slot in directory.slots:
            if slot.tag in _COLOR_TAGS:
                _set_number(block, slot, directory.order, _COLOR_TAGS[slot.tag])

    return _edited(exif, set_color)


def _drop_thumbnail(block: bytearray, directory: ifd.Directory) -> None:
    if not directory.next:
        return
    struct.pack_into("<I", block, _table_end(directory) - 4, 0)
    file, order = io.BytesIO(block), directory.order
    second = ifd.read_directory(file, directory.next, order, partly=True)
    at, size = second.number(_THUMBNAIL_AT, 0), second.number(_THUMBNAIL_SIZE, 0)
    # What does not look like a thumbnail may be other data, by a mistake of the writing program.
    if at + size > len(block) or block[at : at + 2] != b"\xff\xd8":
        return
    if at + size == len(block):
        del block[at:]
    else:
        block[at : at + size] = bytes(size)


def _table_end(directory: ifd.Directory) -> int:
    """Return the offset at which a complete directory's table ends."""
    return directory.offset + 2 + 12 * len(directory.slots) + 4


def without_orientation(exif: bytes) -> bytes:
    """Return an EXIF block without orientation, for a format that stores it elsewhere."""

    def drop(block: bytearray, directory: ifd.Directory) -> None:
        for slot in directory.slots:
            if slot.tag == ORIENTATION:
                # The entries behind it and the link to the next directory move up by one.
                entry, end = slot.position - 8, _table_end(directory)
                block[entry : end - 12] = block[entry + 12 : end]
                count = len(directory.slots) - 1
                struct.pack_into(directory.order + "H", block, directory.offset, count)
                break

    return _edited(exif, drop)


def shrunk(exif: bytes, max_bytes: int) -> bytes | None:
    """Return an EXIF block of at most a number of bytes, without large private tags if needed."""
    directory = parse(exif)
    if len(exif) <= max_bytes or directory is None:
        return exif if len(exif) <= max_bytes else None
    small = {tag: entry for tag, entry in directory.entries.items() if len(entry.value) < 4096}
    smaller = replace(directory, entries=small)
    blocks = map(ifd.build_block, (smaller, smaller.with_moved_note()))
    return next((block for block in blocks if len(block) <= max_bytes), None)
