"""Read a manifest: a table of photographs, each with its result's path and its own options."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from tintype.batch.places import is_url, place
from tintype.batch.results import pyarrow_for
from tintype.errors import PhotoError, SettingError, UnreadablePhotoError
from tintype.runtime.options import Asked

_COLUMNS = {"source", "destination", "options"}
_MORE = None  # csv's key of the fields of a line beyond the columns


@dataclass(frozen=True)
class Line:
    """One photograph of a manifest.

    Attributes:
        source: the photograph's path, or the path that stands for its URL.
        destination: the result's path relative to the output folder; None if not given.
        options: (name, value) pairs, sorted by name.
    """

    source: Path
    destination: Path | None
    options: tuple[tuple[str, Any], ...]


def read_manifest(path: Path) -> Iterator[Line | PhotoError | SettingError]:
    """Yield the photographs of a CSV or Parquet table; for an invalid line, the error.

    The column ``source`` is required; ``destination`` and ``options``, a JSON object, are not. A
    source that is not a URL is relative to the manifest's folder.

    Raises:
        UnreadablePhotoError: the file cannot be read, or its columns are others.
        TintypeError: a Parquet table needs pyarrow, which is not installed.
    """
    rows = _rows_of_parquet(path) if path.suffix.lower() == ".parquet" else _rows_of_csv(path)
    for number, row in enumerate(rows, 1):
        if "source" not in row or set(row) - _COLUMNS - {_MORE}:
            raise UnreadablePhotoError(
                f"{path} is not a manifest: it needs a column source, and may have the columns "
                "destination and options, but no others"
            )
        try:
            yield Line(_source(row, path.parent), _destination(row), _options(row))
        except (PhotoError, SettingError) as error:
            yield type(error)(f"{path}, photograph {number}: {error}")


def _rows_of_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            # Python 3.10 takes no NUL; as another character it makes a name that does not exist.
            lines = (line.replace("\0", "\ufffd") for line in file)
            yield from csv.DictReader(lines, restkey=_MORE, strict=True)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadablePhotoError(f"{path} cannot be read as a CSV table: {error}") from error


def _rows_of_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    _, parquet = pyarrow_for("a manifest")
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise UnreadablePhotoError(f"{path} cannot be read as a Parquet table: {error}") from error


def _source(row: Mapping[str, Any], folder: Path) -> Path:
    words = str(row["source"] or "")
    if _MORE in row:
        raise UnreadablePhotoError(
            'more fields than columns: write options that have commas in quotes, "{""seed"": 1}"'
        )
    if not words or "\0" in words:
        raise UnreadablePhotoError(
            "the column source is empty or no name: give a path or an address"
        )
    return place(words) if is_url(words) else folder / words


def _destination(row: Mapping[str, Any]) -> Path | None:
    words = str(row.get("destination") or "")
    if not words:
        return None
    parts = PurePosixPath(words).parts
    windows = PureWindowsPath(words)
    if is_url(words) or words[0] == "/" or windows.anchor or {".."} & {*parts, *windows.parts}:
        raise UnreadablePhotoError(
            f"the destination {words} is not below the output folder: give a relative path "
            "without .."
        )
    return Path(*parts)


def _options(row: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    words = row.get("options")
    if not words:
        return ()
    try:
        options = json.loads(words) if isinstance(words, str) else dict(words)
        if not isinstance(options, dict):
            raise ValueError(words)
    except (ValueError, TypeError):
        raise SettingError('options must be a JSON object, such as {"vividness": 0.5}') from None
    for name, value in options.items():
        if name not in Asked.__annotations__:
            raise SettingError(
                f"unknown option {name}: the options are {', '.join(Asked.__annotations__)}"
            )
        if isinstance(value, (list, dict)):
            raise SettingError(f"{name} must be a number, a text, true or false, not {value}")
    return tuple(sorted((k, v) for k, v in options.items() if v is not None))
