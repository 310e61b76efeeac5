"""A model under the name that the benchmark and the study take: NAME, or NAME@OPTION."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tintype.errors import DataError, SettingError
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.options import Options
from tintype.runtime.registry import parse_model_option


@dataclass(frozen=True)
class NamedModel:
    """A loaded model, and the options that hold for it.

    Attributes:
        name: as `load` took it.
        model: the model's name, without an option.
        colorizer: the model.
        options: the options that hold.
        asked: the option behind the @, if there is one, by name.
    """

    name: str
    model: str
    colorizer: Colorizer
    options: Options
    asked: dict[str, Any]

    @classmethod
    def load(cls, name: str, threads: int | None = None) -> NamedModel:
        """Load a model by a name that `parse_model_option` splits; `threads` as in `Colorizer`.

        Raises:
            UnknownModelError, CorruptModelError: it cannot be found or trusted.
            DataError: it does not take the option behind the @.
        """
        model, asked = parse_model_option(name)
        colorizer = Colorizer(model, threads=threads)
        try:
            return cls(name, model, colorizer, colorizer.options(**asked), asked)
        except SettingError as error:
            raise DataError(
                f"{name!r}: {error}; behind @ stands a vividness as in tint@0.5, a filter as in "
                "patchwise@none, or no-refine as in tint_sampler@no-refine."
            ) from error
