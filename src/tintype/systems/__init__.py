"""The published systems of automatic colorization, and our own, one file each; needs torch.

`SYSTEMS` is the one list of them. Importing this package imports none of them: `build` loads the
module it needs.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from tintype.errors import CheckpointError, UnknownModelError

if TYPE_CHECKING:
    from tintype.systems.system import Recipe, System

#: System name -> (module, class). Every class has ``presets``, a dict from preset name to its
#: frozen dataclass of hyper-parameters, and ``recipe(preset)``.
SYSTEMS: dict[str, tuple[str, str]] = {
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


def build(name: str, preset: str = "small") -> tuple[System, Recipe]:
    """A freshly initialised system and the recipe its preset is trained by.

    Args:
        name: a key of `SYSTEMS`, e.g. ``"tint"``.
        preset: one of the system's presets: ``"paper"`` (where there is a paper), ``"small"``
            (the size we train and ship) or ``"test"`` (seconds to train).

    Raises:
        UnknownModelError: no such system, or it has no such preset.
    """
    cls = system_class(name)
    if preset not in cls.presets:
        raise UnknownModelError(
            f"{name!r} has no preset {preset!r}; it has: {', '.join(cls.presets)}."
        )
    config, recipe = cls.presets[preset]
    return cls(config), recipe


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
