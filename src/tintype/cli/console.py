"""What commands say: results on stdout, progress, notes and failures on stderr."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tintype.errors import MissingExtraError, TintypeError

# Control characters, ends of lines, turns of direction, and what no encoding has.
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Progress:
    """A progress bar on standard error, drawn only where that is a terminal.

    Whether anything can be written there does not matter to the work.

    Attributes:
        watched: whether it is drawn.
    """

    def __init__(self) -> None:
        self.watched = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def show(self, done: int, total: int, label: str) -> None:
        """Draw the bar: how many of `total` are done, and what is under way."""
        if not self.watched:
            return
        label, width = escaped(label), 24
        filled = width * done // max(total, 1)
        text = f"[{'#' * filled}{'.' * (width - filled)}] {done}/{total} {label}"
        columns = shutil.get_terminal_size().columns
        self._write("\r" + text[: columns - 1] + "\x1b[K")

    def say(self, message: str) -> None:
        """Print a line on standard error, in the place of the bar."""
        self._clear()
        self._write(f"{escaped(message)}\n")

    def _clear(self) -> None:
        if self.watched:
            self._write("\r\x1b[K")

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def escaped(text: str) -> str:
    """Return a line that a terminal shows and does not obey, whatever names of files it holds."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


class OutputError(TintypeError):
    """Standard output is closed or full."""


def write_out(content: str | bytes) -> None:
    """Write to standard output, all of it.

    Raises:
        OutputError: that is not possible.
        BrokenPipeError: nobody reads it any more.
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


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in aligned columns."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print_line("  ".join(cells).rstrip())


@contextlib.contextmanager
def needs_extra(extra: str, purpose: str, packages: Sequence[str]) -> Iterator[None]:
    """Turn a failed import of one of `packages` into the advice to install an extra.

    Raises:
        MissingExtraError: one of the packages is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in packages:
            raise MissingExtraError(extra, purpose) from error
        raise
