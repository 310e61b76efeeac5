"""Thumbnails of every result, kept on disk until the report takes some of them."""

from __future__ import annotations

import base64
from pathlib import Path

from PIL import Image

from tintype.evaluation.networks import RgbImage

_MAX_SIDE = 256  # pixels
_JPEG_QUALITY = 85


class ThumbnailStore:
    """Store thumbnails by photograph and model, as JPEG without chroma subsampling.

    Args:
        folder: an empty folder; a thumbnail takes about 15 kB.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model_ids: dict[str, int] = {}  # names may hold characters that file names cannot

    def save(self, photo: int, name: str, rgb: RgbImage) -> None:
        """Save the thumbnail of a picture, 8-bit RGB (H, W, 3), by index of photograph and name."""
        picture = Image.fromarray(rgb)
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
        self._model_ids.setdefault(name, len(self._model_ids))
        picture.save(self._path(photo, name), quality=_JPEG_QUALITY, subsampling=0)

    def data_uri(self, photo: int, name: str) -> str:
        """Return a saved thumbnail as a data URI."""
        data = base64.b64encode(self._path(photo, name).read_bytes()).decode()
        return f"data:image/jpeg;base64,{data}"

    def _path(self, photo: int, name: str) -> Path:
        return self._folder / f"{photo}-{self._model_ids[name]}.jpg"
