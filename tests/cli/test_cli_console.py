"""Progress and tables: rich where a person looks, plain lines elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tintype.cli.console import Progress, print_table
from tintype.tables import format_table

ROWS = [("MODEL", "MB"), ("[bold]tint[/] :smile:", "4.5"), ("漢字", "12.25")]


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a terminal of 40 columns of both streams."""
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 20)))


def work() -> None:
    with Progress() as progress:
        for done in range(3):
            progress.show(done, 3, f"photograph [{done}].png")
        progress.say("tintype: [red]a note[/] on x" + "y" * 60)


def test_short_work_has_a_line_and_long_work_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch)
    work()
    assert "2/3 photograph [2].png" in capsys.readouterr().err
    monkeypatch.setattr("tintype.cli.console._BAR_AFTER", 0.0)
    work()
    err = capsys.readouterr().err
    assert "━" in err
    assert "2/3" in err
    assert re.search(r"\x1b\[3\d", err)  # colors
    assert f"tintype: [red]a note[/] on x{'y' * 60}\n" in err  # one line, however long
    monkeypatch.setenv("NO_COLOR", "1")
    work()
    assert not re.search(r"\x1b\[3\d", capsys.readouterr().err)


def test_a_bar_says_how_fast_it_goes_and_how_long_it_will(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("tintype.cli.console._BAR_AFTER", 0.0)
    clock = iter(range(1000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with Progress() as progress:
        for done in range(5):
            progress.show(done, 100, "a.png")
    assert re.search(r"\d/(s|min).*0:\d\d:\d\d", capsys.readouterr().err)


def test_a_log_has_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 59.0, 100.0, 101.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with Progress() as progress:
        for done in (1, 50, 51):
            progress.show(done, 200, "a.png")
    assert capsys.readouterr().err == "tintype: 50 of 200, 30.0/min, 0:05:00 left\n"


def test_nothing_is_drawn_where_nobody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tintype.cli.console._BAR_AFTER", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    work()
    assert capsys.readouterr().err == f"tintype: [red]a note[/] on x{'y' * 60}\n"
    print_table(ROWS, header=True)
    assert capsys.readouterr().out == (
        "MODEL                  MB\n[bold]tint[/] :smile:  4.5\n漢字                   12.25\n"
    )


def test_a_table_on_a_terminal_wraps_long_cells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch)
    print_table([("NAME", "TEXT"), ("a", "word " * 20)], header=True)
    out = capsys.readouterr().out
    assert "\x1b[1m" in out
    assert len(out.splitlines()) > 3
    assert max(map(len, out.splitlines()[1:])) <= 40


def test_figures_stand_at_the_right() -> None:
    assert format_table([("", "a"), ("tint", "1.25")], right=True) == "         a\ntint  1.25"


def test_coloring_for_nobody_who_looks_loads_no_rich(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 99).save(tmp_path / "a.png")
    code = (
        "import sys; from tintype.cli import main; main(['colorize', 'a.png', '-m', 'patchwise']); "
        "print({'rich', 'jinja2', 'scipy', 'skimage'} & {m.split('.')[0] for m in sys.modules})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
    assert (tmp_path / "a.colorized.png").exists()
