"""The pictures that raters see: those of a pair differ in nothing but their colours."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.color.gamut import join_lab
from tintype.color.spaces import rgb_to_lab
from tintype.errors import PhotoError
from tintype.photo import Photo

RgbImage = NDArray[np.uint8]

_FALSE_CHROMA = 40.0  # mean chroma of false colours, in Lab units: wrong at a glance
_MAX_GAIN = 4.0  # factor on the chroma


def check_usable(photo: Photo) -> None:
    """Check that a photograph is in colour and opaque.

    Raises:
        PhotoError: it is not.
    """
    name = photo.path or "the photograph"
    if photo.kind != "color":
        raise PhotoError(f"{name} is {photo.kind}: it has no true colours")
    if photo.alpha is not None and int(photo.alpha.min()) < np.iinfo(photo.alpha.dtype).max:
        raise PhotoError(f"{name} is partly transparent: remove its alpha channel first")


def center_square(photo: Photo, size: int) -> RgbImage:
    """Return the largest centre square of a photograph, scaled to 8-bit RGB (size, size, 3).

    The Visual Turing Test of PixColor showed centre crops of 224 x 224.

    Raises:
        PhotoError: its shorter side is below `size` pixels.
    """
    side = min(photo.width, photo.height)
    if side < size:
        raise PhotoError(
            f"{photo.path or 'the photograph'} is {photo.width} × {photo.height}: too small for "
            f"pictures of {size} × {size}; give a smaller --size"
        )
    rgb = photo.rgb()
    rgb8 = rgb if rgb.dtype == np.uint8 else np.rint(rgb / np.float32(257)).astype(np.uint8)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    cut = np.ascontiguousarray(rgb8[top : top + side, left : left + side])
    image = Image.fromarray(cut).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def encode_png(rgb: RgbImage) -> bytes:
    """Encode a picture (H, W, 3) as PNG without compression, so that its length tells nothing.

    All pictures of one shape have the same number of bytes, and no metadata.
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def false_colors(rgb: RgbImage) -> RgbImage:
    """Return a picture (H, W, 3) with opposite hues and raised chroma, for catch trials.

    Its lightness is that of the luma, as in a model's output.
    """
    gain = np.clip(_FALSE_CHROMA / max(mean_chroma(rgb), 1e-6), 1.0, _MAX_GAIN)
    ab = rgb_to_lab(rgb / np.float32(255))[..., 1:]
    return np.asarray(join_lab(Photo.from_array(rgb).gray, np.float32(-gain) * ab), np.uint8)


def mean_chroma(rgb: RgbImage) -> float:
    """Return the mean chroma of a picture (H, W, 3), in Lab units."""
    ab = rgb_to_lab(rgb / np.float32(255))[..., 1:]
    return float(np.hypot(ab[..., 0], ab[..., 1]).mean())
