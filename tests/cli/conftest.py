"""The command run in this process, as a person would run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli.painting import Painter

from tintype.cli import main


@dataclass
class Result:
    """What a command left: exit status, standard output and standard error."""

    status: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def words(self) -> str:
        """Standard output without the frames and line breaks of a help page."""
        return " ".join(self.out.replace("│", " ").split())

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs ``tintype`` with these words."""

    def command(*words: object) -> Result:
        status = main([str(word) for word in words])
        captured = capsysbinary.readouterr()
        return Result(status, captured.out, captured.err.decode())

    return command


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Painter]:
    """The model, in the place of the colorizer, and an empty current directory."""
    monkeypatch.chdir(tmp_path)
    Painter.install(monkeypatch)
    Painter.made, Painter.asked = [], []
    return Painter
