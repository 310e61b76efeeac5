"""Encode a photograph in a file format, with all metadata that the format can hold."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tintype.errors import UnwritablePhotoError
from tintype.photo import exif, ifd, jpeg2000, png, tiff, xmp
from tintype.photo.encoding import Format
from tintype.photo.jpeg import matching_chroma_table
from tintype.photo.picture import Picture
from tintype.photo.pillow import no_warnings
from tintype.photo.planes import Pixels
from tintype.photo.profiles import srgb_gray_profile, srgb_profile

_QUALITY = 95
_MAX_SIDE: dict[Format, int] = {"JPEG": 65500, "WEBP": 16383, "AVIF": 32768}

# Largest payload of a JPEG segment without its identifier.
_MAX_EXIF, _MAX_XMP, _MAX_PHOTOSHOP, _MAX_COMMENT = 65527, 65504, 65519, 65533
_PHOTOSHOP_HEADER = b"Photoshop 3.0\0"


def encode(photo: Picture, format: Format, file: BinaryIO) -> tuple[str, ...]:
    """Write a photograph in a format.

    Args:
        photo: what to write.
        format: how.
        file: where to, from its beginning; seekable.

    Returns:
        What is lost, because the format has no place for it, in words.

    Raises:
        UnwritablePhotoError: the format cannot hold the photograph.
        OSError: the file cannot be written.
    """
    side = _MAX_SIDE.get(format)
    if side and max(photo.width, photo.height) > side:
        raise UnwritablePhotoError(
            f"{format} holds at most {side} pixels a side, and the photograph is "
            f"{photo.width} × {photo.height}: choose PNG or TIFF"
        )
    notes: list[str] = []
    if photo.bit_depth == 16 and format not in ("PNG", "TIFF") and not _is_deep(photo, format):
        notes.append(f"{format} holds 8 bits a channel: the photograph's 16 were rounded")
    carried = photo.metadata
    if carried.photoshop and format not in ("JPEG", "TIFF"):
        notes.append(f"{format} has no place for IPTC and other records of Photoshop")
    if carried.chunks and format != "PNG":
        notes.append(f"{format} has no place for the texts of a PNG")
    if (carried.comments or carried.segments) and format != "JPEG":
        notes.append(f"{format} has no place for the comments and extensions of a JPEG")
    try:
        with no_warnings:
            _WRITERS[format](photo, file, notes)
    except (MemoryError, UnwritablePhotoError):
        raise
    # Metadata of the file can make an encoder raise any exception.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's error, not the encoder's
        raise UnwritablePhotoError(
            f"the photograph cannot be written as {format} ({error}): choose another format"
        ) from error
    return tuple(notes)


def _write_jpeg(photo: Picture, file: BinaryIO, notes: list[str]) -> None:
    carried, encoding = photo.metadata, photo.encoding
    block = exif.shrunk(carried.exif, _MAX_EXIF) if carried.exif else None
    if carried.exif and block != carried.exif:
        notes.append("JPEG holds 64 KB of EXIF: larger parts are left out")
    packet = xmp.shrunk(carried.xmp, _MAX_XMP) if carried.xmp else None
    if carried.xmp and not packet:
        notes.append("JPEG holds 64 KB of XMP: the packet is longer and is left out")
    segments = [_segment(0xFE, comment[:_MAX_COMMENT]) for comment in carried.comments]
    photoshop = carried.photoshop or b""
    for start in range(0, len(photoshop), _MAX_PHOTOSHOP):
        part = photoshop[start : start + _MAX_PHOTOSHOP]
        segments.append(_segment(0xED, _PHOTOSHOP_HEADER + part))
    quantization: dict[str, object] = {"quality": _QUALITY}
    if encoding.luma_table:
        chroma = encoding.chroma_table or matching_chroma_table(encoding.luma_table)
        quantization = {"qtables": [list(encoding.luma_table), list(chroma)]}
    _flatten_alpha(photo, notes).save(
        file,
        "JPEG",
        subsampling="4:4:4",
        progressive=encoding.progressive,
        exif=b"Exif\0\0" + block if block else b"",
        xmp=packet or b"",
        dpi=carried.dpi or (0, 0),
        icc_profile=_profile(photo),
        extra=b"".join([*segments, *carried.segments]),
        **quantization,
    )


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _flatten_alpha(photo: Picture, notes: list[str]) -> Image.Image:
    """Composite the picture over white if it has transparency."""
    image = _image(photo)
    if photo.alpha is None:
        return image
    if photo.alpha.min() < np.iinfo(photo.alpha.dtype).max:
        notes.append("JPEG has no transparency: the photograph was laid over white")
    solid = image.convert("RGB" if image.mode == "RGBA" else "L")
    paper = Image.new(solid.mode, image.size, "white")
    paper.paste(solid, mask=image.getchannel("A"))
    return paper


def _write_png(photo: Picture, file: BinaryIO, notes: list[str]) -> None:
    carried = photo.metadata
    chunks = list(carried.chunks)
    if carried.xmp:
        chunks.append(png.xmp_chunk(carried.xmp))
    if photo.bit_depth == 16:
        first = [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(_profile(photo)))]
        if carried.dpi:
            first.append((b"pHYs", struct.pack(">IIB", *_pixels_per_metre(carried.dpi), 1)))
        if carried.exif:
            first.append((b"eXIf", carried.exif))
        size = photo.width, photo.height
        png.write_16(file, size, _strips(photo), _channels(photo), first + chunks)
        return
    # Photographs have few repeats: this takes a third of the default's time and no more bytes.
    effort = {"compress_type": zlib.Z_RLE} if photo.colors is None else {"compress_level": 3}
    info = PngInfo()
    for kind, data in chunks:
        info.add(kind, data)
    _image(photo).save(
        file,
        "PNG",
        exif=carried.exif or b"",
        dpi=carried.dpi,
        icc_profile=_profile(photo),
        pnginfo=info,
        **effort,
    )


def _write_webp(photo: Picture, file: BinaryIO, notes: list[str]) -> None:
    carried = photo.metadata
    lossy = photo.format in ("JPEG", "AVIF") or (
        photo.format == "WEBP" and not photo.encoding.lossless
    )
    _color_image(photo).save(
        file,
        "WEBP",
        lossless=not lossy,
        # For a lossless picture quality is the effort; more gains little.
        quality=_QUALITY if lossy else 50,
        # Keep colors under full transparency: they are part of the photograph.
        exact=True,
        exif=exif.with_resolution(carried.exif, carried.dpi) or b"",
        xmp=carried.xmp or b"",
        icc_profile=srgb_profile(),
    )


def _write_avif(photo: Picture, file: BinaryIO, notes: list[str]) -> None:
    carried = photo.metadata
    block = exif.with_resolution(_parsable_exif(photo, notes), carried.dpi)
    _color_image(photo).save(
        file,
        "AVIF",
        # Alpha is exact at the best quality only; without alpha less is enough.
        quality=_QUALITY if photo.alpha is None else 100,
        subsampling="4:4:4",
        # Two steps from the fastest: a fifth of the default's time for a fifth more bytes.
        speed=8,
        # One thread gives other bytes than several; any number of several gives the same.
        max_threads=4,
        exif=exif.without_orientation(block) if block else b"",
        xmp=carried.xmp or b"",
        icc_profile=srgb_profile(),
    )


def _write_tiff(photo: Picture, file: BinaryIO, notes: list[str]) -> None:
    carried = photo.metadata
    known = exif.parse(_parsable_exif(photo, notes))
    tags = known.without(tiff.STRUCTURE) if known else ifd.Directory("<")
    exif.set_resolution(tags, carried.dpi)
    for tag, kind, value in (
        (tiff.XMP, ifd.BYTE, carried.xmp),
        (tiff.PHOTOSHOP, ifd.BYTE, carried.photoshop),
        (tiff.IPTC, ifd.UNDEFINED, carried.iptc()),
        (tiff.ICC, ifd.UNDEFINED, _profile(photo)),
    ):
        if value:
            tags.set_bytes(tag, kind, value)
    own = photo.encoding.compression
    compression = own if own in (tiff.NONE, *tiff.LOSSLESS) else tiff.DEFLATE
    size = photo.width, photo.height
    tiff.write(file, size, _strips(photo), _channels(photo), compression, tags)


def _parsable_exif(photo: Picture, notes: list[str]) -> bytes | None:
    """Return the EXIF block, or nothing if it is damaged and the format's encoder parses it."""
    if photo.metadata.exif and not exif.parse(photo.metadata.exif):
        notes.append("the EXIF is damaged and is left out")
        return None
    return photo.metadata.exif


def _write_bmp(photo: Picture, file: BinaryIO, notes: list[str]) -> None:
    carried = photo.metadata
    if carried.exif or carried.xmp:
        notes.append("BMP has no place for EXIF and XMP")
    if _channels(photo) == 1:
        _image(photo).save(file, "BMP", dpi=carried.dpi or (0, 0))
        return
    image = _color_image(photo)
    channels = len(image.mode)
    stride = -(-photo.width * channels // 4) * 4
    offset, size = 14 + 108, stride * photo.height
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000) if channels == 4 else (0, 0, 0, 0)
    file.write(struct.pack("<2sIII", b"BM", offset + size, 0, offset))
    # The fourth version of the header, which can say that there is alpha, and that this is sRGB.
    file.write(
        struct.pack(
            "<IiiHHIIIIII4I4s48x",
            *(108, photo.width, photo.height, 1, 8 * channels, 3 if channels == 4 else 0, size),
            *(_pixels_per_metre(carried.dpi) if carried.dpi else (0, 0)),
            *(0, 0),
            *masks,
            b"BGRs",
        )
    )
    file.write(image.tobytes("raw", "BGR" if channels == 3 else "BGRA", stride, -1))


def _is_deep(photo: Picture, format: Format) -> bool:
    """Tell whether a photograph is written as 16-bit JPEG 2000: Pillow does so for gray only."""
    return format == "JPEG2000" and photo.gray.itemsize == 2 and _channels(photo) == 1


def _write_jpeg2000(photo: Picture, file: BinaryIO, notes: list[str]) -> None:
    encoded = io.BytesIO()
    deep = _is_deep(photo, "JPEG2000")
    image = Image.fromarray(photo.gray) if deep else _image(photo)
    # Reversible: every pixel is kept.
    image.save(encoded, "JPEG2000", irreversible=False, mct=int(photo.colors is not None))
    file.write(jpeg2000.with_boxes(encoded.getvalue(), photo.metadata))


_WRITERS: dict[Format, Callable[[Picture, BinaryIO, list[str]], None]] = {
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "WEBP": _write_webp,
    "TIFF": _write_tiff,
    "AVIF": _write_avif,
    "BMP": _write_bmp,
    "JPEG2000": _write_jpeg2000,
}


def _pixels_per_metre(dpi: tuple[float, float]) -> tuple[int, int]:
    return round(dpi[0] / 0.0254), round(dpi[1] / 0.0254)


def _profile(photo: Picture) -> bytes:
    return srgb_gray_profile() if photo.colors is None else srgb_profile()


def _channels(photo: Picture) -> int:
    return (1 if photo.colors is None else 3) + (photo.alpha is not None)


def _pixels(photo: Picture) -> Pixels:
    """Return the gray or the colours that are written."""
    return photo.gray if photo.colors is None else photo.colors


def _image(photo: Picture) -> Image.Image:
    """Return the photograph at 8 bits, of mode L, LA, RGB or RGBA."""
    picture = _to_8_bit(_pixels(photo))
    if photo.alpha is not None:
        picture = np.dstack([picture, _to_8_bit(photo.alpha)])
    return Image.fromarray(np.ascontiguousarray(picture))


def _color_image(photo: Picture) -> Image.Image:
    """Return the photograph at 8 bits, of mode RGB or RGBA, for a format without gray."""
    image = _image(photo)
    return image if photo.colors is not None else image.convert(image.mode.replace("L", "RGB"))


def _to_8_bit(values: Pixels) -> NDArray[np.uint8]:
    """Return values rounded to 8 bits; 16-bit ones are divided by 257."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    return np.rint(np.arange(65536) / 257).astype(np.uint8)[values]


def _strips(photo: Picture) -> Iterator[Pixels]:
    """Yield the photograph's rows in order as strips (rows, W, channels), at its bit depth."""
    picture = _pixels(photo)
    rows = tiff.strip_rows(photo.width, _channels(photo), picture.itemsize)
    for top in range(0, photo.height, rows):
        strip = picture[top : top + rows]
        if strip.ndim == 2:
            strip = strip[..., None]
        if photo.alpha is not None:
            strip = np.concatenate([strip, photo.alpha[top : top + rows, :, None]], axis=2)
        yield strip
