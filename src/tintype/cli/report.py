"""The report of ``tintype colorize``: what ``--json`` prints, and the summary."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tintype.cli import UsageError
from tintype.cli.console import print_json
from tintype.cli.inputs import Failure, Inputs, Skipped
from tintype.cli.outputs import Task
from tintype.cli.termination import interruption_behind


@dataclass
class Report:
    """Which photographs were coloured, and which were not.

    Attributes:
        model: the card's name; the requested name if no card was found.
        options: the options used, by name; None for those that the model does not have.
        photos: an entry for each photograph that was coloured and written.
        failed, skipped: an entry for each photograph that was not, with the reason.
        left_out: extension -> number of pictures found in folders whose format is not read.
        interrupted: whether a signal ended the work.
        error: message of the error that ended the work; None if none did.
        error_class: the class of that error.
    """

    model: str
    options: Mapping[str, Any]
    photos: list[dict[str, Any]] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    error: str | None = None
    error_class: str | None = None

    def merge(self, inputs: Inputs) -> None:
        """Add the failures, and what was skipped and left out, of the search for photographs."""
        self.failed = list(inputs.failed)
        self.skipped = list(inputs.skipped)
        self.left_out = dict(inputs.left_out)

    def without_existing(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks that lack a result; report the others as skipped."""
        missing = []
        for task in tasks:
            # A sheet is written after the colorings on it.
            done = [task.sheet] if task.sheet else task.pictures
            if done and all(map(os.path.exists, done)):
                self.skipped.append(Skipped(task.name, f"{done[-1]} exists already"))
            else:
                missing.append(task)
        return missing

    def summary(self, tasks: Sequence[Task]) -> str:
        """Return in a line how many photographs were coloured, where to, and how many were not."""
        count = f"{len(self.photos)} coloured"
        folders = sorted({str(path.parent) for task in tasks for path in task.pictures[:1]})
        if self.photos:
            more = f" and {len(folders) - 1} folders more" if len(folders) > 1 else ""
            count += f", in {folders[0]}{os.sep}{more}"
        counts = [count]
        for number, word in (
            (len(self.failed), "failed"),
            (len(self.skipped), "skipped"),
            (sum(self.left_out.values()), "left out"),
        ):
            counts += [f"{number} {word}"] if number else []
        return "; ".join(counts)

    def to_json(self) -> dict[str, Any]:
        """Return everything as one flat JSON object, with the options beside the other fields."""
        record = asdict(self)
        return {"model": record.pop("model"), **record.pop("options"), **record}


@contextlib.contextmanager
def reported(report: Report, json: bool) -> Iterator[None]:
    """Print the report when this block ends, also by an error other than wrong usage."""
    try:
        yield
    except UsageError:
        raise
    except BaseException as error:
        report.interrupted = interruption_behind(error) is not None
        if not report.interrupted:
            report.error, report.error_class = str(error), class_of(error)
        if json:
            print_json(report.to_json())
        raise
    if json:
        print_json(report.to_json())


def class_of(error: BaseException) -> str:
    """Return what the report calls the class of an error."""
    return "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
