"""Make the contact sheet of several colourings: a thumbnail of each sample, with its number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tintype import __version__
from tintype.photo import Photo
from tintype.photo.mark import marked
from tintype.photo.metadata import Metadata

_SIDE = 320  # longer side of each thumbnail, in pixels
_MARGIN = 8
_LINE = 16  # height of a line of text, in pixels
_PAPER, _INK = (255, 255, 255), (60, 60, 60)


def thumbnail(
    rgb: NDArray[np.uint8 | np.uint16], size: Sequence[int] = (_SIDE, _SIDE)
) -> Image.Image:
    """Return a picture reduced to fit into a size, with its proportions kept.

    Args:
        rgb: the picture (H, W, 3).
        size: most pixels (width, height); by default those of the contact sheet's thumbnails.
    """
    if rgb.dtype == np.uint16:
        rgb = (rgb >> 8).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((size[0], size[1]), reducing_gap=2.0)
    return image


def contact_sheet(thumbnails: Sequence[tuple[str, Image.Image]]) -> Photo:
    """Arrange pictures in rows, each above its caption, and return the sheet.

    Args:
        thumbnails: (caption, picture) pairs, at least one; all pictures have one size.
    """
    count = len(thumbnails)
    columns = math.ceil(math.sqrt(count))
    width, height = thumbnails[0][1].size
    across, down = width + _MARGIN, height + _LINE + _MARGIN
    size = (columns * across + _MARGIN, math.ceil(count / columns) * down + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, (caption, image) in enumerate(thumbnails):
        row, column = divmod(k, columns)
        x, y = _MARGIN + column * across, _MARGIN + row * down
        sheet.paste(image, (x, y))
        draw.text((x, y + height + 2), caption, fill=_INK)
    return own_picture(np.asarray(sheet))


def own_picture(rgb: NDArray[np.uint8]) -> Photo:
    """Return a picture (H, W, 3) marked as made by tintype, so that later runs do not colour it."""
    xmp = marked(None, f"tintype {__version__}")
    return replace(Photo.from_array(rgb), metadata=Metadata(xmp=xmp))
