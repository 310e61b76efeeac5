"""Files that say how photographs are to be colored, and how a result was made.

They come from anywhere: what is wrong with one is said in a line, whatever it holds.
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

_LARGEST = 16 << 20  # bytes
_MOST_HINTS = 100_000  # of one photograph


@dataclass(frozen=True)
class Settings:
    """What made a result: with the same photograph they make it again, byte for byte.

    Attributes:
        version: of tintype.
        model: name of the card.
        files: of the model, with their checksums; empty if any will do.
        options: those that held, by name, without those that the model does not take.
        hints: of the photograph.
        scan: SHA-256 of the photograph's file; empty if not known.
        libraries: versions of what else computes the result.
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
        """Return those of a result."""
        held = {name: value for name, value in asdict(options).items() if value is not None}
        return cls(__version__, card.name, card.files, held, hints)

    def to_json(self) -> str:
        """Return what `read_settings` reads."""
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
        """Refuse another model of the same name.

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
    """Read the settings of a result, NAME.tintype.json.

    Raises:
        SettingError: the file cannot be read, or holds none.
    """
    record = _read_table(path)
    try:
        return settings_from_json(record)
    except SettingError as error:
        raise SettingError(f"{path} holds no settings of tintype: {error}") from error


def settings_from_json(record: Mapping[str, Any]) -> Settings:
    """Return the settings of a table as `Settings.to_json` writes it.

    Raises:
        SettingError: it holds none.
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
    """Read hints by the photograph's name: ``{"a.jpg": [{"x": 1, "y": 2, "color": "#8a3324"}]}``.

    Raises:
        SettingError: the file cannot be read, or holds none.
    """
    table = _read_table(path)
    try:
        return {name: _hints(hints) for name, hints in table.items()}
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error


def printable(text: str) -> str:
    """Return words of a file for a line of text: short, and none of its control characters."""
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
