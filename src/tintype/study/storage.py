"""Storage of a study's answers: SQLite in the study's folder, or PostgreSQL.

An answer is on the disk before `record_answer` returns, in one transaction with the presentation of
the next trial. Constraints of the database decide between concurrent requests and processes: each
trial has at most one answer, and each assignment one rater at a time.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from tintype.errors import DataError
from tintype.study import queries, schema
from tintype.study.assignment import Side, Trial
from tintype.study.database import LOCK_SECONDS, FifoLock, create_engine, parse_url
from tintype.study.manifest import Study
from tintype.study.records import Measurements, Pair, Rater, Session

#: Real or simulated raters; a database holds one kind only.
Source = Literal["real", "simulated"]

#: Names of the databases in the study's folder.
DATABASE_FILES: dict[Source, str] = {"real": "answers.sqlite", "simulated": "simulated.sqlite"}

_LOCK_SESSIONS = "LOCK TABLE tintype_sessions IN SHARE ROW EXCLUSIVE MODE"  # for PostgreSQL


class AnswerStore:
    """The database of one study's answers.

    Args:
        study: the study.
        database: URL of the database (``postgresql://...``); None is SQLite in the study's folder.
        source: whether the raters are real or simulated.
        create: False opens an existing database read-only.
        clock: returns the time in milliseconds since 1970.

    Raises:
        DataError: the database cannot be used, holds the answers of another study or source, or,
            with ``create=False``, holds none.
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
        """Start a rater's session; return the secret for its cookie, and the session."""
        secret = secrets.token_urlsafe(32)
        while True:
            try:
                with self._write_transaction() as connection:
                    if not self._is_sqlite:
                        connection.execute(sa.text(_LOCK_SESSIONS))
                    now = self._now()
                    assignment, attempt = queries.next_assignment(connection, now)
                    session = queries.insert_session(
                        connection, self.study, secret, assignment, attempt, now
                    )
                return secret, session
            except IntegrityError:  # another process took the assignment: try the next one
                continue

    def find_session(self, secret: str) -> Session | None:
        """Return the session that a cookie's secret belongs to; None if there is none."""
        with self._engine.connect() as connection:
            return queries.find_session(connection, secret)

    def next_pair(self, session: Session) -> Pair | None:
        """Return the next trial, without presenting it; None when all are answered."""
        with self._engine.connect() as connection:
            return queries.next_pair(connection, session.id)

    def present_next(self, session: Session) -> Pair | None:
        """Return the next trial and count its presentation; None when all are answered."""
        with self._write_transaction() as connection:
            return queries.present_next(connection, session.id, self._now())

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
            session: the rater's session.
            position: position of the answered trial.
            choice: side chosen as the true one.
            measurements: what the browser measured.
            present_next: False returns the next trial without presenting it.

        Returns:
            The next trial; None when all are answered.

        Raises:
            DatabaseBusyError: another program holds SQLite's lock.
        """
        try:
            with self._write_transaction() as connection:
                now = self._now()
                if position == queries.awaited_position(connection, session.id):
                    given = measurements or Measurements()
                    queries.insert_answer(connection, session.id, position, choice, given, now)
                    if position == self.study.last_position:
                        queries.change_session(connection, session.id, finished=True)
                if present_next:
                    return queries.present_next(connection, session.id, now)
                return queries.next_pair(connection, session.id)
        except IntegrityError:  # the same answer arrived twice at once, and this one came second
            return self.present_next(session) if present_next else self.next_pair(session)

    def last_practice(self, session: Session) -> tuple[Trial, Side] | None:
        """Return the trial answered last and the side chosen; None unless it was for practice."""
        with self._engine.connect() as connection:
            last = queries.last_answered(connection, session.id)
        return last if last and last[0].kind == "practice" else None

    def withdraw(self, session: Session) -> None:
        """Mark a rater as withdrawn."""
        with self._write_transaction() as connection:
            now = self._now()
            queries.change_session(connection, session.id, withdrawn=True, last_seen_ms=now)

    def raters(self) -> list[Rater]:
        """Return all raters with their answers, in the order of enrollment."""
        with self._engine.connect() as connection:
            return queries.all_raters(connection)

    @contextlib.contextmanager
    def _write_transaction(self) -> Iterator[sa.Connection]:
        """Begin a durable write transaction.

        With SQLite the writers of one process queue for a lock of ours, since SQLite's busy handler
        polls. While another program holds the database, only the first writer waits for it, the
        others fail at once: each would block a thread.

        Raises:
            DatabaseBusyError: another program holds SQLite's lock.
        """
        with self._writing, self._engine.connect() as connection:
            until = time.monotonic() + (0 if self._locked else LOCK_SECONDS)
            connection = connection.execution_options(writes_until=until)
            self._locked = True  # stays so if the next line raises
            with connection.begin():
                self._locked = False
                yield connection

    def _create_tables(self) -> None:
        with self._write_transaction() as connection:
            if (
                not self._is_sqlite
            ):  # or two processes that start at once would both make the tables
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
                    f"{self.url} holds no answers to a study: give the database that the study was "
                    "served with."
                )

    def _belongs_to_study(self, connection: sa.Connection) -> bool:
        """Return True if the database is this study's, False if new; raise if it is another's."""
        found = {row.key: row.value for row in connection.execute(sa.select(schema.study_info))}
        if not found:
            return False
        if found.get("source") != self.source:
            raise DataError(
                f"{self.url} holds {found.get('source')} answers, not {self.source} ones: "
                "they are never mixed, so give another database."
            )
        if found.get("study") != self.study.digest:
            raise DataError(
                f"{self.url} holds the answers of another study: give each study a database of "
                "its own."
            )
        return True
