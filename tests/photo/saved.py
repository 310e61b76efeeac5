"""A small photograph in color, pictures and photographs as bytes, and what a folder holds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tintype.photo import Photo

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def coloured(path: Path) -> Photo:
    photo = Photo.open(path)
    return photo.with_rgb(np.stack([photo.gray, photo.gray, photo.gray // 2], axis=-1))


def encoded(picture: Image.Image, format: str, **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **how)
    return file.getvalue()


def saved(photo: Photo, format: str | None = None) -> bytes:
    file = io.BytesIO()
    photo.save(file, format=format)
    return file.getvalue()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
