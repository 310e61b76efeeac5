"""Color many photographs on a Dask cluster: the client sends them, workers color and write them.

A worker runs the same `Work` as the plain command, with one thread. It is sent a handful of
photographs at a time. A worker that dies may have written some of their results, so results that
did not exist when the handful was first sent may be overwritten. After all others, each photograph
of a handful whose worker died is tried once more, by itself.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from tintype import __version__
from tintype.batch.places import url_of
from tintype.batch.task import Failure, Outcome, Task, existing
from tintype.batch.work import Reader, Work, called
from tintype.errors import CorruptModelError, TintypeError
from tintype.runtime.device import Provider
from tintype.runtime.registry import find_model

if TYPE_CHECKING:
    from distributed import Client, Future

    from tintype.card import Card
    from tintype.runtime.colorizer import Colorizer

_MOST = 8  # most photographs of a handful
_LOOK = 1.0  # seconds between two queries of how many workers there are
_LOADING = Lock()

# A photograph, and whether none of its results existed when it was first sent.
_Sent: TypeAlias = tuple[Task, bool]


class Cluster:
    """The workers of a cluster, in place of the processes of this machine.

    Args:
        client: Dask's client of their scheduler.
        provider: execution provider of ONNX Runtime that the workers use.
    """

    def __init__(self, client: Client, provider: Provider) -> None:
        self._client = client
        self._provider: Provider = provider
        self._looked = float("-inf")

    def load(self, model: str, reader: Reader, first: Task) -> Card:
        """Return the card of a model, and note the model, which the workers load themselves."""
        path = model.endswith((".json", ".onnx"))
        self._model = str(Path(model).absolute()) if path else model
        self._card = find_model(model)
        return self._card

    def do(self, make: Callable[[Colorizer], Work], tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each photograph, in the order in which they are done.

        Args:
            make: returns the work to do, given a loaded model; it has to be picklable.
            tasks: the photographs.

        Raises:
            TintypeError: a worker cannot run the work, or the scheduler is gone.
        """
        job = pickle.dumps((__version__, self._model, self._card.files, self._provider, make))
        died: list[_Sent] = []
        for handful, outcomes in self._done(job, self._handfuls(tasks)):
            if outcomes is None:
                died += handful
            yield from outcomes or ()
        for handful, outcomes in self._done(job, ([sent] for sent in died), alone=True):
            ((task, _),) = handful
            reason = f"{task.name}: left out, since its worker died twice; try it without --cluster"
            named = Outcome(task, failure=Failure(task.name, reason, "KilledWorker"))
            yield from outcomes or [named]

    def _handfuls(self, tasks: Sequence[Task]) -> Iterator[list[_Sent]]:
        """Yield handfuls that shrink towards the end, so that all workers finish together."""
        there = existing(path for task in tasks for path in task.targets if url_of(path))
        at = 0
        while at < len(tasks):
            size = (len(tasks) - at) // (4 * sum(self._threads().values()))
            handful = tasks[at : at + max(1, min(_MOST, size))]
            at += len(handful)
            yield [
                (task, not any(path in there or os.path.lexists(path) for path in task.targets))
                for task in handful
            ]

    def _done(
        self, job: bytes, handfuls: Iterator[list[_Sent]], alone: bool = False
    ) -> Iterator[tuple[list[_Sent], list[Outcome] | None]]:
        """Yield each handful with its outcomes, or with None if its worker died.

        Two handfuls per thread are in flight, so that none waits for the next; `alone` sends one
        per worker, so that a photograph that kills its worker takes no other with it.
        """
        flying: dict[Future, list[_Sent]] = {}
        done: SimpleQueue[Future] = SimpleQueue()
        more = True
        while more or flying:
            threads = self._threads()
            while more and len(flying) < (len(threads) if alone else 2 * sum(threads.values())):
                handful = next(handfuls, None)
                if more := handful is not None:
                    future = self._submit(job, handful)
                    flying[future] = handful
                    future.add_done_callback(done.put)
            try:
                future = done.get(timeout=_LOOK)
            except Empty:
                continue
            handful = flying.pop(future)
            yield handful, self._outcomes(future, handful)

    def _submit(self, job: bytes, handful: Sequence[_Sent]) -> Future:
        tasks = [
            (task.moved(task.source and _absolute(task.source), _absolute), fresh)
            for task, fresh in handful
        ]
        return self._client.submit(_color, job, pickle.dumps(tasks), pure=False)

    def _outcomes(self, future: Future, handful: Sequence[_Sent]) -> list[Outcome] | None:
        from distributed import KilledWorker

        try:
            done = future.result()
        except KilledWorker:
            return None
        except (CancelledError, OSError) as error:
            raise TintypeError(
                "the cluster's scheduler was lost: start it again, and repeat the command with "
                "--skip-existing"
            ) from error
        except Exception as error:  # for example, tintype is not installed there
            done = f"{type(error).__name__}: {error}"
        if isinstance(done, str):
            raise TintypeError(
                f"a worker of the cluster failed ({done}): the workers and the scheduler need "
                f"tintype {__version__} and the same packages and models as this machine"
            )
        return list(map(_back, handful, done))

    def _threads(self) -> Mapping[str, int]:
        """Return the number of threads of each worker; one thread while there are none."""
        if time.monotonic() - self._looked > _LOOK:
            found: Any = self._client.nthreads()
            self._known: Mapping[str, int] = found or {"": 1}
            self._looked = time.monotonic()
        return self._known


def _color(job: bytes, sent: bytes) -> list[Outcome] | str:
    """Color a handful in a worker; return an error as text, since not every one can be pickled."""
    try:
        with _LOADING:
            work = _loaded(job)
        anew = replace(work, overwrite=True, skip_existing=False)
        return [(anew if fresh else work).do(task) for task, fresh in pickle.loads(sent)]
    except Exception as error:
        own = isinstance(error, TintypeError)
        return str(error) if own else f"{type(error).__name__}: {error}"


@lru_cache(maxsize=1)
def _loaded(job: bytes) -> Work:
    """Return the work with its model loaded, cached for the worker's next handful."""
    from tintype.runtime.colorizer import Colorizer
    from tintype.runtime.model import Model

    version, name, files, provider, make = pickle.loads(job)
    if version != __version__:
        raise TintypeError(f"it has tintype {__version__}, the client {version}")
    model = Model(name, 1, provider)
    if model.card.files != files:
        raise CorruptModelError(f"its model {name} is not the client's")
    return make(Colorizer(model))


def _absolute(path: Path) -> Path:
    """Return the path absolute, for a process with another working directory; URLs unchanged."""
    return path if url_of(path) else path.absolute()


def _back(sent: _Sent, outcome: Outcome) -> Outcome:
    """Return a worker's outcome with the client's file names in place of absolute ones."""
    task, _ = sent
    files = [path for path in (task.source, *task.targets) if path and not url_of(path)]
    names = {str(_absolute(path)): str(path) for path in files}
    entry, failure = called(outcome.entry, names), outcome.failure
    if failure is not None:
        failure = replace(failure, input=task.name, error=called(failure.error, names))
    return replace(outcome, task=task, entry=entry, failure=failure)
