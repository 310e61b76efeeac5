"""A small photograph in color, and what a folder holds after it was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tintype.photo import Photo

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def coloured(path: Path) -> Photo:
    photo = Photo.open(path)
    return photo.with_rgb(np.stack([photo.gray, photo.gray, photo.gray // 2], axis=-1))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
