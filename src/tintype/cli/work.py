"""Coloring one photograph after the other, and saying what comes of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tintype.batch.places import shown
from tintype.batch.task import Outcome, Task, existing
from tintype.batch.work import Work
from tintype.cli.console import Progress, write_out
from tintype.cli.report import Report

if TYPE_CHECKING:
    from tintype.batch.results import Results


def do_all(
    work: Work,
    tasks: Sequence[Task],
    report: Report,
    progress: Progress,
    results: Results | None = None,
) -> None:
    """Do every task; one that fails is reported and stops no other."""
    from tintype.photo.write import remove_leftovers

    for folder in {Path(os.path.realpath(path)).parent for t in tasks for path in t.targets}:
        remove_leftovers(folder)
    replacing = work.overwrite or work.reader.in_place
    done = set() if work.skip_existing or replacing else _done(tasks)
    try:
        for number, task in enumerate(tasks):
            progress.show(number, len(tasks), task.name)
            outcome = work.do(task)
            if outcome.encoded is not None:
                write_out(outcome.encoded)
            report.add(outcome)
            if results is not None:
                results.add(outcome)
            _say(outcome, progress, quiet=task in done and len(done) > 1)
    except KeyboardInterrupt:
        if len(tasks) > 1:
            coloured = f"{len(report.photos)} of {len(tasks)} photographs are coloured"
            progress.say(f"tintype: {coloured}; go on with --skip-existing")
        raise
    if len(done) > 1:
        there = f"{len(done)} of {len(tasks)} photographs have their results already"
        progress.say(
            f"tintype: {there}: --skip-existing colours the others alone, --overwrite replaces"
        )


def _say(outcome: Outcome, progress: Progress, quiet: bool) -> None:
    task, entry = outcome.task, outcome.entry
    if entry is not None:
        if progress.watched:
            progress.say(f"{task.name} -> {shown(task.sheet or task.output or Path('-'))}")
        for note in entry["notes"]:
            progress.say(f"tintype: {task.name}: {note}")
    if outcome.failure is not None and not quiet:
        progress.say(f"tintype: {outcome.failure.error}")


def _done(tasks: Sequence[Task]) -> set[Task]:
    """Those of several tasks whose results are there."""
    there = existing(path for task in tasks for path in task.pictures)
    return {t for t in tasks if t.pictures and there.issuperset(t.pictures)}
