"""A model that paints everything the same colour, and photographs for it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tintype.errors import UnknownModelError
from tintype.photo import Photo
from tintype.runtime.device import Device, Provider
from tintype.runtime.options import Options


class Painter:
    """Takes the place of the colorizer: red as the photograph is light, no green, no blue."""

    made: list[tuple[str, int | None]]
    asked: list[Options]
    card = SimpleNamespace(
        name="tint.test",
        kind="chroma",
        options={"vividness": 0.6},
        enlarge="guided",
        filter=None,
        normalise=False,
        has="decode".__eq__,
    )
    device = Device()

    def __init__(self, model: str, threads: int | None = None, provider: Provider = "cpu") -> None:
        if model != "tint":
            raise UnknownModelError(f"No model is called {model!r}; there are: tint")
        self.made.append((model, threads))

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in the place of every model and colorizer."""
        import_module("tintype.runtime.colorizer")  # with the model itself, for other tests

        def colorizer(model: Painter | str, threads: int | None = None) -> Painter:
            return cls(model, threads) if isinstance(model, str) else model

        monkeypatch.setattr("tintype.runtime.model.Model", cls)
        monkeypatch.setattr("tintype.runtime.colorizer.Colorizer", colorizer)

    def options(self, **asked: Any) -> Options:
        return Options.resolve(self.card, **asked)

    def colorize(self, photo: Photo, options: Options, *, hints: Any = ()) -> Photo:
        assert not hints
        self.asked.append(options)
        rgb = np.zeros((*photo.gray.shape, 3), photo.gray.dtype)
        rgb[..., 0] = photo.gray
        return photo.with_rgb(rgb)


def photograph(path: str | Path, size: tuple[int, int] = (8, 6)) -> Path:
    """A light gray photograph, on disk."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 200).save(path)
    return Path(path)


def is_red(file: Any) -> bool:
    with Image.open(file) as image:
        red, green, _ = np.asarray(image.convert("RGB"), int).mean((0, 1))
    return red > 150 > 50 > green


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())
