"""Reduced pictures of every result, kept in a folder until the report picks some."""

from __future__ import annotations

import base64
from pathlib import Path

from PIL import Image

from tintype.evaluation.networks import Picture

_LONGEST = 256  # px
_QUALITY = 85


class Gallery:
    """Pictures by photograph and by what made them.

    JPEG without subsampling of chroma, which is what the report is about.

    Args:
        folder: an empty folder, of some 15 kB a picture.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: dict[str, int] = {}  # names hold characters that files cannot

    def keep(self, photo: int, name: str, rgb: Picture) -> None:
        """Keep a reduced picture."""
        picture = Image.fromarray(rgb)
        picture.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
        self._numbers.setdefault(name, len(self._numbers))
        picture.save(self._path(photo, name), quality=_QUALITY, subsampling=0)

    def uri(self, photo: int, name: str) -> str:
        """A picture as a data URI."""
        data = base64.b64encode(self._path(photo, name).read_bytes()).decode()
        return f"data:image/jpeg;base64,{data}"

    def _path(self, photo: int, name: str) -> Path:
        return self._folder / f"{photo}-{self._numbers[name]}.jpg"
