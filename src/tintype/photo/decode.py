"""From a file of one format to its pixels and all it carries, as they are stored."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from tintype.errors import PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import metadata, png, profiles
from tintype.photo.encoding import Encoding
from tintype.photo.metadata import Metadata
from tintype.photo.pillow import large_png_texts, no_pixel_limit

_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP_HEADER = b"Photoshop 3.0\0"
_AVIF_HEAD = 1 << 16  # bytes within which an AVIF describes its pictures
# Gamma of a PNG without a profile: sRGB's is written as 1 / 2.2; below the last it is no picture's.
_SRGB_GAMMA, _SAME_GAMMA, _LEAST_GAMMA = 1 / 2.2, 0.02, 0.1


class Decoded(NamedTuple):
    """A file's contents as stored.

    Attributes:
        pixels: a loaded Pillow image of 8 bits a channel, or 16-bit samples (H, W, C).
        upright: whether the pixels have been turned upright already.
        icc: the colour profile.
        metadata: what else the file carries, as stored.
        encoding: how the picture was stored.
    """

    pixels: Image.Image | NDArray[np.uint16]
    upright: bool
    icc: bytes | None
    metadata: Metadata
    encoding: Encoding


class ReadRequest(NamedTuple):
    """One file to be read.

    Attributes:
        file: where from.
        name: what to call it.
        max_pixels: how large it may be.
        notes: gets what could not be read or done as the file asks.
        left_out: gets those of the notes that tell of something in the file that is not taken.
        strict: whether damage is refused, though something of the picture can be read.
        page: which of several pages; None for the first.
    """

    file: BinaryIO
    name: str
    max_pixels: int | None
    notes: list[str]
    left_out: list[str]
    strict: bool = False
    page: int | None = None

    def damaged(self, what: str) -> None:
        """Note damage that leaves something of the picture to read; refuse it where asked to."""
        if self.strict:
            raise UnreadablePhotoError(
                f"{self.name} is damaged ({what}): get a whole copy of it, or leave out --strict "
                "(strict= in the library)"
            )
        self.leave_out(f"the file is damaged: {what}; what can be read of it is taken")

    def leave_out(self, note: str) -> None:
        """Note that something in the file is not taken."""
        self.notes.append(note)
        self.left_out.append(note)

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture with more pixels than allowed, or with none."""
        if width < 1 or height < 1:
            raise UnreadablePhotoError(f"{self.name} is {width} × {height} pixels: nothing to see")
        pixels = width * height
        if self.max_pixels is not None and pixels > self.max_pixels:
            raise PhotoTooLargeError(
                f"{self.name} has {pixels:,} pixels ({width} × {height}), and the limit is "
                f"{self.max_pixels:,}: if you trust the file, raise it with --max-pixels {pixels} "
                "(max_pixels= in the library)"
            )

    def refuse_frames(self, image: ImageFile.ImageFile) -> None:
        """Refuse an animation."""
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise UnreadablePhotoError(
                f"{self.name} is animated ({frames} frames): save the frame you want as a picture"
            )


def decode_jpeg(request: ReadRequest) -> Decoded:
    """Read a JPEG; of several pictures in one file (MPF) the first."""
    from PIL.JpegImagePlugin import JpegImageFile

    image = JpegImageFile(request.file)
    request.check_size(*image.size)
    image.load()
    segments, photoshop = [], b""
    for kind, data in image.applist:
        if kind == "APP1" and data.startswith(_XMP_EXTENSION):
            segments.append(b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data)
        elif kind == "APP13" and data.startswith(_PHOTOSHOP_HEADER):
            photoshop += data[len(_PHOTOSHOP_HEADER) :]
        elif kind == "APP2" and data.startswith(b"MPF\0"):
            request.leave_out("the file holds more pictures than one (MPF): the first is taken")
    exif = _exif(image.info.get("exif"))
    dpi = image.info.get("dpi") if image.info.get("jfif_unit") in (1, 2) else None
    carried = Metadata(
        exif=exif,
        xmp=image.info.get("xmp"),
        photoshop=photoshop or None,
        dpi=dpi or metadata.resolution(metadata.exif_directory(exif)),
        comments=tuple(data for kind, data in image.applist if kind == "COM"),
        segments=tuple(segments),
    )
    return Decoded(image, False, image.info.get("icc_profile"), carried, jpeg_encoding(image))


def jpeg_encoding(image: Image.Image) -> Encoding:
    """Return how an opened JPEG is stored."""
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    used = [tables.get(layer[3]) for layer in layers]
    luma = used[0] if used else None
    # The four tables of a CMYK picture say nothing about chroma.
    chroma = used[1] if len(used) == 3 else None
    return Encoding(
        progressive=bool(image.info.get("progressive")),
        luma_table=tuple(luma) if luma else None,
        chroma_table=tuple(chroma) if chroma else None,
    )


def decode_png(request: ReadRequest) -> Decoded:
    """Read a PNG of any depth."""
    from PIL.PngImagePlugin import PngImageFile

    width, height, depth, color_type = png.read_header(request.file)
    request.check_size(width, height)
    contents = png.read_contents(request.file)
    if contents.damage:
        request.damaged(contents.damage)
    if contents.beyond:
        request.leave_out(f"{contents.beyond:,} bytes behind the picture's end are left out")
    if contents.dropped:
        request.leave_out(f"{contents.dropped} damaged or too long texts are left out")
    file = request.file if contents.plain else png.rebuilt(request.file, contents)

    def open_image() -> PngImageFile:
        file.seek(0)
        return PngImageFile(file)

    with large_png_texts:
        image = open_image()
        request.refuse_frames(image)
        if depth == 16 and color_type != 0:
            pixels = png.read_16(image, open_image, color_type)
        else:
            image.load()
            pixels = np.asarray(image).astype(np.uint16)[..., None] if depth == 16 else image
    key = image.info.get("transparency")
    if color_type == 0 and depth in (2, 4) and isinstance(key, int):
        # Pillow has spread the levels over 8 bits, but not the one that stands for transparency.
        image.info["transparency"] = key * 255 // ((1 << depth) - 1)
    if isinstance(pixels, np.ndarray) and key is not None:
        opaque = (pixels != np.asarray(key, dtype=np.uint16)).any(axis=-1, keepdims=True)
        pixels = np.concatenate([pixels, opaque * np.uint16(65535)], axis=-1)
    xmp = image.info.get("xmp")
    carried = Metadata(
        exif=_exif(image.info.get("exif")) or _exif(contents.exif),
        xmp=xmp if isinstance(xmp, bytes) else None,
        dpi=image.info.get("dpi"),
        chunks=contents.kept,
    )
    return Decoded(pixels, False, _png_profile(image), carried, Encoding())


def _png_profile(image: Image.Image) -> bytes | None:
    """Return the profile of a PNG, or one that stands for the gamma it gives instead."""
    icc = image.info.get("icc_profile")
    gamma = image.info.get("gamma")
    if icc or not gamma or "srgb" in image.info or abs(gamma - _SRGB_GAMMA) <= _SAME_GAMMA:
        return icc
    if not _LEAST_GAMMA <= gamma <= 1 / _LEAST_GAMMA:
        return None  # no picture's
    space = "GRAY" if image.mode in ("1", "L", "LA", "I;16") else "RGB "
    return profiles.make_profile(f"gamma {gamma:.4g}", space, (1 / gamma,))


def decode_webp(request: ReadRequest) -> Decoded:
    """Read a WebP."""
    from PIL.WebPImagePlugin import WebPImageFile

    # The decoder makes room for the picture before it can be asked for its size.
    request.check_size(*_webp_size(request.file))
    lossless = any(kind == b"VP8L" for kind, _ in _webp_chunks(request.file))
    request.file.seek(0)
    with no_pixel_limit:
        image = WebPImageFile(request.file)
    request.refuse_frames(image)
    image.load()
    return Decoded(
        image,
        False,
        image.info.get("icc_profile"),
        plain_metadata(image),
        Encoding(lossless=lossless),
    )


def _webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the first ten bytes of each chunk of a WebP."""
    at = 12
    while True:
        file.seek(at)
        head = file.read(18)
        if len(head) < 8:
            return
        kind, size = struct.unpack_from("<4sI", head)
        yield kind, head[8:]
        at += 8 + size + size % 2


def _webp_size(file: BinaryIO) -> tuple[int, int]:
    """Read width and height from the first chunk of a WebP."""
    kind, data = next(_webp_chunks(file), (b"", b""))
    if len(data) < 10:
        raise ValueError("it has no header")
    if kind == b"VP8X":
        sides = int.from_bytes(data[4:7], "little"), int.from_bytes(data[7:10], "little")
        return sides[0] + 1, sides[1] + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<2H", data, 6)
    return width & 0x3FFF, height & 0x3FFF


def decode_avif(request: ReadRequest) -> Decoded:
    """Read an AVIF, at 8 bits whatever it has: Pillow gives no more."""
    from PIL.AvifImagePlugin import AvifImageFile

    image = AvifImageFile(request.file)
    request.check_size(*image.size)
    request.refuse_frames(image)
    image.load()
    if is_high_bit_depth_avif(request.file):
        request.leave_out("this AVIF is taken at 8 bits a channel, though it has more")
    return Decoded(image, False, image.info.get("icc_profile"), plain_metadata(image), Encoding())


def is_high_bit_depth_avif(file: BinaryIO) -> bool:
    """Return whether an AVIF has 10 or 12 bits a channel, by the configuration of its codec."""
    file.seek(0)
    head = file.read(_AVIF_HEAD)
    at = head.find(b"av1C")
    # AV1 in ISOBMFF, section 2.3.3: tier, high_bitdepth and more in the third byte.
    return at >= 0 and len(head) > at + 6 and bool(head[at + 6] & 0x40)


def decode_bmp(request: ReadRequest) -> Decoded:
    """Read a BMP."""
    from PIL.BmpImagePlugin import BmpImageFile

    image = BmpImageFile(request.file)
    request.check_size(*image.size)
    image.load()
    return Decoded(image, False, None, Metadata(dpi=image.info.get("dpi")), Encoding())


def plain_metadata(image: Image.Image) -> Metadata:
    """Return the EXIF, XMP and resolution that Pillow gives with an image."""
    exif = _exif(image.info.get("exif"))
    xmp = image.info.get("xmp")
    dpi = image.info.get("dpi") or metadata.resolution(metadata.exif_directory(exif))
    return Metadata(exif=exif, xmp=xmp.encode() if isinstance(xmp, str) else xmp, dpi=dpi)


def _exif(block: bytes | None) -> bytes | None:
    """Strip the marks that some formats put before an EXIF block."""
    while block and block.startswith(b"Exif\0\0"):
        block = block[6:]
    return block or None
