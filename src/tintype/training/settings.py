"""Settings from a command line: ``NAME=VALUE`` for any field of a recipe or configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
