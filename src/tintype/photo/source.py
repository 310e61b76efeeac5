"""Open what a caller gives as a seekable file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tintype.errors import UnreadablePhotoError
from tintype.photo.paths import open_error_reason

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

_UNNAMED = "the photograph"


@contextmanager
def open_source(source: Source) -> Iterator[tuple[BinaryIO, str, Path | None]]:
    """Yield a seekable file, its name for messages, and its path if it has one.

    Raises:
        UnreadablePhotoError: it cannot be opened or read, or is nothing to read bytes from.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source), _UNNAMED, None
    elif isinstance(source, (str, os.PathLike)):
        if not os.fspath(source):
            raise UnreadablePhotoError("an empty name was given: name a photograph")
        path = Path(source)
        try:
            with path.open("rb") as file:
                if file.seekable():
                    yield file, str(path), path
                else:
                    # A pipe cannot be rewound, and has no path to save to.
                    yield io.BytesIO(file.read()), str(path), None
        except (OSError, ValueError) as error:
            raise _unreadable_error(path, error) from error
    else:
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else _UNNAMED
        yield io.BytesIO(_read_all(source, name)), name, None


def _read_all(file: BinaryIO, name: str) -> bytes:
    """Read the rest of an open file."""
    if getattr(file, "closed", False):
        raise UnreadablePhotoError(f"{name} is a closed file: give one that is open")
    advice = "give a path, the file's bytes, or a file open for reading bytes, as open(path, 'rb')"
    if isinstance(file, io.TextIOBase):
        raise UnreadablePhotoError(f"{name} is open for text: {advice}")
    if not hasattr(file, "read"):
        raise UnreadablePhotoError(f"{type(file).__name__} is no photograph: {advice}")
    try:
        data = file.read()
    except (OSError, ValueError) as error:
        raise UnreadablePhotoError(f"{name} cannot be read ({error}): {advice}") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UnreadablePhotoError(f"{name} gives no bytes: {advice}")
    return bytes(data)


def _unreadable_error(path: Path, error: OSError | ValueError) -> UnreadablePhotoError:
    known = {
        FileNotFoundError: "does not exist: check the path",
        IsADirectoryError: "is a folder: name a photograph in it",
        PermissionError: "may not be read: check the file's permissions",
    }
    what = known.get(type(error)) or f"cannot be read: {open_error_reason(path, error)}"
    return UnreadablePhotoError(f"{path} {what}")
