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

#: How long a write waits for the writes of other processes, each of which takes milliseconds.
LOCK_SECONDS = 2.0
_LOCK_MS = round(1000 * LOCK_SECONDS)


class DatabaseBusyError(DataError):
    """Another program has held the lock of the database for longer than a write waits."""

    def __init__(self) -> None:
        super().__init__(
            "the database of the answers is locked by another program: close that program, or "
            "wait until its backup is done."
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
        DataError: it is not a URL of SQLite or PostgreSQL.
    """
    try:
        url = sa.make_url(text)
    except ArgumentError as error:
        raise DataError(
            "the database must be given as a URL such as  postgresql://USER@HOST/NAME"
        ) from error
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise DataError(
            f"answers can be kept in SQLite or PostgreSQL, not in {url.get_backend_name()}."
        )
    return url


def create_engine(url: sa.URL, durable: bool, writes: bool) -> sa.Engine:
    """Create the engine of a database.

    Args:
        url: URL of SQLite or PostgreSQL.
        durable: wait for the disk at every commit of SQLite.
        writes: False opens SQLite read-only.

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
        connection.isolation_level = None  # `begin`, below, starts transactions
        connection.execute(f"PRAGMA busy_timeout = {_LOCK_MS}")
        if not writes:
            return
        _write_ahead(connection)
        # In WAL mode the level NORMAL may lose the last commits in a power cut.
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer takes the lock at once: one that began as a reader would fail, not wait, if
        # another writer came first.
        until = connection.get_execution_options().get("writes_until")
        if until is None:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_immediate(connection, until)

    return engine


def _begin_immediate(connection: sa.Connection, until: float) -> None:
    """Take the lock of an SQLite database, or raise DatabaseBusyError.

    SQLite's own busy handler tries every 100 ms, and would miss the moments in which a busy server
    releases the lock.
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
    """Make a database readable by its owner alone: it says which sides are true.

    SQLite gives its log and its index the permissions of the database file.
    """
    with contextlib.suppress(OSError):  # SQLite's own error will be clearer
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(OSError):
            os.chmod(name, 0o600)


def _read_only(url: sa.URL) -> sa.URL:
    """Return the URL that opens the same SQLite file read-only, with no files beside it."""
    path = url.database or ""
    query = {"uri": "true", "mode": "ro"}
    # Without a log beside it nobody has it open: immutable then keeps SQLite from making files.
    if not os.path.exists(f"{path}-wal"):
        query["immutable"] = "1"
    return url.set(database=f"file:{quote(path)}", query=query)


def _write_ahead(connection: Any) -> None:
    """Set WAL mode, with retries: SQLite fails at once when two processes set it together."""
    until = time.monotonic() + 2 * LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
