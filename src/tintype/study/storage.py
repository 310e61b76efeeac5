"""Storage of a study's answers: SQLite in the study's folder, or PostgreSQL.

An answer is on the disk before `record_answer` returns, in one transaction with the next
presentation. Concurrent requests and processes are decided by constraints of the database: each
trial has one answer at most, and each assignment one rater at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from tintype.errors import DataError
from tintype.study import schema
from tintype.study.assignment import Side, Trial, assign_trials
from tintype.study.database import LOCK_SECONDS, FifoLock, create_engine, parse_url
from tintype.study.manifest import Study
from tintype.study.records import Answer, Measurements, Pair, Rater, Session

#: Real or simulated raters; a database holds one kind only.
Source = Literal["real", "simulated"]

#: Files in the study's folder.
DATABASE_FILES: dict[Source, str] = {"real": "answers.sqlite", "simulated": "simulated.sqlite"}

#: A rater without a request for so long has abandoned the assignment: another one gets it.
_ABANDONED_AFTER_MS = 60 * 60 * 1000

_CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without letters that look alike


class AnswerStore:
    """The database of one study's answers.

    Args:
        study: the study.
        database: its URL (``postgresql://...``); None keeps them in the study's folder.
        source: whether its raters are real.
        create: False opens an existing database read-only.
        clock: returns milliseconds since 1970.

    Raises:
        DataError: the database cannot be used, holds other answers, or, with ``create=False``,
            holds none.
        MissingExtraError: the database's driver is not installed.
    """

    def __init__(
        self,
        study: Study,
        database: str | None = None,
        *,
        source: Source = "real",
        create: bool = True,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.study = study
        self._now = clock
        self.source: Source = source
        if database is None:
            path = study.folder / DATABASE_FILES[source]
            if not create and not path.exists():
                raise DataError(f"{study.folder} has no {source} answers yet.")
            url = sa.URL.create("sqlite", database=str(path))
        else:
            url = parse_url(database)
        self._is_sqlite = url.get_backend_name() == "sqlite"
        self._writing = FifoLock() if self._is_sqlite else contextlib.nullcontext()
        self._locked = False
        self.url = url.render_as_string(hide_password=True)
        self._engine = create_engine(url, durable=source == "real", writes=create)
        try:
            if create:
                self._create_tables()
            else:
                self._check_tables()
        except BaseException as error:
            self.close()
            if isinstance(error, DBAPIError):
                raise DataError(f"the database {self.url} cannot be used: {error.orig}") from error
            raise

    def close(self) -> None:
        """Close the database connections."""
        self._engine.dispose()

    def enroll(self) -> tuple[str, Session]:
        """Start a session with an assignment; return the secret for its cookie, and the session.

        The assignment is the first that nobody has finished or is working on, else a new one.
        """
        secret = secrets.token_urlsafe(32)
        while True:
            try:
                with self._write_transaction() as connection:
                    assignment, attempt = self._next_assignment(connection)
                    row = {
                        "secret": _sha256(secret),
                        "form_key": secrets.token_hex(16),
                        "code": "".join(secrets.choice(_CODE_LETTERS) for _ in range(10)),
                        "assignment": assignment,
                        "attempt": attempt,
                        "last_seen_ms": self._now(),
                    }
                    done = connection.execute(schema.sessions.insert().values(row))
                    assert done.inserted_primary_key is not None
                    number = done.inserted_primary_key[0]
                    trials = assign_trials(self.study, assignment, attempt)
                    connection.execute(
                        schema.trials.insert(),
                        [
                            _trial_row(number, position, trial)
                            for position, trial in enumerate(trials)
                        ],
                    )
                return secret, Session(number, row["form_key"], row["code"], False, False)
            except IntegrityError:  # another process took the assignment: try the next one
                continue

    def find_session(self, secret: str) -> Session | None:
        """Return the session of a cookie's secret; None if there is none."""
        with self._engine.connect() as connection:
            return self._session(connection, secret)

    def next_pair_by_secret(self, secret: str) -> Pair | None:
        """Return the next trial of a cookie's session, without presenting it."""
        with self._engine.connect() as connection:
            session = self._session(connection, secret)
            return None if session is None else self._next_pair(connection, session.id)

    def next_pair(self, session: Session) -> Pair | None:
        """Return the next trial without presenting it; None when all are answered."""
        with self._engine.connect() as connection:
            return self._next_pair(connection, session.id)

    def present_next(self, session: Session) -> Pair | None:
        """Present the next trial, counting the presentation; None when all are answered."""
        with self._write_transaction() as connection:
            return self._present_next(connection, session.id)

    def record_answer(
        self,
        session: Session,
        position: int,
        choice: Side,
        measurements: Measurements | None = None,
        *,
        present_next: bool = True,
    ) -> Pair | None:
        """Record an answer and present the next trial.

        Only the trial presented last can be answered; any other answer (a second press, a retry,
        the back button, a trial not presented yet) is ignored.

        Args:
            session: the rater's.
            position: of the answered trial.
            choice: side chosen as the true one.
            measurements: of the browser.
            present_next: False returns the next trial without presenting it.

        Returns:
            The next trial; None when all are answered.
        """
        measurements = measurements or Measurements()
        next_pair = self._present_next if present_next else self._next_pair
        try:
            with self._write_transaction() as connection:
                if position == self._awaited_position(connection, session.id):
                    self._insert_answer(connection, session, position, choice, measurements)
                return next_pair(connection, session.id)
        except IntegrityError:  # the same answer arrived twice at once, and the other was first
            return self.present_next(session) if present_next else self.next_pair(session)

    def last_practice(self, session: Session) -> tuple[Trial, Side] | None:
        """Return the trial answered last and its choice, if it was a practice trial."""
        with self._engine.connect() as connection:
            last = self._answer_count(connection, session.id) - 1
            query = (
                sa.select(schema.trials, schema.answers.c.choice)
                .join_from(schema.trials, schema.answers)
                .where(schema.trials.c.session == session.id, schema.trials.c.position == last)
            )
            row = connection.execute(query).one_or_none()
        if row is None or row.kind != "practice":
            return None
        return _trial(row), row.choice

    def withdraw(self, session: Session) -> None:
        """Mark a rater as withdrawn."""
        with self._write_transaction() as connection:
            change = schema.sessions.update().where(schema.sessions.c.id == session.id)
            connection.execute(change.values(withdrawn=True, last_seen_ms=self._now()))

    def raters(self) -> list[Rater]:
        """Return all raters with their answers, in the order of enrollment."""
        answers: dict[int, list[Answer]] = defaultdict(list)
        query = (
            sa.select(schema.trials, schema.answers)
            .join_from(schema.trials, schema.answers)
            .order_by(schema.answers.c.session, schema.answers.c.position)
        )
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                answers[row.session].append(_answer(row))
            sessions = connection.execute(
                sa.select(schema.sessions).order_by(schema.sessions.c.id)
            ).all()
        return [
            Rater(row.id, row.code, row.finished, row.withdrawn, tuple(answers[row.id]))
            for row in sessions
        ]

    @contextlib.contextmanager
    def _write_transaction(self) -> Iterator[sa.Connection]:
        """Begin a durable write transaction.

        For SQLite the writers of one process queue: its own busy handler would poll. When one of
        them has found it locked by another program, the others do not wait, since each would
        keep a thread: until one has got the lock.

        Raises:
            DatabaseBusyError: another program holds SQLite's lock.
        """
        with self._writing, self._engine.connect() as connection:
            until = time.monotonic() + (0 if self._locked else LOCK_SECONDS)
            connection = connection.execution_options(writes_until=until)
            self._locked = True  # if the next line raises
            with connection.begin():
                self._locked = False
                yield connection

    def _create_tables(self) -> None:
        with self._write_transaction() as connection:
            if not self._is_sqlite:  # two processes that start at once would both make the tables
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7417743)"))
            schema.metadata.create_all(connection)
            if not self._belongs_to_study(connection):
                ours = {"study": self.study.digest, "source": self.source}
                rows = [{"key": key, "value": value} for key, value in ours.items()]
                connection.execute(schema.study_info.insert(), rows)

    def _check_tables(self) -> None:
        """Check that the database holds answers of this study, without writing to it."""
        with self._engine.connect() as connection:
            known = sa.inspect(connection).has_table(schema.study_info.name)
            if not (known and self._belongs_to_study(connection)):
                raise DataError(
                    f"{self.url} holds no answers to a study: name the database that the "
                    "study was served with."
                )

    def _belongs_to_study(self, connection: sa.Connection) -> bool:
        """Return whether the database is this study's, False if new; raise if it is another's."""
        found = {row.key: row.value for row in connection.execute(sa.select(schema.study_info))}
        if not found:
            return False
        if found.get("source") != self.source:
            raise DataError(
                f"{self.url} holds {found.get('source')} answers, not {self.source} ones: "
                "they are never mixed. Give each a database of its own."
            )
        if found.get("study") != self.study.digest:
            raise DataError(
                f"{self.url} holds the answers of another study; give each study a "
                "database of its own."
            )
        return True

    def _next_assignment(self, connection: sa.Connection) -> tuple[int, int]:
        """Return the assignment of a new rater, and the number of the attempt at it."""
        if not self._is_sqlite:
            connection.execute(sa.text("LOCK TABLE tintype_sessions IN SHARE ROW EXCLUSIVE MODE"))
        columns = schema.sessions.c
        present = columns.finished | (columns.last_seen_ms >= self._now() - _ABANDONED_AFTER_MS)
        taken = sa.func.sum(sa.case((present & ~columns.withdrawn, 1), else_=0))
        assignments = sa.select(columns.assignment, sa.func.max(columns.attempt)).group_by(
            columns.assignment
        )
        free = connection.execute(
            assignments.having(taken == 0).order_by(columns.assignment).limit(1)
        ).first()
        if free is not None:
            return free[0], free[1] + 1
        last = connection.execute(sa.select(sa.func.max(columns.assignment))).scalar()
        return (0 if last is None else last + 1), 0

    def _session(self, connection: sa.Connection, secret: str) -> Session | None:
        columns = schema.sessions.c
        query = sa.select(
            columns.id, columns.form_key, columns.code, columns.finished, columns.withdrawn
        ).where(columns.secret == _sha256(secret))
        row = connection.execute(query).one_or_none()
        return Session(*row) if row else None

    def _answer_count(self, connection: sa.Connection, session: int) -> int:
        """Return the number of answers, which is the position of the next trial."""
        query = sa.select(sa.func.count()).where(schema.answers.c.session == session)
        return connection.execute(query).scalar_one()

    def _awaited_position(self, connection: sa.Connection, session: int) -> int | None:
        """Return the position of the trial that is presented and unanswered, if any."""
        query = sa.select(schema.trials.c.position).where(
            schema.trials.c.session == session,
            schema.trials.c.position == self._answer_count(connection, session),
            schema.trials.c.presented_ms.is_not(None),
        )
        return connection.execute(query).scalar()

    def _next_pair(self, connection: sa.Connection, session: int) -> Pair | None:
        answered = sa.select(sa.func.count()).where(schema.answers.c.session == session)
        query = sa.select(schema.trials).where(
            schema.trials.c.session == session,
            schema.trials.c.position == answered.scalar_subquery(),
        )
        row = connection.execute(query).one_or_none()
        return Pair(row.position, _trial(row), row.left_token, row.right_token) if row else None

    def _present_next(self, connection: sa.Connection, session: int) -> Pair | None:
        pair = self._next_pair(connection, session)
        if pair is not None:
            shown = schema.trials.update().where(
                schema.trials.c.session == session, schema.trials.c.position == pair.position
            )
            connection.execute(
                shown.values(
                    presented_ms=sa.func.coalesce(schema.trials.c.presented_ms, self._now()),
                    presentations=schema.trials.c.presentations + 1,
                )
            )
        return pair

    def _insert_answer(
        self,
        connection: sa.Connection,
        session: Session,
        position: int,
        choice: Side,
        measurements: Measurements,
    ) -> None:
        now = self._now()
        connection.execute(
            schema.answers.insert().values(
                session=session.id,
                position=position,
                choice=choice,
                answered_ms=now,
                reaction_ms=measurements.reaction_ms,
                exposed_ms=measurements.exposed_ms,
                interrupted=measurements.interrupted,
                layout=measurements.layout,
            )
        )
        settings = self.study.settings
        last = settings.practice_trials + settings.catch_trials + self.study.trials_per_rater - 1
        change = schema.sessions.update().where(schema.sessions.c.id == session.id)
        connection.execute(change.values(last_seen_ms=now, finished=position == last))


def _trial_row(session: int, position: int, trial: Trial) -> dict[str, Any]:
    return {
        "session": session,
        "position": position,
        **vars(trial),
        "left_token": secrets.token_hex(16),
        "right_token": secrets.token_hex(16),
    }


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
