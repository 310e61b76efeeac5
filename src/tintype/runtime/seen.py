"""What a network is given of a photograph: its luminance, and hints where it takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tintype.card import Card
from tintype.errors import SettingError
from tintype.runtime.hints import CELL, Hint, draw_hints
from tintype.runtime.registry import names_of_models
from tintype.runtime.resize import ImageArray, reduce


class Seen(NamedTuple):
    """The inputs of a model's main graph.

    Attributes:
        gray: luminance (H, W) in [0, 1].
        hints: (1, 3, H / 4, W / 4), all zero where there are none; None where the model takes none.
        notes: what there is to say of the hints.
    """

    gray: NDArray[np.float32]
    hints: NDArray[np.float32] | None = None
    notes: Sequence[str] = ()

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the inputs by name."""
        gray = {"gray": self.gray[None, None]}
        return gray if self.hints is None else {**gray, "hints": self.hints}


def network_inputs(card: Card) -> dict[str, int]:
    """Return names and ranks of what a model's main graph takes."""
    return {"gray": 4, "hints": 4} if card.takes_hints else {"gray": 4}


def see(card: Card, gray: ImageArray, hints: Sequence[Hint] = ()) -> Seen:
    """Return what a model is given of a photograph.

    Args:
        card: of the model.
        gray: luminance at full size, (H, W).
        hints: of the photograph.

    Raises:
        HintError: a hint lies outside.
        SettingError: the model takes no hints, and there are some.
    """
    if hints:
        check_takes_hints(card)
    seen = reduce(gray, card.size)
    if not card.takes_hints:
        return Seen(seen)
    return Seen(seen, *draw_hints(hints, gray, (seen.shape[0] // CELL, seen.shape[1] // CELL)))


def check_takes_hints(card: Card) -> None:
    """Refuse hints for a model that takes none.

    Raises:
        SettingError: it does not; the message names installed models that do.
    """
    if not card.takes_hints:
        able = names_of_models(lambda card: card.takes_hints)
        raise SettingError(f"{card.name} takes no hints; {able} does.")
