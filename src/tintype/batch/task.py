"""One photograph of many: the task to do and its outcome."""

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
    """An error with one photograph.

    Attributes:
        input: the photograph, as messages name it.
        error: the reason, in a sentence that names the photograph.
        error_class: the error's class, as the report names it.
    """

    input: str
    error: str
    error_class: str = "UnreadablePhotoError"


@dataclass(frozen=True)
class Task:
    """One photograph and where its results go.

    Attributes:
        source: the photograph; None for standard input.
        output: the coloured photograph; None for standard output.
        compare: the photograph and the result side by side; None if not wanted.
        samples: the files of several colourings, samples 1, 2, ..., in place of `output`.
        sheet: the contact sheet of several colourings.
        settings: the settings files of the result, or of each of the samples.
        hints: known colours at points of the photograph.
        asked: (name, value) pairs of options that hold for this photograph alone.
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
        """All picture files that are written."""
        return [path for path in (self.output, self.compare, *self.samples, self.sheet) if path]

    @property
    def targets(self) -> list[Path]:
        """All files that are written."""
        return [*self.pictures, *self.settings]

    @property
    def elsewhere(self) -> bool:
        """Whether any of its files is in an object store."""
        return any(url_of(path) for path in (self.source, *self.targets) if path)

    def moved(self, source: Path | None, result: Callable[[Path], Path]) -> Task:
        """Return the task with other paths.

        Args:
            source: the new path of the photograph.
            result: returns the new path of a result.
        """
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
        """How messages name the photograph; "-" for standard input."""
        return shown(self.source) if self.source else "-"


@dataclass
class Outcome:
    """The outcome of a task.

    Attributes:
        task: the task.
        entry: the report's entry of what was written; None if nothing was.
        failure: what went wrong, possibly after the photograph was written; None if nothing did.
        entropy: mean entropy of the model's distribution over color bins, in bits; None if it was
            not asked for, or the model predicts no distribution.
        encoded: the bytes of the result for standard output.
        seconds: the time that it took.
        options: the options used, if the task has some of its own; else None.
        remarks: messages about the machine, not about the photograph.
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
    """Return the class name of an error, as the report gives it."""
    return "MemoryError" if isinstance(error, MemoryError) else type(error).__name__


def existing(paths: Iterable[Path]) -> set[Path]:
    """Return those of several files and objects that exist.

    Raises:
        UnreadablePhotoError: an object store refuses access.
    """
    paths = set(paths)
    elsewhere = {path for path in paths if url_of(path)}
    there = {path for path in paths - elsewhere if os.path.exists(path)}
    if elsewhere:
        from tintype.batch import remote

        there |= remote.existing(elsewhere)
    return there
