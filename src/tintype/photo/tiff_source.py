"""Which of the pictures in a TIFF is the photograph, and what else is in the file."""

from __future__ import annotations

from tintype.errors import UnreadablePhotoError
from tintype.photo import ifd, tiff
from tintype.photo.decode import ReadRequest

# Bits of the tag NewSubfileType.
_REDUCED, _MASK = 1, 4
_RAW_PHOTOMETRIC = (32803, 34892)  # color filter array; linear raw
_RAW_PACKED = (34713, 32767, 32769, 65535)  # Nikon's, Sony's, Epson's, Pentax's
#: Extensions of raw files that are TIFF inside.
RAW_EXTENSIONS = (
    *(".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef"),
    *(".mos", ".nef", ".nrw", ".pef", ".sr2", ".srf", ".srw"),
)


def choose_page(request: ReadRequest) -> ifd.Directory:
    """Return the directory of the requested page, by default the first.

    What else is in the file is listed as left out.

    Raises:
        UnreadablePhotoError: there is no such page, or the file is a raw one without a preview.
    """
    directories = tiff.read_directories(request.file)
    below = [sub for page in directories for sub in tiff.read_sub_directories(request.file, page)]
    first, *others = directories
    raw = _is_raw(request, directories, below)
    if raw and (tiff.DNG_VERSION in first.entries or _has_raw_pixels(first)):
        raise UnreadablePhotoError(
            f"{request.name} is a raw camera file: develop it to a 16-bit TIFF first"
        )
    if raw:
        request.leave_out(
            "this is a raw camera file: only the preview in it is taken "
            f"({first.number(tiff.WIDTH, 0)} × {first.number(tiff.HEIGHT, 0)}); develop it to a "
            "16-bit TIFF first"
        )
        return first
    pages = [first, *(page for page in others if not _kind(page) & (_REDUCED | _MASK))]
    if request.page is not None and not 1 <= request.page <= len(pages):
        raise UnreadablePhotoError(
            f"{request.name} has no page {request.page}: it has {len(pages)}"
        )
    chosen = pages[(request.page or 1) - 1]
    _list_others(request, chosen, pages, [*others, *below])
    return chosen


def _list_others(
    request: ReadRequest,
    chosen: ifd.Directory,
    pages: list[ifd.Directory],
    others: list[ifd.Directory],
) -> None:
    """Note what a file has besides the page that is read."""
    if len(pages) > 1:
        which = f"page {request.page}" if request.page else "the first"
        other = "; --page N takes another (page= in the library)"
        request.leave_out(f"the file has {len(pages)} pages: {which} is taken{other}")
    infrared = [
        page
        for page in others
        if page is not chosen
        and page.number(tiff.CHANNELS, 1) == 1
        and page.numbers(tiff.WIDTH)[:1] == chosen.numbers(tiff.WIDTH)[:1]
        and page.numbers(tiff.HEIGHT)[:1] == chosen.numbers(tiff.HEIGHT)[:1]
    ]
    if infrared:
        request.leave_out("a gray picture of the same size (infrared?) is left out")
    elif any(_kind(page) & _MASK for page in others):
        request.leave_out("masks in the TIFF are left out")
    elif any(_kind(page) & _REDUCED for page in others):
        request.notes.append("reduced copies in the TIFF are left out")
    elif len(others) >= len(pages):
        request.leave_out("further pictures in the TIFF are left out")
    if tiff.LAYERS in chosen.entries:
        request.leave_out("Photoshop's layers are left out: they hold the picture as it was")


def _is_raw(
    request: ReadRequest, directories: list[ifd.Directory], below: list[ifd.Directory]
) -> bool:
    """Tell whether a file has the data of a camera's sensor (a raw file)."""
    first = directories[0]
    request.file.seek(8)
    return (
        request.file.read(2) == b"CR"  # Canon's mark
        or request.name.lower().endswith(RAW_EXTENSIONS)
        or tiff.DNG_VERSION in first.entries
        or any(map(_has_raw_pixels, [*directories, *below]))
        # A camera's small preview, with larger pictures below it.
        or (bool(below) and tiff.MAKE in first.entries and bool(_kind(first) & _REDUCED))
    )


def _has_raw_pixels(page: ifd.Directory) -> bool:
    return (
        page.number(tiff.PHOTOMETRIC, 0) in _RAW_PHOTOMETRIC
        or page.number(tiff.COMPRESSION, 1) in _RAW_PACKED
    )


def _kind(page: ifd.Directory) -> int:
    return page.number(tiff.SUBFILE_TYPE, 0)
