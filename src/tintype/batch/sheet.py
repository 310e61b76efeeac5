"""The contact sheet of several colourings: every colouring, small, with its number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tintype.photo import Photo
from tintype.photo.mark import marked
from tintype.photo.metadata import Metadata

_SIDE = 320  # of the longer side of each picture, in pixels
_MARGIN = 8
_LINE = 16  # height of a line of text
_PAPER, _INK = (255, 255, 255), (60, 60, 60)


def thumbnail(
    rgb: NDArray[np.uint8 | np.uint16], size: Sequence[int] = (_SIDE, _SIDE)
) -> Image.Image:
    """Colours (H, W, 3), no larger than a size (width, height), by default that of the sheet."""
    if rgb.dtype == np.uint16:
        rgb = (rgb >> 8).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((size[0], size[1]), reducing_gap=2.0)
    return image


def contact_sheet(thumbnails: Sequence[tuple[str, Image.Image]]) -> Photo:
    """Pictures of one size in rows, each over its caption."""
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
    """A picture to look at: marked always, by which a later run knows that it is no photograph."""
    xmp = marked(None, f"tintype {version('tintype')}")
    return replace(Photo.from_array(rgb), metadata=Metadata(xmp=xmp))
