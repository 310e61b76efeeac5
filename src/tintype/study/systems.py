"""The systems that a study judges: models of tintype, or pictures colorized elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tintype.errors import DataError, PhotoError
from tintype.photo import Photo
from tintype.photo.encoding import format_of
from tintype.runtime.named import NamedModel
from tintype.study.pictures import RgbImage, center_square


class System(Protocol):
    """A system that colorizes photographs for a study.

    Attributes:
        name: its name in the report.
        origin: where its colours come from, in words.
    """

    name: str
    origin: str

    def check(self, path: Path) -> None:
        """Raise `PhotoError` for a photograph it cannot colorize."""
        ...

    def colorize(self, path: Path, true: RgbImage, seed: int) -> RgbImage:
        """Return the centre square of a photograph in the system's colours, 8-bit RGB.

        Args:
            path: the photograph.
            true: its centre square, (size, size, 3).
            seed: seed for a system that samples.

        Raises:
            PhotoError: the photograph cannot be colorized.
        """
        ...


class ModelSystem:
    """A model of tintype, which colorizes the luminance of the centre square.

    Args:
        name: a name as `NamedModel.load` takes it.
        threads: as in `Colorizer`.

    Raises:
        UnknownModelError: there is no such model.
        CorruptModelError: its files do not match their checksums.
        DataError: it does not take the option after the @.
    """

    def __init__(self, name: str, threads: int | None = None) -> None:
        model = self._model = NamedModel.load(name, threads)
        self.name = os.path.basename(name)
        card = model.colorizer.card
        self.origin = ", ".join(
            [
                f"tintype model {card.name}",
                *(f"{key} {value}" for key, value in model.asked.items()),
                *(f"{file} {checksum[:16]}" for file, checksum in card.files.items()),
            ]
        )

    def check(self, path: Path) -> None:
        """Accept every photograph."""

    def colorize(self, path: Path, true: RgbImage, seed: int) -> RgbImage:
        """Return the square colorized; a model that samples draws one sample from the seed."""
        options = self._model.options
        if self._model.samples:
            options = replace(options, seed=seed)
        colorized = self._model.colorize(Photo.from_array(true), options)
        return np.asarray(colorized.rgb(), np.uint8)


class FolderSystem:
    """Pictures that another program colorized, under the names of the photographs.

    Args:
        name: name of the program.
        folder: folder of its pictures; their extensions may differ from those of the photographs.
        size: side of the study's pictures in pixels.

    Raises:
        DataError: the folder cannot be read, or two of its pictures share a name.
    """

    def __init__(self, name: str, folder: Path, size: int) -> None:
        self.name = name
        self.origin = f"pictures colorized elsewhere ({folder.name})"
        self._size = size
        try:
            files = sorted(file for file in folder.iterdir() if format_of(file.name))
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}") from error
        self._files = _by_stem(files)

    def check(self, path: Path) -> None:
        """Raise `PhotoError` for a photograph without a picture of its name and aspect ratio."""
        picture, photo = self._open(path), Photo.open(path)
        if abs(picture.width * photo.height - picture.height * photo.width) > max(
            picture.width, picture.height, photo.width, photo.height
        ):
            raise PhotoError(
                f"{picture.path} ({picture.width} × {picture.height}) has another aspect ratio "
                f"than {path} ({photo.width} × {photo.height})"
            )
        center_square(picture, self._size)

    def colorize(self, path: Path, true: RgbImage, seed: int) -> RgbImage:
        """Return the centre square of the picture made from a photograph."""
        return center_square(self._open(path), self._size)

    def _open(self, path: Path) -> Photo:
        try:
            return Photo.open(self._files[path.stem])
        except KeyError:
            raise PhotoError(f"{path}: {self.name} has no picture of this name") from None


def _by_stem(files: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        if (other := found.setdefault(file.stem, file)) is not file:
            raise DataError(f"{other} and {file} are both called {file.stem}: remove one")
    return found
