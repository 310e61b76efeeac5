"""Tell from a thumbnail whether a picture is gray, toned or in color."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["gray", "toned", "color"]

UNEVEN = "its toning varies, as of a yellowed print: if it is in colour, its own colours are lost"

# Chroma in levels of 255: what a JPEG's rounding makes of gray; and how far the chroma of a toned
# print strays from the one chroma that belongs to each gray.
_MAX_NEUTRAL_CHROMA, _MAX_TONED_DEVIATION = 2.5, 3.0
# A stamp or mark in color on a gray picture: this much chroma at more than this many pixels.
_STAMP_CHROMA, _MAX_STAMP_PIXELS = 12.0, 8
# Paper that yellowed unevenly: how far chroma strays from the line of its one hue, and
# between which hues that line lies, in degrees from yellow (-Cb) to red (Cr). Of 3,500 photographs
# in colour seven are so too, of yellowed and foxed prints that stray further than above 99 %.
_MAX_HUE_DEVIATION, _PAPER_HUES = 1.0, (10.0, 60.0)
# No more of it than this share is bluer than gray by so much.
_AGAINST, _MAX_AGAINST = 4.0, 0.005


def classify(colors: NDArray[np.generic]) -> tuple[Kind, bool]:
    """Tell whether a small picture (H, W, 3), in values of 255, is gray, toned or in colour.

    In a toned print every gray has its own chroma, all over the picture: what is left when the
    mean chroma of each gray is taken away is grain and stains. Where that is more, but all of the
    hue of old paper, the print has yellowed unevenly, or has foxing.

    Returns:
        The kind, and whether it is toned unevenly, as a photograph in few colours may seem to be.
    """
    r, g, b = np.moveaxis(colors.astype(np.float32).reshape(-1, 3), -1, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = np.stack([0.564 * (b - luma), 0.713 * (r - luma)])
    strength = np.abs(chroma).max(axis=0)
    if np.quantile(strength, 0.995) <= _MAX_NEUTRAL_CHROMA:
        stamp = np.count_nonzero(strength > _STAMP_CHROMA) > _MAX_STAMP_PIXELS
        return ("color" if stamp else "gray"), False
    gray_class = (luma / 8).astype(np.intp)
    count = np.maximum(np.bincount(gray_class), 1)
    means = [np.bincount(gray_class, weights=plane) / count for plane in chroma]
    strays = chroma - np.stack([mean[gray_class] for mean in means])
    variances, axes = np.linalg.eigh(strays @ strays.T / len(luma))  # in ascending order
    if variances.sum() <= _MAX_TONED_DEVIATION**2:
        return "toned", False
    hue = axes[:, 1] if axes[0, 1] < 0 else -axes[:, 1]
    low, high = _PAPER_HUES
    uneven = (
        variances[0] <= _MAX_HUE_DEVIATION**2
        and low <= np.degrees(np.arctan2(hue[1], -hue[0])) <= high
        and np.mean(hue @ chroma < -_AGAINST) <= _MAX_AGAINST
    )
    return ("toned", True) if uneven else ("color", False)
