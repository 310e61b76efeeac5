"""Published colorization networks and our own; needs torch.

Each paper has a file of its own. `MODELS` lists them all; the module of a model is imported when
the model is built.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tintype.errors import CheckpointError, SettingError, UnknownModelError

if TYPE_CHECKING:
    from tintype.models.base import ColorModel, TrainConfig

#: Name of the system -> (module, class).
MODELS: dict[str, tuple[str, str]] = {
    "adversarial": ("tintype.models.adversarial", "Adversarial"),
    "cic": ("tintype.models.cic", "Cic"),
    "letcolor": ("tintype.models.letcolor", "LetColor"),
    "patchwise": ("tintype.models.patchwise", "Patchwise"),
    "pic": ("tintype.models.pic", "Pic"),
    "pixcolor": ("tintype.models.pixcolor", "PixColor"),
    "tint": ("tintype.models.tint", "Tint"),
    "tint_sampler": ("tintype.models.tint_sampler", "TintSampler"),
}


def model_class(name: str) -> type[ColorModel]:
    """Return the class of a system by its name.

    Raises:
        UnknownModelError: no system has that name; the message suggests one or lists them.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the systems are {', '.join(MODELS)}."
        raise UnknownModelError(f"No system is called {name!r}; {hint}")
    module, attribute = MODELS[name]
    return getattr(importlib.import_module(module), attribute)


def preset_of(name: str, preset: str) -> tuple[Any, TrainConfig]:
    """Return the configurations of a preset: of the network, and of its training.

    Args:
        name: a key of `MODELS`, e.g. ``"tint"``.
        preset: ``"paper"`` (as published; not for our own models), ``"small"`` (the size we train
            and ship) or ``"test"`` (trains in seconds).

    Raises:
        UnknownModelError: no system has that name, or it has no such preset.
    """
    presets = model_class(name).presets
    if preset not in presets:
        raise UnknownModelError(f"{name!r} has no preset {preset!r}; it has: {', '.join(presets)}.")
    return presets[preset]


def build(
    name: str, preset: str = "small", /, changes: Mapping[str, Any] | None = None
) -> tuple[ColorModel, TrainConfig]:
    """Build a freshly initialized model; return it with the training configuration of its preset.

    Args:
        name, preset: as in `preset_of`.
        changes: field name -> value that replaces the preset's.

    Raises:
        UnknownModelError: no system has that name, or it has no such preset.
        SettingError: no field has that name, or the value is not valid for it.
    """
    config, training = changed(preset_of(name, preset), changes or {})
    return model_class(name)(config), training


def changed(settings: Sequence[Any], changes: Mapping[str, Any]) -> list[Any]:
    """Return configurations with some of their fields replaced.

    Args:
        settings: dataclasses that share no field name.
        changes: field name -> value, of the type of the value that it replaces.

    Raises:
        SettingError: no field has that name, or the value is not valid for it.
    """
    owner = {field.name: part for part in settings for field in dataclasses.fields(part)}
    kinds = {field.name: str(field.type) for part in settings for field in dataclasses.fields(part)}
    fixed = {name for name, kind in kinds.items() if "tuple[" in kind and "..." not in kind}
    values = []
    for name, value in changes.items():
        if name not in owner:
            near = difflib.get_close_matches(name, owner, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(owner)}."
            raise SettingError(f"No setting is called {name!r}; {hint}")
        if value is not None or "None" not in kinds[name]:
            current = getattr(owner[name], name)
            value = _of_kind(name, value, current)
            if name in fixed and len(value) != len(current):
                raise SettingError(f"{name} must be {len(current)} values, not {list(value)!r}")
        values.append((name, value))
    return [
        dataclasses.replace(part, **{name: v for name, v in values if owner[name] is part})
        for part in settings
    ]


def _of_kind(name: str, value: Any, current: Any) -> Any:
    """Return the value if it has the type of the current one; an int is accepted for a float."""
    if isinstance(current, tuple) and isinstance(value, (tuple, list)):
        like = current if len(current) == len(value) else current[:1] * len(value)
        return tuple(map(partial(_of_kind, name), value, like)) if like else tuple(value)
    kind = int if current is None else type(current)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        shown = list(current) if isinstance(current, tuple) else current  # as --set takes it
        like = f"a value like {shown!r}" if current != () else "a list"
        raise SettingError(f"{name} must be {like}, not {value!r}")
    return value


def rebuild(name: str, config: dict[str, Any]) -> ColorModel:
    """Rebuild a model from the configuration in a checkpoint, independent of today's presets.

    Args:
        name: a key of `MODELS`.
        config: fields of the network's configuration, as read from JSON.

    Raises:
        UnknownModelError: no system has that name.
        CheckpointError: the configuration has other fields in this version.
    """
    cls = model_class(name)
    kind = type(next(iter(cls.presets.values()))[0])
    try:
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        return cls(kind(**fields))
    except TypeError as error:
        raise CheckpointError(
            f"The run was trained with another version of {name} ({error}); use that version."
        ) from error
