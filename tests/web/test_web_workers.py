"""Workers that end, hang and allocate: the task says so, the others finish, a new one is there."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from tintype.errors import SettingError
from tintype.web.workers import QueueFullError, Work, WorkerPool, WorkError, _Worker


def behaving(task: dict[str, Any], say: Callable[[str], None]) -> Any:
    """Do what the task says."""
    say("begun")
    match task["do"]:
        case "end":
            os._exit(3)
        case "hang":
            time.sleep(60)
        case "allocate":
            hoard = []
            while True:
                hoard.append(np.zeros(1 << 24, np.uint8))
        case "refuse":
            raise SettingError("not so")
        case "trip":
            raise KeyError("x")
        case "wait":
            time.sleep(0.3)
        case "fill the disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return {"process": os.getpid(), **task}


def setup() -> Any:
    return behaving


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(setup, 2, memory=1 << 28, seconds=3, waiting=20)
    yield pool
    pool.close()


def failure(pool: WorkerPool, **task: Any) -> WorkError:
    with pytest.raises(WorkError) as caught:
        pool.submit(task).result(30)
    return caught.value


READY = b'["ready", null]'


def of_a_process(*said: bytes, ended: bool = False) -> WorkError:
    """The error of a task in the hands of a process that says this."""
    worker = _Worker.__new__(_Worker)
    worker._pipe, theirs = multiprocessing.Pipe()
    worker._process, worker._ready = Mock(), False
    for message in said:
        theirs.send_bytes(message)
    if ended:
        theirs.close()
    work = Work({}, None, True)
    assert not worker.do(work, 3, lambda: False)
    error = work.exception(0)
    assert isinstance(error, WorkError)
    return error


def test_a_task_is_done_in_another_process_and_reports_its_stages(pool: WorkerPool) -> None:
    stages: list[str] = []
    work = pool.submit({"do": "no more", "x": [1, "é"]}, on_stage=stages.append)
    assert work.result(30)["x"] == [1, "é"]
    assert work.result()["process"] != os.getpid()
    assert stages == ["begun"]


@pytest.mark.skipif(os.name != "posix", reason="limits of memory")
@pytest.mark.parametrize(
    ("do", "kind", "words"),
    [("end", "died", "ended"), ("hang", "late", "3 seconds"), ("allocate", "memory", "memory")],
)
def test_what_ends_a_worker_fails_its_own_task_alone(
    pool: WorkerPool, do: str, kind: str, words: str
) -> None:
    restarts = pool.restarts
    fatal = [pool.submit({"do": do}) for _ in range(2)]
    others = [pool.submit({"do": "wait", "n": n}) for n in range(4)]
    assert [work.result(30)["n"] for work in others] == [0, 1, 2, 3]
    for work in fatal:
        error = work.exception(30)
        assert isinstance(error, WorkError)
        assert error.kind == kind
        assert words in str(error)
    assert pool.restarts == restarts + 2


def test_errors_keep_their_sentence_and_a_bug_is_called_one(pool: WorkerPool) -> None:
    error = failure(pool, do="refuse")
    assert (str(error), error.kind) == ("not so", "SettingError")
    assert "bug in tintype (KeyError: 'x')" in str(failure(pool, do="trip"))
    error = failure(pool, do="fill the disk")
    assert error.kind == "disk"
    assert str(error).startswith("the disk cannot be used: No space left")


def test_work_is_cancelled_while_it_runs_and_while_it_waits(pool: WorkerPool) -> None:
    running = [pool.submit({"do": "hang"}) for _ in range(2)]
    waiting = pool.submit({"do": "wait"})
    while not all(work.running() for work in running):
        time.sleep(0.01)
    waiting.abandon()
    for work in running:
        work.abandon()
    assert waiting.cancelled()
    assert [work.exception(30).kind for work in running] == ["cancelled"] * 2
    assert pool.submit({"do": "wait"}).result(30)


@pytest.mark.parametrize("said", [b"5", b"[1]", b"nonsense", b"[" * 100_000, b'{"kind": 1}'])
def test_a_process_that_says_what_makes_no_sense_ends_its_task(said: bytes) -> None:
    error = of_a_process(READY, said)
    assert error.kind == "died"
    assert "the file may be damaged" in str(error)


def test_a_process_that_is_never_ready_is_not_the_photographs_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = of_a_process(ended=True)
    assert error.kind == "died"
    assert "ended before it began" in str(error)
    monkeypatch.setattr("tintype.web.workers._START_SECONDS", -1)
    error = of_a_process()
    assert error.kind == "late"
    assert "no process was ready for it" in str(error)


def test_a_process_that_cannot_be_started_is_started_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Mock()
    worker.do = lambda work, *_: work.set_result("done") or True
    monkeypatch.setattr("tintype.web.workers._Worker", Mock(side_effect=[OSError("full"), worker]))
    pool = WorkerPool(setup, 1, memory=1 << 28, seconds=3)
    assert pool.submit({}).result(5) == "done"
    pool.close()


@pytest.mark.slow
def test_the_urgent_come_first_and_more_than_may_wait_are_refused() -> None:
    pool = WorkerPool(setup, 1, memory=1 << 30, seconds=10, waiting=3)
    done: list[str] = []
    first = pool.submit({"do": "wait"})
    while not first.running():
        time.sleep(0.01)
    works = [pool.submit({"do": name}, urgency=k) for k, name in enumerate(("a", "b", "c"))]
    for work in works:
        work.add_done_callback(lambda work: done.append(work.result()["do"]))
    with pytest.raises(QueueFullError, match="3 photographs are waiting"):
        pool.submit({"do": "d"})
    works[0].result(30)
    pool.close()
    assert done == ["c", "b", "a"]
    with pytest.raises(QueueFullError):
        pool.submit({"do": "e"})
