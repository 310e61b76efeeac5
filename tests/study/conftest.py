"""A small study of its own for each test; databases where there is a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra web")

import sqlalchemy as sa
from study.material import small_study

from tintype.study.manifest import Study
from tintype.study.storage import Store

#: URL of a PostgreSQL database that the tests may empty.
POSTGRES = os.environ.get("TINTYPE_TEST_POSTGRES")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, study: Study) -> Iterator[str]:
    """The URL of an empty database, of each kind that there is."""
    if request.param == "sqlite":
        yield f"sqlite:///{study.folder / 'own.sqlite'}"
        return
    if not POSTGRES:
        pytest.skip("no PostgreSQL: TINTYPE_TEST_POSTGRES names no database that may be emptied")
    empty_postgres(POSTGRES)
    yield POSTGRES
    empty_postgres(POSTGRES)


@pytest.fixture
def store(study: Study) -> Iterator[Store]:
    store = Store(study)
    yield store
    store.close()


def empty_postgres(url: str) -> None:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    tables = "tintype_answers, tintype_trials, tintype_sessions, tintype_study"
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {tables} CASCADE"))
    engine.dispose()
