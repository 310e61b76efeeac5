"""The results file: a record of each photograph, as JSON lines or as a Parquet table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tintype.batch.places import shown
from tintype.batch.task import Outcome, Task
from tintype.card import Card
from tintype.errors import TintypeError, UnwritablePhotoError
from tintype.photo.target import is_stream
from tintype.photo.write import atomic

_PARQUET = ".parquet"


@dataclass
class Results:
    """A results file that is being written.

    Each line is flushed when its photograph is done; a line that a killed run left incomplete is
    dropped by the next run. A Parquet file cannot be appended to, so lines go to PATH.jsonl, from
    which it is made at the end and which an interrupted run leaves for the next.

    Args:
        path: the file: Parquet if it ends in .parquet, else JSON lines.
        overwrite: replace a file that exists.
        go_on: keep the lines of a file that exists and add to them.

    Raises:
        UnwritablePhotoError: the file, or that of the lines, exists and neither is set, or it
            cannot be read or written.
        TintypeError: Parquet needs pyarrow, which is not installed.
    """

    path: Path
    overwrite: bool = False
    go_on: bool = False
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._parquet = self.path.suffix.lower() == _PARQUET
        self._lines = self.path.with_name(f"{self.path.name}.jsonl") if self._parquet else self.path
        if self._parquet:
            pyarrow_for("a results file")
        if is_stream(self.path):
            raise UnwritablePhotoError(f"--results {self.path} is a device or a pipe: name a file")
        if self.go_on:
            for path in dict.fromkeys((self.path, self._lines)):
                if path.exists():
                    self._known |= {line["source"]: line for line in read_results(path)}
        elif not self.overwrite:
            for path in (self.path, self._lines):
                if path.exists():
                    raise UnwritablePhotoError(
                        f"--results {path} exists: add to it with --skip-existing, or replace it "
                        "with --overwrite"
                    )

    @contextmanager
    def writing(self, tasks: Sequence[Task], planned: Sequence[Task]) -> Iterator[None]:
        """Keep the file open in this block, after writing the lines of earlier runs to it.

        Args:
            tasks: the photographs of this run; lines that earlier runs wrote for them are dropped.
            planned: these and the ones that earlier runs did; one of those that has no line, since
                its run was killed, gets one.

        Raises:
            UnwritablePhotoError: the file cannot be written.
        """
        now = {task.name for task in tasks}
        for name in now:
            self._known.pop(name, None)
        for task in planned:
            if task.name not in now:
                self._known.setdefault(task.name, _existing(task))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(self._lines) as file:
                file.write("".join(map(_line, self._known.values())).encode())
            self._file = open(self._lines, "a", encoding="utf-8")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            yield
        finally:
            self._file.close()
            if self._parquet:
                self._finish()

    def describe(self, card: Card | None, options: Mapping[str, Any]) -> None:
        """Set what all lines that follow have in common.

        Args:
            card: the model's card; None if no model is used.
            options: the options by name.
        """
        if card is None:
            self._common: dict[str, Any] = dict.fromkeys(("model", "checksum", "options"))
            return
        checksum = f"sha256:{card.files[card.file().name]}"
        self._common = {"model": card.name, "checksum": checksum, "options": dict(options)}

    def add(self, outcome: Outcome) -> None:
        """Write the line of a photograph.

        Raises:
            UnwritablePhotoError: the file cannot be written.
        """
        task, entry, failure = outcome.task, outcome.entry, outcome.failure
        place = shown(task.sheet or task.output or Path("-"))
        line = {
            "source": task.name,
            "result": None if entry is None else place,
            "seconds": outcome.seconds,
            **self._common,
            **({} if outcome.options is None else {"options": outcome.options}),
            "notes": [] if entry is None else entry["notes"],
            "error": None if failure is None else failure.error,
            "entropy": None if outcome.entropy is None else round(outcome.entropy, 4),
        }
        try:
            self._file.write(_line(line))
            self._file.flush()
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _finish(self) -> None:
        """Write the Parquet file from the lines, and remove these."""
        table, parquet = pyarrow_for("a results file")
        lines = [{**line, "options": json.dumps(line["options"])} for line in _all(self._lines)]
        try:
            with atomic(self.path) as file:
                parquet.write_table(table.from_pylist(lines, schema=_schema()), file)
            self._lines.unlink()
        except OSError as error:
            raise _unwritable(self.path, error) from error


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a results file as dicts; an incomplete last line is left out.

    Raises:
        UnwritablePhotoError: the file is no results file, or cannot be read.
        TintypeError: Parquet needs pyarrow, which is not installed.
    """
    try:
        if path.suffix.lower() == _PARQUET:
            _, parquet = pyarrow_for("a results file")
            lines = parquet.read_table(path).to_pylist()
            return [{**line, "options": json.loads(line["options"])} for line in lines]
        return _all(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UnwritablePhotoError(
            f"{path} is not a results file of tintype: give another name, or move it away"
        ) from error


def doubtful_first(path: Path) -> list[str]:
    """Return the sources of a results file by falling entropy: those least certain come first.

    Photographs without an entropy, as from a model that predicts no distribution, are last.

    Raises:
        UnwritablePhotoError: the file is no results file, or cannot be read.
        TintypeError: Parquet needs pyarrow, which is not installed.
    """
    lines = read_results(path)
    lines.sort(key=lambda line: -1.0 if line["entropy"] is None else line["entropy"], reverse=True)
    return [line["source"] for line in lines]


def _all(path: Path) -> list[dict[str, Any]]:
    whole = path.read_bytes().rpartition(b"\n")[0]
    lines = [json.loads(line) for line in whole.splitlines()]
    if any("source" not in line or "entropy" not in line for line in lines):
        raise ValueError(path)
    return lines


def _existing(task: Task) -> dict[str, Any]:
    """Return a line for a photograph whose result an earlier run wrote without its line."""
    place = shown(task.sheet or task.output or Path("-"))
    nothing = dict.fromkeys(("seconds", "model", "checksum", "options"))
    line = {"source": task.name, "result": place, **nothing}
    return {**line, "notes": [f"{place} existed and was kept"], "error": None, "entropy": None}


def _line(line: Mapping[str, Any]) -> str:
    return json.dumps(line, default=str) + "\n"


def pyarrow_for(what: str) -> Any:
    """Return pyarrow's class Table and its module parquet.

    Args:
        what: what needs them, as the subject of the error's sentence.

    Raises:
        TintypeError: pyarrow is not installed.
    """
    try:
        from pyarrow import Table, parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise TintypeError(
            f"{what} in Parquet needs pyarrow, which is not installed: run  pip install pyarrow,  "
            "or use another format"
        ) from None
    return Table, parquet


def _schema() -> Any:
    import pyarrow  # pyright: ignore[reportMissingImports]

    text, number = pyarrow.string(), pyarrow.float64()
    names = ("source", "result", "model", "checksum", "options", "error")
    columns = [*((name, text) for name in names), ("seconds", number), ("entropy", number)]
    return pyarrow.schema([*columns, ("notes", pyarrow.list_(text))])


def _unwritable(path: Path, error: OSError) -> UnwritablePhotoError:
    return UnwritablePhotoError(f"{path} cannot be read or written: {error.strerror or error}")
