"""From what a client asks for to settings that hold, or to the sentence that says why not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tintype.card import Card
from tintype.errors import SettingError, UnknownModelError
from tintype.runtime.options import Asked, Options
from tintype.runtime.registry import find_model
from tintype.runtime.seen import check_takes_hints
from tintype.runtime.settings import Settings, settings_from_json

OPTIONS = tuple(Asked.__annotations__)
_SAMPLER, _DEFAULT = "tint_sampler", "tint"


def settings_of(record: Mapping[str, Any]) -> tuple[Card, Settings]:
    """Return the model and the whole settings of what was asked for in part.

    Args:
        record: as in NAME.tintype.json; nothing is required.

    Raises:
        SettingError: an option is out of range, or not for this model.
        UnknownModelError: no such model.
    """
    if not isinstance(record, dict):
        raise SettingError("settings are a table, as in NAME.tintype.json")
    options = record.get("options")
    sampling = record.get("sample") is not None or (
        isinstance(options, dict) and options.get("sample") is not None
    )
    card = model_named(record.get("model") or (_SAMPLER if sampling else _DEFAULT))
    asked = settings_from_json({**record, "model": card.name})
    asked.check_model(card)
    if asked.hints:
        check_takes_hints(card)
    return card, Settings.of(card, Options.resolve(card, **asked.options), asked.hints)


def model_named(name: object) -> Card:
    """Return a model by its name alone: a client's words are never taken for a path.

    Raises:
        UnknownModelError: there is none.
    """
    words = name if isinstance(name, str) else ""
    plain = words.replace(".", "").replace("_", "").replace("-", "").isalnum()
    if not plain or words.endswith((".json", ".onnx")):
        raise UnknownModelError(f"No model is called {name!r:.80}; see: tintype models")
    return find_model(words)


def record_of(settings: Settings) -> dict[str, Any]:
    """Return settings as a table."""
    return json.loads(settings.to_json())


def record_of_form(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the table of a form: `settings`, over which single fields win.

    Raises:
        SettingError: a field is unknown, or no JSON where it should be.
    """
    given = dict(fields)
    record: Any = _json("settings", given.pop("settings")) if "settings" in given else {}
    if not isinstance(record, dict):
        raise SettingError("settings are a table, as in NAME.tintype.json")
    options = record.get("options", {})
    if not isinstance(options, dict):
        raise SettingError("options is a table")
    options = dict(options)
    if record.get("sample") is not None:
        options["sample"] = record["sample"]
    for name, text in given.items():
        if name == "model":
            record["model"] = text
        elif name == "hints":
            record["hints"] = _json(name, text)
        elif name in OPTIONS:
            options[name] = _value(text)
        else:
            raise SettingError(
                f"there is no field {name!a:.40}; there are photo, settings, model, hints, "
                f"samples, {', '.join(OPTIONS)}"
            )
    return {**record, "sample": None, "options": options}


def _value(text: str) -> Any:
    """A number or a truth where the text is one, and else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{name} cannot be read as JSON: {error}") from error
