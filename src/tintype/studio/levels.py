"""A photograph's luminance on disk at several sizes, so that any part can be read quickly."""

from __future__ import annotations

import math
import os
import secrets
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.runtime.resize import ImageArray

PREVIEW_PIXELS = 1_000_000  #: most pixels of the preview
TILE = 512  #: side of a tile, in pixels
_LONGEST = 8000  # most pixels of the preview's side that browsers draw

Gray = NDArray[np.uint8]


def write_levels(folder: Path, gray: ImageArray) -> int:
    """Write luminance at full size, halved again and again, and as the preview, in 8 bits.

    8 bits are enough to look at, and are what the networks take.

    Args:
        folder: the photograph's folder.
        gray: luminance (H, W), uint8 or uint16.

    Returns:
        The number of levels, without the preview.
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
    """Return the luminance (H, W) of a level, 0 being full size, or of the preview (None).

    The array is memory-mapped and read-only.
    """
    return np.load(folder / f"level-{'preview' if level is None else level}.npy", mmap_mode="r")


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array to a file atomically, since several workers may write the same one.

    Unlike `tintype.photo.write.atomic` it does not wait for the disk: what is lost is made again.
    """
    temporary = path.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
            np.save(file, array)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
