"""The server as a process: killed, doubled, misaddressed."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving import all_done, at_once
from study.material import small_study
from study.rater import RemoteRater, served

from tintype.errors import DataError
from tintype.study.assignment import assign_trials, pairs_of_assignment
from tintype.study.manifest import Study
from tintype.study.serve import serve_study
from tintype.study.storage import AnswerStore
from tintype.web.listener import is_public

LOST = (OSError, http.client.HTTPException)  # what a rater meets when the server dies


@pytest.fixture
def long_study(tmp_path: Path) -> Study:
    """More trials than are answered in a second or two."""
    return small_study(tmp_path / "long", photos=32, trials=30, catch_trials=2, practice_trials=2)


@pytest.mark.slow
def test_a_killed_server_has_lost_no_answer_it_acknowledged(
    long_study: Study, database: str
) -> None:
    total = len(assign_trials(long_study, 0))
    raters: list[RemoteRater] = []

    def work(rater: RemoteRater, seed: int) -> None:
        choices = random.Random(seed)
        try:
            state = rater.state() if rater.cookie else rater.begin()
            while not state["done"]:
                state = rater.answer(state, choices.choice(["left", "right"]))
        except LOST:
            rater.close()

    def under_load(seed: int) -> list[threading.Thread]:
        return at_once(work, *((rater, seed + k) for k, rater in enumerate(raters)))

    url = ("--database", database)
    with served(long_study, *url) as (process, address):
        raters += [RemoteRater(address) for _ in range(6)]
        threads = under_load(0)
        while sum(len(rater.acknowledged) for rater in raters) < 60:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        all_done(threads)
    acknowledged = [dict(rater.acknowledged) for rater in raters]
    assert 60 <= sum(map(len, acknowledged)) < 6 * total
    kept = answers_in(long_study, database)
    for own in acknowledged:  # of a rater an answer may be kept of which the word did not arrive
        assert any(own.items() <= answers.items() for answers in kept), own
        assert any(len(answers) - len(own) in (0, 1) for answers in kept)

    with served(long_study, *url) as (_, address):
        for rater in raters:
            rater.move(address)
        all_done(under_load(100))
    kept = answers_in(long_study, database)
    assert sorted(map(len, kept)) == [total] * 6
    for own, rater in zip(acknowledged, raters, strict=True):
        assert own.items() <= rater.acknowledged.items()
        assert any(own.items() <= answers.items() for answers in kept)
        rater.close()


def answers_in(study: Study, database: str) -> list[dict[int, str]]:
    store = AnswerStore(study, database)
    try:
        return [
            {answer.position: answer.choice for answer in rater.answers} for rater in store.raters()
        ]
    finally:
        store.close()


@pytest.mark.slow
def test_two_processes_serve_one_study(study: Study, database: str) -> None:
    url = ("--database", database)
    with served(study, *url) as (_, one), served(study, *url) as (_, two):
        raters = [RemoteRater(one if k % 2 else two) for k in range(8)]

        def work(rater: RemoteRater, k: int) -> None:
            state = rater.begin()
            while not state["done"]:
                sizes = {len(rater.picture(state, side)) for side in ("left", "right")}
                assert len(sizes) == 1
                state = rater.answer(state, "left")
                k += 1
                rater.close()
                rater.move(one if k % 2 else two)  # each answer to the other process
            rater.close()

        all_done(at_once(work, *((rater, k) for k, rater in enumerate(raters))))
    store = AnswerStore(study, database)
    found = store.raters()
    store.close()
    total = len(assign_trials(study, 0))
    assert [(rater.finished, len(rater.answers)) for rater in found] == [(True, total)] * 8
    given = Counter(
        (answer.photo, answer.system)
        for rater in found
        for answer in rater.answers
        if answer.kind == "trial"
    )
    assert given == Counter(
        pair for assignment in range(8) for pair in pairs_of_assignment(study, assignment)
    )


@pytest.mark.slow
def test_the_server_says_where_it_is_and_ends_by_a_signal(study: Study) -> None:
    with served(study, "--host", "0.0.0.0") as (process, address):
        assert address.startswith("http://0.0.0.0:")
        assert process.stdout is not None
        assert "owner-token" in process.stdout.readline()
        port = int(address.rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/health")
        response = connection.getresponse()
        assert response.status == 200
        assert response.getheader("server") is response.getheader("date") is None
        connection.close()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "nothing is encrypted" in err.replace("\n", " ")
    assert "Traceback" not in err


@pytest.mark.slow
def test_while_somebody_locks_the_answers_all_else_goes_on(study: Study) -> None:
    """Forty answers that wait, each in its thread, left none for a page."""
    with served(study) as (process, address):
        state = (rater := RemoteRater(address)).begin()
        lock = sqlite3.connect(study.folder / "answers.sqlite", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")

        def press() -> tuple[int, str | None, float]:
            other = RemoteRater(address)
            other.cookie = rater.cookie
            started = time.monotonic()
            content = {"form_key": state["form_key"], "position": 0, "choice": "left"}
            kind = {"Content-Type": "application/json"}
            reply = other._ask("POST", "/answer", json.dumps(content), kind)
            other.close()
            return reply.status, reply.getheader("Retry-After"), time.monotonic() - started

        with ThreadPoolExecutor(60) as pool:
            pressed = [pool.submit(press) for _ in range(60)]
            time.sleep(1)
            seconds = {}
            for page in ("/health", "/static/study.js", "/thanks", "/report"):
                started = time.monotonic()
                assert rater._ask("GET", page).status in (200, 303)
                seconds[page] = time.monotonic() - started
            replies = [reply.result() for reply in pressed]
        assert seconds["/health"] < 0.8  # while all threads wait
        assert max(seconds.values()) < 4
        assert {reply[:2] for reply in replies} == {(503, "3")}
        assert max(reply[2] for reply in replies) < 6
        status, _, waited = press()
        assert status == 503
        assert waited < 1  # it is known to be locked
        lock.close()
        rater.answer(state, "left")
        rater.close()
        process.kill()
        assert process.stderr is not None
        said = process.stderr.read()
        assert "locked by another program" in said
        assert "Traceback" not in said


@pytest.mark.slow
def test_nothing_redirects_to_another_host(study: Study) -> None:
    with served(study, "--proxy") as (_, address):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        for page in ("/trial/", "/instructions/", "/picture/x/", "/trial", "/thanks", "//evil/"):
            connection.request("GET", page, headers={"Host": "evil.example"})
            response = connection.getresponse()
            response.read()
            assert response.status in (303, 404)
            assert "evil" not in (response.getheader("Location") or "")
        connection.close()


@pytest.mark.slow
def test_names_of_others_are_answered_to_behind_a_proxy_only(study: Study) -> None:
    for words, expected in (((), 421), (("--proxy",), 200), (("--host", "0.0.0.0"), 200)):
        with served(study, *words) as (_, address):
            port = urlsplit(address).port
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            for host, status in (("study.example", expected), ("localhost:8000", 200)):
                connection.request("GET", "/health", headers={"Host": host})
                response = connection.getresponse()
                response.read()
                assert response.status == status
            connection.close()


def test_a_port_that_is_taken_is_said_to_be(study: Study) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(DataError, match="choose another --port"),
    ):
        serve_study(study, port=taken.getsockname()[1])
    with pytest.raises(DataError, match="choose another --port or --host"):
        serve_study(study, host="203.0.113.9", port=0)


def test_a_study_that_was_changed_is_not_served(study: Study) -> None:
    study.picture_path(next(iter(study.checksums))).unlink()
    with pytest.raises(DataError, match="restore it"):
        serve_study(study, port=0)


@pytest.mark.parametrize(
    ("host", "public"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("lab", True)],
)
def test_public_addresses_are_told_from_private_ones(host: str, public: bool) -> None:
    assert is_public(host) is public
