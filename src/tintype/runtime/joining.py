"""Join luminance at full size with low-resolution chroma, as the options say.

Full-size work is done in strips of rows, in parallel threads; apart from the gray plane and the
result, memory does not grow with the photograph.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.card import Card
from tintype.color.gamut import join_lab, join_luma
from tintype.color.guided import (
    GuidedCoefficients,
    area_mean,
    enlarge,
    fit_coefficients,
    fit_filter_coefficients,
    resize_bicubic,
    working_size,
)
from tintype.color.spaces import (
    chroma_to_rgb_matrix,
    lab_to_rgb,
    rgb_to_lab,
    rgb_to_ycbcr,
    rgb_to_yuv,
)
from tintype.runtime.options import Options
from tintype.runtime.resize import ImageArray

_STRIP_PIXELS = 1 << 19  # per strip: ten megabytes per thread
_WARMEST = 10.0  # shift of b at a warmth of 1
# Lab chroma up to which b is not shifted, and from which it is shifted fully.
_GRAY, _COLORED = 4.0, 8.0


def join(
    card: Card,
    gray: ImageArray,
    chroma: NDArray[np.float32],
    options: Options,
    threads: int,
) -> ImageArray:
    """Return sRGB (H, W, 3) of luminance and chroma, in the type of `gray`.

    Args:
        card: card of the model that predicted the chroma.
        gray: luminance (H, W), uint8 or uint16.
        chroma: chroma (2, h, w) in the color space of the card, neutral at 0.
        options: saturation, warmth, enlarge and filter are used.
        threads: number of threads; the result does not depend on it.
    """
    return lay(card, fit(card, gray, chroma, options), gray, threads)


def fit(
    card: Card, gray: ImageArray, chroma: NDArray[np.float32], options: Options
) -> GuidedCoefficients:
    """Apply saturation and warmth, and fit chroma as a linear function of the luminance.

    Args:
        card, gray, chroma, options: as in `join`.
    """
    neutral = np.float32(0.5 if card.space == "ycbcr" else 0)
    chroma = chroma * np.float32(options.saturation)
    if options.warmth:
        chroma = shift_warmth(chroma, gray, card.space, options.warmth)
    return _fit(card, np.moveaxis(chroma + neutral, 0, -1), gray, options)


def lay(
    card: Card,
    fitted: GuidedCoefficients,
    gray: ImageArray,
    threads: int,
    full: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
) -> ImageArray:
    """Return sRGB (H, W, 3) of luminance and the coefficients of `fit`, in the type of `gray`.

    Args:
        card: card of the model.
        fitted: coefficients from `fit`, of the same photograph at any size.
        gray: luminance (H, W) of the photograph or a part of it, uint8 or uint16.
        threads: number of threads; the result does not depend on it.
        full: size of the photograph, (height, width); by default that of `gray`.
        at: row and column of the part in the photograph.
    """
    height, width = gray.shape
    full = full or (height, width)
    rgb = np.empty((height, width, 3), gray.dtype)
    rows, columns = max(1, _STRIP_PIXELS // width), min(width, _STRIP_PIXELS)

    def part(first: tuple[int, int]) -> None:
        down = slice(first[0], min(first[0] + rows, height))
        across = slice(first[1], min(first[1] + columns, width))
        whole_down, whole_across = (
            slice(part.start + start, part.stop + start)
            for part, start in zip((down, across), at, strict=True)
        )
        enlarged = enlarge(fitted, gray[down, across], whole_down, full, whole_across)
        if card.space == "lab":
            join_lab(gray[down, across], enlarged, out=rgb[down, across])
        else:
            join_luma(gray[down, across], enlarged, card.space, out=rgb[down, across])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, product(range(0, height, rows), range(0, width, columns))))
    return rgb


def shift_warmth(
    chroma: NDArray[np.float32], gray: ImageArray, space: str, warmth: float
) -> NDArray[np.float32]:
    """Return chroma (2, h, w) with b of CIE Lab shifted, except in gray.

    The shift is 10 times the warmth where Lab chroma is above 8, nothing where it is below 4, and
    smooth in between. YUV and YCbCr are converted to Lab at the mean luminance of each cell.

    Args:
        chroma: chroma (2, h, w), neutral at 0.
        gray: luminance of the photograph, (H, W).
        space: color space of the chroma: ``"lab"``, ``"yuv"`` or ``"ycbcr"``.
        warmth: from -1 (colder) to 1 (warmer).
    """
    if space == "lab":
        return np.stack([chroma[0], chroma[1] + _shift(chroma, warmth)])
    eight = gray if gray.dtype == np.uint8 else (gray >> 8).astype(np.uint8)
    size = (chroma.shape[2], chroma.shape[1])
    small = Image.fromarray(eight).resize(size, Image.Resampling.BOX)
    luma = np.asarray(small, np.float32)[..., None] / np.float32(255)
    rgb = luma + np.moveaxis(chroma, 0, -1) @ chroma_to_rgb_matrix(space).T
    lab = rgb_to_lab(rgb)
    shift = _shift(np.moveaxis(lab[..., 1:], -1, 0), warmth)
    lab[..., 2] += shift
    to_space, neutral = (rgb_to_yuv, 0.0) if space == "yuv" else (rgb_to_ycbcr, 0.5)
    shifted = np.moveaxis(to_space(lab_to_rgb(lab))[..., 1:], -1, 0) - np.float32(neutral)
    return np.where(shift == 0, chroma, shifted)


def _shift(ab: NDArray[np.float32], warmth: float) -> NDArray[np.float32]:
    """Return the shift of b, (h, w), for ab (2, h, w)."""
    share = np.clip((np.hypot(*ab) - _GRAY) / (_COLORED - _GRAY), 0, 1)
    return (_WARMEST * warmth * share * share * (3 - 2 * share)).astype(np.float32)


def _fit(
    card: Card, chroma: NDArray[np.float32], gray: ImageArray, options: Options
) -> GuidedCoefficients:
    """Fit chroma (h, w, 2) linearly in the luminance, with the model's guided filter if it has one.

    The filter is linear, so filtering the color image differs from filtering the chroma only by the
    gamut mapping before it.
    """
    filtered = card.filter is not None and options.filter != "none"
    if options.enlarge == "bilinear" and not filtered:
        return _flat(chroma)
    guide = area_mean(gray, working_size(chroma.shape, gray.shape))
    guide /= np.float32(np.iinfo(gray.dtype).max)
    if card.filter is None or not filtered:
        return fit_coefficients(chroma, guide)
    if options.enlarge == "bilinear":
        planes = enlarge(_flat(chroma), guide, slice(0, len(guide)), guide.shape)
    else:
        planes = resize_bicubic(chroma, (guide.shape[0], guide.shape[1]))
    if options.filter == "image":
        picture = join_luma(guide, planes, card.space, dtype=np.uint16)
        planes = rgb_to_yuv(picture.astype(np.float32) / 65535)[..., 1:]
    return fit_filter_coefficients(planes, guide, card.filter.radius, card.filter.eps)


def _flat(chroma: NDArray[np.float32]) -> GuidedCoefficients:
    """Return coefficients with which `enlarge` interpolates chroma (h, w, 2) bilinearly."""
    offset = np.ascontiguousarray(np.moveaxis(chroma, -1, 0))
    nowhere = np.zeros(chroma.shape[:2], np.float32)
    return GuidedCoefficients(slope=np.zeros_like(offset), offset=offset, low=nowhere, high=nowhere)
