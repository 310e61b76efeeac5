"""What ``tintype colorize --json`` prints."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tintype.batch.places import shown
from tintype.batch.task import Failure, Outcome, Task, class_of, existing
from tintype.cli import UsageError
from tintype.cli.console import print_json
from tintype.cli.inputs import Inputs, Skipped
from tintype.errors import interruption_behind


@dataclass
class Report:
    """What was done, and what was not.

    Attributes:
        model: the card's name, or what was asked for where no card was found.
        options: those that held, by name; None where the model has no such thing.
        photos: one entry for each photograph that was colored and written.
        failed, skipped: one for each that was not, and why.
        left_out: how many pictures in folders are of a kind that is not read, by extension.
        interrupted: whether a signal ended the work.
        error: what else ended it; None if nothing did.
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
        """Report what the search for photographs found beside them."""
        self.failed = list(inputs.failed)
        self.skipped = list(inputs.skipped)
        self.left_out = dict(inputs.left_out)

    def add(self, outcome: Outcome) -> None:
        """Report what came of a photograph."""
        if outcome.entry is not None:
            self.photos.append(outcome.entry)
        if outcome.failure is not None:
            self.failed.append(outcome.failure)

    def without_existing(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks of which a result is missing; report the others as skipped."""
        missing = []
        there = existing(path for task in tasks for path in task.pictures)
        for task in tasks:
            # A sheet is written after the colorings on it.
            done = [task.sheet] if task.sheet else task.pictures
            if done and there.issuperset(done):
                self.skipped.append(Skipped(task.name, f"{shown(done[-1])} exists already"))
            else:
                missing.append(task)
        return missing

    def summary(self, tasks: Sequence[Task]) -> str:
        """Return how many photographs were coloured, and where to; and how many were not."""
        count = f"{len(self.photos)} coloured"
        folders = sorted({shown(path.parent) for task in tasks for path in task.pictures[:1]})
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
        """Return everything as one table, the options among the rest."""
        record = asdict(self)
        return {"model": record.pop("model"), **record.pop("options"), **record}


@contextlib.contextmanager
def reported(report: Report, json: bool) -> Iterator[None]:
    """Print the report at the end, whatever the end is, except for wrong usage."""
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
