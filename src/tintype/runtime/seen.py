"""Prepare the input of a network: reduced luminance, and the hint map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tintype.card import Card
from tintype.color.tones import stretch_tones
from tintype.errors import SettingError
from tintype.runtime.hints import CELL, Hint, draw_hints
from tintype.runtime.registry import names_of_models
from tintype.runtime.resize import ImageArray, reduce
from tintype.runtime.screens import descreen

_TOO_LONG = 4  # aspect ratio above which a network that is given the whole photograph fails
_PURE = 0.97  # share of black and white pixels above which there is nothing to color
_LOOKED_AT = 1 << 20  # pixels that are counted, about, at most


class Seen(NamedTuple):
    """The inputs of a model's main graph.

    Attributes:
        gray: luminance (H, W) in [0, 1].
        hints: hint map (1, 3, H / 4, W / 4), all zero without hints; None if the model takes none.
        notes: notes about the photograph and the hints, for the user.
    """

    gray: NDArray[np.float32]
    hints: NDArray[np.float32] | None = None
    notes: Sequence[str] = ()

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the inputs by name."""
        gray = {"gray": self.gray[None, None]}
        return gray if self.hints is None else {**gray, "hints": self.hints}


def reduced(card: Card, gray: ImageArray) -> NDArray[np.float32]:
    """Return luminance (H, W) at the model's input size, (h, w) in [0, 1]."""
    return reduce(gray, card.size, _windows(card))


def see(
    card: Card,
    gray: ImageArray,
    hints: Sequence[Hint] = (),
    normalise: bool | None = False,
    small: NDArray[np.float32] | None = None,
) -> Seen:
    """Return the input of a model for a photograph.

    Args:
        card: card of the model.
        gray: luminance at full size, (H, W), uint8 or uint16.
        hints: hints of the photograph.
        normalise: stretch the tones of a faded photograph, and descreen a printed one.
        small: the result of `reduced`, if it was kept.

    Raises:
        HintError: a hint lies outside the photograph.
        SettingError: there are hints, and the model takes none.
    """
    if hints:
        check_takes_hints(card)
    seen = reduced(card, gray) if small is None else small
    if normalise:
        seen = stretch_tones(descreen(seen))
    notes = _notes(card, gray)
    if not card.takes_hints:
        return Seen(seen, notes=notes)
    drawn, said = draw_hints(hints, gray, (seen.shape[0] // CELL, seen.shape[1] // CELL))
    return Seen(seen, drawn, [*notes, *said])


def _windows(card: Card) -> bool:
    return card.kind == "chroma" and card.size.shape == "aspect"


def _notes(card: Card, gray: ImageArray) -> list[str]:
    """Return notes about a photograph that is too long or hardly has gray."""
    notes = []
    if not _windows(card) and max(gray.shape) > _TOO_LONG * min(gray.shape):
        notes.append(
            f"the photograph is so long that {card.name} sees it small or squeezed; tint sees long "
            "ones in parts"
        )
    step = max(1, math.isqrt(gray.size // _LOOKED_AT))
    sparse = gray[::step, ::step]
    pure = np.count_nonzero(sparse == 0) + np.count_nonzero(sparse == np.iinfo(gray.dtype).max)
    if pure > _PURE * sparse.size:
        notes.append(
            "nearly all of it is pure black or pure white, which take no color: scan it again in "
            "gray, not as line art or in 1 bit"
        )
    return notes


def check_takes_hints(card: Card) -> None:
    """Raise an error if a model takes no hints.

    Raises:
        SettingError: it takes none; the message names installed models that do.
    """
    if not card.takes_hints:
        if able := names_of_models(lambda card: card.takes_hints):
            raise SettingError(f"{card.name} takes no hints; {able} does.")
        raise SettingError(
            f"{card.name} takes no hints, nor does another model that is installed: import one "
            "that others published (siggraph17, see tintype import --help)."
        )
