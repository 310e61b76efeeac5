"""The pictures raters see: square, small, and alike in everything but their colours."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.color.gamut import join_lab
from tintype.color.spaces import rgb_to_lab
from tintype.errors import PhotoError
from tintype.photo import Photo

Rgb = NDArray[np.uint8]

_FALSE_CHROMA = 40.0  # mean chroma of false colours, in Lab units: hard to miss
_LARGEST_GAIN = 4.0


def check_true(photo: Photo) -> None:
    """Refuse a photograph whose colours cannot be the true ones of a pair.

    Raises:
        PhotoError: it has no colours, or is partly transparent.
    """
    name = photo.path or "the photograph"
    if photo.kind != "color":
        raise PhotoError(f"{name} is {photo.kind}: it has no true colours to be found out")
    if photo.alpha is not None and int(photo.alpha.min()) < np.iinfo(photo.alpha.dtype).max:
        raise PhotoError(f"{name} is partly transparent: flatten it first")


def square(photo: Photo, size: int) -> Rgb:
    """The centre of a photograph in its own colours, scaled to (size, size, 3).

    The largest centred square, as in the Visual Turing Test of PixColor, which showed centre crops
    of 224 x 224.

    Raises:
        PhotoError: it is too small.
    """
    side = min(photo.width, photo.height)
    if side < size:
        raise PhotoError(
            f"{photo.path or 'the photograph'} is {photo.width} × {photo.height}: too small for "
            f"pictures of {size} × {size}; a smaller --size takes it"
        )
    rgb = photo.rgb()
    eight = rgb if rgb.dtype == np.uint8 else np.rint(rgb / np.float32(257)).astype(np.uint8)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    cut = np.ascontiguousarray(eight[top : top + side, left : left + side])
    image = Image.fromarray(cut).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def encode(rgb: Rgb) -> bytes:
    """A picture as PNG without compression, so that its size tells nothing of what it shows.

    All pictures of one size have the same number of bytes, and nothing but pixels is in them.
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def false_colours(rgb: Rgb) -> Rgb:
    """The picture with every hue turned to its opposite and the colours made strong.

    For catch trials: nobody who looks takes it for the true one. The lightness is that of the luma,
    as in a model's colouring.
    """
    gain = np.clip(_FALSE_CHROMA / max(strength(rgb), 1e-6), 1.0, _LARGEST_GAIN)
    ab = rgb_to_lab(rgb / np.float32(255))[..., 1:]
    return np.asarray(join_lab(Photo.from_array(rgb).gray, np.float32(-gain) * ab), np.uint8)


def strength(rgb: Rgb) -> float:
    """Mean chroma of a picture, in Lab units: how much there is for false colours to work on."""
    ab = rgb_to_lab(rgb / np.float32(255))[..., 1:]
    return float(np.hypot(ab[..., 0], ab[..., 1]).mean())
