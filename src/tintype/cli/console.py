"""What commands print: results on stdout; progress, notes and failures on stderr."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tintype.errors import MissingExtraError, TintypeError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_BAR_AFTER = 1.0  # seconds of work
_TOLD_EVERY = 60.0  # seconds, where nobody watches

# Control characters, line ends, changes of writing direction, and surrogates.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Progress:
    """Progress on standard error.

    On a terminal it is a number and a name in the first second, then a bar by rich, whose import
    takes as long as colouring a small photograph. Elsewhere, as in the log of a batch, it is a line
    every minute. Errors of writing to standard error are ignored.

    Attributes:
        watched: whether standard error is a terminal.
    """

    def __init__(self) -> None:
        self.watched = sys.stderr.isatty()
        self._started = self._told = time.monotonic()
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.stop()

    def show(self, done: int, total: int, label: str) -> None:
        """Draw how many of `total` are done, how fast, and the label of the current one."""
        if not self.watched:
            self._tell(done, total)
            return
        label = escaped(label)
        if self._bar is None and time.monotonic() - self._started < _BAR_AFTER:
            columns = shutil.get_terminal_size().columns
            self._write("\r" + f"{done}/{total} {label}"[: columns - 1] + "\x1b[K")
            return
        with contextlib.suppress(OSError):
            if self._bar is None:
                self._clear()
                self._bar = _start_bar()
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=done, total=total, description=label, refresh=True)

    def say(self, message: str) -> None:
        """Print a line on standard error, above the bar."""
        if self._bar is None:
            self._clear()
            self._write(f"{escaped(message)}\n")
            return
        with contextlib.suppress(OSError):
            self._bar.console.print(escaped(message), markup=False, emoji=False, soft_wrap=True)

    def note(self, lines: Iterable[str]) -> None:
        """Print notes on standard error, a line each."""
        for line in lines:
            self.say(f"tintype: {line}")

    def _tell(self, done: int, total: int) -> None:
        """Print a line now and then."""
        now = time.monotonic()
        if now - self._told < _TOLD_EVERY or not done:
            return
        self._told = now
        speed = done / (now - self._started)
        left = timedelta(seconds=round((total - done) / speed))
        self.say(f"tintype: {done} of {total}, {rate(speed)}, {left} left")

    def _clear(self) -> None:
        if self.watched and self._bar is None:
            self._write("\r\x1b[K")

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def rate(speed: float) -> str:
    """Return how fast work is done, a second or, if slower, a minute."""
    return f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min"


def _start_bar() -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(rate(task.speed) if task.speed else "", style="progress.data.speed")

    bar = Bar(
        BarColumn(24),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        ),
        console=Console(stderr=True, highlight=False),
        auto_refresh=False,  # a thread that draws would interfere with signals
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("")
    bar.start()
    return bar


def escaped(text: str) -> str:
    """Return text with its control characters escaped: names of files may hold some."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class OutputError(TintypeError):
    """Standard output is closed or full."""


def write_out(content: str | bytes) -> None:
    """Write all of a text or of bytes to standard output.

    Raises:
        OutputError: standard output is closed or full.
        BrokenPipeError: the program that read it has ended.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        if isinstance(content, bytes):
            sys.stdout.buffer.write(content)
        else:
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(content.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def print_line(text: str) -> None:
    """Print a line, or several, on standard output."""
    write_out("\n".join(map(escaped, text.split("\n"))) + "\n")


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    print_line(json.dumps(value, indent=2, default=str))


def terminal_width() -> int | None:
    """Return the width of standard output in characters; None if it is not a terminal."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if terminal else None


def print_table(rows: Sequence[Sequence[str]], *, header: bool = False) -> None:
    """Print rows of text in aligned columns; on a terminal long cells are wrapped."""
    from tintype.tables import format_table

    width = terminal_width()
    cells = [[escaped(cell) for cell in row] for row in rows]
    write_out(format_table(cells, header=header, width=width, styled=width is not None) + "\n")


@contextlib.contextmanager
def needs_extra(extra: str, purpose: str, packages: Sequence[str]) -> Iterator[None]:
    """Turn a failed import of one of `packages` into the advice to install an extra.

    Raises:
        MissingExtraError: one of the packages is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        # One that is there and lacks a module is not missing: a model's file has misspelt it.
        if package in packages and not sys.modules.get(package):
            raise MissingExtraError(extra, purpose) from error
        raise
