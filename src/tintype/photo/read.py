"""Read a file's contents, or raise an error that says what is wrong with it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from tintype.errors import PhotoError, PhotoTooLargeError, UnreadablePhotoError
from tintype.photo import decode, png
from tintype.photo.avif import decode_avif
from tintype.photo.decode import Decoded, ReadRequest
from tintype.photo.decode_foreign import decode_gif, decode_heic
from tintype.photo.decode_tiff import decode_tiff
from tintype.photo.encoding import Format
from tintype.photo.jpeg2000 import CODESTREAM, decode_jpeg2000
from tintype.photo.pillow import no_warnings

# The format in which results of GIF and HEIC files are written.
_READ_ONLY: dict[str, Format] = {"GIF": "PNG", "HEIC": "JPEG"}
_DECODERS: dict[str, Callable[[ReadRequest], Decoded]] = {
    "JPEG": decode.decode_jpeg,
    "PNG": decode.decode_png,
    "WEBP": decode.decode_webp,
    "TIFF": decode_tiff,
    "AVIF": decode_avif,
    "BMP": decode.decode_bmp,
    "JPEG2000": decode_jpeg2000,
    "GIF": decode_gif,
    "HEIC": decode_heic,
}

_SIGNATURES: list[tuple[int, bytes, str]] = [
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, png.SIGNATURE, "PNG"),
    (8, b"WEBPVP8", "WEBP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"BM", "BMP"),
    (4, b"jP  \r\n", "JPEG2000"),
    (0, CODESTREAM, "JPEG2000"),
    (0, b"GIF8", "GIF"),
]

_REFUSED = [
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL \r\n", "a JPEG XL picture"),
    (0, b"IIRO", "a raw camera file"),
    (0, b"IIRS", "a raw camera file"),
    (0, b"MMOR", "a raw camera file"),
    (0, b"IIU\0", "a raw camera file"),
    (0, b"FUJIFILMCCD-RAW", "a raw camera file"),
    (4, b"ftypcrx ", "a raw camera file"),
    (0, b"<svg", "a drawing (SVG)"),
    (0, b"<?xml", "an XML file"),
]


_DISK_ERRORS = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO)


def read(request: ReadRequest) -> tuple[Format, Decoded]:
    """Read a file in one of the formats of `Format`, inside `errors_translated`.

    Raises:
        UnreadablePhotoError: it is empty, damaged, animated or of another kind.
        PhotoTooLargeError: it has more pixels than the request allows.
    """
    request.file.seek(0)
    format = _identify_format(request)
    if request.page not in (None, 1) and format != "TIFF":
        raise UnreadablePhotoError(f"{request.name} has no page {request.page}: it has 1")
    request.file.seek(0)
    return _READ_ONLY.get(format) or cast("Format", format), _DECODERS[format](request)


@contextmanager
def errors_translated(request: ReadRequest) -> Iterator[None]:
    """Translate the exceptions that a damaged file causes into one error."""
    try:
        with no_warnings:
            yield
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoTooLargeError(
            f"{request.name} needs more memory than there is: make it smaller, or close programs"
        ) from error
    # A damaged file can make a decoder raise any exception.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise  # an error of the disk, not of the file
        words = " ".join(str(error).split()).rstrip(".")
        reason = f" ({words})" if words else ""
        raise UnreadablePhotoError(
            f"{request.name} is cut short, damaged or of an unusual kind{reason}: "
            "get a whole copy of it"
        ) from error


def _identify_format(request: ReadRequest) -> str:
    """Return the format of a file by its first bytes."""
    head = request.file.read(64)
    if not head:
        raise UnreadablePhotoError(f"{request.name} is empty: get a whole copy of it")
    for at, mark, format in _SIGNATURES:
        if head[at:].startswith(mark):
            return format
    if head[4:8] == b"ftyp":
        brands = head[8 : max(16, int.from_bytes(head[:4], "big"))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if any(brand in brands for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1")):
            return "HEIC"
    for at, mark, what in _REFUSED:
        if head[at:].startswith(mark):
            raise UnreadablePhotoError(
                f"{request.name} is {what}, which tintype does not read: "
                "convert it to JPEG, PNG or TIFF first"
            )
    raise UnreadablePhotoError(
        f"{request.name} is not a photograph that tintype knows: "
        "it reads JPEG, PNG, WebP, TIFF, AVIF, BMP, JPEG 2000, GIF and, with an extra, HEIC"
    )
