"""What the session keeps of photographs that wait, are removed, or were left by another studio."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from studio.misbehaving import misbehaving

from tintype.studio.limits import Limits
from tintype.studio.picture import Picture
from tintype.studio.session import Session
from tintype.web.workers import WorkerPool

HINTS = [{"x": 30, "y": 20, "color": "#8a3324", "radius": 12}]


class Idle:
    """A session whose photographs wait for ever: there are no processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pool = WorkerPool(misbehaving, 0, memory=1 << 30, seconds=1, waiting=2)
        self.session = Session(folder, self.pool, Limits(waiting=2))

    def add(self, name: str = "a.jpg", ready: bool = True) -> Picture:
        with self.session.added(name) as (picture, path):
            path.write_bytes(b"")
        if ready:
            self.session.cancel(picture)
            picture.state, picture.facts = "ready", {"levels": 1}
        return picture

    def record(self, picture: Picture) -> Any:
        return json.loads((self.folder / picture.id / "record.json").read_bytes())


@pytest.fixture
def idle(tmp_path: Path) -> Idle:
    return Idle(tmp_path)


def test_all_photographs_of_a_session_may_wait(idle: Idle) -> None:
    pictures = [idle.add(f"{k}.jpg", ready=False) for k in range(5)]
    assert [picture.state for picture in pictures] == ["waiting"] * 5
    assert idle.pool.waiting == 5
    idle.pool.check_room()  # for what somebody asks
    idle.session.start(pictures[0])
    assert idle.pool.waiting == 5


def test_a_copy_gives_each_photograph_one_new_thumbnail(idle: Idle) -> None:
    first, *_ = [idle.add(f"{k}.jpg") for k in range(5)]
    for saturation in (0.5, 0.4):
        idle.session.choose(first, {"options": {"saturation": saturation}})
        assert idle.session.copy(first) == 4
        assert idle.pool.waiting == 4


def test_what_waits_when_a_studio_ends_waits_in_the_next(idle: Idle) -> None:
    picture, late = idle.add(ready=False), idle.add("b.jpg", ready=False)
    idle.pool.close()
    idle.session.start(late)
    assert [idle.record(one)["state"] for one in (picture, late)] == ["waiting"] * 2
    again = Session(idle.folder, idle.pool, Limits())
    assert [one.error for one in again.pictures()] == [""] * 2


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("files", {"tint.small.onnx": "0" * 64}, "are of another tint.small"),
        ("model", "gone.small", "gone.small"),
        ("options", 3, "options is a table"),
    ],
)
def test_a_kept_photograph_whose_settings_cannot_be_used_says_so(
    idle: Idle, key: str, value: Any, words: str
) -> None:
    picture = idle.add()
    idle.session.choose(picture, {"hints": HINTS})
    picture.history = [{**record, key: value} for record in picture.history]
    idle.session.repainted(picture)
    again = Session(idle.folder, idle.pool, Limits())
    [kept] = again.pictures()
    assert (kept.state, kept.again) == ("failed", True)
    assert kept.error.startswith("a.jpg: its settings cannot be used here")
    assert words in kept.error
    again.start(kept)
    assert kept.state == "waiting"
    assert (kept.settings["model"], kept.settings["hints"]) == ("tint.small", HINTS)


_ODD = b'{"id": "a", "name": "a.jpg", "number": 1, "history": []}'


@pytest.mark.parametrize("record", [b"{", b"[]", b'{"id": "a"}', _ODD])
def test_a_kept_photograph_whose_record_is_damaged_is_shown(idle: Idle, record: bytes) -> None:
    picture = idle.add()
    (idle.folder / picture.id / "record.json").write_bytes(record)
    again = Session(idle.folder, idle.pool, Limits())
    [kept] = again.pictures()
    assert (kept.id, kept.state, kept.again) == (picture.id, "failed", True)
    again.start(kept)
    assert kept.state == "waiting"


def test_a_removed_photograph_put_back_and_removed_again_stays_a_minute(
    idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[threading.Timer] = []
    timer = threading.Timer
    monkeypatch.setattr("threading.Timer", lambda *how: made.append(timer(*how)) or made[-1])
    picture = idle.add()
    for _ in range(2):
        idle.session.remove(picture)
        idle.session.put_back(picture.id)
    idle.session.remove(picture)
    assert [timer.finished.is_set() for timer in made] == [True, True, False]
    idle.session.close()
    assert made[-1].finished.is_set()
