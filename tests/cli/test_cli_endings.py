"""``tintype colorize`` when it is cut short: what it leaves, and what --json says."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from cli.painting import Painter, files, photograph

from tintype.photo import Photo
from tintype.runtime.options import Options

pytestmark = pytest.mark.usefixtures("painter")


def test_an_interruption_leaves_nothing_half_written(run: Any, monkeypatch: Any) -> None:
    def interrupted(self: Painter, photo: Photo, _: Options, **more: Any) -> Photo:
        raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "colorize", interrupted)
    photograph("a.png")
    result = run("colorize", "a.png")
    assert (result.status, result.err) == (130, "tintype: interrupted\n")
    assert files() == ["a.png"]


@pytest.mark.parametrize(
    ("name", "status", "word"), [("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "hung up")]
)
def test_a_termination_leaves_nothing_half_written(
    name: str, status: int, word: str, run: Any, monkeypatch: Any
) -> None:
    if not hasattr(signal, name):
        pytest.skip("there is no such signal here")
    number = getattr(signal, name)

    def write_a_part(photo: Photo, format: str, file: Any) -> tuple[str, ...]:
        file.write(b"the first half")
        signal.raise_signal(number)
        raise AssertionError("the signal was not heard")

    before = signal.signal(number, signal.SIG_DFL)
    try:
        monkeypatch.setattr("tintype.photo.write.encode", write_a_part)
        photograph("a.png")
        result = run("colorize", "a.png", "--json")
        assert (result.status, result.err) == (status, f"tintype: {word}\n")
        assert result.json["interrupted"]
        assert files() == ["a.png"]
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_second_signal_does_not_disturb_the_tidying_up(run: Any, monkeypatch: Any) -> None:
    def tidy(*_: Any, **__: Any) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            Path("tidied").touch()

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        monkeypatch.setattr(Photo, "save", tidy)
        photograph("a.png")
        assert run("colorize", "a.png").status == 143
        assert files() == ["a.png", "tidied"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_hangup_stays_ignored(run: Any, monkeypatch: Any) -> None:
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("there is no such signal here")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        colorize = Painter.colorize

        def hung_up(self: Painter, photo: Photo, options: Options, **more: Any) -> Photo:
            signal.raise_signal(signal.SIGHUP)
            return colorize(self, photo, options, **more)

        monkeypatch.setattr(Painter, "colorize", hung_up)
        photograph("a.png")
        assert run("colorize", "a.png").status == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_json_is_printed_on_an_interruption_with_what_was_done(run: Any, monkeypatch: Any) -> None:
    colorize = Painter.colorize

    def twice(self: Painter, photo: Photo, options: Options, **more: Any) -> Photo:
        if len(self.asked) == 1:
            raise KeyboardInterrupt
        return colorize(self, photo, options, **more)

    monkeypatch.setattr(Painter, "colorize", twice)
    photograph("a.png")
    photograph("b.png")
    result = run("colorize", "a.png", "b.png", "--json")
    assert result.status == 130
    assert result.json["interrupted"]
    assert [done["output"] for done in result.json["photos"]] == ["a.colorized.png"]


def test_json_is_printed_on_an_error_of_the_model(run: Any) -> None:
    photograph("a.png")
    result = run("colorize", "a.png", "-m", "tent", "--json")
    assert result.status == 1
    assert result.json["error_class"] == "UnknownModelError"
    assert "tent" in result.json["error"]
    assert (result.json["photos"], result.json["interrupted"]) == ([], False)


def test_json_says_what_held_and_what_kind_each_was(run: Any) -> None:
    photograph("a.png")
    Path("link.png").symlink_to("a.png")
    Path("bad.png").write_bytes(b"not an image")
    report = run("colorize", "link.png", "a.png", "bad.png", "--saturation", "2", "--json").json
    assert report["model"] == "tint.test"
    assert (report["vividness"], report["saturation"]) == (0.6, 2)
    assert [done["kind"] for done in report["photos"]] == ["gray"]
    assert [item["input"] for item in report["skipped"]] == ["a.png"]
    assert report["failed"][0]["error_class"] == "UnreadablePhotoError"
