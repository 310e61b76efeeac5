"""From a TIFF to its pixels and all it carries, as they are stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.errors import UnreadablePhotoError
from tintype.photo import ifd, metadata, tiff
from tintype.photo.decode import Decoded, ReadRequest
from tintype.photo.encoding import Encoding
from tintype.photo.metadata import Metadata
from tintype.photo.pillow import no_pixel_limit

_STRIP_PIXELS = 1 << 20
# Four colours and as many others; beyond them is damage.
_MAX_CHANNELS = 8


def decode_tiff(request: ReadRequest) -> Decoded:
    """Read a TIFF of one page."""
    directories = tiff.read_directories(request.file)
    first = directories[0]
    _refuse_pages(request, directories)
    request.check_size(first.number(tiff.WIDTH, 0), first.number(tiff.HEIGHT, 0))
    carried = _metadata(first)
    entry = first.entries.get(tiff.ICC)
    icc = entry.value if entry else None
    encoding = Encoding(compression=first.number(tiff.COMPRESSION, tiff.NONE))
    if tiff.is_16_bit(first):
        pixels = _read_samples(request, first)
        return Decoded(pixels, False, icc, carried, encoding)
    if first.number(tiff.CHANNELS, 1) > _MAX_CHANNELS:
        raise ValueError(f"{first.number(tiff.CHANNELS, 1)} channels")
    from PIL.TiffImagePlugin import TiffImageFile

    request.file.seek(0)
    with no_pixel_limit:
        image = TiffImageFile(request.file)
        image.load()
    if image.mode in ("I", "F", "LAB"):
        kind = {"LAB": "CIE Lab", "I": "32-bit whole"}.get(image.mode, "floating-point")
        raise UnreadablePhotoError(
            f"{request.name} holds {kind} values: convert it to 16-bit gray or RGB first"
        )
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)[..., None]
        if first.number(tiff.BITS, 16) == 12:
            samples = (samples << 4 | samples >> 8).astype(np.uint16)
        return Decoded(samples, True, icc, carried, encoding)
    if max(first.numbers(tiff.BITS), default=1) > 8:
        request.leave_out("this kind of TIFF is taken at 8 bits a channel, though it has more")
    return Decoded(image, True, icc, carried, encoding)


def _refuse_pages(request: ReadRequest, directories: list[ifd.Directory]) -> None:
    """Refuse several pages; reduced copies and masks of one page are none."""
    first, *others = directories
    if tiff.DNG_VERSION in first.entries or first.number(tiff.PHOTOMETRIC, 0) in (32803, 34892):
        raise UnreadablePhotoError(
            f"{request.name} is a raw camera file: develop it to a 16-bit TIFF first"
        )
    pages = 1 + sum(not page.number(tiff.SUBFILE_TYPE, 0) & 5 for page in others)
    if pages > 1:
        raise UnreadablePhotoError(
            f"{request.name} has {pages} pages: save the one you want as a file of its own"
        )
    if any(page.number(tiff.SUBFILE_TYPE, 0) & 4 for page in others):
        request.leave_out("masks in the TIFF are left out")
    elif others:
        request.notes.append("reduced copies in the TIFF are left out")
    if tiff.LAYERS in first.entries:
        request.leave_out("Photoshop's layers are left out: they hold the picture as it was")


def _metadata(directory: ifd.Directory) -> Metadata:
    def value(tag: int) -> bytes | None:
        entry = directory.entries.get(tag)
        return entry.value if entry else None

    own = directory.without(tiff.STRUCTURE)
    photoshop, iptc = value(tiff.PHOTOSHOP), value(tiff.IPTC)
    return Metadata(
        exif=ifd.build_block(own) if own.entries or own.children else None,
        xmp=value(tiff.XMP),
        photoshop=metadata.with_iptc(photoshop, iptc) if iptc else photoshop,
        dpi=metadata.resolution(own),
    )


def _read_samples(
    request: ReadRequest, directory: ifd.Directory
) -> NDArray[np.uint16] | Image.Image:
    """Read a 16-bit TIFF as gray or RGB with alpha, (H, W, 1 to 4); or as a CMYK image."""
    photometric = directory.number(tiff.PHOTOMETRIC, 0)
    colors = {0: 1, 1: 1, 2: 3, 5: 4}.get(photometric)
    channels = directory.number(tiff.CHANNELS, 1)
    if colors is None or not colors <= channels <= _MAX_CHANNELS:
        raise UnreadablePhotoError(
            f"{request.name} is a 16-bit TIFF of an unusual kind (photometric interpretation "
            f"{photometric}, {channels} channels): save it as gray or RGB"
        )
    samples = tiff.read_16(request.file, directory)
    extra = directory.numbers(tiff.EXTRA_SAMPLES)[: channels - colors]
    alpha = next((colors + i for i, kind in enumerate(extra) if kind in (1, 2)), None)
    if channels > colors + (alpha is not None):
        request.leave_out("a channel that is neither colour nor alpha is left out")
    picture = samples[..., :colors]
    if photometric == 0:
        picture = ~picture
    if photometric == 5:
        request.leave_out("16-bit CMYK is taken at 8 bits")
        return Image.frombytes("CMYK", samples.shape[1::-1], (picture >> 8).astype(np.uint8))
    if alpha is None:
        return picture
    if extra[alpha - colors] == 1:
        _unpremultiply(picture, samples[..., alpha])
    return np.concatenate([picture, samples[..., alpha : alpha + 1]], axis=-1)


def _unpremultiply(picture: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> None:
    """Take an alpha (H, W) that was multiplied into a picture (H, W, C) out again, in place."""
    rows = max(1, _STRIP_PIXELS // picture.shape[1])
    for top in range(0, len(picture), rows):
        strip = picture[top : top + rows]
        weight = np.float32(65535) / np.maximum(alpha[top : top + rows, :, None], 1)
        strip[...] = np.rint(np.minimum(strip * weight, 65535))
