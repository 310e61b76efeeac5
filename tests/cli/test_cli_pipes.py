"""``tintype colorize`` between standard input and standard output."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from cli.painting import files, is_red, photograph
from PIL import Image

pytestmark = pytest.mark.usefixtures("painter")


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """A photograph on standard input."""
    content = io.BytesIO()
    Image.new("L", (8, 6), 200).save(content, "PNG")
    content.seek(0)
    pipe = io.TextIOWrapper(content)
    monkeypatch.setattr(sys, "stdin", pipe)
    return pipe


@pytest.mark.usefixtures("stdin")
def test_the_pipe_carries_the_photograph_and_nothing_else(run: Any) -> None:
    result = run("colorize", "-")
    assert (result.status, result.err) == (0, "")
    assert is_red(io.BytesIO(result.raw))


@pytest.mark.usefixtures("stdin")
def test_the_pipe_may_go_to_a_file(run: Any) -> None:
    result = run("colorize", "-", "-o", "out.png")
    assert (result.status, result.raw) == (0, b"")
    assert is_red("out.png")


def test_a_file_may_go_to_the_pipe(run: Any) -> None:
    photograph("a.png")
    result = run("colorize", "a.png", "-o", "-")
    assert result.status == 0
    assert is_red(io.BytesIO(result.raw))
    assert files() == ["a.png"]


def test_a_broken_photograph_on_the_pipe_is_an_error(run: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"not an image")))
    result = run("colorize", "-")
    assert (result.status, result.raw) == (1, b"")
    assert result.err.startswith("tintype: -: ")


@pytest.mark.parametrize("words", [["--json"], ["--compare"], ["-o", "folder/"], ["--in-place"]])
@pytest.mark.usefixtures("stdin")
def test_what_a_pipe_cannot_carry_is_wrong_usage(words: list[str], run: Any) -> None:
    result = run("colorize", "-", *words)
    assert (result.status, result.raw) == (2, b"")


def test_a_terminal_is_no_pipe(run: Any, stdin: io.TextIOWrapper, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "standard output is a terminal" in run("colorize", "-").err
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    assert "standard input is a terminal" in run("colorize", "-").err
