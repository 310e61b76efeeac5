"""Pictures and photographs as bytes, parts of a PNG, and what a folder holds."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tintype.photo import Photo

BROKEN = Path(__file__).parent / "broken"
SCENE = Path(__file__).parents[2] / "examples" / "cameraman.jpg"
PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def scene(mode: str = "L", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A photograph of the examples, made small."""
    with Image.open(SCENE) as image:
        return image.convert("L").resize(size).convert(mode)


def colors(height: int = 21, width: int = 34) -> np.ndarray:
    """A picture of every hue, with noise."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * x / width, 255 * y / height, 255 * (1 - x / width)]
    noise = np.random.default_rng(0).normal(0, 8, (height, width, 3))
    return np.clip(np.stack(planes, axis=-1) + noise, 0, 255).astype(np.uint8)


def image(mode: str) -> Image.Image:
    """A picture of a mode, with varied alpha where it has any."""
    rgb = Image.fromarray(colors())
    alpha = Image.fromarray(colors()[..., 0])
    if mode in ("LA", "RGBA"):
        base = rgb.convert(mode[:-1])
        base.putalpha(alpha)
        return base
    return rgb.quantize(50) if mode == "P" else rgb.convert(mode)


def coloured(source: Any) -> Photo:
    """A photograph, or the one of a file, in colours that no gray has."""
    photo = source if isinstance(source, Photo) else Photo.open(source)
    return photo.with_rgb(np.stack([photo.gray, photo.gray, photo.gray // 2], axis=-1))


def encoded(picture: Image.Image, format: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **how)
    return file.getvalue()


def saved(photo: Photo, format: str | None = None) -> bytes:
    file = io.BytesIO()
    photo.save(file, format=format)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with further chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
