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
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What reaches the training loop and the exporter."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def record(*args: Any, **kwargs: Any) -> None:
        calls.append((args, kwargs))

    fakes = {"loop": SimpleNamespace(train=record), "export": SimpleNamespace(export=record)}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, f"tintype.training.{name}", fake)
    return calls


def test_training_gets_what_the_command_line_says(calls: Any, run: Any) -> None:
    words = "train tint --data a b --out run --steps 3 --init start.safetensors --batch 8"
    assert run(*words.split()).status == 0
    args, kwargs = calls[0]
    assert args == ("tint", [Path("a"), Path("b")], Path("run"))
    assert kwargs["steps"] == 3
    assert kwargs["minutes"] is None
    assert kwargs["init"] == Path("start.safetensors")
    assert kwargs["changes"] == {"batch": 8}  # the rate is left to the preset


def test_any_setting_can_be_changed(calls: Any, run: Any) -> None:
    words = "train patchwise --data a --out run --steps 3 --set period=50 --set log_loss=printed"
    assert run(*words.split(), "--set", "maps=[8, 8, 8, 8]").status == 0
    changes = {"period": 50, "log_loss": "printed", "maps": (8, 8, 8, 8)}
    assert calls[0][1]["changes"] == changes
    words = "train tint --data a --out run --steps 3 --set ema"
    result = run(*words.split())
    assert result.status == 1
    assert "NAME=VALUE" in result.err


def test_folders_can_be_emphasised(calls: Any, run: Any) -> None:
    words = "train tint --data a --out run --steps 3 --emphasis cats=4 cats/black=0.5 --seed 1"
    assert run(*words.split()).status == 0
    assert calls[0][1]["emphasis"] == {"cats": 4.0, "cats/black": 0.5}
    train = "train tint --data a --out run --steps 3"
    assert run(*f"{train} --emphasis cats=4 --emphasis dogs=2".split()).status == 0
    assert calls[1][1]["emphasis"] == {"cats": 4.0, "dogs": 2.0}
    for wrong in ("cats", "cats=often", "=3"):
        result = run(*f"{train} --emphasis {wrong}".split())
        assert result.status == 1
        assert "FOLDER=FACTOR" in result.err
    result = run(*f"{train} --emphasis cats=4 cats/=2".split())
    assert result.status == 1
    assert "two emphases on cats" in result.err


def test_every_option_of_the_loop_is_one_it_has() -> None:
    """The command and the loop are written apart; this holds them together."""
    pytest.importorskip("torch")
    import inspect

    from tintype.training.loop import train as loop

    from tintype.cli.train import train as command

    named = set(inspect.signature(command).parameters) - {"system", "data", "out"}
    changes = {"batch", "learning_rate", "set"}
    assert named - changes <= set(inspect.signature(loop).parameters)


def test_exporting_gets_what_the_command_line_says(calls: Any, run: Any) -> None:
    assert run("export", "run", "--name", "tint.small", "--out", "weights").status == 0
    assert calls[0][0] == ((Path("run"),), "tint.small", Path("weights"))
    assert run("export", "a", "b", "--name", "tint.small").status == 0
    assert calls[1][0] == ((Path("a"), Path("b")), "tint.small", Path())
    assert "licence" not in calls[1][1]  # the exporter has its own
    assert run("export", "a", "--name", "tint.small", "--licence", "CC0").status == 0
    assert calls[2][1]["licence"] == "CC0"


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        ("train tint --data a --out run --steps 3", "torch", "tintype[train]"),
        ("train tint --data a --out run --steps 3", "safetensors", "tintype[train]"),
        ("export run --name tint.small", "torch", "tintype[export]"),
    ],
)
def test_a_missing_extra_is_named(words: str, package: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"  # importing it fails
        f"from tintype.cli import main; sys.exit(main({words.split()!r}))"
    )
    # A process of its own: a package imported anew would stay behind for the tests after it.
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert f"pip install '{extra}'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_loop_has_the_signals_while_it_trains(run: Any, monkeypatch: Any) -> None:
    """It saves a checkpoint and ends well where another command would be cut off."""

    def train(*_: Any, **__: Any) -> None:
        heard: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
        assert heard == [signal.SIGTERM]

    monkeypatch.setitem(sys.modules, "tintype.training.loop", SimpleNamespace(train=train))
    words = "train tint --data a --out run --steps 3"
    assert run(*words.split()).status == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
