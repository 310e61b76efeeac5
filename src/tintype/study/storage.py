"""Where answers are kept: SQLite in the study's folder, or PostgreSQL by URL.

An answer is on the disk before `Store.answer` returns, and with it the next pair is given out.
Whatever two processes or two requests may do at once is decided by the database: each trial has
one answer at most, and each assignment one rater at a time.
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
from tintype.study.records import Answer, Measured, Rater

#: Real raters, or a rehearsal; a database holds one kind only.
Source = Literal["real", "simulated"]

#: Files in the study's folder.
DATABASES: dict[Source, str] = {"real": "answers.sqlite", "simulated": "simulated.sqlite"}

#: A rater without a request for so long has abandoned the assignment: another one gets it.
_ABANDONED_MS = 60 * 60 * 1000

_CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that is taken for another

_tables = sa.MetaData()

_about = sa.Table(
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
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
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
    sa.Column("shown_ms", sa.BigInteger),
    sa.Column("presentations", sa.Integer, nullable=False, default=0),
)

_answers = sa.Table(
    "tintype_answers",
    _tables,
    sa.Column("session", sa.Integer, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),  # one answer to a trial, ever
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
    """A rater's session, as the server needs it.

    Attributes:
        id: its number.
        form_key: what forms of this session must carry.
        code: for the thank-you page.
        finished, withdrawn: whether it is over.
    """

    id: int
    form_key: str
    code: str
    finished: bool
    withdrawn: bool


@dataclass(frozen=True)
class Pair:
    """The trial a rater has to answer next.

    Attributes:
        position: among the rater's, from 0.
        trial: what is asked, with the answer: not for the rater's eyes.
        left_token, right_token: names of the two pictures that mean nothing to anybody else.
    """

    position: int
    trial: Trial
    left_token: str
    right_token: str


class Store:
    """The answers of one study.

    Args:
        study: the study.
        url: of a database (``postgresql://...``); None keeps them in the study's folder.
        source: whether its raters are real.
        create: False reads what is there and writes nothing, so that a copy that cannot be written
            will do.
        clock: milliseconds since 1970; a rehearsal has its own.

    Raises:
        DataError: the database cannot be used, holds other answers, or, where none may be made,
            holds none.
        MissingExtraError: the database's driver is not installed.
    """

    def __init__(
        self,
        study: Study,
        url: str | None = None,
        *,
        source: Source = "real",
        create: bool = True,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.study = study
        self._now = clock
        self.source: Source = source
        if url is None:
            path = study.folder / DATABASES[source]
            if not create and not path.exists():
                raise DataError(f"{study.folder} has no {source} answers yet.")
            address = sa.URL.create("sqlite", database=str(path))
        else:
            address = _address(url)
        self._sqlite = address.get_backend_name() == "sqlite"
        self._writing = _Queue() if self._sqlite else contextlib.nullcontext()
        self.address = address.render_as_string(hide_password=True)
        self._engine = _engine(address, durable=source == "real", writes=create)
        try:
            if create:
                self._prepare()
            else:
                self._look()
        except BaseException as error:
            self.close()
            if isinstance(error, DBAPIError):
                raise DataError(
                    f"the database {self.address} cannot be used: {error.orig}"
                ) from error
            raise

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def enrol(self) -> tuple[str, Session]:
        """Start a session with an assignment; return the secret for its cookie, and the session.

        The assignment is the first that nobody has finished or is working on, else a new one.
        """
        secret = secrets.token_urlsafe(32)
        while True:
            try:
                with self._begin() as connection:
                    assignment, attempt = self._next_assignment(connection)
                    row = {
                        "secret": _hashed(secret),
                        "form_key": secrets.token_hex(16),
                        "code": "".join(secrets.choice(_CODE_LETTERS) for _ in range(10)),
                        "assignment": assignment,
                        "attempt": attempt,
                        "seen_ms": self._now(),
                    }
                    done = connection.execute(_sessions.insert().values(row))
                    assert done.inserted_primary_key is not None
                    number = done.inserted_primary_key[0]
                    trials = assign_trials(self.study, assignment, attempt)
                    connection.execute(
                        _trials.insert(),
                        [_trial_row(number, place, trial) for place, trial in enumerate(trials)],
                    )
                return secret, Session(number, row["form_key"], row["code"], False, False)
            except IntegrityError:  # another process took the assignment: try the next one
                continue

    def session(self, secret: str) -> Session | None:
        """The session a cookie belongs to."""
        with self._engine.connect() as connection:
            return self._session(connection, secret)

    def pair_of(self, secret: str) -> Pair | None:
        """The trial that comes next in the session a cookie belongs to, without giving it out."""
        with self._engine.connect() as connection:
            session = self._session(connection, secret)
            return None if session is None else self._pair(connection, session.id)

    def pair(self, session: Session) -> Pair | None:
        """The trial that comes next, without giving it out; None when all are answered."""
        with self._engine.connect() as connection:
            return self._pair(connection, session.id)

    def present(self, session: Session) -> Pair | None:
        """Give out the trial that comes next; None when all are answered."""
        with self._begin() as connection:
            return self._presented(connection, session.id)

    def answer(
        self,
        session: Session,
        position: int,
        choice: Side,
        measured: Measured | None = None,
        *,
        go_on: bool = True,
    ) -> Pair | None:
        """Keep an answer, and give out the trial that comes next.

        An answer to any trial but the one that was given out last changes nothing: it was answered
        already, and this is a second press, a retry, or the back button; or it was not asked yet.

        Args:
            session: the rater's.
            position: of the trial that is answered.
            choice: the picture that was taken for the true one.
            measured: by the browser.
            go_on: False does not give out the trial that comes next: a page of its own will.

        Returns:
            The trial that comes next; None when all are answered.
        """
        measured = measured or Measured()
        following = self._presented if go_on else self._pair
        try:
            with self._begin() as connection:
                if position == self._asked(connection, session.id):
                    self._keep(connection, session, position, choice, measured)
                return following(connection, session.id)
        except IntegrityError:  # the same answer arrived twice at once, and the other was first
            return self.present(session) if go_on else self.pair(session)

    def last_practice(self, session: Session) -> tuple[Trial, Side] | None:
        """The practice trial that was answered last, and how, if no other was answered since."""
        with self._engine.connect() as connection:
            last = self._answered(connection, session.id) - 1
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
        """Leave this rater out of everything from now on."""
        with self._begin() as connection:
            change = _sessions.update().where(_sessions.c.id == session.id)
            connection.execute(change.values(withdrawn=True, seen_ms=self._now()))

    def raters(self) -> list[Rater]:
        """Everyone who took part, with all answers, in the order of enrolment."""
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
    def _begin(self) -> Iterator[sa.Connection]:
        """A transaction that writes: all of it is on the disk afterwards, or nothing is.

        In one process writers queue, and the next one begins at once; SQLite itself would let them
        ask again and again, at ever longer intervals.
        """
        with self._writing, self._engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    def _prepare(self) -> None:
        with self._begin() as connection:
            if not self._sqlite:  # two processes that start at once would both make the tables
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7417743)"))
            _tables.create_all(connection)
            if not self._is_ours(connection):
                ours = {"study": self.study.digest, "source": self.source}
                rows = [{"key": key, "value": value} for key, value in ours.items()]
                connection.execute(_about.insert(), rows)

    def _look(self) -> None:
        """Refuse a database without answers of this study; nothing is written to it."""
        with self._engine.connect() as connection:
            known = sa.inspect(connection).has_table(_about.name)
            if not (known and self._is_ours(connection)):
                raise DataError(
                    f"{self.address} holds no answers to a study: name the database that the "
                    "study was served with."
                )

    def _is_ours(self, connection: sa.Connection) -> bool:
        """Whether the database is this study's; False where it is nobody's yet."""
        found = {row.key: row.value for row in connection.execute(sa.select(_about))}
        if not found:
            return False
        if found.get("source") != self.source:
            raise DataError(
                f"{self.address} holds {found.get('source')} answers, not {self.source} ones: "
                "they are never mixed. Give each a database of its own."
            )
        if found.get("study") != self.study.digest:
            raise DataError(
                f"{self.address} holds the answers of another study; give each study a "
                "database of its own."
            )
        return True

    def _next_assignment(self, connection: sa.Connection) -> tuple[int, int]:
        """Return the assignment of a new rater, and the number of the attempt at it."""
        if not self._sqlite:
            connection.execute(sa.text("LOCK TABLE tintype_sessions IN SHARE ROW EXCLUSIVE MODE"))
        columns = _sessions.c
        present = columns.finished | (columns.seen_ms >= self._now() - _ABANDONED_MS)
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
        ).where(columns.secret == _hashed(secret))
        row = connection.execute(query).one_or_none()
        return Session(*row) if row else None

    def _answered(self, connection: sa.Connection, session: int) -> int:
        """How many trials are answered, which is the position of the next one."""
        query = sa.select(sa.func.count()).where(_answers.c.session == session)
        return connection.execute(query).scalar_one()

    def _asked(self, connection: sa.Connection, session: int) -> int | None:
        """The position of the trial that was given out and is not answered, if there is one."""
        query = sa.select(_trials.c.position).where(
            _trials.c.session == session,
            _trials.c.position == self._answered(connection, session),
            _trials.c.shown_ms.is_not(None),
        )
        return connection.execute(query).scalar()

    def _pair(self, connection: sa.Connection, session: int) -> Pair | None:
        answered = sa.select(sa.func.count()).where(_answers.c.session == session)
        query = sa.select(_trials).where(
            _trials.c.session == session, _trials.c.position == answered.scalar_subquery()
        )
        row = connection.execute(query).one_or_none()
        return Pair(row.position, _trial(row), row.left_token, row.right_token) if row else None

    def _presented(self, connection: sa.Connection, session: int) -> Pair | None:
        pair = self._pair(connection, session)
        if pair is not None:
            shown = _trials.update().where(
                _trials.c.session == session, _trials.c.position == pair.position
            )
            connection.execute(
                shown.values(
                    shown_ms=sa.func.coalesce(_trials.c.shown_ms, self._now()),
                    presentations=_trials.c.presentations + 1,
                )
            )
        return pair

    def _keep(
        self,
        connection: sa.Connection,
        session: Session,
        position: int,
        choice: Side,
        measured: Measured,
    ) -> None:
        now = self._now()
        connection.execute(
            _answers.insert().values(
                session=session.id,
                position=position,
                choice=choice,
                answered_ms=now,
                reaction_ms=measured.reaction_ms,
                exposed_ms=measured.exposed_ms,
                interrupted=measured.interrupted,
                layout=measured.layout,
            )
        )
        settings = self.study.settings
        last = settings.practice + settings.catch + self.study.trials - 1
        change = _sessions.update().where(_sessions.c.id == session.id)
        connection.execute(change.values(seen_ms=now, finished=position == last))


class _Queue:
    """A lock that those who wait get in the order in which they came."""

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


def _address(url: str) -> sa.URL:
    try:
        address = sa.make_url(url)
    except ArgumentError as error:
        raise DataError(
            "the database is named by a URL like  postgresql://USER@HOST/NAME"
        ) from error
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() not in ("sqlite", "postgresql"):
        raise DataError(
            f"answers are kept in SQLite or PostgreSQL, not in {address.get_backend_name()}."
        )
    return address


def _engine(address: sa.URL, durable: bool, writes: bool) -> sa.Engine:
    if address.get_backend_name() == "postgresql":
        try:
            return sa.create_engine(
                address,
                pool_size=20,
                pool_pre_ping=True,
                connect_args={"options": "-c synchronous_commit=on"},
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise MissingExtraError("postgres", "keeping answers in PostgreSQL") from error
    engine = sa.create_engine(address if writes else _read_only(address), pool_size=40)

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


def _read_only(address: sa.URL) -> sa.URL:
    """The same SQLite file, opened such that nothing is written into it or beside it."""
    path = address.database or ""
    query = {"uri": "true", "mode": "ro"}
    # Without a log beside it nobody has it open, and SQLite need not make files to share it.
    if not os.path.exists(f"{path}-wal"):
        query["immutable"] = "1"
    return address.set(database=f"file:{quote(path)}", query=query)


def _write_ahead(connection: Any) -> None:
    """Set WAL mode, for which SQLite does not wait when two processes begin at once."""
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
        measured=Measured(row.reaction_ms, row.exposed_ms, row.interrupted, row.layout),
        server_ms=row.answered_ms - row.shown_ms,
        presentations=row.presentations,
    )


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
