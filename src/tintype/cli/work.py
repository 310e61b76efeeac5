"""What colors the photographs, here or on a cluster, and saying what comes of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tintype.batch.places import shown
from tintype.batch.task import Outcome, Task, existing
from tintype.batch.work import Reader, Work
from tintype.cli import collecting_no_garbage
from tintype.cli.console import Progress, write_out
from tintype.cli.options import MachineOptions
from tintype.cli.report import Report

if TYPE_CHECKING:
    from tintype.batch.cluster import Cluster
    from tintype.batch.results import Results
    from tintype.card import Card
    from tintype.runtime.colorizer import Colorizer
    from tintype.runtime.device import Provider


class Here:
    """This process, which does the work of the command where no cluster does.

    Args:
        threads: CPU threads to use; None for one per core.
        provider: of ONNX Runtime.
    """

    def __init__(self, threads: int | None, provider: Provider) -> None:
        self._threads = threads
        self._provider: Provider = provider

    def load(self, model: str, reader: Reader, first: Task) -> Card:
        """Load the model; meanwhile import the rest and open the first photograph."""
        with collecting_no_garbage():
            from concurrent.futures import ThreadPoolExecutor

            from tintype.runtime.model import Model
            from tintype.runtime.ort import load_onnxruntime

            with ThreadPoolExecutor(2) as pool:
                loading = pool.submit(Model, model, self._threads, self._provider)
                load_onnxruntime()  # first, since the model waits for it
                reader.begin(first, pool)
                from tintype.runtime.colorizer import Colorizer

                self._colorizer = Colorizer(loading.result())
        return self._colorizer.card

    def do(self, make: Callable[[Colorizer], Work], tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield what came of each photograph."""
        return map(make(self._colorizer).do, tasks)


@contextmanager
def workers(machine: MachineOptions, say: Callable[[str], None]) -> Iterator[Here | Cluster]:
    """Yield what does the work."""
    if machine.cluster is None:
        yield Here(machine.threads, machine.provider)
        return
    from tintype.batch.cluster import Cluster
    from tintype.batch.scheduler import connected
    from tintype.runtime.session import cores

    with connected(machine.cluster, machine.threads or cores(), say) as client:
        yield Cluster(client, machine.provider)


def do_all(
    outcomes: Iterator[Outcome],
    tasks: Sequence[Task],
    keeping: bool,
    report: Report,
    progress: Progress,
    results: Results | None = None,
) -> None:
    """Report what came of every task; one that fails stops no other.

    Args:
        outcomes: of the tasks, in any order; taking one does the work.
        tasks: what is done.
        keeping: whether results that exist are errors, which are said in one line.
        report: of the command.
        progress: of it.
        results: the results file.
    """
    from tintype.photo.write import remove_leftovers

    for folder in {Path(os.path.realpath(path)).parent for t in tasks for path in t.targets}:
        remove_leftovers(folder)
    done = _done(tasks) if keeping else set()
    remarks: set[str] = set()
    try:
        for number, task in enumerate(tasks):
            progress.show(number, len(tasks), task.name)
            outcome = next(outcomes)
            if outcome.encoded is not None:
                write_out(outcome.encoded)
            report.add(outcome)
            if results is not None:
                results.add(outcome)
            progress.note(line for line in outcome.remarks if line not in remarks)
            remarks.update(outcome.remarks)
            _say(outcome, progress, quiet=outcome.task in done and len(done) > 1)
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
