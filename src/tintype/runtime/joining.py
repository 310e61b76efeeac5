"""Joining luminance at full size with chroma at the model's, in the ways the options name.

Work at full size goes by strips of rows, in parts where they are very long, several at once on as
many threads: beyond the gray plane and the result, memory does not grow with the photograph.
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

_STRIP_PIXELS = 1 << 19  # per strip: ten megabytes for each thread
_WARMEST = 10.0  # what a warmth of 1 adds to b
# Chroma up to which a color counts as gray and keeps its b, and from which it moves by all of it.
_GRAY, _COLORED = 4.0, 8.0


def join(
    card: Card,
    gray: ImageArray,
    chroma: NDArray[np.float32],
    options: Options,
    threads: int,
) -> ImageArray:
    """Return full-size colors (H, W, 3) from luminance (H, W) and chroma (2, h, w).

    Args:
        card: of the model that predicted the chroma.
        gray, chroma: in the units of the card.
        options: saturation, warmth, enlargement and filter are applied here.
        threads: how many work at once; the result is the same.
    """
    return lay(card, fit(card, gray, chroma, options), gray, threads)


def fit(
    card: Card, gray: ImageArray, chroma: NDArray[np.float32], options: Options
) -> GuidedCoefficients:
    """Return chroma as lines in the luminance, saturation and warmth applied.

    Args:
        card, gray, chroma, options: as in `join`.
    """
    neutral = np.float32(0.5 if card.space == "ycbcr" else 0)
    chroma = chroma * np.float32(options.saturation)
    if options.warmth:
        chroma = warmed(chroma, gray, card.space, options.warmth)
    return _fit(card, np.moveaxis(chroma + neutral, 0, -1), gray, options)


def lay(
    card: Card,
    fitted: GuidedCoefficients,
    gray: ImageArray,
    threads: int,
    full: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
) -> ImageArray:
    """Return full-size colors (H, W, 3) from luminance (H, W) and what `fit` gave.

    Args:
        card: of the model.
        fitted: from `fit`, of the same picture at any size.
        gray: luminance, of the whole picture or a part.
        threads: how many work at once; the result is the same.
        full: size of the picture that `gray` is a part of, (height, width).
        at: row and column of the part in it.
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


def warmed(
    chroma: NDArray[np.float32], gray: ImageArray, space: str, warmth: float
) -> NDArray[np.float32]:
    """Return chroma (2, h, w) whose b is shifted where it is colored, neutral at 0.

    By 10 times the warmth in CIE Lab where the chroma in Lab is above 8, by nothing where it is
    below 4, and smoothly in between. Of a luma space, chroma is converted at the photograph's mean
    luminance in each cell.

    Args:
        chroma: in the space, neutral at 0.
        gray: luminance of the photograph, (H, W).
        space: ``"lab"``, ``"yuv"`` or ``"ycbcr"``.
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
    """What is added to b, (h, w), of ab (2, h, w)."""
    share = np.clip((np.hypot(*ab) - _GRAY) / (_COLORED - _GRAY), 0, 1)
    return (_WARMEST * warmth * share * share * (3 - 2 * share)).astype(np.float32)


def _fit(
    card: Card, chroma: NDArray[np.float32], gray: ImageArray, options: Options
) -> GuidedCoefficients:
    """Chroma (h, w, 2) as lines in the luminance, by the model's own filter where it has one.

    The filter is linear in what it filters: on the colored picture it does the same as on the
    chroma, but for colors that had to be brought into gamut before it.
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
    """Chroma (h, w, 2) that follows no edge: what `enlarge` then interpolates bilinearly."""
    offset = np.ascontiguousarray(np.moveaxis(chroma, -1, 0))
    nowhere = np.zeros(chroma.shape[:2], np.float32)
    return GuidedCoefficients(slope=np.zeros_like(offset), offset=offset, low=nowhere, high=nowhere)
