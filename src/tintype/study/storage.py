"""Storage of a study's answers: SQLite in the study's folder, or PostgreSQL.

An answer is on the disk before `record_answer` returns, in one transaction with the next
presentation. Concurrent requests and processes are decided by constraints of the database: each
trial has one answer at most, and each assignment one rater at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from tintype.errors import DataError, MissingExtraError
from tintype.study.assignment import Side, Trial, assign_trials
from tintype.study.manifest import Study
from tintype.study.records import Answer, Measurements, Rater

#: Real or simulated raters; a database holds one kind only.
Source = Literal["real", "simulated"]

#: Files in the study's folder.
DATABASE_FILES: dict[Source, str] = {"real": "answers.sqlite", "simulated": "simulated.sqlite"}

#: A rater without a request for so long has abandoned the assignment: another one gets it.
_ABANDONED_AFTER_MS = 60 * 60 * 1000

_CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without letters that look alike

_tables = sa.MetaData()

_study_info = sa.Table(
    "tintype_study",
    _tables,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(128), nullable=False),
)

_sessions = sa.Table(
    "tintype_sessions",
    _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("secret", sa.String(64), nullable=False, unique=True),  # SHA-256 of the cookie
    sa.Column("form_key", sa.String(32), nullable=False),
    sa.Column("code", sa.String(16), nullable=False, unique=True),
    sa.Column("assignment", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
    sa.Column("finished", sa.Boolean, nullable=False, default=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("assignment", "attempt"),
)

_trials = sa.Table(
    "tintype_trials",
    _tables,
    sa.Column("session", sa.ForeignKey(_sessions.c.id), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("photo", sa.Integer, nullable=False),
    sa.Column("system", sa.String(256), nullable=False),
    sa.Column("true_side", sa.String(8), nullable=False),
    sa.Column("left_token", sa.String(32), nullable=False),
    sa.Column("right_token", sa.String(32), nullable=False),
    sa.Column("presented_ms", sa.BigInteger),
    sa.Column("presentations", sa.Integer, nullable=False, default=0),
)

_answers = sa.Table(
    "tintype_answers",
    _tables,
    sa.Column("session", sa.Integer, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),  # one answer for each trial
    sa.Column("choice", sa.String(8), nullable=False),
    sa.Column("answered_ms", sa.BigInteger, nullable=False),
    sa.Column("reaction_ms", sa.Integer),
    sa.Column("exposed_ms", sa.Integer),
    sa.Column("interrupted", sa.Boolean, nullable=False),
    sa.Column("layout", sa.String(8)),
    sa.ForeignKeyConstraint(
        ["session", "position"], ["tintype_trials.session", "tintype_trials.position"]
    ),
)


@dataclass(frozen=True)
class Session:
    """A rater's session.

    Attributes:
        id: number in the database.
        form_key: token that forms of this session must carry (against CSRF).
        code: completion code, for the thank-you page.
        finished, withdrawn: whether it is over.
    """

    id: int
    form_key: str
    code: str
    finished: bool
    withdrawn: bool


@dataclass(frozen=True)
class Pair:
    """The trial that a rater answers next, with the tokens of its pictures.

    Attributes:
        position: of the trial among the rater's, from 0.
        trial: the trial, including the true side, which is secret.
        left_token, right_token: random names of the two pictures, of this presentation alone.
    """

    position: int
    trial: Trial
    left_token: str
    right_token: str


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
            url = _parse_url(database)
        self._is_sqlite = url.get_backend_name() == "sqlite"
        self._writing = FifoLock() if self._is_sqlite else contextlib.nullcontext()
        self.url = url.render_as_string(hide_password=True)
        self._engine = _engine(url, durable=source == "real", writes=create)
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
                    done = connection.execute(_sessions.insert().values(row))
                    assert done.inserted_primary_key is not None
                    number = done.inserted_primary_key[0]
                    trials = assign_trials(self.study, assignment, attempt)
                    connection.execute(
                        _trials.insert(),
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
                sa.select(_trials, _answers.c.choice)
                .join_from(_trials, _answers)
                .where(_trials.c.session == session.id, _trials.c.position == last)
            )
            row = connection.execute(query).one_or_none()
        if row is None or row.kind != "practice":
            return None
        return _trial(row), row.choice

    def withdraw(self, session: Session) -> None:
        """Mark a rater as withdrawn."""
        with self._write_transaction() as connection:
            change = _sessions.update().where(_sessions.c.id == session.id)
            connection.execute(change.values(withdrawn=True, last_seen_ms=self._now()))

    def raters(self) -> list[Rater]:
        """Return all raters with their answers, in the order of enrollment."""
        answers: dict[int, list[Answer]] = defaultdict(list)
        query = (
            sa.select(_trials, _answers)
            .join_from(_trials, _answers)
            .order_by(_answers.c.session, _answers.c.position)
        )
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                answers[row.session].append(_answer(row))
            sessions = connection.execute(sa.select(_sessions).order_by(_sessions.c.id)).all()
        return [
            Rater(row.id, row.code, row.finished, row.withdrawn, tuple(answers[row.id]))
            for row in sessions
        ]

    @contextlib.contextmanager
    def _write_transaction(self) -> Iterator[sa.Connection]:
        """Begin a durable write transaction.

        For SQLite the writers of one process queue: its own busy handler would poll.
        """
        with self._writing, self._engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    def _create_tables(self) -> None:
        with self._write_transaction() as connection:
            if not self._is_sqlite:  # two processes that start at once would both make the tables
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7417743)"))
            _tables.create_all(connection)
            if not self._belongs_to_study(connection):
                ours = {"study": self.study.digest, "source": self.source}
                rows = [{"key": key, "value": value} for key, value in ours.items()]
                connection.execute(_study_info.insert(), rows)

    def _check_tables(self) -> None:
        """Check that the database holds answers of this study, without writing to it."""
        with self._engine.connect() as connection:
            known = sa.inspect(connection).has_table(_study_info.name)
            if not (known and self._belongs_to_study(connection)):
                raise DataError(
                    f"{self.url} holds no answers to a study: name the database that the "
                    "study was served with."
                )

    def _belongs_to_study(self, connection: sa.Connection) -> bool:
        """Return whether the database is this study's, False if new; raise if it is another's."""
        found = {row.key: row.value for row in connection.execute(sa.select(_study_info))}
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
        columns = _sessions.c
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
        columns = _sessions.c
        query = sa.select(
            columns.id, columns.form_key, columns.code, columns.finished, columns.withdrawn
        ).where(columns.secret == _sha256(secret))
        row = connection.execute(query).one_or_none()
        return Session(*row) if row else None

    def _answer_count(self, connection: sa.Connection, session: int) -> int:
        """Return the number of answers, which is the position of the next trial."""
        query = sa.select(sa.func.count()).where(_answers.c.session == session)
        return connection.execute(query).scalar_one()

    def _awaited_position(self, connection: sa.Connection, session: int) -> int | None:
        """Return the position of the trial that is presented and unanswered, if any."""
        query = sa.select(_trials.c.position).where(
            _trials.c.session == session,
            _trials.c.position == self._answer_count(connection, session),
            _trials.c.presented_ms.is_not(None),
        )
        return connection.execute(query).scalar()

    def _next_pair(self, connection: sa.Connection, session: int) -> Pair | None:
        answered = sa.select(sa.func.count()).where(_answers.c.session == session)
        query = sa.select(_trials).where(
            _trials.c.session == session, _trials.c.position == answered.scalar_subquery()
        )
        row = connection.execute(query).one_or_none()
        return Pair(row.position, _trial(row), row.left_token, row.right_token) if row else None

    def _present_next(self, connection: sa.Connection, session: int) -> Pair | None:
        pair = self._next_pair(connection, session)
        if pair is not None:
            shown = _trials.update().where(
                _trials.c.session == session, _trials.c.position == pair.position
            )
            connection.execute(
                shown.values(
                    presented_ms=sa.func.coalesce(_trials.c.presented_ms, self._now()),
                    presentations=_trials.c.presentations + 1,
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
            _answers.insert().values(
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
        last = settings.practice + settings.catch + self.study.trials - 1
        change = _sessions.update().where(_sessions.c.id == session.id)
        connection.execute(change.values(last_seen_ms=now, finished=position == last))


class FifoLock:
    """A lock that waiting threads acquire in the order of their requests."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


def _parse_url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except ArgumentError as error:
        raise DataError(
            "the database is named by a URL like  postgresql://USER@HOST/NAME"
        ) from error
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise DataError(
            f"answers are kept in SQLite or PostgreSQL, not in {url.get_backend_name()}."
        )
    return url


def _engine(url: sa.URL, durable: bool, writes: bool) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return sa.create_engine(
                url,
                pool_size=20,
                pool_pre_ping=True,
                connect_args={"options": "-c synchronous_commit=on"},
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise MissingExtraError("postgres", "keeping answers in PostgreSQL") from error
    engine = sa.create_engine(url if writes else _read_only(url), pool_size=40)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so, below
        connection.execute("PRAGMA busy_timeout = 30000")
        if not writes:
            return
        _write_ahead(connection)
        # In WAL mode NORMAL may lose the last commits with the power.
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer that began as a reader would fail, not wait, when another one was faster.
        writing = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _read_only(url: sa.URL) -> sa.URL:
    """Return the URL that opens the same SQLite file read-only, with no files beside it."""
    path = url.database or ""
    query = {"uri": "true", "mode": "ro"}
    # Without a log beside it nobody has it open, and SQLite need not make files to share it.
    if not os.path.exists(f"{path}-wal"):
        query["immutable"] = "1"
    return url.set(database=f"file:{quote(path)}", query=query)


def _write_ahead(connection: Any) -> None:
    """Set WAL mode, retrying: SQLite does not wait when two processes do so at once."""
    for wait in range(100):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if wait == 99:
                raise
            time.sleep(0.05)


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
