"""Read and write settings of results and files of hints, as JSON.

The files may come from anywhere; every fault is a one-line error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tintype import __version__
from tintype.card import Card, is_model_name
from tintype.errors import SettingError
from tintype.runtime.hints import Hint, hint_from_json
from tintype.runtime.options import Options

_LARGEST = 16 << 20  # bytes of a file
_MOST_HINTS = 100_000  # per photograph


@dataclass(frozen=True)
class Settings:
    """The settings of a result; with them the same photograph gives the same bytes again.

    Attributes:
        version: version of tintype.
        model: name of the model.
        files: file of the model -> SHA-256; empty to accept any.
        options: all options that the model takes, by name.
        hints: hints of the photograph.
        scan: SHA-256 of the photograph's file; empty if it is not known.
        libraries: library -> version, of those that compute the result.
    """

    version: str
    model: str
    files: Mapping[str, str]
    options: Mapping[str, Any]
    hints: tuple[Hint, ...] = ()
    scan: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, card: Card, options: Options, hints: tuple[Hint, ...]) -> Settings:
        """Return the settings of a result."""
        held = {name: value for name, value in asdict(options).items() if value is not None}
        return cls(__version__, card.name, card.files, held, hints)

    def to_json(self) -> str:
        """Return the settings as JSON for `read_settings`."""
        options = dict(self.options)
        record = {
            "tintype": self.version,
            "model": self.model,
            "files": dict(self.files),
            "sample": options.pop("sample", None),
            "options": options,
            "hints": [hint.to_json() for hint in self.hints],
        }
        if self.scan:
            record |= {"scan": self.scan, "libraries": dict(self.libraries)}
        return json.dumps(record, indent=1) + "\n"

    def check_model(self, card: Card) -> None:
        """Raise an error if the model is another one of the same name.

        Raises:
            SettingError: a checksum differs.
        """
        if self.model == card.name and self.files and self.files != card.files:
            differing = sorted(dict(self.files.items() ^ card.files.items()))
            raise SettingError(
                f"the settings are of another {card.name}: the checksum of "
                f"{printable(differing[0])} differs; install tintype {printable(self.version)}, "
                'which made them, or leave out their "files" to take this model'
            )


def read_settings(path: Path) -> Settings:
    """Read the settings of a result from NAME.tintype.json.

    Raises:
        SettingError: the file cannot be read, or is not valid.
    """
    record = _read_table(path)
    try:
        return settings_from_json(record)
    except SettingError as error:
        raise SettingError(f"{path} holds no settings of tintype: {error}") from error


def settings_from_json(record: Mapping[str, Any]) -> Settings:
    """Return the settings in a record as written by `Settings.to_json`.

    Raises:
        SettingError: the record is not valid.
    """
    if surplus := sorted(record.keys() - _KEYS.keys()):
        raise SettingError(f"there is nothing called {printable(surplus[0])} in settings")
    for key, (kind, words) in _KEYS.items():
        if key in record and not isinstance(record[key], kind):
            raise SettingError(f"{key} is {words}")
    if not is_model_name(record.get("model")):
        raise SettingError("model is the name of one, as tint.small")
    options = dict(record.get("options", {}))
    if record.get("sample") is not None:
        options["sample"] = record["sample"]
    return Settings(
        version=record.get("tintype", ""),
        model=record["model"],
        files=record.get("files", {}),
        options=options,
        hints=_hints(record.get("hints", [])),
        scan=record.get("scan", ""),
        libraries=record.get("libraries", {}),
    )


_KEYS: dict[str, tuple[Any, str]] = {
    "tintype": (str, "a version"),
    "model": (str, "the name of one, as tint.small"),
    "files": (dict, "a table of checksums"),
    "sample": ((int, type(None)), "a whole number from 1"),
    "options": (dict, "a table"),
    "hints": (list, "a list"),
    "scan": (str, "a checksum"),
    "libraries": (dict, "a table of versions"),
}


def read_hints(path: Path) -> dict[str, tuple[Hint, ...]]:
    """Read hints by photograph: ``{"a.jpg": [{"x": 1, "y": 2, "color": "#8a3324"}]}``.

    Raises:
        SettingError: the file cannot be read, or is not valid.
    """
    table = _read_table(path)
    try:
        return {name: _hints(hints) for name, hints in table.items()}
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error


def printable(text: str) -> str:
    """Return text from a file in at most 80 printable characters, for a message."""
    short = text if len(text) <= 80 else f"{text[:79]}…"
    return short if short.isprintable() else ascii(short)


def _hints(record: Any) -> tuple[Hint, ...]:
    if not isinstance(record, list) or len(record) > _MOST_HINTS:
        raise SettingError(f"the hints of a photograph are a list, of at most {_MOST_HINTS:,}")
    return tuple(map(hint_from_json, record))


def _read_table(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST >> 20} MB")
        record = json.loads(text, parse_constant=_refuse)
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise SettingError(f"{path} cannot be read: it is nested too deeply") from error
    except ValueError as error:
        raise SettingError(f"{path} cannot be read as JSON: {printable(str(error))}") from error
    if not isinstance(record, dict):
        raise SettingError(f"{path} cannot be read: it holds no table, {{...}}")
    return record


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")
