"""Photographs for training: the colors only, downscaled during decoding."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tintype.errors import GrayPhotoError
from tintype.photo.decode import ReadRequest, plain_metadata
from tintype.photo.orientation import turn_upright
from tintype.photo.planes import image_to_srgb
from tintype.photo.read import errors_translated
from tintype.photo.source import open_source

_GRAY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_reduced(source: bytes | Path, short_side: int) -> Image.Image:
    """Read the colours of a photograph at a reduced size, without its metadata.

    A JPEG is decoded at an eighth, a quarter or half of its size where that is at least twice the
    size asked for. Transparency is left out, 16 bits become 8.

    Args:
        source: a file's bytes, or its path; any format that Pillow reads.
        short_side: the shorter side in pixels to which it is reduced (Lanczos). A smaller
            photograph is not enlarged.

    Returns:
        sRGB, upright, of mode RGB.

    Raises:
        GrayPhotoError: the file is gray. One in RGB whose pixels are gray is not refused.
        UnreadablePhotoError: it is missing, damaged or no photograph.
    """
    with (
        open_source(source) as (file, name, _),
        errors_translated(ReadRequest(file, name, None, [], [])),
        Image.open(file) as image,
    ):
        if image.mode in _GRAY_MODES:
            raise GrayPhotoError(f"{name} is gray: give a photograph in colour")
        image.draft("RGB", (2 * short_side, 2 * short_side))
        orientation = plain_metadata(image).orientation()
        # Pillow turns a TIFF itself while it loads.
        orientation = 1 if image.format == "TIFF" else orientation
        photo = image if image.mode in ("RGB", "CMYK") else image.convert("RGB")
        photo = _reduced(photo, short_side)
        photo, _ = image_to_srgb(photo, image.info.get("icc_profile"), [])
        return turn_upright(photo, orientation)


def _reduced(image: Image.Image, short_side: int) -> Image.Image:
    """Return the image with a shorter side of at most a number of pixels."""
    image.load()
    short = min(image.size)
    if short <= short_side:
        return image
    width, height = (max(short_side, round(side * short_side / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
