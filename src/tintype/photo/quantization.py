"""The quantisation tables of a JPEG: chroma steps for a picture that had none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# ITU-T T.81, tables K.1 and K.2, row by row.
_LUMA = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip
_CHROMA = np.array(
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
        *[99] * 32,
    ]
)  # fmt: skip


def matching_chroma_table(luma: Sequence[int]) -> list[int]:
    """Return the standard chroma table at the quality that a luma table comes nearest to.

    Args:
        luma: 64 steps, row by row.
    """
    qualities = range(100, 0, -1)
    distances = [np.abs(_scaled(_LUMA, q) - np.asarray(luma)).sum() for q in qualities]
    return _scaled(_CHROMA, qualities[int(np.argmin(distances))]).tolist()


def _scaled(table: np.ndarray, quality: int) -> np.ndarray:
    """Scale a standard table to a quality from 1 to 100, as the Independent JPEG Group does."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((table * scale + 50) // 100, 1, 255)
