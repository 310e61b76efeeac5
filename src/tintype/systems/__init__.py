"""The published systems of automatic colorization, and our own, one file each; needs torch.

`SYSTEMS` is the one list of them. Importing this package imports none of them: `build` loads the
module it needs.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tintype.errors import CheckpointError, SettingError, UnknownModelError

if TYPE_CHECKING:
    from tintype.systems.system import Recipe, System

#: System name -> (module, class). Every class has ``presets``, a dict from preset name to its
#: frozen dataclass of hyper-parameters and its recipe.
SYSTEMS: dict[str, tuple[str, str]] = {
    "patchwise": ("tintype.systems.patchwise", "Patchwise"),
    "tint": ("tintype.systems.tint", "Tint"),
}


def system_class(name: str) -> type[System]:
    """The class of a system by its name.

    Raises:
        UnknownModelError: no system has that name; the message lists those there are.
    """
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, SYSTEMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(SYSTEMS)}."
        raise UnknownModelError(f"No system is called {name!r}; {hint}")
    module, attribute = SYSTEMS[name]
    return getattr(importlib.import_module(module), attribute)


def build(name: str, preset: str = "small", **changes: Any) -> tuple[System, Recipe]:
    """A freshly initialised system and the recipe its preset is trained by.

    Args:
        name: a key of `SYSTEMS`, e.g. ``"tint"``.
        preset: one of the system's presets: ``"paper"`` (where there is a paper), ``"small"``
            (the size we train and ship) or ``"test"`` (seconds to train).
        **changes: fields of the preset's configuration or recipe that take other values.

    Raises:
        UnknownModelError: no such system, or it has no such preset.
        SettingError: no field has that name, or it does not take that value.
    """
    cls = system_class(name)
    if preset not in cls.presets:
        raise UnknownModelError(
            f"{name!r} has no preset {preset!r}; it has: {', '.join(cls.presets)}."
        )
    config, recipe = cls.presets[preset]
    own = {field.name for field in dataclasses.fields(config)}
    config = changed(config, {k: v for k, v in changes.items() if k in own})
    recipe = changed(recipe, {k: v for k, v in changes.items() if k not in own})
    return cls(config), recipe


_Settings = TypeVar("_Settings")


def changed(settings: _Settings, changes: Mapping[str, Any]) -> _Settings:
    """A configuration or recipe with other values in some of its fields.

    Raises:
        SettingError: it has no such field, or does not take that value.
    """
    names = {field.name for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    for name in changes:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}."
            raise SettingError(f"No setting is called {name!r}; {hint}")
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]


def rebuild(name: str, config: dict[str, Any]) -> System:
    """A system of the hyper-parameters that a checkpoint keeps, whatever its presets are today.

    Args:
        name: a key of `SYSTEMS`.
        config: the fields of the system's configuration, as JSON gives them back.

    Raises:
        UnknownModelError: no such system.
        CheckpointError: this version's configuration has other fields.
    """
    cls = system_class(name)
    kind = type(next(iter(cls.presets.values()))[0])
    try:
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        return cls(kind(**fields))
    except TypeError as error:
        raise CheckpointError(
            f"The run was trained with another version of {name} ({error}); use that version."
        ) from error
