"""The rotation and mirroring of EXIF's orientation."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# By EXIF's number: what turns the stored pixels upright.
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@overload
def turn_upright(pixels: Image.Image, orientation: int) -> Image.Image: ...
@overload
def turn_upright(
    pixels: Image.Image | NDArray[np.uint16], orientation: int
) -> Image.Image | NDArray[np.uint16]: ...
def turn_upright(
    pixels: Image.Image | NDArray[np.uint16], orientation: int
) -> Image.Image | NDArray[np.uint16]:
    """Return stored pixels turned upright.

    Args:
        pixels: an image, or samples (H, W, C).
        orientation: 1 upright, 2 to 8 as EXIF numbers the rest.

    Returns:
        The same kind; the sides change places for 5 to 8.
    """
    method = _TRANSPOSES.get(orientation)
    if method is None:
        return pixels
    if isinstance(pixels, Image.Image):
        return pixels.transpose(method)
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
