"""Queries on a study's database; each takes a connection, within the caller's transaction."""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from tintype.study.assignment import Side, Trial, assign_trials
from tintype.study.manifest import Study
from tintype.study.records import Answer, Measurements, Pair, Rater, Session
from tintype.study.schema import answers, sessions, trials

#: A rater who has answered nothing for this long has abandoned the assignment; another one gets it.
_ABANDONED_AFTER_MS = 60 * 60 * 1000

_CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without letters that look alike


def next_assignment(connection: sa.Connection, now: int) -> tuple[int, int]:
    """Return the assignment for a new rater, and how many raters abandoned it before.

    It is the first assignment that nobody has finished or is working on, else a new one.

    Args:
        connection: to the database.
        now: milliseconds since 1970.
    """
    present = sessions.c.finished | (sessions.c.last_seen_ms >= now - _ABANDONED_AFTER_MS)
    taken = sa.func.sum(sa.case((present & ~sessions.c.withdrawn, 1), else_=0))
    free = connection.execute(
        sa.select(sessions.c.assignment, sa.func.max(sessions.c.attempt))
        .group_by(sessions.c.assignment)
        .having(taken == 0)
        .order_by(sessions.c.assignment)
        .limit(1)
    ).first()
    if free is not None:
        return free[0], free[1] + 1
    last = connection.execute(sa.select(sa.func.max(sessions.c.assignment))).scalar()
    return (0 if last is None else last + 1), 0


def insert_session(
    connection: sa.Connection, study: Study, secret: str, assignment: int, attempt: int, now: int
) -> Session:
    """Insert a session and its trials.

    Raises:
        IntegrityError: another rater has the assignment.
    """
    form_key = secrets.token_hex(16)
    code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(10))
    inserted = connection.execute(
        sessions.insert().values(
            secret=_sha256(secret),
            form_key=form_key,
            code=code,
            assignment=assignment,
            attempt=attempt,
            last_seen_ms=now,
        )
    )
    assert inserted.inserted_primary_key is not None
    number = inserted.inserted_primary_key[0]
    rows = [
        {
            "session": number,
            "position": position,
            **vars(trial),
            "left_token": secrets.token_hex(16),
            "right_token": secrets.token_hex(16),
        }
        for position, trial in enumerate(assign_trials(study, assignment, attempt))
    ]
    connection.execute(trials.insert(), rows)
    return Session(number, form_key, code, False, False)


def find_session(connection: sa.Connection, secret: str) -> Session | None:
    """Return the session that a cookie's secret belongs to; None if there is none."""
    columns = [sessions.c[name] for name in ("id", "form_key", "code", "finished", "withdrawn")]
    query = sa.select(*columns).where(sessions.c.secret == _sha256(secret))
    row = connection.execute(query).one_or_none()
    return Session(*row) if row else None


def next_pair(connection: sa.Connection, session: int) -> Pair | None:
    """Return the first trial without an answer; None when all are answered."""
    query = sa.select(trials).where(
        trials.c.session == session, trials.c.position == _answer_count(session)
    )
    row = connection.execute(query).one_or_none()
    return Pair(row.position, _trial(row), row.left_token, row.right_token) if row else None


def present_next(connection: sa.Connection, session: int, now: int) -> Pair | None:
    """Return the first trial without an answer, and count one more presentation of it."""
    pair = next_pair(connection, session)
    if pair is not None:
        shown = trials.update().where(
            trials.c.session == session, trials.c.position == pair.position
        )
        connection.execute(
            shown.values(
                presented_ms=sa.func.coalesce(trials.c.presented_ms, now),
                presentations=trials.c.presentations + 1,
            )
        )
    return pair


def awaited_position(connection: sa.Connection, session: int) -> int | None:
    """Return the position of the trial that was presented but not answered; None without one."""
    query = sa.select(trials.c.position).where(
        trials.c.session == session,
        trials.c.position == _answer_count(session),
        trials.c.presented_ms.is_not(None),
    )
    return connection.execute(query).scalar()


def last_answered(connection: sa.Connection, session: int) -> tuple[Trial, Side] | None:
    """Return the trial answered last, and the side chosen; None before the first answer."""
    query = (
        sa.select(trials, answers.c.choice)
        .join_from(trials, answers)
        .where(trials.c.session == session, trials.c.position == _answer_count(session) - 1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else (_trial(row), row.choice)


def insert_answer(
    connection: sa.Connection,
    session: int,
    position: int,
    choice: Side,
    measurements: Measurements,
    now: int,
) -> None:
    """Insert an answer.

    Raises:
        IntegrityError: the trial has an answer already.
    """
    connection.execute(
        answers.insert().values(
            session=session,
            position=position,
            choice=choice,
            answered_ms=now,
            **vars(measurements),
        )
    )
    change_session(connection, session, last_seen_ms=now)


def change_session(connection: sa.Connection, session: int, **values: Any) -> None:
    """Change columns of a session."""
    connection.execute(sessions.update().where(sessions.c.id == session).values(values))


def all_raters(connection: sa.Connection) -> list[Rater]:
    """Return all raters with their answers, in the order of enrollment."""
    given: dict[int, list[Answer]] = defaultdict(list)
    query = (
        sa.select(trials, answers)
        .join_from(trials, answers)
        .order_by(answers.c.session, answers.c.position)
    )
    for row in connection.execute(query):
        given[row.session].append(_answer(row))
    rows = connection.execute(sa.select(sessions).order_by(sessions.c.id))
    return [
        Rater(row.id, row.code, row.finished, row.withdrawn, tuple(given[row.id])) for row in rows
    ]


def _answer_count(session: int) -> sa.ScalarSelect[int]:
    """Return a subquery of the number of answers, which is the position of the next trial."""
    return sa.select(sa.func.count()).where(answers.c.session == session).scalar_subquery()


def _trial(row: sa.Row[Any]) -> Trial:
    return Trial(row.kind, row.photo, row.system, row.true_side)


def _answer(row: sa.Row[Any]) -> Answer:
    return Answer(
        position=row.position,
        **vars(_trial(row)),
        choice=row.choice,
        measurements=Measurements(row.reaction_ms, row.exposed_ms, row.interrupted, row.layout),
        server_ms=row.answered_ms - row.presented_ms,
        presentations=row.presentations,
    )


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
