"""One photograph of many: what is asked for, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tintype.batch.places import shown, url_of

if TYPE_CHECKING:
    from tintype.runtime.hints import Hint


@dataclass(frozen=True)
class Failure:
    """An input that gave no result, and why, in a sentence that names it."""

    input: str
    error: str
    error_class: str = "UnreadablePhotoError"


@dataclass(frozen=True)
class Task:
    """One photograph and where its results go.

    Attributes:
        source: the photograph; None is standard input.
        output: the coloured photograph; None is standard output.
        compare: the picture of both side by side; None if none is wanted.
        samples: of several colourings, in the place of `output`: each, by its number from 1.
        sheet: the contact sheet of several colourings.
        settings: where to write what made the result, or each of the samples.
        hints: colours that are known.
        asked: options of its own, by name.
    """

    source: Path | None
    output: Path | None
    compare: Path | None = None
    samples: tuple[Path, ...] = ()
    sheet: Path | None = None
    settings: tuple[Path, ...] = ()
    hints: tuple[Hint, ...] = ()
    asked: tuple[tuple[str, Any], ...] = ()

    @property
    def pictures(self) -> list[Path]:
        """Every picture that is written."""
        return [path for path in (self.output, self.compare, *self.samples, self.sheet) if path]

    @property
    def targets(self) -> list[Path]:
        """Every file that is written."""
        return [*self.pictures, *self.settings]

    @property
    def elsewhere(self) -> bool:
        """Whether any of its files is in a store."""
        return any(url_of(path) for path in (self.source, *self.targets) if path)

    def moved(self, source: Path | None, result: Callable[[Path], Path]) -> Task:
        """Return the task of another file, with each result at another path."""
        return replace(
            self,
            source=source,
            output=self.output and result(self.output),
            compare=self.compare and result(self.compare),
            samples=tuple(map(result, self.samples)),
            sheet=self.sheet and result(self.sheet),
            settings=tuple(map(result, self.settings)),
        )

    @property
    def name(self) -> str:
        """What to call the photograph in messages."""
        return shown(self.source) if self.source else "-"


@dataclass
class Outcome:
    """What came of a photograph.

    Attributes:
        task: what was asked for.
        entry: what was written, as the report has it; None if nothing was.
        failure: what went wrong, were it after the photograph was written.
        entropy: mean entropy of the model's bins in bits; None if it was not asked for.
        encoded: the photograph for standard output.
        seconds: that it took.
        options: that held, where it had some of its own.
        remarks: what there is to say of the machine, and not of the photograph.
    """

    task: Task
    entry: dict[str, Any] | None = None
    failure: Failure | None = None
    entropy: float | None = None
    encoded: bytes | None = None
    seconds: float = 0.0
    options: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()


def class_of(error: BaseException) -> str:
    """Return what the report calls the class of an error."""
    return "MemoryError" if isinstance(error, MemoryError) else type(error).__name__


def existing(paths: Iterable[Path]) -> set[Path]:
    """Return those of several results that exist."""
    paths = set(paths)
    elsewhere = {path for path in paths if url_of(path)}
    there = {path for path in paths - elsewhere if os.path.exists(path)}
    if elsewhere:
        from tintype.batch import remote

        there |= remote.existing(elsewhere)
    return there
