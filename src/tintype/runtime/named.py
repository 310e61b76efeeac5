"""Load a model by the names of the benchmark and the study: NAME, or NAME@OPTION."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tintype.errors import DataError, SettingError
from tintype.photo import Photo
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.options import Options
from tintype.runtime.registry import parse_model_option
from tintype.runtime.seen import see

_CELL = 8  # pixels per cell of ``truth28``, each way: 28 of 224


@dataclass(frozen=True)
class NamedModel:
    """A loaded model with its options.

    Attributes:
        name: the name that was given to `load`.
        model: name of the model, without the option.
        colorizer: the model.
        options: all options.
        asked: the options after the @, if any, by name.
        truth: whether it is given the true chroma of 28 cells on the shorter side, in place of its
            own: the upper bound of PixColor's Figure 5 (Guadarrama et al. 2017).
    """

    name: str
    model: str
    colorizer: Colorizer
    options: Options
    asked: dict[str, Any]
    truth: bool = False

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
        truth = "truth" in asked
        if truth:
            size = replace(colorizer.card.size, short_side=28 * _CELL)
            colorizer.card = replace(colorizer.card, size=size)
        options = {option: value for option, value in asked.items() if option != "truth"}
        try:
            return cls(name, model, colorizer, colorizer.options(**options), asked, truth)
        except SettingError as error:
            raise DataError(
                f"{name!r}: {error}; after @ give a vividness as in tint@0.5, a filter as in "
                "patchwise@none, or, of a model with a second stage, no-refine, truth28 or "
                "truth28+refine."
            ) from error

    @property
    def samples(self) -> bool:
        """Return whether its colors are drawn, so that another seed gives others."""
        return self.colorizer.card.kind == "sampler" and not self.truth

    def colorize(self, photo: Photo, options: Options | None = None) -> Photo:
        """Return the photograph in color, of whose own colors ``truth28`` alone sees anything.

        Args:
            photo: a photograph.
            options: options in place of its own.
        """
        options = options or self.options
        if not self.truth:
            return self.colorizer.colorize(photo, options)
        seen = see(self.colorizer.card, photo.gray, normalise=options.normalise)
        cells = (seen.gray.shape[0] // _CELL, seen.gray.shape[1] // _CELL)
        chroma = self.colorizer.true_chroma(photo, cells)
        chroma = self.colorizer.predictor.finished(seen, chroma[None], options)
        return photo.with_rgb(self.colorizer.join(photo.gray, chroma, options))
