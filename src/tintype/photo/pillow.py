"""Pillow without its size limit and warnings, and without doubled memory on the way to numpy."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

# Bytes of pixels copied at a time.
_STRIP_BYTES = 1 << 20
# Bytes of one unpacked text or profile of a PNG: scanners and Photoshop write more than a million.
_MAX_TEXT = 1 << 24


class _SharedContext:
    """A change to the whole process: the first of several threads makes it, the last undoes it."""

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._made = self._change()
                self._made.__enter__()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._made.__exit__(None, None, None)


@contextmanager
def _set(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


#: A PNG's texts and profile may be larger inside than Pillow allows; their sum is limited still.
large_png_texts = _SharedContext(lambda: _set(PngImagePlugin, "MAX_TEXT_CHUNK", _MAX_TEXT))
#: Pillow's limit on pixels is lifted inside: for single calls, and sizes checked against our own.
no_pixel_limit = _SharedContext(lambda: _set(Image, "MAX_IMAGE_PIXELS", None))
#: Warnings are off inside: Pillow's are about metadata, which is read here without its help.
no_warnings = _SharedContext(_without_warnings)


def load_partly(image: ImageFile.ImageFile) -> str | None:
    """Load an image as far as possible; return what is wrong with the rest, or None.

    Pillow's switch for this would change every picture that another thread opens meanwhile.

    Raises:
        OSError: nothing of it can be loaded.
    """
    try:
        image.load()
    except OSError as error:
        if image._im is None:
            raise
        if image.tile:  # it stopped before the end of the picture
            image.tile = []
            image.load_end()
        return " ".join(str(error).split())
    return None


def image_to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Copy the pixels of a loaded 8-bit image, (H, W) or (H, W, C), strip by strip."""
    width, height = image.size
    bands = len(image.getbands())
    pixels = np.empty((height, width, bands) if bands > 1 else (height, width), dtype=np.uint8)
    rows = max(1, _STRIP_BYTES // (width * bands))
    for top in range(0, height, rows):
        below = min(top + rows, height)
        pixels[top:below] = np.asarray(image.crop((0, top, width, below)))
    return pixels
