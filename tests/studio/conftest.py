"""A studio with small models, whose workers are processes."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serving

pytest.importorskip("fastapi", reason="needs the extra web")
pytest.importorskip("python_multipart", reason="needs the extra web")

from PIL import Image
from starlette.testclient import TestClient
from studio.misbehaving import misbehaving
from tiny_models import models_of_the_command

from tintype.runtime.registry import WEIGHTS_VARIABLE
from tintype.studio.app import Studio
from tintype.studio.limits import Limits

HOST = "http://localhost"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models_of_the_command(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", autouse=True)
def named(models: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WEIGHTS_VARIABLE, str(models))
        yield


@pytest.fixture(scope="module")
def studio(named: None) -> Iterator[Studio]:
    """A studio whose decoder ends, hangs or allocates for files that say so."""
    limits = Limits(body=4 << 20, pixels=1_000_000, seconds=5, requests=0, photos=12, jobs=8)
    studio = Studio(2, limits=limits, setup=misbehaving)
    yield studio
    studio.close()


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with TestClient(studio.app, HOST) as client:
        yield client
        for photo in client.get("/session").json()["photos"]:
            client.delete(f"/session/photos/{photo['id']}")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("--port", "0", temporary=tmp_path_factory.mktemp("t")) as (_, address):
        yield address


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from study.browser import browser  # who has no selenium runs the other tests

    with browser(tmp_path_factory.mktemp("profile"), (1280, 800)) as driver:
        yield driver


@pytest.fixture
def hands(desktop: Any, address: str) -> Iterator[Any]:
    """A person before the page, with no photographs."""
    from studio.page import emptied

    hands = emptied(desktop, address)
    yield hands
    bad = [line for line in desktop.get_log("browser") if "favicon" not in line["message"]]
    # What a person is told with a status is no fault of the page.
    assert [line for line in bad if "status of 4" not in line["message"]] == []


@pytest.fixture
def photograph() -> bytes:
    return encoded()


def encoded(format: str = "JPEG", size: tuple[int, int] = (96, 64), **how: Any) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize(size).save(file, format, **how)
    return file.getvalue()


def served(*words: str | Path, temporary: Path) -> Any:
    """The studio in a process of its own, with a folder for temporary files, and its address."""
    studio = ("studio", "--no-browser", "--workers", 1)
    return serving.served(*studio, *words, TMPDIR=temporary)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What a condition gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found
