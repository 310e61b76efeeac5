"""A small study of its own for each test; databases where there is a server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra web")

import sqlalchemy as sa
from study.material import small_study
from study.visitor import Visitor

from tintype.study.app import create_app
from tintype.study.manifest import Study, read_study
from tintype.study.storage import AnswerStore

#: URL of a PostgreSQL database that the tests may empty.
POSTGRES = os.environ.get("TINTYPE_TEST_POSTGRES")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_study(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Study:
    return read_study(shutil.copytree(made, tmp_path / "study"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, study: Study) -> Iterator[str]:
    """The URL of an empty database, of each kind that there is."""
    if request.param == "sqlite":
        yield f"sqlite:///{study.folder / 'own.sqlite'}"
        return
    if not POSTGRES:
        pytest.skip("no PostgreSQL: TINTYPE_TEST_POSTGRES names no database that may be emptied")
    engine = sa.create_engine(sa.make_url(POSTGRES).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        # Test processes that share the database wait for each other.
        connection.execute(sa.text("SELECT pg_advisory_lock(7417744)"))
        empty(connection)
        yield POSTGRES
        empty(connection)
    engine.dispose()


@pytest.fixture
def store(study: Study) -> Iterator[AnswerStore]:
    store = AnswerStore(study)
    yield store
    store.close()


@pytest.fixture
def app(study: Study, store: AnswerStore) -> Any:
    return create_app(study, store)


@pytest.fixture
def visitor(app: Any) -> Visitor:
    return Visitor(app)


@pytest.fixture
def visitors(app: Any) -> Iterator[Visitor]:
    return iter(lambda: Visitor(app), None)


def empty(connection: sa.Connection) -> None:
    tables = "tintype_answers, tintype_trials, tintype_sessions, tintype_study"
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {tables} CASCADE"))
    connection.commit()
