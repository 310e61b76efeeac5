"""``tintype train`` and ``tintype export`` hand everything on, and say what is missing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches the training loop."""
    runs: list[Any] = []
    fake = SimpleNamespace(train=lambda run, on_line: runs.append(run))
    monkeypatch.setitem(sys.modules, "tintype.training.train", fake)
    return runs


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What reaches the exporter."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    fake = SimpleNamespace(export=lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setitem(sys.modules, "tintype.export.onnx", fake)
    return calls


def test_training_gets_what_the_command_line_says(runs: Any, run: Any) -> None:
    words = "train tint --data a b --out run --steps 3 --init start.safetensors --batch 8"
    assert run(*words.split()).status == 0
    (given,) = runs
    assert (given.name, list(given.data), given.out) == (
        "tint",
        [Path("a"), Path("b")],
        Path("run"),
    )
    assert (given.steps, given.minutes, given.init) == (3, None, Path("start.safetensors"))
    assert given.changes == {"batch": 8}  # the rate is left to the preset
    assert given.command.startswith("tintype")


def test_training_starts_from_an_installed_model_by_its_name(runs: Any, run: Any) -> None:
    assert run(*["train", "tint", "--data", "a", "--out", "run", "--init", "tint"]).status == 0
    assert runs[0].init.name == "tint.small.json"
    result = run(*["train", "tint", "--data", "a", "--out", "run", "--init", "tnit"])
    assert result.status == 1
    assert "tint" in result.err


def test_training_says_what_it_came_to_and_what_comes_next(
    runs: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"step": 7, "elapsed": 69.2}
    monkeypatch.setattr("tintype.training.checkpoint.read_facts", lambda out: facts)
    result = run(*["train", "tint", "--data", "a", "--out", "run"])
    assert result.out.startswith("7 steps in 69 s (of 100,000 that the preset takes")
    export = "tintype export run --name tint.mine --out my-models"
    assert result.out.endswith(f"wrote run; next: {export}\n")


def test_training_shows_its_log_where_nobody_watches_too(run: Any, monkeypatch: Any) -> None:
    fake = SimpleNamespace(train=lambda run, on_line: on_line('{"kind": "train", "step": 1}'))
    monkeypatch.setitem(sys.modules, "tintype.training.train", fake)
    lines = run(*["train", "tint", "--data", "a", "--out", "run"]).err.splitlines()
    assert lines[0].startswith("tintype: loading the photographs")
    assert lines[1] == '{"kind": "train", "step": 1}'


def test_a_run_without_a_length_takes_the_presets(runs: Any, run: Any) -> None:
    assert run(*["train", "pixcolor", "--data", "a", "--out", "run"]).status == 0
    assert (runs[0].steps, runs[0].minutes) == (None, None)
    result = run(
        *["train", "pixcolor", "--data", "a", "--out", "run", "--steps", "3", "--minutes", "2"]
    )
    assert result.status == 2


def test_any_setting_can_be_changed(runs: Any, run: Any) -> None:
    words = "train patchwise --data a --out run --steps 3 --set period=50 --set log_loss=printed"
    assert run(*words.split(), "--set", "maps=[8, 8, 8, 8]").status == 0
    assert runs[0].changes == {"period": 50, "log_loss": "printed", "maps": (8, 8, 8, 8)}
    result = run(*["train", "tint", "--data", "a", "--out", "run", "--steps", "3", "--set", "ema"])
    assert result.status == 1
    assert "NAME=VALUE" in result.err


def test_folders_can_have_sampling_weights(runs: Any, run: Any) -> None:
    train = "train tint --data a --out run --steps 3"
    weights = "--sampling-weights cats=4 cats/black=0.5 --seed 1"
    assert run(*f"{train} {weights}".split()).status == 0
    assert runs[0].sampling_weights == {"cats": 4.0, "cats/black": 0.5}
    result = run(*f"{train} --sampling-weights cats".split())
    assert result.status == 1
    assert "FOLDER=WEIGHT" in result.err


@pytest.mark.slow
def test_both_commands_that_train_have_every_option_of_a_run() -> None:
    pytest.importorskip("torch")
    import inspect
    from dataclasses import fields

    from tintype.cli.train import train as command
    from tintype.training.run import Run

    options = {f.name for f in fields(Run)} - {"changes", "command"}
    named = set(inspect.signature(command).parameters) - {"batch", "learning_rate", "set"}
    assert named == options
    words = [sys.executable, "-m", "tintype.training", "--help"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    flags = {f"--{name.replace('_', '-')}" for name in options - {"name"}}
    assert flags <= set(text.replace("]", " ").replace(",", " ").split()) | {"--data", "--out"}


def test_exporting_gets_what_the_command_line_says(calls: Any, run: Any) -> None:
    assert run("export", "run", "--name", "tint.small", "--out", "weights").status == 0
    assert calls[0][0] == ((Path("run"),), "tint.small", Path("weights"))
    assert run("export", "a", "b", "--name", "tint.small").status == 0
    assert calls[1][0] == ((Path("a"), Path("b")), "tint.small", Path())
    assert "licence" not in calls[1][1]  # the exporter has its own
    assert run("export", "a", "--name", "tint.small", "--licence", "CC0").status == 0
    assert calls[2][1]["licence"] == "CC0"


def test_exporting_replaces_a_model_only_when_told(calls: Any, run: Any, tmp_path: Path) -> None:
    (tmp_path / "tint.mine.json").touch()
    words = ["export", "a", "--name", "tint.mine", "--out", str(tmp_path)]
    result = run(*words)
    assert result.status == 1
    assert "--overwrite" in result.err
    assert not calls
    assert run(*words, "--overwrite").status == 0


def test_the_loop_has_the_signals_while_it_trains(run: Any, monkeypatch: Any) -> None:
    """It saves a checkpoint and ends well where another command would be cut off."""

    def train(*_: Any, **__: Any) -> None:
        heard: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
        assert heard == [signal.SIGTERM]

    monkeypatch.setitem(sys.modules, "tintype.training.train", SimpleNamespace(train=train))
    words = "train tint --data a --out run --steps 3"
    assert run(*words.split()).status == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
