"""A loaded model: its card and the sessions of its graphs.

In a module of its own, so that a command can load a model while it imports the rest.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tintype.card import Card
from tintype.runtime.device import Device, Provider
from tintype.runtime.registry import find_model
from tintype.runtime.session import Session, cores, network_inputs

if TYPE_CHECKING:
    from tintype.runtime.sampler import Sampler


class Model:
    """A loaded model of any kind.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), or the path of a card or weights file.
        threads: number of threads; by default, and at most, the number of cores.
        provider: ONNX Runtime's execution provider; the CPU takes the place of one that is missing
            or fails.

    Attributes:
        card: card of the model.
        threads: number of threads.
        device: where its graphs run.
        sampler: sampler; None for other models.
        network: session of the main graph; None for a sampler.
        decoder: session of the graph ``decode``; None without one.

    Raises:
        UnknownModelError: there is no such model.
        CorruptModelError: its card or weights are damaged.
        ValueError: threads is below 1.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "tint",
        threads: int | None = None,
        provider: Provider = "cpu",
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be a number from 1, not {threads}")
        self.card: Card = find_model(model)
        self.threads = min(threads or cores(), cores())  # more would slow each other down
        self.device = device = Device(provider)
        self.sampler: Sampler | None = None
        self.network: Session | None = None
        self.decoder: Session | None = None
        inputs = network_inputs(self.card)
        if self.card.kind == "sampler":
            from tintype.runtime.sampler import Sampler

            self.sampler = Sampler(self.card, self.threads, device)
        elif self.card.has("decode"):
            self.network = Session(self.card, "", inputs, {"bins": 4}, device=device)
            needs = {"bins": 4, "vividness": 0}
            self.decoder = Session(self.card, "decode", needs, {"chroma": 4}, device=device)
        else:
            self.network = Session(self.card, "", inputs, {"chroma": 4}, device=device)
