"""From the pixels of a file to what colouring needs: gray in sRGB's curve, and what is kept beside.

A colour picture gives its luma (ITU-R BT.601) after conversion to sRGB. So does a toned one: a
sepia print is a gray picture with a cast.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.photo import profiles
from tintype.photo.pillow import array_of

Kind = Literal["gray", "toned", "colour"]
Pixels = NDArray[np.uint8 | np.uint16]

# Luma in 16 fractional bits, as Pillow computes it: a neutral colour gives its own level exactly.
_LUMA = (19595, 38470, 7471)

# A picture is looked at in about this size to tell whether its colour is more than a cast.
_GLANCE = 192
# Chroma in levels of 255: what a JPEG's rounding makes of gray; and how far the chroma of a toned
# print strays from the one chroma that belongs to each gray.
_NEUTRAL, _STRAY = 2.5, 3.0
# A stamp or a mark in colour on a gray picture: so much chroma at more than so many places.
_STRONG, _FEW = 12.0, 8

_STRIP_PIXELS = 1 << 20


class Planes(NamedTuple):
    """What a picture consists of.

    Attributes:
        gray: (H, W), 8 or 16 bits, in sRGB's curve.
        colours: (H, W, 3) in sRGB, of the same depth; None where every pixel is neutral, or where
            they were not asked for.
        alpha: (H, W), of the same depth; None where the picture has none.
        kind: whether it was gray, gray with a cast, or in colour.
        profile: the name of the profile it was converted from; None where it was sRGB or had none.
    """

    gray: Pixels
    colours: Pixels | None
    alpha: Pixels | None
    kind: Kind
    profile: str | None


def planes_of_image(
    image: Image.Image, icc: bytes | None, keep_colours: bool, notes: list[str]
) -> Planes:
    """Take an upright 8-bit picture apart; it may be changed on the way.

    Args:
        image: in a mode that Pillow makes of a photograph: 1, L, LA, P, RGB, RGBA, CMYK and so on.
        icc: its profile.
        keep_colours: whether a colour picture's own colours will be wanted.
        notes: gets what could not be done as the file asks.
    """
    if image.has_transparency_data:
        gray = image.mode in ("1", "L", "LA", "La")
        image = image.convert("LA" if gray else "RGBA")
        alpha = array_of(image.getchannel("A"))
        image = image.getchannel("L") if gray else image.convert("RGB")
    else:
        alpha = None
        if image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("L" if image.mode == "1" else "RGB")
    if image.mode == "L":
        gray, profile = _gray_to_srgb(array_of(image), icc, notes)
        return Planes(gray, None, alpha, "gray", profile)
    image, profile = _image_to_srgb(image, icc, notes)
    gray = array_of(image.convert("L"))
    kind = _kind(np.asarray(image.reduce(_reduction(image.size))))
    colours = array_of(image) if keep_colours else None
    return Planes(gray, _unless_neutral(colours, kind), alpha, kind, profile)


def planes_of_samples(
    samples: NDArray[np.uint16], icc: bytes | None, keep_colours: bool, notes: list[str]
) -> Planes:
    """Take an upright 16-bit picture apart; the samples may be changed on the way.

    Args:
        samples: (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4): gray or RGB, then alpha.
        icc, keep_colours, notes: as for `planes_of_image`.
    """
    channels = samples.shape[2]
    alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
    if channels < 3:
        gray, profile = _gray_to_srgb(np.ascontiguousarray(samples[..., 0]), icc, notes)
        return Planes(gray, None, alpha, "gray", profile)
    colours = samples[..., :3]
    profile = None
    if icc:
        try:
            if not profiles.is_srgb(icc):
                profiles.samples_to_srgb(colours, icc)
                profile = profiles.profile_name(icc)
        except profiles.ProfileError as error:
            notes.append(_profile_note(error))
    kind = _kind(_glance_16(colours))
    gray = luma_16(colours)
    own = np.ascontiguousarray(colours) if keep_colours else None
    return Planes(gray, _unless_neutral(own, kind), alpha, kind, profile)


def luma_16(colours: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """BT.601 luma (H, W) of 16-bit colours (H, W, 3), rounded."""
    gray = np.empty(colours.shape[:2], dtype=np.uint16)
    rows = max(1, _STRIP_PIXELS // colours.shape[1])
    for top in range(0, len(colours), rows):
        strip = colours[top : top + rows]
        total = np.full(strip.shape[:2], 1 << 15, dtype=np.uint32)
        for channel, weight in enumerate(_LUMA):
            total += strip[..., channel] * np.uint32(weight)
        gray[top : top + rows] = total >> 16
    return gray


def _glance_16(colours: NDArray[np.uint16]) -> NDArray[np.float32]:
    """A small picture of 16-bit colours, in levels of 255: rows left out, columns averaged."""
    height, width, _ = colours.shape
    step = _reduction((width, height))
    rows = colours[::step, : width // step * step]
    return rows.reshape(len(rows), -1, step, 3).mean(axis=2, dtype=np.float32) / np.float32(257)


def _unless_neutral(colours: Pixels | None, kind: Kind) -> Pixels | None:
    """Colours, but None where red, green and blue are the same all over."""
    if kind != "gray" or colours is None:
        return colours
    red, green, blue = np.moveaxis(colours, -1, 0)
    return None if np.array_equal(red, green) and np.array_equal(green, blue) else colours


def _gray_to_srgb(gray: Pixels, icc: bytes | None, notes: list[str]) -> tuple[Pixels, str | None]:
    if icc:
        try:
            curve = profiles.gray_curve(icc, 256 if gray.dtype == np.uint8 else 65536)
        except profiles.ProfileError as error:
            notes.append(_profile_note(error))
        else:
            if curve is not None:
                return curve.astype(gray.dtype)[gray], profiles.profile_name(icc)
    return gray, None


def _image_to_srgb(
    image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[Image.Image, str | None]:
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
    return max(1, min(size) // _GLANCE)


def _kind(colours: NDArray[np.generic]) -> Kind:
    """Whether a small picture (H, W, 3), in levels of 255, is gray, toned or in colour.

    In a toned print every gray has its own chroma, all over the picture: what is left when the
    mean chroma of each gray is taken away is grain and stains.
    """
    r, g, b = np.moveaxis(colours.astype(np.float32).reshape(-1, 3), -1, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = np.stack([0.564 * (b - luma), 0.713 * (r - luma)])
    strength = np.abs(chroma).max(axis=0)
    if np.quantile(strength, 0.995) <= _NEUTRAL:
        return "gray" if np.count_nonzero(strength > _STRONG) <= _FEW else "colour"
    level = (luma / 8).astype(np.intp)
    count = np.maximum(np.bincount(level), 1)
    stray = 0.0
    for plane in chroma:
        mean = np.bincount(level, weights=plane) / count
        stray += float(np.mean((plane - mean[level]) ** 2))
    return "toned" if stray**0.5 <= _STRAY else "colour"
