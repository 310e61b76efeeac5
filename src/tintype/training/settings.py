"""Settings from a command line, ``NAME=VALUE``: fields of a recipe, folders to emphasise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tintype.errors import SettingError


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """``["period=50", "maps=[8, 8]", "log_loss=printed"]`` as a dict of Python values.

    A value is read as JSON (a list becomes a tuple), and as plain text where it is none.

    Raises:
        SettingError: a word has no ``=``.
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise SettingError(f"{word!r} is no setting: write NAME=VALUE, e.g. crop=96")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        settings[name] = tuple(value) if isinstance(value, list) else value
    return settings


def read_emphasis(words: Sequence[str]) -> dict[str, float]:
    """``["cats=4", "cats/black=0.5"]`` as factors by folder.

    Raises:
        SettingError: a word is not a folder, ``=`` and a number, or a folder is named twice.
    """
    emphasis: dict[str, float] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        folder = Path(name).as_posix()
        try:
            factor = float(number)
        except ValueError:
            factor = None
        if not name or factor is None:
            raise SettingError(f"{word!r} is no emphasis: write FOLDER=FACTOR, e.g. cats=4")
        if folder in emphasis:
            raise SettingError(f"there are two emphases on {folder}: give one")
        emphasis[folder] = factor
    return emphasis
