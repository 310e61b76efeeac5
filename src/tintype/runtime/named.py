"""Load a model by the names of the benchmark and the study: NAME, or NAME@OPTION."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tintype.errors import DataError, SettingError
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.options import Options
from tintype.runtime.registry import parse_model_option


@dataclass(frozen=True)
class NamedModel:
    """A loaded model with its options.

    Attributes:
        name: the name that was given to `load`.
        model: name of the model, without the option.
        colorizer: the model.
        options: all options.
        asked: the option after the @, if any, by name.
    """

    name: str
    model: str
    colorizer: Colorizer
    options: Options
    asked: dict[str, Any]

    @classmethod
    def load(cls, name: str, threads: int | None = None) -> NamedModel:
        """Load a model by a name that `parse_model_option` splits.

        Args:
            name: ``NAME`` or ``NAME@OPTION``.
            threads: as in `Colorizer`.

        Raises:
            UnknownModelError: there is no such model.
            CorruptModelError: its card or weights are damaged.
            DataError: it does not take the option after the @.
        """
        model, asked = parse_model_option(name)
        colorizer = Colorizer(model, threads=threads)
        try:
            return cls(name, model, colorizer, colorizer.options(**asked), asked)
        except SettingError as error:
            raise DataError(
                f"{name!r}: {error}; after @ give a vividness as in tint@0.5, a filter as in "
                "patchwise@none, or no-refine as in tint_sampler@no-refine."
            ) from error
