"""The CIEDE2000 colour difference."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ciede2000(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return the colour difference Delta E 2000 of CIE Lab colours, (..., 3) to (...).

    1 is just visible. CIE 142-2001 with kL = kC = kH = 1, in the notation and with the hue
    conventions of Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula" (2005).

    Args:
        first, second: L in [0, 100], a and b; shapes that broadcast against each other.
    """
    (l1, a1, b1), (l2, a2, b2) = (
        np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0) for lab in (first, second)
    )
    a_scale = 1.5 - 0.5 * _chroma_saturation((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    a1, a2 = a_scale * a1, a_scale * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.arctan2(b1, a1), np.arctan2(b2, a2)

    # Hues meet the short way round; a neutral colour (h = 0 by arctan2) takes the other's hue.
    neutral = c1 * c2 == 0
    hue_difference = h2 - h1
    hue_difference -= 2 * np.pi * np.rint(hue_difference / (2 * np.pi))
    hue = np.where(neutral, h1 + h2, h1 + hue_difference / 2)
    hue_difference = np.where(neutral, 0, hue_difference)

    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(hue - np.pi / 6)
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.pi / 30)
        - 0.20 * np.cos(4 * hue - 63 * np.pi / 180)
    )
    squared = np.square(lightness - 50)
    dl = (l2 - l1) / (1 + 0.015 * squared / np.sqrt(20 + squared))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(hue_difference / 2) / (1 + 0.015 * chroma * t)
    off_blue = np.remainder(np.degrees(hue), 360) - 275
    rotation = np.radians(60 * np.exp(-np.square(off_blue / 25)))
    twist = -2 * _chroma_saturation(chroma) * np.sin(rotation)
    # Rounding alone can bring the quadratic form a hair below 0.
    return np.sqrt(np.maximum(dl * dl + dc * dc + dh * dh + twist * dc * dh, 0))


def _chroma_saturation(chroma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the formula's sqrt(C^7 / (C^7 + 25^7))."""
    cubed = chroma * chroma * chroma
    seventh = cubed * cubed * chroma
    return np.sqrt(seventh / (seventh + 25.0**7))
