"""Connections to a study's database, SQLite or PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
from collections import deque
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from tintype.errors import DataError, MissingExtraError

#: How long a write waits for those of other processes, each of which takes milliseconds.
LOCK_SECONDS = 2.0
_LOCK_MS = round(1000 * LOCK_SECONDS)


class DatabaseBusyError(DataError):
    """Somebody else has held the lock of the database for longer than a write waits."""

    def __init__(self) -> None:
        super().__init__(
            "the database of the answers is locked by another program: close what has it open, "
            "or wait until its backup is done."
        )


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


def parse_url(text: str) -> sa.URL:
    """Parse the URL of a database.

    Raises:
        DataError: it is no URL of SQLite or PostgreSQL.
    """
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


def create_engine(url: sa.URL, durable: bool, writes: bool) -> sa.Engine:
    """Create the engine of a database; SQLite is opened read-only unless it `writes`.

    Raises:
        MissingExtraError: the database's driver is not installed.
    """
    if url.get_backend_name() == "postgresql":
        try:
            return sa.create_engine(
                url,
                pool_size=20,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": 5,
                    "options": f"-c synchronous_commit=on -c lock_timeout={_LOCK_MS}",
                },
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise MissingExtraError("postgres", "keeping answers in PostgreSQL") from error
    if writes and url.database not in (None, "", ":memory:"):
        _hide_files(url.database)
    engine = sa.create_engine(url if writes else _read_only(url), pool_size=40)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so, below
        connection.execute(f"PRAGMA busy_timeout = {_LOCK_MS}")
        if not writes:
            return
        _write_ahead(connection)
        # In WAL mode NORMAL may lose the last commits with the power.
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer that began as a reader would fail, not wait, when another one was faster.
        until = connection.get_execution_options().get("writes_until")
        if until is None:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_immediate(connection, until)

    return engine


def _begin_immediate(connection: sa.Connection, until: float) -> None:
    """Take the lock of an SQLite database, or raise DatabaseBusyError.

    SQLite's own wait asks every 100 ms, and would miss the moments in which a busy server lets go.
    """
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except OperationalError as error:
                if "locked" not in str(error.orig):
                    raise
            if time.monotonic() >= until:
                raise DatabaseBusyError
            time.sleep(random.uniform(0.001, 0.01))
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_LOCK_MS}")


def _hide_files(path: str) -> None:
    """Let nobody else read a database: it says which sides are true.

    SQLite gives its log and its index the permissions of the file they belong to.
    """
    with contextlib.suppress(OSError):  # SQLite says better what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(OSError):
            os.chmod(name, 0o600)


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
