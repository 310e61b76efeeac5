"""Descreen printed pictures, whose halftone dots would mislead the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Chosen on photographs with halftone screens of 40 to 160 dots across the shorter side, and on 500
# without, of which none has more than 0.044 of its variance in such a peak (organ pipes).
# Share of the variance in the screen's peak below which nothing is smoothed, and above which all
# is.
_LEAST, _SURE = 0.05, 0.1
_FINE = 1 / 6  # least frequency of a screen, in cycles per pixel
_WIDE = 2  # frequency bins on each side that belong to the peak
_DOTS = 0.75  # pixels of the smoothed picture per dot, each way


def descreen(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return gray (H, W) in [0, 1] with the dots of a halftone screen smoothed.

    The stronger the screen, the more is smoothed. Without a screen the same array is returned.
    """
    strength, frequency = _screen(gray)
    share = min(1.0, max(0.0, (strength - _LEAST) / (_SURE - _LEAST)))
    if share == 0:
        return gray
    height, width = (max(1, round(_DOTS * frequency * side)) for side in gray.shape)
    small = Image.fromarray(gray).resize((width, height), Image.Resampling.BOX)
    smooth = small.resize(gray.shape[::-1], Image.Resampling.BICUBIC)
    less = np.asarray(smooth, np.float32) - gray
    return np.clip(gray + np.float32(share) * less, 0, 1, dtype=np.float32)


def _screen(gray: NDArray[np.float32]) -> tuple[float, float]:
    """Return the share of the variance of the strongest fine pattern, and its cycles per pixel."""
    height, width = gray.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    power = np.abs(np.fft.rfft2((gray - gray.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    fine = power * (frequency > _FINE)
    row, column = np.unravel_index(np.argmax(fine), fine.shape)
    rows = np.arange(row - _WIDE, row + _WIDE + 1) % height
    own = fine[rows, max(0, column - _WIDE) : column + _WIDE + 1].sum()
    return float(own / max(power.sum(), 1e-12)), float(frequency[row, column])
