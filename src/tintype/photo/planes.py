"""From the pixels of a file to what colouring needs: gray in sRGB's curve, and what is kept beside.

A colour picture gives its luma (ITU-R BT.601) after conversion to sRGB. So does a toned one: a
sepia print is a gray picture with a cast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.photo import profiles
from tintype.photo.pillow import image_to_array
from tintype.photo.toning import Kind, classify

Pixels = NDArray[np.uint8 | np.uint16]

# Luma with 16 fractional bits, as in Pillow: exact for neutral colors.
_LUMA = (19595, 38470, 7471)

# Approximate size of the thumbnail that tells color from a color cast.
_THUMBNAIL_SIDE = 192

_STRIP_PIXELS = 1 << 20


class Planes(NamedTuple):
    """The planes of a picture.

    Attributes:
        gray: (H, W), 8 or 16 bits, in sRGB's curve.
        colors: (H, W, 3) in sRGB, of the same depth; None where every pixel is neutral, or where
            they were not asked for.
        alpha: (H, W), of the same depth; None where the picture has none.
        kind: whether it was gray, gray with a cast, or in colour.
        uneven: whether the cast varies, so that it may be in colour after all.
        profile: the name of the profile it was converted from; None where it was sRGB or had none.
    """

    gray: Pixels
    colors: Pixels | None
    alpha: Pixels | None
    kind: Kind
    uneven: bool
    profile: str | None


def image_to_planes(
    image: Image.Image, icc: bytes | None, keep_colors: bool, notes: list[str]
) -> Planes:
    """Split an upright 8-bit picture into planes; the picture may be modified.

    Args:
        image: in a mode that Pillow makes of a photograph: 1, L, LA, P, RGB, RGBA, CMYK and so on.
        icc: its profile.
        keep_colors: whether a colour picture's own colours will be wanted.
        notes: gets what could not be done as the file asks.
    """
    if image.has_transparency_data:
        gray = image.mode in ("1", "L", "LA", "La")
        image = image.convert("LA" if gray else "RGBA")
        alpha = image_to_array(image.getchannel("A"))
        image = image.getchannel("L") if gray else image.convert("RGB")
    else:
        alpha = None
        if image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("L" if image.mode == "1" else "RGB")
    if image.mode == "L":
        gray, profile = _gray_to_srgb(image_to_array(image), icc, notes)
        return Planes(gray, None, alpha, "gray", False, profile)
    image, profile = image_to_srgb(image, icc, notes)
    gray = image_to_array(image.convert("L"))
    kind, uneven = classify(np.asarray(image.reduce(_reduction(image.size))))
    colors = image_to_array(image) if keep_colors else None
    return Planes(gray, _none_if_neutral(colors, kind), alpha, kind, uneven, profile)


def samples_to_planes(
    samples: NDArray[np.uint16], icc: bytes | None, keep_colors: bool, notes: list[str]
) -> Planes:
    """Split an upright 16-bit picture into planes; the samples may be modified.

    Args:
        samples: (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4): gray or RGB, then alpha.
        icc, keep_colors, notes: as for `image_to_planes`.
    """
    channels = samples.shape[2]
    alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
    if channels < 3:
        gray, profile = _gray_to_srgb(np.ascontiguousarray(samples[..., 0]), icc, notes)
        return Planes(gray, None, alpha, "gray", False, profile)
    colors = samples[..., :3]
    profile = None
    if icc:
        try:
            if not profiles.is_srgb(icc):
                profiles.samples_to_srgb(colors, icc)
                profile = profiles.profile_name(icc)
        except profiles.ProfileError as error:
            notes.append(_profile_note(error))
    kind, uneven = classify(_thumbnail_16_bit(colors))
    gray = rgb16_to_luma(colors)
    own = np.ascontiguousarray(colors) if keep_colors else None
    return Planes(gray, _none_if_neutral(own, kind), alpha, kind, uneven, profile)


def rgb16_to_luma(colors: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the BT.601 luma (H, W) of 16-bit colours (H, W, 3), rounded."""
    gray = np.empty(colors.shape[:2], dtype=np.uint16)
    rows = max(1, _STRIP_PIXELS // colors.shape[1])
    for top in range(0, len(colors), rows):
        strip = colors[top : top + rows]
        total = np.full(strip.shape[:2], 1 << 15, dtype=np.uint32)
        for channel, weight in enumerate(_LUMA):
            total += strip[..., channel] * np.uint32(weight)
        gray[top : top + rows] = total >> 16
    return gray


def _thumbnail_16_bit(colors: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return a thumbnail of 16-bit colors with values up to 255: rows skipped, columns averaged."""
    height, width, _ = colors.shape
    step = _reduction((width, height))
    rows = colors[::step, : width // step * step]
    return rows.reshape(len(rows), -1, step, 3).mean(axis=2, dtype=np.float32) / np.float32(257)


def _none_if_neutral(colors: Pixels | None, kind: Kind) -> Pixels | None:
    """Return the colors, or None if red, green and blue are equal everywhere."""
    if kind != "gray" or colors is None:
        return colors
    red, green, blue = np.moveaxis(colors, -1, 0)
    return None if np.array_equal(red, green) and np.array_equal(green, blue) else colors


def _gray_to_srgb(gray: Pixels, icc: bytes | None, notes: list[str]) -> tuple[Pixels, str | None]:
    if icc:
        try:
            curve = profiles.gray_to_srgb_table(icc, 256 if gray.dtype == np.uint8 else 65536)
        except profiles.ProfileError as error:
            notes.append(_profile_note(error))
        else:
            if curve is not None:
                return curve.astype(gray.dtype)[gray], profiles.profile_name(icc)
    return gray, None


def image_to_srgb(
    image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[Image.Image, str | None]:
    """Convert an 8-bit colour picture to sRGB, as far as its profile can be used.

    Args:
        image: RGB, CMYK or another mode that Pillow converts; RGB may be changed in place.
        icc: its profile.
        notes: gets what could not be done as the file asks.

    Returns:
        The picture as RGB, and the name of the profile; None where it was sRGB or had none.
    """
    if icc:
        try:
            if image.mode == "RGB" and profiles.is_srgb(icc):
                return image, None
            return profiles.image_to_srgb(image, icc), profiles.profile_name(icc)
        except profiles.ProfileError as error:
            notes.append(_profile_note(error))
    elif image.mode == "CMYK":
        notes.append("CMYK without a colour profile: converted by the plain rule")
    return image.convert("RGB") if image.mode != "RGB" else image, None


def _profile_note(error: profiles.ProfileError) -> str:
    return f"the colour profile cannot be used ({error}): read as sRGB"


def _reduction(size: tuple[int, int]) -> int:
    return max(1, min(size) // _THUMBNAIL_SIDE)
