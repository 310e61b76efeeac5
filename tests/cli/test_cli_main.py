"""What every command has in common: help, version, errors, interruptions, pipes."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tintype.errors import TintypeError
from tintype.models import MODELS, model_class

needs_bash = pytest.mark.skipif(
    os.name == "nt" or not shutil.which("bash"), reason="lines of shell"
)

COMMANDS = ("colorize", "models", "evaluate", "train", "export", "import", "doctor")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every command fail so."""

    def broken(*_: Any, **__: Any) -> int:
        raise error

    monkeypatch.setattr("tintype.cli._run", broken)


def test_help_lists_every_command(run: Any) -> None:
    result = run("--help")
    assert result.status == 0
    assert all(command in result.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, run: Any) -> None:
    result = run(command, "--help")
    assert result.status == 0
    assert f"Usage: tintype {command}" in result.out


def test_defaults_are_shown_in_the_help(run: Any) -> None:
    help_text = run("colorize", "--help").words
    for default in ("tint; for samples, tint_sampler", "as the model's card says", "1.0"):
        assert f"[default: {default}]" in help_text


def test_the_version_is_printed(run: Any) -> None:
    import tintype

    assert run("--version").out.strip() == tintype.__version__


def test_a_command_in_this_process_leaves_its_collector_as_it_was(run: Any) -> None:
    before = gc.get_freeze_count()
    run("--version")
    assert gc.get_freeze_count() == before


@pytest.mark.parametrize(
    "words",
    [
        ["colourise"],
        ["colorize"],
        ["colorize", "a.jpg", "--unknown"],
        ["colorize", "a.jpg", "--vividness", "2"],
        ["colorize", "a.jpg", "--saturation", "-1"],
        ["colorize", "a.jpg", "--threads", "0"],
        ["colorize", "a.jpg", "--threads", "99999999999999999999"],
        ["colorize", "a.jpg", "--threads", "1.5"],
        ["colorize", "a.jpg", "--max-pixels", "1.5"],
        ["colorize", "a.jpg", "--vividness", "nan"],
        ["colorize", "a.jpg", "--in-place", "--output", "b.jpg"],
        ["train", "tint", "--data", "photos", "--out", "run", "--minutes", "1", "--steps", "2"],
        ["export", "run"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(words: list[str], run: Any) -> None:
    result = run(*words)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("tintype: ")
    assert result.err.count("\n") == 1


def test_an_error_of_ours_is_one_line_and_status_1(run: Any, monkeypatch: Any) -> None:
    fail_with(monkeypatch, TintypeError("The moon is full; wait a day."))
    result = run("models")
    assert (result.status, result.err) == (1, "tintype: The moon is full; wait a day.\n")


def test_a_bug_is_one_line_that_says_how_to_see_more(run: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("TINTYPE_DEBUG", raising=False)
    fail_with(monkeypatch, RuntimeError("oh"))
    result = run("models")
    assert result.status == 1
    assert result.err == (
        "tintype: this is a bug in tintype (RuntimeError: oh); "
        "rerun with TINTYPE_DEBUG=1 for the traceback\n"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def make():\n    raise RuntimeError('oh')\n", "line 2: RuntimeError: oh"),
        ("import json\ndef make():\n    json.loads('')\n", "line 3: JSONDecodeError: Expecting"),
        ("\ndef make(:\n", "line 2: SyntaxError: "),
        ("import json.nothing\n", "line 1: ModuleNotFoundError: No module named 'json.nothing'"),
    ],
)
def test_an_error_in_the_file_of_a_model_names_the_file_and_its_line(
    run: Any, monkeypatch: Any, tmp_path: Path, code: str, said: str
) -> None:
    monkeypatch.delenv("TINTYPE_DEBUG", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MODELS, "toy", ("toy_of_an_author", "make"))
    (tmp_path / "toy_of_an_author.py").write_text(code)

    def train(*_: Any) -> None:
        try:
            model_class("toy")()  # type: ignore[call-arg]
        except Exception as error:  # as torch does while it exports
            raise RuntimeError("something went wrong") from error
        finally:
            sys.modules.pop("toy_of_an_author", None)

    monkeypatch.setattr("tintype.cli._run", train)
    result = run("train", "toy")
    assert result.status == 1
    assert result.err.startswith(f"tintype: {tmp_path / 'toy_of_an_author.py'}, {said}")
    assert result.err.endswith("; rerun with TINTYPE_DEBUG=1 for the traceback\n")


def test_a_bug_shows_its_traceback_when_asked(run: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("TINTYPE_DEBUG", "1")
    fail_with(monkeypatch, RuntimeError("oh"))
    with pytest.raises(RuntimeError, match="oh"):
        run("models")


def test_an_interruption_is_said_and_has_its_own_status(run: Any, monkeypatch: Any) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    result = run("models")
    assert (result.status, result.err) == (130, "tintype: interrupted\n")


def test_an_interruption_that_fails_an_import_is_still_one(run: Any, monkeypatch: Any) -> None:
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    fail_with(monkeypatch, error)
    assert run("models").status == 130


@pytest.mark.skipif(os.name == "nt", reason="pipes break otherwise there")
def test_a_reader_that_went_away_is_no_error_message() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys, tintype.cli as c; c._run = lambda a: print('x') or 0; sys.exit(c.main([]))"
    with open(writer, "wb") as stdout:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, timeout=60
        )
    assert (result.returncode, result.stderr) == (141, b"")


def tintype(shell: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, in which $TINTYPE is the command."""
    environment = {**os.environ, "TINTYPE": f"{sys.executable} -m tintype"}
    environment.pop("TINTYPE_DEBUG", None)
    return subprocess.run(
        ["bash", "-c", shell],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@needs_bash
def test_a_help_page_that_nobody_reads_is_no_error() -> None:
    result = tintype("(sleep 0.5; $TINTYPE colorize --help; echo $? >&2) | true")
    assert result.stderr in ("141\n", "0\n")


@needs_bash
@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("$TINTYPE colorize - <&-", 2, "standard input is closed: pipe a photograph into it"),
        ("$TINTYPE colorize missing.jpg -o - >&-", 2, "standard output is closed"),
        ("$TINTYPE models >&-", 1, "standard output is closed"),
        ("$TINTYPE models --json >/dev/full", 1, "standard output cannot be written: No space"),
        ("$TINTYPE colorize --help >/dev/full", 1, "No space left on device"),
        (
            "mkdir gone; cd gone; rmdir ../gone; $TINTYPE colorize a.jpg",
            1,
            "the current folder no longer exists",
        ),
    ],
)
def test_a_closed_or_full_stream_and_a_deleted_folder_are_no_bugs(
    line: str, status: int, message: str, tmp_path: Path
) -> None:
    if "/dev/full" in line and not os.path.exists("/dev/full"):
        pytest.skip("there is no device that is full here")
    result = tintype(line, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith(f"tintype: {message}")
    assert result.stderr.count("\n") == 1


@needs_bash
@pytest.mark.parametrize("stream", ["2>&-", "2>&- <&-"])
def test_messages_that_nobody_can_read_go_nowhere(stream: str, tmp_path: Path) -> None:
    result = tintype(f"$TINTYPE colorize missing.jpg {stream}", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")


def test_a_fault_of_the_disk_is_no_bug(run: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("TINTYPE_DEBUG", raising=False)
    fail_with(monkeypatch, PermissionError(13, "Permission denied", "album"))
    result = run("models")
    assert (result.status, result.err) == (1, "tintype: album: Permission denied\n")


def test_the_package_can_be_run() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tintype", "--help"], capture_output=True, timeout=60
    )
    assert result.returncode == 0
    assert b"colorize" in result.stdout
