"""A model, loaded: its card and the sessions of its graphs.

It is apart from the colorizer, so that a command can load it while it imports the rest.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tintype.card import Card
from tintype.runtime.registry import find_model
from tintype.runtime.session import Session, cores, network_inputs

if TYPE_CHECKING:
    from tintype.runtime.sampler import Sampler


class Model:
    """A model of any kind, loaded.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), or the path of a card or weights file.
        threads: by default, and at most, every core there is.

    Attributes:
        card: of the model.
        threads: how many there are.
        sampler: of a model that samples; None of others.
        network: of a model that does not.
        decoder: of one that predicts a distribution.

    Raises:
        UnknownModelError: no such model.
        CorruptModelError: its card or weights are damaged.
        ValueError: threads is below 1.
    """

    def __init__(self, model: str | os.PathLike[str] = "tint", threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is a number from 1, not {threads}")
        self.card: Card = find_model(model)
        self.threads = min(threads or cores(), cores())  # more would only be in each other's way
        self.sampler: Sampler | None = None
        self.network: Session | None = None
        self.decoder: Session | None = None
        inputs = network_inputs(self.card)
        if self.card.kind == "sampler":
            from tintype.runtime.sampler import Sampler

            self.sampler = Sampler(self.card, self.threads)
        elif self.card.has("decode"):
            self.network = Session(self.card, "", inputs, {"bins": 4})
            needs = {"bins": 4, "vividness": 0}
            self.decoder = Session(self.card, "decode", needs, {"chroma": 4})
        else:
            self.network = Session(self.card, "", inputs, {"chroma": 4})
