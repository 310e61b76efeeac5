"""Worker processes with limits on memory and time: a failure in one affects no other.

Tasks and results are JSON, so that a worker that a hostile file has taken over can answer with
data only; pictures are passed in files.
"""

from __future__ import annotations

import heapq
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from tintype.errors import TintypeError

#: Performs a task in a worker; its second argument is a function that reports progress.
Handler: TypeAlias = "Callable[[dict[str, Any], Callable[[str], None]], Any]"

_LONGEST_MESSAGE = 4 << 20  # bytes
_START_SECONDS = 60.0


class WorkError(TintypeError):
    """A task failed in its worker.

    Attributes:
        kind: name of the error's class; ``"died"``, ``"late"`` or ``"memory"`` if a limit ended
            the task, ``"disk"`` if a file could not be read or written.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def named(error: BaseException | None, name: str) -> WorkError:
    """Return a `WorkError` whose message contains the name of what was worked on."""
    said = str(error)
    kind = error.kind if isinstance(error, WorkError) else "bug"
    return WorkError(said if name in said else f"{name}: {said}", kind)


class QueueFullError(TintypeError):
    """The queue of waiting tasks is full."""


class Work(Future[Any]):
    """A submitted task: a future that can be cancelled while it runs.

    Attributes:
        task: argument of the handler.
        counted: as in `WorkerPool.submit`.
        stage: last progress that the handler reported.
    """

    def __init__(
        self, task: dict[str, Any], on_stage: Callable[[str], None] | None, counted: bool
    ) -> None:
        super().__init__()
        self.task, self.counted = task, counted
        self.stage = ""
        self.on_stage = on_stage
        self.stop: Callable[[], None] | None = None  # set while a worker has it

    def abandon(self) -> None:
        """Cancel the task if it waits; if it runs, end its worker."""
        if not self.cancel() and self.stop is not None and not self.done():
            self.stop()


class WorkerPool:
    """A pool of processes that perform one task each at a time; one that ends is replaced.

    Args:
        setup: called once in each process; returns its handler. It must be picklable.
        count: number of processes.
        memory: bytes of data that each may allocate, where the system enforces it (not on Windows
            and macOS).
        seconds: time limit of a task.
        waiting: number of counted tasks that may wait.

    Attributes:
        restarts: number of workers that were replaced.
    """

    def __init__(
        self,
        setup: Callable[[], Handler],
        count: int,
        *,
        memory: int,
        seconds: float,
        waiting: int = 100,
    ) -> None:
        self.count, self.restarts = count, 0
        self._setup, self._memory, self._seconds = setup, memory, seconds
        self._longest_queue = waiting
        self._queue: list[tuple[int, int, Work]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"tintype-worker-{k}", daemon=True)
            for k in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Return the number of waiting tasks."""
        return sum(not work.cancelled() for _, _, work in list(self._queue))

    @property
    def closed(self) -> bool:
        """Tell whether the pool takes no more tasks."""
        return self._closed

    @property
    def running(self) -> int:
        """Return the number of running tasks."""
        return self._running

    def check_room(self) -> None:
        """Raise an error if no other counted task may wait.

        Raises:
            QueueFullError: as many wait as may, or the pool is closed.
        """
        if self._closed:
            raise QueueFullError("the server is ending")
        counted = [work for _, _, work in list(self._queue) if work.counted]
        if sum(not work.cancelled() for work in counted) >= self._longest_queue:
            raise QueueFullError(
                f"{self._longest_queue} photographs are waiting already: try again in a minute"
            )

    def submit(
        self,
        task: dict[str, Any],
        *,
        urgency: int = 0,
        counted: bool = True,
        on_stage: Callable[[str], None] | None = None,
    ) -> Work:
        """Submit a task to the workers; return its future.

        Args:
            task: a dictionary that can be written as JSON.
            urgency: tasks of higher urgency run first; of equal urgency in order of submission.
            counted: whether it is one of the tasks of which only so many may wait; of the others
                the caller bounds the number.
            on_stage: called in a thread of the pool with the progress that the handler reports.

        Raises:
            QueueFullError: too many tasks wait, or the pool is closed.
        """
        work = Work(task, on_stage, counted)
        with self._changed:
            if counted or self._closed:
                self.check_room()
            heapq.heappush(self._queue, (-urgency, next(self._numbers), work))
            self._changed.notify()
        return work

    def close(self) -> None:
        """Cancel waiting and running tasks, and end all processes."""
        with self._changed:
            self._closed = True
            for _, _, work in self._queue:
                work.cancel()
            self._queue.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(5)

    def _next(self) -> Work | None:
        """Wait for the most urgent task and return it; None when the pool is closed."""
        with self._changed:
            while True:
                while self._queue:
                    work = heapq.heappop(self._queue)[2]
                    if work.set_running_or_notify_cancel():
                        self._running += 1
                        return work
                if self._closed:
                    return None
                self._changed.wait()

    def _started(self) -> _Worker | None:
        """Start a worker process, as soon as the system allows it; None when the pool is closed."""
        while not self._closed:
            with suppress(OSError):  # too many processes, or too little memory
                return _Worker(self._setup, self._memory)
            time.sleep(0.5)
        return None

    def _run(self) -> None:
        """Start a worker process, restart it when it ends, and give it tasks, in a thread."""
        worker = None
        try:
            while True:
                worker = worker or self._started()  # before there is work
                work = self._next()
                if work is None or worker is None:
                    return
                try:
                    if not worker.do(work, self._seconds, lambda: self._closed):
                        worker = None
                        self.restarts += 1
                finally:
                    with self._changed:
                        self._running -= 1
        finally:
            if worker is not None:
                worker.end()


class _Worker:
    """A worker process, and the pipe to it."""

    def __init__(self, setup: Callable[[], Handler], memory: int) -> None:
        # Not forked: the server has threads, and open files that a worker must not inherit.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, setup, memory), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def do(self, work: Work, seconds: float, closed: Callable[[], bool]) -> bool:
        """Perform a task and set its result; return whether the process can be used again."""
        stopped = threading.Event()
        work.stop = stopped.set
        late = f"no process was ready for it within {_START_SECONDS:.0f} seconds: try again"
        died = "the process for it ended before it began: try again"
        try:
            if not self._ready:
                self._receive(time.monotonic() + _START_SECONDS, stopped, closed)
                self._ready = True
            late = f"it took longer than {seconds:.0f} seconds and was stopped: make it smaller"
            died = (
                "the process that worked on it ended at once: the file may be damaged, or need "
                "more memory than there is"
            )
            self._pipe.send_bytes(json.dumps(work.task).encode())
            end = time.monotonic() + seconds
            while True:
                kind, content = self._receive(end, stopped, closed)
                if kind == "stage":
                    work.stage = content
                    if work.on_stage is not None:
                        work.on_stage(content)
                elif kind == "done":
                    work.set_result(content)
                    return True
                else:
                    work.set_exception(WorkError(content, kind))
                    return kind != "memory"  # its memory is fragmented
        except TimeoutError:
            reason = WorkError(late, "late")
        except InterruptedError:
            reason = WorkError("it was cancelled", "cancelled")
        except Exception:  # it has ended, or says what no honest one does
            reason = WorkError(died, "died")
        finally:
            work.stop = None
        self.end()
        work.set_exception(reason)
        return False

    def _receive(
        self, end: float, stopped: threading.Event, closed: Callable[[], bool]
    ) -> tuple[str, Any]:
        while not self._pipe.poll(0.1):
            if time.monotonic() > end:
                raise TimeoutError
            if stopped.is_set() or closed():
                raise InterruptedError
        kind, content = json.loads(self._pipe.recv_bytes(_LONGEST_MESSAGE))
        return str(kind), content


def _work(pipe: Connection, setup: Callable[[], Handler], memory: int) -> None:
    """Perform tasks in a process until the server closes the pipe or ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the server handles them and ends its workers
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_memory(memory)

    def say(kind: str, content: Any) -> None:
        pipe.send_bytes(json.dumps([kind, content]).encode())

    with suppress(EOFError, OSError):
        handle = setup()
        say("ready", None)
        while True:
            task = json.loads(pipe.recv_bytes())
            try:
                say("done", handle(task, lambda stage: say("stage", stage)))
            except MemoryError:
                say("memory", "it needs more memory than there is: make it smaller")
            except TintypeError as error:
                say(type(error).__name__, str(error))
            except Exception as error:
                if isinstance(error, OSError) and error.errno is not None:  # not one of Pillow's
                    say("disk", f"the disk cannot be used: {error.strerror}; try again in a minute")
                else:
                    say("bug", f"this is a bug in tintype ({type(error).__name__}: {error})")


def _end_with_parent() -> None:
    """End this process, even within a task, when the server ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limit_memory(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with suppress(OSError, ValueError):
        # Not of address space: libraries reserve far more of it than they use.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def memory_for_each(count: int) -> int:
    """Return the memory limit of each worker in bytes, from 1 to 8 GiB.

    Between them it is such that all together have three quarters of the machine's memory.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        total = 8 << 30
    return max(1 << 30, min(8 << 30, total * 3 // 4 // count))
