"""Decode a TIFF to its pixels and its metadata, as they are stored."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.errors import PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import exif, ifd, photoshop, tiff
from tintype.photo.decode import Decoded, ReadRequest
from tintype.photo.encoding import Encoding
from tintype.photo.metadata import Metadata
from tintype.photo.pillow import load_partly, no_pixel_limit
from tintype.photo.planes import Pixels
from tintype.photo.tiff_samples import are_readable, missing_bytes, read_samples
from tintype.photo.tiff_source import choose_page

_STRIP_PIXELS = 1 << 20
# Four color channels and four others; more is damage.
_MAX_CHANNELS = 8
# Bytes a pixel of a picture as large as the limit allows, unpacked: four channels of 16 bits.
_MAX_PIXEL_BYTES = 8
_COLORS = {0: 1, 1: 1, 2: 3, 5: 4}  # by photometric interpretation
_WHITE_IS_ZERO, _CMYK = 0, 5
_NUMBERS = {2: "signed whole", 3: "floating-point", 5: "complex whole", 6: "complex"}
_PACKED = {
    33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34927: "WebP", 34887: "LERC",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL", 34892: "JPEG (of a raw file)",
    34661: "JBIG", 34715: "JBIG2", 32809: "ThunderScan", 34676: "SGI Log", 34677: "SGI Log",
}  # fmt: skip


def decode_tiff(request: ReadRequest) -> Decoded:
    """Read one page of a TIFF."""
    page = choose_page(request)
    width, height = page.number(tiff.WIDTH, 0), page.number(tiff.HEIGHT, 0)
    request.check_size(width, height)
    _check_values(request, page)
    carried = _metadata(page)
    note = page.maker_note()
    if note and not ifd.is_near(note):
        request.leave_out("the maker's note is moved, and what it says of places in it gets wrong")
    entry = page.entries.get(tiff.ICC)
    icc = entry.value if entry else None
    encoding = Encoding(compression=page.number(tiff.COMPRESSION, tiff.NONE))
    own = are_readable(page)
    if own and page.number(tiff.PHOTOMETRIC, 0) in _COLORS:
        return Decoded(_read_picture(request, page), False, icc, carried, encoding)
    if own and page.number(tiff.BITS, 1) > 8:
        raise UnreadablePhotoError(
            f"{request.name} is a 16-bit TIFF of an unusual kind (photometric interpretation "
            f"{page.number(tiff.PHOTOMETRIC, 0)}): save it as gray or RGB"
        )
    return Decoded(_read_by_pillow(request, page), True, icc, carried, encoding)


def _check_values(request: ReadRequest, page: ifd.Directory) -> None:
    """Raise an error for an unsupported kind of TIFF, by its name, and for one too large."""
    channels, bits = page.number(tiff.CHANNELS, 1), max(page.numbers(tiff.BITS), default=1)
    if channels > _MAX_CHANNELS:
        raise ValueError(f"{channels} channels")
    kind = next((_NUMBERS[n] for n in page.numbers(tiff.SAMPLE_FORMAT) if n in _NUMBERS), None)
    if kind is None and bits > 16:
        kind = "whole"
    if kind:
        raise UnreadablePhotoError(
            f"{request.name} holds {bits}-bit {kind} values: "
            "convert it to 16-bit gray or RGB, of unsigned whole numbers, first"
        )
    packed = page.number(tiff.COMPRESSION, tiff.NONE)
    if packed in _PACKED:
        raise UnreadablePhotoError(
            f"{request.name} is a TIFF packed as {_PACKED[packed]}, which tintype does not read: "
            "save it with LZW, ZIP (deflate) or no compression"
        )
    size = page.number(tiff.WIDTH, 0) * page.number(tiff.HEIGHT, 0) * channels * -(-bits // 8)
    limit = request.max_pixels
    if limit is not None and size > max(limit, 1 << 20) * _MAX_PIXEL_BYTES:
        needed = size // _MAX_PIXEL_BYTES + 1
        raise PhotoTooLargeError(
            f"{request.name} unpacks to {size:,} bytes ({channels} channels of {bits} bits): if "
            f"you trust the file, raise the limit with --max-pixels {needed} (max_pixels= in the "
            "library)"
        )


def _read_by_pillow(request: ReadRequest, page: ifd.Directory) -> Image.Image:
    from PIL.TiffImagePlugin import TiffImageFile

    file, missing = request.file, missing_bytes(request.file, page)
    if missing > 0:
        request.damaged("its end is missing")
        file.seek(0)
        file = io.BytesIO(file.read() + bytes(missing))
    file.seek(0)
    with no_pixel_limit:
        image = TiffImageFile(file)
        for number in range(64):
            if image.tag_v2._offset == page.offset:
                break
            image.seek(number + 1)
        if load_partly(image) and missing <= 0:
            request.damaged("its pixels are not whole")
    if image.mode in ("I", "F", "LAB"):
        kind = {"LAB": "CIE Lab", "I": "32-bit whole"}.get(image.mode, "floating-point")
        raise UnreadablePhotoError(
            f"{request.name} holds {kind} values: convert it to 16-bit gray or RGB first"
        )
    if max(page.numbers(tiff.BITS), default=1) > 8:
        request.leave_out("this kind of TIFF is taken at 8 bits a channel, though it has more")
    if page.number(tiff.CHANNELS, 1) > len(image.getbands()):
        request.leave_out("a channel that is neither colour nor alpha is left out")
    return image


def _metadata(directory: ifd.Directory) -> Metadata:
    def value(tag: int) -> bytes | None:
        entry = directory.entries.get(tag)
        return entry.value if entry else None

    own = directory.without(tiff.STRUCTURE)
    resources, iptc = value(tiff.PHOTOSHOP), value(tiff.IPTC)
    return Metadata(
        exif=ifd.build_block(own) if own.entries or own.children else None,
        xmp=value(tiff.XMP),
        photoshop=photoshop.with_iptc(resources, iptc) if iptc else resources,
        dpi=exif.resolution(own),
    )


def _read_picture(request: ReadRequest, page: ifd.Directory) -> NDArray[np.uint16] | Image.Image:
    """Read gray or RGB with alpha as samples, (H, W, 1 to 4), or of 8 bits as an image; or CMYK."""
    photometric, channels = page.number(tiff.PHOTOMETRIC, 0), page.number(tiff.CHANNELS, 1)
    colors = _COLORS[photometric]
    if channels < colors:
        raise ValueError(f"{channels} channels for {colors} colours")
    extra = page.numbers(tiff.EXTRA_SAMPLES)[: channels - colors]
    alpha = next((colors + i for i, kind in enumerate(extra) if kind in (1, 2)), None)
    if channels > colors + (alpha is not None):
        request.leave_out("a channel that is neither colour nor alpha (infrared?) is left out")
    if photometric == _CMYK:
        alpha = None
    damage: list[str] = []
    kept = [*range(colors), *([] if alpha is None else [alpha])]
    samples = read_samples(request.file, page, kept, damage)
    for what in damage:
        request.damaged(what)
    picture = samples[..., :colors]
    if photometric == _WHITE_IS_ZERO:
        np.invert(picture, out=picture)
    if photometric == _CMYK:
        if samples.itemsize == 2:
            request.leave_out("16-bit CMYK is taken at 8 bits")
            samples = samples >> 8
        return Image.frombytes("CMYK", samples.shape[1::-1], samples.astype(np.uint8))
    if alpha is not None and extra[alpha - colors] == 1:
        _unpremultiply(picture, samples[..., -1])
    if samples.itemsize == 2:
        return samples.astype(np.uint16, copy=False)
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


def _unpremultiply(picture: Pixels, alpha: Pixels) -> None:
    """Divide a picture (H, W, C) by its premultiplied alpha (H, W), in place."""
    rows = max(1, _STRIP_PIXELS // picture.shape[1])
    white = np.float32(np.iinfo(picture.dtype).max)
    for top in range(0, len(picture), rows):
        strip = picture[top : top + rows]
        weight = white / np.maximum(alpha[top : top + rows, :, None], 1)
        strip[...] = np.rint(np.minimum(strip * weight, white))
