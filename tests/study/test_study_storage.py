"""Answers are kept, counted once, and shared out evenly, whatever happens at the same time."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from serving import all_done, at_once
from study.material import small_study

from tintype.errors import DataError
from tintype.study.assignment import assign_trials, pairs_of_assignment
from tintype.study.database import LOCK_SECONDS, DatabaseBusyError
from tintype.study.manifest import Study
from tintype.study.records import Measurements, Pair, Session
from tintype.study.storage import AnswerStore

MEASURED = Measurements(1234, 300, True, "column")
HOUR = 60 * 60 * 1000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


def answer_all(store: AnswerStore, session: Session) -> list[Pair]:
    pairs = []
    pair = store.present_next(session)
    while pair is not None:
        pairs.append(pair)
        pair = store.record_answer(session, pair.position, "left", MEASURED)
    return pairs


def test_what_was_answered_is_what_is_kept(study: Study, database: str) -> None:
    store = AnswerStore(study, database)
    _, session = store.enroll()
    pairs = answer_all(store, session)
    (rater,) = store.raters()
    assert rater.finished
    assert [pair.trial for pair in pairs] == assign_trials(study, 0)
    for pair, answer in zip(pairs, rater.answers, strict=True):
        asked = (answer.kind, answer.photo, answer.system, answer.true_side)
        assert asked == tuple(vars(pair.trial).values())
        assert (answer.choice, answer.measurements, answer.presentations) == ("left", MEASURED, 1)
        assert answer.fooled == (answer.true_side == "right")
    store.close()


def test_a_session_goes_on_in_another_process(study: Study, database: str) -> None:
    first, second = AnswerStore(study, database), AnswerStore(study, database)
    secret, session = first.enroll()
    pair = first.present_next(session)
    assert pair is not None
    after = first.record_answer(session, pair.position, "right")
    again = second.find_session(secret)
    assert again == session
    assert second.present_next(again) == after
    assert second.find_session("another") is None
    first.close()
    second.close()


def test_an_answer_counts_once(study: Study, database: str) -> None:
    store = AnswerStore(study, database)
    _, session = store.enroll()
    first = store.present_next(session)
    second = store.record_answer(session, 0, "left")
    assert store.record_answer(session, 0, "right") == second  # pressed twice, or sent again
    assert store.record_answer(session, 5, "left") == second  # not asked yet
    assert first != second
    (rater,) = store.raters()
    assert [(a.position, a.choice) for a in rater.answers] == [(0, "left")]
    store.close()


def test_a_pair_that_was_not_given_out_cannot_be_answered(store: AnswerStore) -> None:
    _, session = store.enroll()
    pair = store.record_answer(session, 0, "left")
    assert pair is not None
    assert (pair.position, store.raters()[0].answers) == (0, ())


def test_of_answers_that_arrive_at_once_one_counts(study: Study, database: str) -> None:
    stores = [AnswerStore(study, database) for _ in range(2)]
    _, session = stores[0].enroll()
    stores[0].present_next(session)
    total = len(assign_trials(study, 0))
    for position in range(total):
        barrier = threading.Barrier(6)

        def send(k: int, position: int = position, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            stores[k % 2].record_answer(session, position, "left" if k % 3 else "right")

        all_done(at_once(send, *((k,) for k in range(6))))
    (rater,) = stores[0].raters()
    assert [answer.position for answer in rater.answers] == list(range(total))
    assert rater.finished
    for store in stores:
        store.close()


def test_raters_who_come_at_once_get_assignments_of_their_own(study: Study, database: str) -> None:
    stores = [AnswerStore(study, database) for _ in range(2)]
    sessions: list[Session] = []

    def come(store: AnswerStore) -> None:
        sessions.extend(store.enroll()[1] for _ in range(4))

    all_done(at_once(come, *((store,) for store in stores * 2)))
    given = Counter(
        (pair.trial.photo, pair.trial.system)
        for session in sessions
        for pair in answer_all(stores[0], session)
        if pair.trial.kind == "trial"
    )
    expected = Counter(
        pair for assignment in range(16) for pair in pairs_of_assignment(study, assignment)
    )
    assert given == expected
    assert max(given.values()) - min(given.values()) <= 1
    for store in stores:
        store.close()


def test_the_assignment_of_whoever_gave_up_or_withdrew_goes_to_the_next(
    study: Study, database: str
) -> None:
    clock = Clock()
    store = AnswerStore(study, database, clock=clock)
    _, gone = store.enroll()
    _, withdrawn = store.enroll()
    _, finished = store.enroll()
    answer_all(store, finished)
    store.withdraw(withdrawn)

    def pairs(session: Session) -> set[tuple[int, str]]:
        trials = [pair.trial for pair in answer_all(store, session)]
        return {(t.photo, t.system) for t in trials if t.kind == "trial"}

    clock.now += HOUR // 2
    assert pairs(store.enroll()[1]) == set(pairs_of_assignment(study, 1))
    assert pairs(store.enroll()[1]) == set(pairs_of_assignment(study, 3))
    clock.now += HOUR
    assert pairs(store.enroll()[1]) == set(pairs_of_assignment(study, 0))
    assert pairs(store.enroll()[1]) == set(pairs_of_assignment(study, 4))
    assert pairs(gone) == set(pairs_of_assignment(study, 0))  # and may still come back
    store.close()


def test_times_are_the_servers_and_second_looks_are_counted(study: Study, database: str) -> None:
    clock = Clock()
    store = AnswerStore(study, database, clock=clock)
    _, session = store.enroll()
    store.present_next(session)
    clock.now += 700
    store.present_next(session)  # reloaded
    clock.now += 800
    store.record_answer(session, 0, "left")
    (rater,) = store.raters()
    assert (rater.answers[0].server_ms, rater.answers[0].presentations) == (1500, 2)
    store.close()


def test_feedback_is_for_the_practice_pair_just_answered(store: AnswerStore) -> None:
    _, session = store.enroll()
    assert store.last_practice(session) is None
    pair = store.present_next(session)
    assert pair is not None
    store.record_answer(session, 0, "left")
    assert store.last_practice(session) == (pair.trial, "left")
    store.record_answer(session, 1, "left")
    store.record_answer(session, 2, "left")
    assert store.last_practice(session) is None


def test_a_database_is_for_one_study_and_one_kind_of_raters(
    study: Study, database: str, tmp_path: Path
) -> None:
    AnswerStore(study, database).close()
    AnswerStore(study, database).close()
    other = small_study(tmp_path / "other", seed=8)
    with pytest.raises(DataError, match="the answers of another study"):
        AnswerStore(other, database)
    with pytest.raises(DataError, match="holds real answers, not simulated ones"):
        AnswerStore(study, database, source="simulated")


def test_processes_that_start_at_once_make_the_tables_once(study: Study, database: str) -> None:
    failed: list[Exception] = []

    def start() -> None:
        try:
            AnswerStore(study, database).close()
        except Exception as error:
            failed.append(error)

    all_done(at_once(start, *[()] * 6))
    assert failed == []


def test_sqlite_waits_for_the_disk_before_an_answer_is_kept(store: AnswerStore) -> None:
    with store._engine.connect() as connection:
        values = [
            connection.execute(sa.text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert values == ["wal", 2, 1]  # 2 is FULL


def test_secrets_of_cookies_are_not_in_the_database(study: Study, store: AnswerStore) -> None:
    secret, _ = store.enroll()
    store.close()
    content = b"".join(path.read_bytes() for path in study.folder.glob("answers.sqlite*"))
    assert secret.encode() not in content


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://localhost/x",
        "sqlite:////nowhere/at/all.sqlite",
        "postgresql://somebody:hidden@127.0.0.1:1/x",
    ],
)
def test_a_database_that_cannot_be_used_is_refused_without_its_password(
    url: str, study: Study
) -> None:
    with pytest.raises(DataError) as caught:
        AnswerStore(study, url)
    assert "hidden" not in str(caught.value)


def test_a_report_makes_no_database(study: Study) -> None:
    with pytest.raises(DataError, match="has no real answers yet"):
        AnswerStore(study, create=False)
    with pytest.raises(DataError, match="cannot be used"):
        AnswerStore(study, f"sqlite:///{study.folder}/other.sqlite", create=False)
    assert not list(study.folder.glob("*.sqlite*"))


def test_a_report_makes_no_tables_where_none_are(study: Study, database: str) -> None:
    engine = sa.create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS theirs (x INTEGER)"))
    with pytest.raises(DataError, match="the database that the study was served with"):
        AnswerStore(study, database, create=False)
    with engine.begin() as connection:
        tables = sa.inspect(connection).get_table_names()
        connection.execute(sa.text("DROP TABLE theirs"))
    engine.dispose()
    assert tables == ["theirs"]


def test_a_report_takes_a_copy_that_cannot_be_written(store: AnswerStore, study: Study) -> None:
    answer_all(store, store.enroll()[1])
    raters = store.raters()
    store.close()
    before = set(study.folder.iterdir())
    reading = AnswerStore(study, create=False)
    assert reading.raters() == raters
    assert set(study.folder.iterdir()) == before  # nor did SQLite need a file to share it with
    reading.close()
    assert set(study.folder.iterdir()) == before


def test_a_report_reads_what_a_server_has_just_kept(store: AnswerStore, study: Study) -> None:
    answer_all(store, store.enroll()[1])
    reading = AnswerStore(study, create=False)
    assert reading.raters() == store.raters()
    reading.close()


def test_a_write_waits_shortly_for_another_programs_lock(store: AnswerStore, study: Study) -> None:
    _, session = store.enroll()
    path = study.folder / "answers.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, other.rollback).start()
    assert store.present_next(session) is not None
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:  # their waits do not add up
        writes = [pool.submit(store.present_next, session) for _ in range(8)]
    assert {type(write.exception()) for write in writes} == {DatabaseBusyError}
    assert LOCK_SECONDS - 0.1 < time.monotonic() - started < 2 * LOCK_SECONDS
    assert store.find_session("another") is None  # reading goes on
    with pytest.raises(DataError, match="locked by another program"):
        store.withdraw(session)
    other.close()
    assert store.present_next(session) is not None
