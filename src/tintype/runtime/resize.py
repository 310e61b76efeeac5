"""Reduce a photograph to the input size of a network."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.card import Size

#: Luminance (H, W) or sRGB (H, W, 3), of 8 or 16 bits.
ImageArray: TypeAlias = NDArray[np.uint8 | np.uint16]

_RESAMPLES = {
    "lanczos": Image.Resampling.LANCZOS,
    "triangle": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


# Longest aspect ratio at which a photograph in windows keeps the full length of its shorter side.
_LONGEST = 32


def network_size(height: int, width: int, size: Size, windows: bool = False) -> tuple[int, int]:
    """Return the height and width in pixels of the network's input for a photograph.

    With the shape ``"aspect"`` the shorter side becomes ``short_side``, or less where the longer
    side would exceed ``longest``; both are rounded to ``multiple``. With ``"square"`` both sides
    are ``short_side``.

    Args:
        height, width: size of the photograph.
        size: input size of the card.
        windows: the photograph is processed in windows (`tintype.runtime.windows`) and may be far
            longer.
    """
    if size.shape == "square":
        return size.short_side, size.short_side
    longest = max(size.longest, _LONGEST * size.short_side) if windows else size.longest
    scale = min(size.short_side / min(height, width), longest / max(height, width))

    def fitting(side: int) -> int:
        return max(1, round(side * scale / size.multiple)) * size.multiple

    return fitting(height), fitting(width)


def reduce(plane: ImageArray, size: Size, windows: bool = False) -> NDArray[np.float32]:
    """Return a channel (H, W), uint8 or uint16, at the network's input size, (h, w) in [0, 1].

    Args:
        plane: luminance or another channel.
        size, windows: as in `network_size`.
    """
    height, width = network_size(plane.shape[0], plane.shape[1], size, windows)
    if plane.dtype == np.uint16:  # 8 bits are enough for the network
        eight = np.empty(plane.shape, np.uint8)
        plane = np.right_shift(plane, 8, out=eight, casting="unsafe")
    if size.resample == "bilinear":
        return _bilinear(plane, height, width) / np.float32(255)
    # Faster: box averages down to about three times the size, then the filter. Not with bicubic,
    # which must agree with the code of published networks.
    gap = None if size.resample == "bicubic" else 3.0
    resample = _RESAMPLES[size.resample]
    small = Image.fromarray(plane).resize((width, height), resample, reducing_gap=gap)
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def _bilinear(plane: ImageArray, height: int, width: int) -> NDArray[np.float32]:
    """Resize a channel bilinearly without antialiasing, as torch does by default."""
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
    """Return the two nearest pixels of each new pixel along a side, and the fraction between."""
    place = np.clip((np.arange(count) + 0.5) * length / count - 0.5, 0, length - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, length - 1), (place - before).astype(np.float32)
