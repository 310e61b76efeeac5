"""One photograph of many: what is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """

    source: Path | None
    output: Path | None
    compare: Path | None = None
    samples: tuple[Path, ...] = ()
    sheet: Path | None = None
    settings: tuple[Path, ...] = ()
    hints: tuple[Hint, ...] = ()

    @property
    def pictures(self) -> list[Path]:
        """Every picture that is written."""
        return [path for path in (self.output, self.compare, *self.samples, self.sheet) if path]

    @property
    def targets(self) -> list[Path]:
        """Every file that is written."""
        return [*self.pictures, *self.settings]

    @property
    def name(self) -> str:
        """What to call the photograph in messages."""
        return str(self.source or "-")


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
    """

    task: Task
    entry: dict[str, Any] | None = None
    failure: Failure | None = None
    entropy: float | None = None
    encoded: bytes | None = None
    seconds: float = 0.0


def class_of(error: BaseException) -> str:
    """Return what the report calls the class of an error."""
    return "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
