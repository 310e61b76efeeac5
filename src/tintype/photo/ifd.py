"""TIFF directories: the structure under every TIFF file and every EXIF block.

Values stay the raw bytes they are in the file: what is copied from one place to another is copied
exactly, whatever it means (TIFF 6.0, section 2; Exif 2.32, section 4.6). BigTIFF is read, never
written.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

EXIF_POINTER = 0x8769
GPS_POINTER = 0x8825
INTEROP_POINTER = 0xA005
MAKER_NOTE = 0x927C
POINTERS = (EXIF_POINTER, GPS_POINTER, INTEROP_POINTER)
# Which directories may contain which, so that no file causes an endless loop.
CHILDREN = {None: (EXIF_POINTER, GPS_POINTER), EXIF_POINTER: (INTEROP_POINTER,)}

BYTE, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_SHORT, SIGNED_LONG = 1, 3, 4, 5, 7, 8, 9

# A maker note at a larger offset is moved.
_MAX_NOTE_OFFSET = 1 << 16

# 129 is UTF-8 text (Exif 3.0).
_TYPE_SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
    16: 8, 17: 8, 18: 8, 129: 1,
}  # fmt: skip
_NUMBER_FORMATS = {
    1: "B",
    3: "H",
    4: "I",
    6: "b",
    8: "h",
    9: "i",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}


class Entry(NamedTuple):
    """A tag's value: its TIFF type, how many values, and their bytes in the directory's order.

    A maker's note knows where it stands, and must be written there: offsets in it count from the
    beginning of the file, and nobody else can correct them.
    """

    type: int
    length: int
    value: bytes
    at: int | None = None


class Slot(NamedTuple):
    """Where a tag stands in a file: for changes in place, which leave every offset in it true."""

    tag: int
    type: int
    length: int
    position: int  # offset of the bytes that hold the value or its offset


@dataclass
class Budget:
    """The number of bytes of values that may still be read: many tags can point to the same."""

    left: int


@dataclass
class Directory:
    """One image file directory.

    Attributes:
        order: byte order of every value, ``"<"`` or ``">"``.
        entries: values by tag, without the pointers to other directories.
        slots: where each of its tags stands that was read, pointers and repeated ones too.
        children: the EXIF, GPS and interoperability directories by the tag that points to them.
        next: offset of the directory after this one, 0 for the last.
        offset: where it stands itself.
    """

    order: str
    entries: dict[int, Entry] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    children: dict[int, Directory] = field(default_factory=dict)
    next: int = 0
    offset: int = 0

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the integers of a tag; none if it is absent or of another type."""
        entry = self.entries.get(tag)
        code = _NUMBER_FORMATS.get(entry.type) if entry else None
        if entry is None or code is None:
            return ()
        return struct.unpack(f"{self.order}{entry.length}{code}", entry.value)

    def number(self, tag: int, default: int) -> int:
        """Return the first integer of a tag; None if there is none."""
        return (*self.numbers(tag), default)[0]

    def rational(self, tag: int) -> float | None:
        """Return the first fraction of a tag; None where there is none or it divides by zero."""
        entry = self.entries.get(tag)
        if entry is None or entry.type != RATIONAL or not entry.length:
            return None
        above, below = struct.unpack_from(f"{self.order}2I", entry.value)
        return above / below if below else None

    def set_numbers(self, tag: int, kind: int, *values: int) -> None:
        """Set a tag to integers of a TIFF type."""
        packed = struct.pack(f"{self.order}{len(values)}{_NUMBER_FORMATS[kind]}", *values)
        self.entries[tag] = Entry(kind, len(values), packed)

    def set_rational(self, tag: int, value: float) -> None:
        """Set a tag to a fraction, to four decimals."""
        packed = struct.pack(f"{self.order}2I", round(value * 10000), 10000)
        self.entries[tag] = Entry(RATIONAL, 1, packed)

    def set_bytes(self, tag: int, kind: int, value: bytes) -> None:
        """Set a tag to bytes, as BYTE or UNDEFINED."""
        self.entries[tag] = Entry(kind, len(value), value)

    def with_all_below(self) -> list[Directory]:
        """Return this directory and those below it."""
        return [self, *(each for one in self.children.values() for each in one.with_all_below())]

    def maker_note(self) -> Entry | None:
        """Return the maker note that must keep its offset; None if there is none."""
        below = self.children.get(EXIF_POINTER)
        note = below.entries.get(MAKER_NOTE) if below else None
        return note if note and note.at is not None else None

    def with_moved_note(self) -> Directory:
        """Return a copy whose maker note may be moved."""
        note = self.maker_note()
        if note is None:
            return self
        below = self.children[EXIF_POINTER]
        below = replace(below, entries={**below.entries, MAKER_NOTE: note._replace(at=None)})
        return replace(self, children={**self.children, EXIF_POINTER: below})

    def without(self, tags: frozenset[int]) -> Directory:
        """Return a copy without some tags."""
        kept = {tag: entry for tag, entry in self.entries.items() if tag not in tags}
        return replace(self, entries=kept, children=dict(self.children), next=0)


def read_header(file: BinaryIO) -> tuple[str, bool, int]:
    """Read the header of a TIFF file or an EXIF block at offset 0.

    Returns:
        Byte order, whether it is a BigTIFF, and the offset of the first directory.

    Raises:
        ValueError: it is no TIFF header.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError("no TIFF header")
    (version,) = struct.unpack_from(order + "H", head, 2)
    if version == 42:
        return order, False, struct.unpack_from(order + "I", head, 4)[0]
    if version == 43 and len(head) == 16:
        return order, True, struct.unpack_from(order + "Q", head, 8)[0]
    raise ValueError(f"TIFF version {version}")


def read_directory(
    file: BinaryIO,
    offset: int,
    order: str,
    big: bool = False,
    tag: int | None = None,
    budget: Budget | None = None,
    partly: bool = False,
) -> Directory:
    """Read the directory at an offset, with the EXIF, GPS and other directories below it.

    A value that lies outside the file is left out: one damaged tag does not cost the others.

    Args:
        file: the whole file or block, seekable.
        offset: where the directory begins.
        order: byte order, from the header.
        big: whether it is a BigTIFF.
        tag: the pointer that led here; None for a directory of the file's own chain.
        budget: for the values of several directories; None allows this and those below it as many
            bytes as the file has.
        partly: whether a table cut short is read as far as it goes.

    Raises:
        ValueError: there is no whole directory at that offset.
    """
    end = file.seek(0, 2)
    budget = budget or Budget(end)
    directory = Directory(order, offset=offset)
    pointers: dict[int, int] = {}
    counter, entry_format, pointer_format = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    counter_size, entry_size, inline = (8, 12, 8) if big else (2, 8, 4)
    values_at = offset + counter_size + entry_size
    if offset >= end:
        raise ValueError(f"no TIFF directory at byte {offset}")
    file.seek(offset)
    head = file.read(counter_size)
    count = struct.unpack(order + counter, head)[0] if len(head) == counter_size else 0
    table_size = count * (entry_size + inline) + inline
    table = file.read(min(table_size, end))
    if partly:
        count = min(count, len(table) // (entry_size + inline))
    if not count or len(table) < count * (entry_size + inline):
        raise ValueError(f"no TIFF directory at byte {offset}")
    for start in range(0, count * (entry_size + inline), entry_size + inline):
        name, kind, length = struct.unpack_from(order + entry_format, table, start)
        directory.slots.append(Slot(name, kind, length, values_at + start))
        value = table[start + entry_size : start + entry_size + inline]
        size, at = _TYPE_SIZES.get(kind, 0) * length, None
        if name in POINTERS:
            wide = "Q" if big and kind in (16, 18) else "I"
            (pointers[name],) = struct.unpack_from(order + wide, value)
            continue
        if size > inline:
            (at,) = struct.unpack(order + pointer_format, value)
            if at + size > end or size > budget.left:
                continue
            budget.left -= size
            file.seek(at)
            value = file.read(size)
        if size:
            at = at if name == MAKER_NOTE and tag == EXIF_POINTER else None
            directory.entries.setdefault(name, Entry(kind, length, value[:size], at))
    if len(table) == table_size:
        (directory.next,) = struct.unpack_from(order + pointer_format, table, table_size - inline)
    for name in CHILDREN.get(tag, ()):
        with suppress(KeyError, ValueError):
            at = pointers[name]
            directory.children[name] = read_directory(file, at, order, big, name, budget, partly)
    return directory


def build(directory: Directory, base: int) -> bytes:
    """Return a directory and its children as bytes for the even offset ``base``.

    A maker's note that must stand at its place is not among them.
    """
    order = directory.order
    tags = sorted({*directory.entries, *directory.children})
    values_at = base + 2 + 12 * len(tags) + 4
    table = bytearray(struct.pack(order + "H", len(tags)))
    values = bytearray()
    for tag in tags:
        at = values_at + len(values)
        if tag in directory.children:
            kind, count, value = LONG, 1, struct.pack(order + "I", at)
            values += build(directory.children[tag], at)
        else:
            kind, count, value, pinned = _classic(directory.entries[tag], order)
            if pinned is not None:
                value = struct.pack(order + "I", pinned)
            elif len(value) > 4:
                values += value
                value = struct.pack(order + "I", at)
        values += b"\0" * (len(values) % 2)
        table += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
    return bytes(table + struct.pack(order + "I", 0) + values)


def _classic(entry: Entry, order: str) -> Entry:
    """Return a BigTIFF value in a type of classic TIFF, if there is one."""
    known = {16: (LONG, "Q", "I"), 17: (SIGNED_LONG, "q", "i"), 18: (13, "Q", "I")}
    kind, wide, narrow = known.get(entry.type, (0, "", ""))
    if not kind:
        return entry
    values = struct.unpack(f"{order}{entry.length}{wide}", entry.value)
    try:
        return Entry(kind, entry.length, struct.pack(f"{order}{entry.length}{narrow}", *values))
    except struct.error:  # too large for the type
        return Entry(UNDEFINED, len(entry.value), entry.value)


def build_block(directory: Directory) -> bytes:
    """Return a directory as a block of its own, TIFF header and directory, as in EXIF."""
    directory, start = with_header_room(directory)
    mark = b"II" if directory.order == "<" else b"MM"
    head = mark + struct.pack(directory.order + "HI", 42, len(start))
    return head + start[8:] + build(directory, len(start))


def is_near(note: Entry) -> bool:
    """Tell whether a maker note's offset is possible in any file."""
    return note.at is not None and 8 <= note.at <= _MAX_NOTE_OFFSET


def with_header_room(directory: Directory) -> tuple[Directory, bytes]:
    """Return a directory to be written, and the beginning of its file, up to an even offset.

    That is room for a header, and the maker's note if it must stand at its place.
    """
    note = directory.maker_note()
    if note is None or note.at is None or not is_near(note):
        return directory.with_moved_note(), bytes(8)
    return directory, bytes(note.at) + note.value + bytes((note.at + len(note.value)) % 2)
