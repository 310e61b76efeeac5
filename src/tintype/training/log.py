"""Log a run as JSON lines and, where it is installed, to TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Log:
    """The log of a run: ``log.jsonl`` and, where TensorBoard is installed, ``tensorboard/``.

    Args:
        run: folder of the run.
        step: step from which the run goes on; later lines are removed, because they are written
            again.
        on_line: called with every line, e.g. to print it.
    """

    def __init__(self, run: Path, step: int, on_line: Callable[[str], None] | None = None) -> None:
        self._path = run / "log.jsonl"
        self._on_line = on_line
        if self._path.exists():
            kept = [line for line in self._path.read_text().splitlines() if _step(line) <= step]
            temporary = self._path.with_name(".log.jsonl")
            temporary.write_text("".join(line + "\n" for line in kept))
            os.replace(temporary, self._path)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._board = None
        else:
            self._board = SummaryWriter(run / "tensorboard", purge_step=step + 1)

    def write(self, kind: str, step: int, **values: float) -> None:
        """Log the values of a step; ``kind`` is ``"train"`` or ``"validation"``."""
        rounded = {k: _short(v) if isinstance(v, float) else v for k, v in values.items()}
        line = json.dumps({"kind": kind, "step": step, **rounded})
        with open(self._path, "a") as file:
            file.write(line + "\n")
        if self._on_line is not None:
            self._on_line(line)
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(f"{kind}/{key}", value, step)

    def note(self, step: int, text: str) -> None:
        """Log a sentence, e.g. a warning."""
        line = json.dumps({"kind": "note", "step": step, "text": text})
        with open(self._path, "a") as file:
            file.write(line + "\n")
        if self._on_line is not None:
            self._on_line(line)

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _short(value: float) -> float:
    """Round to five decimals, or below 1 to five significant digits."""
    return round(value, 5) if abs(value) >= 1 else float(f"{value:.5g}")


def _step(line: str) -> float:
    """Return the step of a line, or infinity for an incomplete line."""
    try:
        record: dict[str, Any] = json.loads(line)
        return int(record["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
