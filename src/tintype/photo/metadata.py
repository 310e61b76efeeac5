"""What a file says about its photograph: EXIF, XMP, Photoshop's records, resolution.

EXIF is changed in place, byte for byte: makers' notes hold offsets that nobody else can correct, so
nothing in the block may move.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from tintype.photo import ifd

ORIENTATION = 0x0112
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128

# The size of the picture in the main, the EXIF and the interoperability directory.
_WIDTHS, _HEIGHTS = (0x0100, 0xA002, 0x1001), (0x0101, 0xA003, 0x1002)
_COLOR_SPACE, _INTEROP_INDEX = 0xA001, 0x0001
_THUMBNAIL_AT, _THUMBNAIL_SIZE = 0x0201, 0x0202
# What a picture in colour says of its kind: photometric interpretation RGB, three channels.
_COLOR_TAGS = {0x0106: 2, 0x0115: 3}
_COLOR_XMP = {
    "tiff:PhotometricInterpretation": "2",
    "tiff:SamplesPerPixel": "3",
    "photoshop:ColorMode": "3",
    "photoshop:ICCProfile": "sRGB IEC61966-2.1",
    # Else a raw converter makes it gray again.
    "crs:ConvertToGrayscale": "False",
}
# An element may be empty, and a packet hold several.
_XMP_THUMBNAILS = re.compile(
    rb"<(xmp|xap):Thumbnails\b(?:[^>]*/>|.*?</\1:Thumbnails\s*>)", re.DOTALL
)
# The types in which whole numbers are set.
_WHOLE = {ifd.SHORT: "H", ifd.LONG: "I", ifd.SIGNED_SHORT: "h", ifd.SIGNED_LONG: "i"}
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)([1-8])")

# Photoshop's image resources (Adobe, "Image Resource Blocks"): the two kinds of thumbnail and the
# profile tell of the picture as it was.
_STALE_RESOURCES = (0x0409, 0x040C, 0x040F)
_IPTC_RESOURCE = 0x0404
_RESOURCE_MARK = b"8BIM"
_RESOURCE_MARKS = (_RESOURCE_MARK, b"MeSa", b"PHUT", b"AgHg", b"DCSR")  # those of other programs
_UNKNOWN_RESOURCE = -1


@dataclass(frozen=True)
class Metadata:
    """What a file carries besides its pixels, apart from any format.

    Attributes:
        exif: the EXIF block, from its TIFF header on.
        xmp: the XMP packet.
        photoshop: Photoshop's image resources, IPTC among them.
        dpi: horizontal and vertical dots per inch.
        comments: the comments of a JPEG.
        segments: further JPEG segments, each whole with its marker, for JPEG alone.
        chunks: the text and private chunks of a PNG that any change of pixels leaves true.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    photoshop: bytes | None = None
    dpi: tuple[float, float] | None = None
    comments: tuple[bytes, ...] = ()
    segments: tuple[bytes, ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    def orientation(self) -> int:
        """Return how the stored pixels lie: 1 upright, 2 to 8 as EXIF numbers the rest."""
        found = 1
        directory = exif_directory(self.exif)
        entry = directory.entries.get(ORIENTATION) if directory else None
        if directory and entry:
            if entry.type in _WHOLE:  # what `normalize_exif` sets back, and nothing else
                found = directory.number(ORIENTATION, 1)
        elif self.xmp and (match := _XMP_ORIENTATION.search(self.xmp)):
            found = int(match[1])
        return found if found in range(1, 9) else 1

    def normalized(
        self, width: int, height: int, transposed: bool, in_color: bool = True
    ) -> Metadata:
        """Return the metadata of the upright sRGB picture that will be written.

        Args:
            width: its width in pixels.
            height: its height.
            transposed: whether its sides have changed places on the way.
            in_color: whether it has colours.
        """
        # Programs that know no resolution write 0 or 1, or nothing in its place.
        dpi = tuple(float(value) for value in self.dpi or () if value)
        dpi = dpi[::-1] if transposed else dpi
        return replace(
            self,
            exif=normalize_exif(self.exif, width, height, transposed) if self.exif else None,
            xmp=normalize_xmp(self.xmp, width, height, in_color) if self.xmp else None,
            photoshop=_without_stale_resources(self.photoshop) if self.photoshop else None,
            dpi=(dpi[0], dpi[1]) if len(dpi) == 2 and 1 < min(dpi) <= max(dpi) < 65536 else None,
        )

    def as_color(self) -> Metadata:
        """Return the metadata of the same picture in colour."""
        return replace(
            self,
            exif=_color_exif(self.exif) if self.exif else None,
            xmp=_set_in_xmp(self.xmp, _COLOR_XMP) if self.xmp else None,
        )

    def iptc(self) -> bytes | None:
        """Return the IPTC record among Photoshop's resources."""
        return dict(resources(self.photoshop or b"")).get(_IPTC_RESOURCE)


def exif_directory(exif: bytes | None) -> ifd.Directory | None:
    """Parse an EXIF block with the directories below it; None where it is damaged or absent."""
    if not exif:
        return None
    file = io.BytesIO(exif)
    try:
        order, big, first = ifd.read_header(file)
        return None if big else ifd.read_directory(file, first, order, partly=True)
    except (ValueError, struct.error):
        return None


def resolution(directory: ifd.Directory | None) -> tuple[float, float] | None:
    """Return the dots per inch that a directory's resolution tags give."""
    if directory is None:
        return None
    unit = {2: 1.0, 3: 2.54}.get(directory.number(RESOLUTION_UNIT, 2))
    x, y = directory.rational(X_RESOLUTION), directory.rational(Y_RESOLUTION)
    return (x * unit, y * unit) if unit and x and y else None


def set_resolution(directory: ifd.Directory, dpi: tuple[float, float] | None) -> None:
    """Give a directory the resolution tags of some dots per inch, unless it says the same."""
    known = resolution(directory)
    if dpi and (known is None or any(abs(a - b) > 0.01 for a, b in zip(known, dpi, strict=True))):
        directory.set_rational(X_RESOLUTION, dpi[0])
        directory.set_rational(Y_RESOLUTION, dpi[1])
        directory.set_numbers(RESOLUTION_UNIT, ifd.SHORT, 2)


def exif_with_resolution(exif: bytes | None, dpi: tuple[float, float] | None) -> bytes | None:
    """Add the resolution to an EXIF block, for formats with no other place for it."""
    directory = exif_directory(exif)
    if not dpi or resolution(directory) or (exif and directory is None):
        return exif
    directory = directory or ifd.Directory("<")
    set_resolution(directory, dpi)
    return ifd.build_block(directory)


def normalize_exif(exif: bytes, width: int, height: int, transposed: bool) -> bytes:
    """Make an EXIF block true of the upright sRGB picture.

    Orientation becomes 1, sizes the picture's own, colour space sRGB; the thumbnail, which shows
    the picture as it was, goes. A damaged block stays as it is, as far as it is damaged.
    """
    numbers = {ORIENTATION: 1, _COLOR_SPACE: 1}
    numbers |= dict.fromkeys(_WIDTHS, width) | dict.fromkeys(_HEIGHTS, height)

    def normalize(block: bytearray, directory: ifd.Directory) -> None:
        for each in directory.with_all_below():
            _normalize_directory(block, each, numbers, transposed)
        _drop_thumbnail(block, directory)

    return _edit_exif(exif, normalize)


def _edit_exif(exif: bytes, change: Callable[[bytearray, ifd.Directory], None]) -> bytes:
    """Change an EXIF block in place, as far as it is not damaged.

    Args:
        exif: the block.
        change: gets the bytes to change, and the first directory in them.
    """
    block, directory = bytearray(exif), exif_directory(exif)
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
    code = _WHOLE.get(slot.type)
    if code is None or not (slot.length == 1 or (slot.tag == ORIENTATION and slot.length)):
        return
    at, size = slot.position, struct.calcsize(code)
    if size * slot.length > 4:
        (at,) = struct.unpack_from(order + "I", block, at)
    sign_bit = int(code.islower())
    if value < 1 << 8 * size - sign_bit and at + size <= len(block):
        struct.pack_into(order + code, block, at, value)


def _color_exif(exif: bytes) -> bytes:
    """Make an EXIF block say of a picture in colour that it is one."""

    def set_color(block: bytearray, directory: ifd.Directory) -> None:
        for slot in directory.slots:
            if slot.tag in _COLOR_TAGS:
                _set_number(block, slot, directory.order, _COLOR_TAGS[slot.tag])

    return _edit_exif(exif, set_color)


def _drop_thumbnail(block: bytearray, directory: ifd.Directory) -> None:
    if not directory.next:
        return
    struct.pack_into("<I", block, _table_end(directory) - 4, 0)
    file, order = io.BytesIO(block), directory.order
    second = ifd.read_directory(file, directory.next, order, partly=True)
    at, size = second.number(_THUMBNAIL_AT, 0), second.number(_THUMBNAIL_SIZE, 0)
    # What does not look like a thumbnail may be something else, by a mistake of whoever wrote it.
    if at + size > len(block) or block[at : at + 2] != b"\xff\xd8":
        return
    if at + size == len(block):
        del block[at:]
    else:
        block[at : at + size] = bytes(size)


def _table_end(directory: ifd.Directory) -> int:
    """Return where the table of a directory ends that is whole."""
    return directory.offset + 2 + 12 * len(directory.slots) + 4


def without_orientation(exif: bytes) -> bytes:
    """Take the orientation out of an EXIF block, for a format with a place of its own."""

    def drop(block: bytearray, directory: ifd.Directory) -> None:
        for slot in directory.slots:
            if slot.tag == ORIENTATION:
                # The entries behind it and the link to the next directory move up by one.
                entry, end = slot.position - 8, _table_end(directory)
                block[entry : end - 12] = block[entry + 12 : end]
                count = len(directory.slots) - 1
                struct.pack_into(directory.order + "H", block, directory.offset, count)
                break

    return _edit_exif(exif, drop)


def shrink_exif(exif: bytes, max_bytes: int) -> bytes | None:
    """Shrink an EXIF block to so many bytes, if need be without the large private tags."""
    directory = exif_directory(exif)
    if len(exif) <= max_bytes or directory is None:
        return exif if len(exif) <= max_bytes else None
    small = {tag: entry for tag, entry in directory.entries.items() if len(entry.value) < 4096}
    smaller = replace(directory, entries=small)
    blocks = map(ifd.build_block, (smaller, smaller.with_moved_note()))
    return next((block for block in blocks if len(block) <= max_bytes), None)


def shrink_xmp(xmp: bytes, max_bytes: int) -> bytes | None:
    """Shrink an XMP packet to so many bytes, if need be without the room it keeps for changes."""
    if len(xmp) > max_bytes:
        end = xmp.rfind(b"<?xpacket end")
        if end >= 0:
            xmp = xmp[:end].rstrip() + b"\n" + xmp[end:]
    return xmp if len(xmp) <= max_bytes else None


def normalize_xmp(xmp: bytes, width: int, height: int, in_color: bool = True) -> bytes:
    """Make an XMP packet true of the upright sRGB picture: orientation, sizes, colour space.

    Thumbnails, which show the picture as it was, go.
    """
    return _set_in_xmp(
        _XMP_THUMBNAILS.sub(b"", xmp),
        {
            "tiff:Orientation": "1",
            "tiff:ImageWidth": str(width),
            "tiff:ImageLength": str(height),
            "exif:PixelXDimension": str(width),
            "exif:PixelYDimension": str(height),
            "exif:ColorSpace": "1",
            "photoshop:ColorMode": "3" if in_color else "1",
            "photoshop:ICCProfile": "sRGB IEC61966-2.1" if in_color else "sRGB gray",
        },
    )


def _set_in_xmp(xmp: bytes, values: dict[str, str]) -> bytes:
    """Set simple properties of a packet, where it has them."""
    for name, value in values.items():
        xmp = re.sub(
            rb"(\b%b\s*=\s*[\"']|<%b\s*>)[^\"'<]*" % (name.encode(), name.encode()),
            lambda match, value=value: match[1] + value.encode(),
            xmp,
        )
    return xmp


def resources(photoshop: bytes) -> list[tuple[int, bytes]]:
    """List the number and data of each of Photoshop's image resources, as far as they are whole."""
    return [(number, data) for number, _, data in _split_resources(photoshop)]


def with_iptc(photoshop: bytes | None, iptc: bytes) -> bytes:
    """Add an IPTC record to Photoshop's resources, unless they have one."""
    photoshop = photoshop or b""
    if _IPTC_RESOURCE in dict(resources(photoshop)):
        return photoshop
    head = _RESOURCE_MARK + struct.pack(">H2xI", _IPTC_RESOURCE, len(iptc))
    return photoshop + head + iptc + b"\0" * (len(iptc) % 2)


def _without_stale_resources(photoshop: bytes) -> bytes | None:
    parts = _split_resources(photoshop)
    if not any(number in _STALE_RESOURCES for number, _, _ in parts):
        return photoshop
    return b"".join(whole for number, whole, _ in parts if number not in _STALE_RESOURCES) or None


def _split_resources(photoshop: bytes) -> list[tuple[int, bytes, bytes]]:
    """List the number, the whole bytes and the data of each resource.

    Those of other programs, and what is none from some place on, are of unknown number.
    """
    parts, at = [], 0
    while photoshop[at : at + 4] in _RESOURCE_MARKS and at + 12 <= len(photoshop):
        (number,) = struct.unpack_from(">H", photoshop, at + 4)
        if photoshop[at : at + 4] != _RESOURCE_MARK:
            number = _UNKNOWN_RESOURCE
        data_at = at + 6 + (photoshop[at + 6] // 2 + 1) * 2 + 4  # after a name of even length
        if data_at > len(photoshop):
            break
        (size,) = struct.unpack_from(">I", photoshop, data_at - 4)
        end = data_at + size + size % 2
        parts.append((number, photoshop[at:end], photoshop[data_at : data_at + size]))
        at = end
    if at < len(photoshop):
        parts.append((_UNKNOWN_RESOURCE, photoshop[at:], b""))
    return parts
