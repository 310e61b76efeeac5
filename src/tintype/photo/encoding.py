"""How a file stored its picture, to store the coloured one in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tintype.errors import UnwritablePhotoError

Format = Literal["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "JPEG2000"]

#: File name extensions, the usual one of each format first.
EXTENSIONS: dict[Format, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "JPEG2000": (".jp2", ".jpx", ".jpf", ".j2k", ".j2c", ".jpc"),
}

#: Extensions of formats that are read and never written, and the extension of their results.
READ_ONLY = {".gif": ".png", ".heic": ".jpg", ".heif": ".jpg", ".hif": ".jpg"}

# Extensions that name no format: none, and those that the command line appends.
_ENDINGS_WITHOUT_FORMAT = ("", ".colorized", ".compare")


@dataclass(frozen=True)
class Encoding:
    """How a file stored its picture.

    Attributes:
        lossless: whether a WebP kept every pixel.
        progressive: whether a JPEG was progressive.
        luma_table: the 64 quantisation steps of a JPEG's luma, row by row.
        chroma_table: those of its chroma; None where it had none.
        compression: the number of a TIFF's compression.
    """

    lossless: bool = False
    progressive: bool = False
    luma_table: tuple[int, ...] | None = None
    chroma_table: tuple[int, ...] | None = None
    compression: int | None = None


def format_of(name: str) -> Format | None:
    """Return the format of a file name's extension; None for an unknown extension."""
    lower = name.lower()
    for format, extensions in EXTENSIONS.items():
        if lower.endswith(extensions):
            return format
    return None


def requested_format(target: Path, source: Path | None = None) -> Format | None:
    """Return the format that a result's name asks for, known before any work is done.

    Args:
        target: where the result goes.
        source: the photograph's own file.

    Returns:
        The format; None for that of the photograph, because the name says nothing of one or ends
        as the photograph's own.

    Raises:
        UnwritablePhotoError: the name ends in something else than a format that is written.
    """
    if target.suffix in _ENDINGS_WITHOUT_FORMAT or (
        source is not None
        and target.suffix == source.suffix
        and target.suffix.lower() not in READ_ONLY
    ):
        return None
    format = format_of(target.name)
    if format is None:
        raise UnwritablePhotoError(
            f"{target} does not say a format that tintype writes: "
            "end it in .jpg, .png, .webp, .tif, .avif, .bmp or .jp2"
        )
    return format
