"""The dots of a printed picture smoothed away: a network that sees dots sees no scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Chosen on photographs screened at 40 to 160 dots across their shorter side, and on 500 that are
# not, of which none has more than 0.044 of its variance in one such peak (the pipes of an organ).
_LEAST, _SURE = 0.05, 0.1  # share of the variance in the screen's peak: none of it, all of it
_FINE = 1 / 6  # cycles a pixel from which on a peak is a screen's
_WIDE = 2  # bins around the peak that are its own
_DOTS = 0.75  # cells of the smoothed picture for each dot


def descreened(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return gray (H, W) in [0, 1] without the regular dots of a printing screen.

    The clearer they are, the more of them is smoothed away; where there are none, the result is
    the same array.
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
    """The share of the variance that the strongest fine pattern has, and its cycles a pixel."""
    height, width = gray.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    power = np.abs(np.fft.rfft2((gray - gray.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    fine = power * (frequency > _FINE)
    row, column = np.unravel_index(np.argmax(fine), fine.shape)
    rows = np.arange(row - _WIDE, row + _WIDE + 1) % height
    own = fine[rows, max(0, column - _WIDE) : column + _WIDE + 1].sum()
    return float(own / max(power.sum(), 1e-12)), float(frequency[row, column])
