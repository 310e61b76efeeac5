"""Bringing a photograph to the size at which a network sees it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.card import Size

#: Luminance (H, W) or colors (H, W, 3), of eight or of sixteen bits.
ImageArray: TypeAlias = NDArray[np.uint8 | np.uint16]

_RESAMPLES = {
    "lanczos": Image.Resampling.LANCZOS,
    "triangle": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


#: Times its shorter side up to which a photograph that is seen in windows keeps its full height.
_LONGEST = 32


def network_size(height: int, width: int, size: Size, windows: bool = False) -> tuple[int, int]:
    """Return the height and width in pixels at which a network sees a photograph of this size.

    Of shape ``"aspect"`` the shorter side is brought to the card's, unless that made the longer one
    too long; both are then rounded to the card's multiple, so that the aspect ratio is kept to
    within half of that. Of shape ``"square"`` both sides are the card's short side. What is seen in
    windows (`tintype.runtime.windows`) may be far longer.
    """
    if size.shape == "square":
        return size.short_side, size.short_side
    longest = max(size.longest, _LONGEST * size.short_side) if windows else size.longest
    scale = min(size.short_side / min(height, width), longest / max(height, width))

    def fitting(side: int) -> int:
        return max(1, round(side * scale / size.multiple)) * size.multiple

    return fitting(height), fitting(width)


def reduce(plane: ImageArray, size: Size, windows: bool = False) -> NDArray[np.float32]:
    """Return luminance, or another channel, at the network's size, in [0, 1]: (H, W) to (h, w)."""
    height, width = network_size(plane.shape[0], plane.shape[1], size, windows)
    if plane.dtype == np.uint16:  # eight bits are enough to be looked at
        eight = np.empty(plane.shape, np.uint8)
        plane = np.right_shift(plane, 8, out=eight, casting="unsafe")
    if size.resample == "bilinear":
        return _bilinear(plane, height, width) / np.float32(255)
    # First whole-pixel averages down to about three times the size, then a proper filter; not of
    # the bicubic one, which published networks are used with as it is.
    gap = None if size.resample == "bicubic" else 3.0
    resample = _RESAMPLES[size.resample]
    small = Image.fromarray(plane).resize((width, height), resample, reducing_gap=gap)
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def _bilinear(plane: ImageArray, height: int, width: int) -> NDArray[np.float32]:
    """A channel at another size without antialiasing, as tensors are resized by default."""
    top, bottom, down = _between(height, plane.shape[0])
    left, right, across = _between(width, plane.shape[1])
    upper, lower = (
        plane[np.ix_(rows, left)] * (1 - across) + plane[np.ix_(rows, right)] * across
        for rows in (top, bottom)
    )
    return (upper * (1 - down[:, None]) + lower * down[:, None]).astype(np.float32)


def _between(
    count: int, length: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `count` places on a side of `length` pixels: those beside it, and how far on."""
    place = np.clip((np.arange(count) + 0.5) * length / count - 0.5, 0, length - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, length - 1), (place - before).astype(np.float32)
