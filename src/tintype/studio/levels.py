"""A photograph's luminance on disk at several sizes, of which any part is at hand."""

from __future__ import annotations

import math
import os
import secrets
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.runtime.resize import ImageArray

PREVIEW_PIXELS = 1_000_000
TILE = 512  #: pixels of a tile's side
_LONGEST = 8000  # side of the preview, which a browser can draw

Gray = NDArray[np.uint8]


def write_levels(folder: Path, gray: ImageArray) -> int:
    """Write luminance (H, W) at its size, at halves of it down to the preview's, and at that.

    Eight bits are enough to be looked at, and what a network sees.

    Returns:
        How many levels there are beside the preview.
    """
    eight = gray if gray.dtype == np.uint8 else (gray >> 8).astype(np.uint8)
    save_array(folder / "level-0.npy", eight)
    image, count = Image.fromarray(eight), 1
    while image.width * image.height > 4 * PREVIEW_PIXELS:
        image = image.reduce(2)
        save_array(folder / f"level-{count}.npy", np.asarray(image))
        count += 1
    share = min(1, math.sqrt(PREVIEW_PIXELS / eight.size), _LONGEST / max(eight.shape))
    size = [max(1, int(side * share)) for side in (eight.shape[1], eight.shape[0])]
    preview = image.resize((size[0], size[1]), Image.Resampling.LANCZOS, reducing_gap=3)
    save_array(folder / "level-preview.npy", np.asarray(preview))
    return count


def read_level(folder: Path, level: int | None) -> Gray:
    """Return the luminance of a level, mapped from its file; None for the preview."""
    return np.load(folder / f"level-{'preview' if level is None else level}.npy", mmap_mode="r")


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array, whole or not at all: several workers may write the same."""
    temporary = path.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
            np.save(file, array)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
