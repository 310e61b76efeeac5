"""Settings from a command line, ``NAME=VALUE``: fields of a recipe, folders to emphasise."""

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


def read_emphasis(words: Sequence[str]) -> dict[str, float]:
    """``["cats=4", "cats/black=0.5"]`` as factors by folder.

    Raises:
        SettingError: a word has no ``=``, or no number after it.
    """
    emphasis = {}
    for word in words:
        folder, _, factor = word.rpartition("=")
        try:
            emphasis[folder or word] = float(factor)
        except ValueError:
            folder = ""
        if not folder:
            raise SettingError(f"{word!r} is no emphasis: write FOLDER=FACTOR, e.g. cats=4")
    return emphasis
