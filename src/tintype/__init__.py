"""tintype turns black-and-white photographs into color.

    import tintype

    tintype.colorize("grandmother.jpg").save("grandmother.colorized.jpg")

Importing the package loads nothing heavy; what a name needs is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tintype import errors
    from tintype.photo import Photo
    from tintype.runtime.colorizer import Colorizer, colorize, sample
    from tintype.runtime.hints import Hint
    from tintype.runtime.registry import list_models
    from tintype.runtime.suggest import Suggestion

__version__ = "0.1.0.dev0"
__all__ = [
    "Colorizer",
    "Hint",
    "Photo",
    "Suggestion",
    "__version__",
    "colorize",
    "errors",
    "list_models",
    "load",
    "sample",
]

_HOME = {
    "Colorizer": "tintype.runtime.colorizer",
    "Hint": "tintype.runtime.hints",
    "Photo": "tintype.photo",
    "Suggestion": "tintype.runtime.suggest",
    "colorize": "tintype.runtime.colorizer",
    "list_models": "tintype.runtime.registry",
    "sample": "tintype.runtime.colorizer",
}


def load(model: str = "tint", *, threads: int | None = None) -> Colorizer:
    """Load a model once, to color many photographs with its ``colorize`` method.

    Args:
        model: ``system.tag``, a system's name for its default tag, or the path of a card or an
            ONNX file.
        threads: CPU threads; None takes one for each core. The colors do not depend on it.

    Raises:
        UnknownModelError: no model has that name.
        CorruptModelError: its card or its weights are damaged.
    """
    from tintype.runtime.colorizer import Colorizer

    return Colorizer(model, threads=threads)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name == "errors":
        value = importlib.import_module("tintype.errors")
    else:
        raise AttributeError(f"module 'tintype' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
