"""Turn a client's request into complete, valid settings, or raise an error that says why not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from tintype.card import Card
from tintype.errors import SettingError, TintypeError, UnknownModelError
from tintype.runtime.options import Asked, Options
from tintype.runtime.registry import find_model
from tintype.runtime.seen import check_takes_hints
from tintype.runtime.settings import Settings, settings_from_json

OPTIONS = tuple(Asked.__annotations__)
_SAMPLER, _DEFAULT = "tint_sampler", "tint"


def settings_of(record: Mapping[str, Any]) -> tuple[Card, Settings]:
    """Return the model and the complete settings of a request that may name only some of them.

    Args:
        record: settings as in NAME.tintype.json, of which any may be missing.

    Raises:
        SettingError: an option is unknown, out of range or not one of this model.
        UnknownModelError: there is no such model.
    """
    if not isinstance(record, dict):
        raise SettingError("settings must be a JSON object, as in NAME.tintype.json")
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


def renewed(record: dict[str, Any]) -> dict[str, Any]:
    """Return settings as they are if they can be used, else as much of them as can be used now.

    They cannot be used where the model's weights have changed, or the model is not installed.
    """
    try:
        settings_of(record)
        return record
    except TintypeError:
        own = record if isinstance(record, dict) else {}
        for asked in ({**own, "files": {}}, {"hints": own.get("hints", [])}):
            with suppress(TintypeError):
                return record_of(settings_of(asked)[1])
        return record_of(settings_of({})[1])


def model_named(name: object) -> Card:
    """Return the card of a model by its name; a client's text is never used as a path.

    Raises:
        UnknownModelError: no model has that name.
    """
    words = name if isinstance(name, str) else ""
    plain = words.replace(".", "").replace("_", "").replace("-", "").isalnum()
    if not plain or words.endswith((".json", ".onnx")):
        raise UnknownModelError(f"No model is called {name!r:.80}; /api/v1/models lists them")
    return find_model(words)


def record_of(settings: Settings) -> dict[str, Any]:
    """Return settings as a dict, as in NAME.tintype.json."""
    return json.loads(settings.to_json())


def record_of_form(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the settings that a form gives, as `settings_of` takes them.

    Single fields take precedence over the field `settings`.

    Raises:
        SettingError: a field is unknown, or is not JSON where it should be.
    """
    given = dict(fields)
    record: Any = _json("settings", given.pop("settings")) if "settings" in given else {}
    if not isinstance(record, dict):
        raise SettingError("settings must be a JSON object, as in NAME.tintype.json")
    options = record.get("options", {})
    if not isinstance(options, dict):
        raise SettingError("options must be a JSON object")
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
                f"unknown field {name!a:.40}: the fields are photo, settings, model, hints, "
                f"samples, {', '.join(OPTIONS)}"
            )
    return {**record, "sample": None, "options": options}


def _value(text: str) -> Any:
    """Return the text as the JSON value that it is, a number or a boolean; else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{name} is not valid JSON: {error}") from error
