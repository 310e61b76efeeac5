"""Decode a file of one format to its pixels and its metadata, as they are stored."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile

from tintype.errors import PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import exif, jpeg, png, profiles, webp
from tintype.photo.encoding import Encoding
from tintype.photo.metadata import Metadata
from tintype.photo.pillow import large_png_texts, no_pixel_limit

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

# Segments of a JPEG that are interpreted, or that describe how its pixels are stored.
_READ_ELSEWHERE = {
    "APP0": (b"JFIF\0", b"JFXX\0"),
    "APP1": (b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"),
    "APP2": (b"ICC_PROFILE\0",),
    "APP14": (b"Adobe",),
}
# Primaries and transfer functions of H.273 that differ from sRGB and are not converted.
_UNREAD_PRIMARIES = {4: "NTSC (1953)", 8: "film", 10: "XYZ", 11: "DCI-P3"}
_UNREAD_TRANSFERS = {9: "a log curve", 10: "a log curve", 16: "PQ (HDR)", 18: "HLG (HDR)"}
DAMAGED = "the file is damaged"  #: how a note of damage begins
_MAX_FRAMES = 100  # up to which the frames of an animation are counted
_PHOTOSHOP_HEADER = b"Photoshop 3.0\0"
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
        """Note damage that leaves a part of the picture readable; in strict mode raise an error."""
        if self.strict:
            raise UnreadablePhotoError(
                f"{self.name} is damaged ({what}): get a whole copy of it, or leave out --strict "
                "(strict= in the library)"
            )
        self.leave_out(f"{DAMAGED}: {what}; what can be read of it is taken")

    def leave_out(self, note: str) -> None:
        """Note that a part of the file is ignored."""
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
        count = 1
        if isinstance(image, GifImageFile):  # the number of frames is found by decoding
            with suppress(EOFError, OSError):  # one may be truncated
                while count <= _MAX_FRAMES:
                    image.seek(count)
                    count += 1
            image.seek(0)
        else:
            count = getattr(image, "n_frames", 1)
        if count > 1:
            frames = f"{count} frames" if count <= _MAX_FRAMES else f"over {_MAX_FRAMES} frames"
            raise UnreadablePhotoError(
                f"{self.name} is animated ({frames}): save the frame you want as a picture"
            )


def decode_jpeg(request: ReadRequest) -> Decoded:
    """Read a JPEG; of several pictures in one file (MPF) the first."""
    from PIL.JpegImagePlugin import JpegImageFile

    data = request.file.read()
    contents = jpeg.read_contents(data)
    if kind := jpeg.unread_kind(*contents.frame):
        raise UnreadablePhotoError(
            f"{request.name} is {kind}, which tintype does not read: convert it to a PNG or TIFF "
            "of 8 or 16 bits first"
        )
    if contents.size:
        request.check_size(*contents.size)
    image = JpegImageFile(io.BytesIO(data if contents.end else data[: contents.usable] + jpeg.END))
    request.check_size(*image.size)
    image.load()
    _note_damage(request, data, contents, image)
    segments, photoshop = [], b""
    several = False
    for kind, segment in image.applist:
        if kind == "APP13" and segment.startswith(_PHOTOSHOP_HEADER):
            photoshop += segment[len(_PHOTOSHOP_HEADER) :]
        elif kind == "APP2" and segment.startswith(b"MPF\0"):
            several = True
        elif kind == "APP11" and segment.startswith(b"JP"):
            if not any("JUMBF" in note for note in request.left_out):
                request.leave_out(
                    "the seals of its origin (JUMBF, C2PA) are left out: they hold for the file "
                    "as it was"
                )
        elif kind != "COM" and not segment.startswith(_READ_ELSEWHERE.get(kind, ())):
            marker = 0xE0 + int(kind[3:])
            segments.append(struct.pack(">BBH", 0xFF, marker, len(segment) + 2) + segment)
    if several:
        request.leave_out("the file holds more pictures than one (MPF): the first is taken")
    elif contents.beyond:
        request.leave_out(
            f"{contents.beyond:,} bytes behind the picture's end (a film?) are left out"
        )
    block = exif_block(image.info.get("exif"))
    dpi = image.info.get("dpi") if image.info.get("jfif_unit") in (1, 2) else None
    carried = Metadata(
        exif=block,
        xmp=image.info.get("xmp"),
        photoshop=photoshop or None,
        dpi=dpi or exif.dpi(block),
        comments=tuple(data for kind, data in image.applist if kind == "COM"),
        segments=tuple(segments),
    )
    return Decoded(image, False, image.info.get("icc_profile"), carried, jpeg_encoding(image))


def _note_damage(
    request: ReadRequest, data: bytes, contents: jpeg.Contents, image: JpegImageFile
) -> None:
    """Note which part of a JPEG is missing; raise an error if all of it is."""
    missing = jpeg.missing_share(data, contents, image)
    emptied = jpeg.emptied_share(data, contents, image)
    if missing == 1 and not contents.progressive:
        raise ValueError("nothing of the picture is in it")
    if emptied and (contents.progressive or contents.flat):
        request.damaged("a part of its data is zeros")
    elif emptied:
        share = max(1, round(100 * emptied))
        request.damaged(f"a part of its data is zeros, from where on the lower {share} % are wrong")
    elif missing and contents.progressive:
        request.damaged("its finer detail is cut short")
    elif missing:
        request.damaged(f"the lower {max(1, round(100 * missing))} % are cut short")
    elif contents.end is None:
        request.damaged("its end is missing")


def jpeg_encoding(image: Image.Image) -> Encoding:
    """Return the encoding of an opened JPEG: quality, subsampling and the like."""
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    used = [tables.get(layer[3]) for layer in layers]
    luma = used[0] if used else None
    # The four tables of a CMYK picture do not tell chroma subsampling.
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
        # Pillow has scaled the levels to 8 bits, but not the one that means transparency.
        image.info["transparency"] = key * 255 // ((1 << depth) - 1)
    if isinstance(pixels, np.ndarray) and key is not None:
        opaque = (pixels != np.asarray(key, dtype=np.uint16)).any(axis=-1, keepdims=True)
        pixels = np.concatenate([pixels, opaque * np.uint16(65535)], axis=-1)
    xmp = image.info.get("xmp")
    carried = Metadata(
        exif=exif_block(image.info.get("exif")) or exif_block(contents.exif),
        xmp=xmp if isinstance(xmp, bytes) else None,
        dpi=image.info.get("dpi"),
        chunks=contents.kept,
    )
    return Decoded(pixels, False, _png_profile(request, image, contents.space), carried, Encoding())


def _png_profile(
    request: ReadRequest, image: Image.Image, space: tuple[int, int] | None
) -> bytes | None:
    """Return the ICC profile of a PNG, or one made for the color space or gamma that it names."""
    icc = image.info.get("icc_profile")
    gamma = image.info.get("gamma")
    if icc or space:
        return icc or space_profile(request, *(space or ()))
    if not gamma or "srgb" in image.info or abs(gamma - _SRGB_GAMMA) <= _SAME_GAMMA:
        return None
    # A value outside this range is damage.
    return profiles.gamma_profile(1 / gamma) if _LEAST_GAMMA <= gamma <= 1 / _LEAST_GAMMA else None


def decode_webp(request: ReadRequest) -> Decoded:
    """Read a WebP."""
    from PIL.WebPImagePlugin import WebPImageFile

    # The decoder allocates the picture before its size can be queried.
    width, height = webp.size(request.file)
    request.check_size(width, height)
    contents = webp.read_contents(request.file, width * height)
    if contents.damage:
        request.damaged(contents.damage)
    if contents.others:
        request.leave_out(f"{', '.join(contents.others)}: parts of the WebP that are left out")
    with no_pixel_limit:
        image = WebPImageFile(webp.filled(request.file, width * height))
    request.refuse_frames(image)
    image.load()
    return Decoded(
        image,
        False,
        image.info.get("icc_profile"),
        plain_metadata(image),
        Encoding(lossless=contents.lossless),
    )


def space_profile(request: ReadRequest, primaries: int, transfer: int) -> bytes | None:
    """Return a profile for a color space by its ITU-T H.273 numbers; note an unknown one."""
    unread = [_UNREAD_PRIMARIES.get(primaries), _UNREAD_TRANSFERS.get(transfer)]
    if any(unread):
        names = " and ".join(name for name in unread if name)
        request.notes.append(f"its colours are of {names}: read as sRGB")
        return None
    return profiles.h273_profile(primaries, transfer)


def decode_bmp(request: ReadRequest) -> Decoded:
    """Read a BMP."""
    from PIL.BmpImagePlugin import BmpImageFile

    request.file.seek(18)
    sides = request.file.read(8)
    if len(sides) == 8:
        request.check_size(*(min(abs(side), 1) for side in struct.unpack("<2i", sides)))
    request.file.seek(0)
    image = BmpImageFile(request.file)
    request.check_size(*image.size)
    missing = _missing_bmp_bytes(image, request.file)
    if missing:
        request.damaged("its end is missing")
        request.file.seek(0)
        image = BmpImageFile(io.BytesIO(request.file.read() + bytes(missing)))
    image.load()
    return Decoded(image, False, None, Metadata(dpi=image.info.get("dpi")), Encoding())


def _missing_bmp_bytes(image: ImageFile.ImageFile, file: BinaryIO) -> int:
    """Return how many bytes of pixels a BMP lacks; 0 if it is compressed or has none at all."""
    tile = image.tile[0]
    end = file.seek(0, 2)
    arguments = tile[3]
    if tile[0] != "raw" or end <= tile[2] or not isinstance(arguments, tuple):
        return 0
    return max(0, tile[2] + int(arguments[1]) * image.height - end)


def plain_metadata(image: Image.Image) -> Metadata:
    """Return the EXIF, XMP and resolution that Pillow gives with an image."""
    block = exif_block(image.info.get("exif"))
    xmp = image.info.get("xmp")
    dpi = image.info.get("dpi") or exif.dpi(block)
    return Metadata(exif=block, xmp=xmp.encode() if isinstance(xmp, str) else xmp, dpi=dpi)


def exif_block(block: bytes | None) -> bytes | None:
    """Return an EXIF block without the prefix that some formats put before it."""
    while block and block.startswith(b"Exif\0\0"):
        block = block[6:]
    return block or None
