"""Small studies, made in a second: drawn scenes, and systems that need no model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scenes import scene

from tintype.study.create import create_study
from tintype.study.manifest import Study
from tintype.study.settings import Settings

SMALL = Settings(size=32, trials=6, practice_trials=2, catch_trials=2, exposure_ms=300, seed=7)


class Painter:
    """A system that shifts the channels round."""

    def __init__(self, name: str, shift: int = 1) -> None:
        self.name, self.origin, self._shift = name, f"a test, shift {shift}", shift
        self.seeds: list[int] = []

    def check(self, path: Path) -> None:
        pass

    def colorize(self, path: Path, true: np.ndarray, seed: int) -> np.ndarray:
        self.seeds.append(seed)
        return np.ascontiguousarray(np.roll(true, self._shift, axis=2))


def photographs(folder: Path, count: int, side: int = 48) -> list[Path]:
    """Colour photographs, on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo-{k:02}.png" for k in range(count)]
    for k, path in enumerate(paths):
        scene(k, side, side + 7).save(path)
    return paths


def small_study(
    folder: Path, *, photos: int = 12, systems: tuple[str, ...] = ("one", "two"), **changes: object
) -> Study:
    """A study of scenes in the folder's ``study``."""
    painters = [Painter(name, 1 + k % 2) for k, name in enumerate(systems)]
    settings = replace(SMALL, **changes)
    paths = photographs(folder / "photos", photos)
    made, skipped = create_study(folder / "study", paths, painters, settings)
    assert not skipped
    return made
