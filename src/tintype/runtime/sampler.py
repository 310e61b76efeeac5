"""Sample chroma from an autoregressive model, exactly and fast.

In a naive implementation every chroma value takes a pass of the network, because it depends on all
values before it. Here the main graph computes features of the luminance once, and three small
graphs run per row (docs/reference/model-files.md):

- ``above``: the part of the row's computation that depends on the rows above only;
- ``row``: one step of a fixed-point iteration on the row's values. The noise is drawn beforehand,
  so every value is a function of those before it, and the fixed point is the sample, exactly (Song
  et al. 2021, arXiv 2002.03629). Every step fixes at least one more value, usually many;
- ``cache``: the states for the next row.

The graphs pass a dict of named tensors, which the code here does not interpret. Samples are drawn
one by one in parallel threads; a batch would take as long, and so a sample does not depend on the
count.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tintype.card import Card
from tintype.errors import CorruptModelError
from tintype.runtime.device import Device
from tintype.runtime.session import Session, network_inputs

Chroma: TypeAlias = NDArray[np.float32]  # (n, 2, h, w), or its log-likelihood in nats


@dataclass(frozen=True)
class Samples:
    """Samples of one photograph.

    Attributes:
        chroma: chroma in the color space of the card, (n, 2, h, w).
        nats: log-likelihood of each sample at temperature 1, in nats, (n,).
    """

    chroma: Chroma
    nats: NDArray[np.float64]

    @property
    def bits(self) -> NDArray[np.float64]:
        """Return the negative log-likelihood of each in bits per chroma value, (n,)."""
        return -self.nats / (np.log(2) * self.chroma[0].size)


class Sampler:
    """A loaded autoregressive model, with its second stage if it has one.

    Args:
        card: card of a sampler.
        threads: number of threads for the samples of a photograph.
        device: where its graphs run; the CPU by default.

    Raises:
        CorruptModelError: a file is missing, damaged, or does not fit the card.
    """

    def __init__(self, card: Card, threads: int = 1, device: Device | None = None) -> None:
        self.card = card
        self._threads = threads
        states = {name: len(shape) for name, shape in card.states.items()}
        self._features = Session(card, "", network_inputs(card), {"features": 4}, None, device)
        known = {"row": 0, "features": 4, **states}
        self._above = Session(card, "above", {"features": 4}, {}, known, device)
        known |= {name: len(shape) for name, shape in self._above.outputs.items()}
        needs = {"guess": 4, "noise": 4, "temperature": 0}
        self._row = Session(card, "row", needs, {"values": 4, "logp": 4}, known, device)
        self._cache = Session(card, "cache", {"values": 4}, {}, known, device)
        if missing := {n for n in states if not {n, f"next_{n}"} & self._cache.outputs.keys()}:
            raise CorruptModelError(
                f"{self._cache.path} gives no {', '.join(sorted(missing))}; export it again."
            )
        self._refine = None
        if card.has("refine"):
            self._refine = Session(
                card, "refine", {"gray": 4, "chroma": 4}, {"refined": 4}, device=device
            )
        self._choices = self._row.inputs["noise"][1]  # noise variables per cell
        if not (isinstance(self._choices, int) and 0 < self._choices <= 1 << 12):
            raise CorruptModelError(
                f"{self._row.path} has no fixed number of noise variables; export it again."
            )

    def features(
        self, gray: NDArray[np.float32], hints: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return conditioning features of a photograph, (1, K, h, w).

        Args:
            gray: luminance (H, W) in [0, 1].
            hints: hint map, (1, 3, H / 4, W / 4), if the model takes hints.

        Raises:
            CorruptModelError: the graph fails, or its output is not valid.
        """
        seen = {"gray": gray[None, None]} | ({} if hints is None else {"hints": hints})
        features = self._features.run(seen)["features"]
        (one, _, height, width), (most_rows, most) = features.shape, gray.shape
        if one != 1 or not (0 < height <= most_rows and 0 < width <= most):
            raise CorruptModelError(
                f"{self._features.path} gives features {features.shape} of a picture {gray.shape}; "
                "reinstall tintype, or export the model again."
            )
        return features

    def sample(
        self,
        features: NDArray[np.float32],
        count: int,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        first: int = 0,
    ) -> Samples:
        """Draw samples for one photograph.

        Args:
            features: from `features`.
            count: number of samples, from 1.
            seed: seed of the noise; sample k of a seed does not depend on the others.
            temperature: divides the logits.
            first: index of the first sample, from 0.

        Raises:
            CorruptModelError: a graph fails, or values depend on later ones.
        """

        def draw(k: int) -> tuple[Chroma, Chroma]:
            size = (self._choices, *features.shape[2:])
            noise = np.random.default_rng((seed, k)).gumbel(size=size).astype(np.float32)
            return self._by_row(features, noise, temperature, None)

        numbers = range(first, first + count)
        with ThreadPoolExecutor(min(count, self._threads)) as pool:
            chroma, logp = map(np.concatenate, zip(*pool.map(draw, numbers), strict=True))
        return Samples(chroma, logp.sum((1, 2, 3), dtype=np.float64))

    def score(self, features: NDArray[np.float32], chroma: Chroma) -> NDArray[np.float32]:
        """Return the log-likelihoods in nats of chroma values, both (1, 2, h, w)."""
        noise = np.zeros((self._choices, *features.shape[2:]), np.float32)
        return self._by_row(features, noise, 1.0, chroma)[1]

    def refine(self, gray: NDArray[np.float32], chroma: Chroma) -> Chroma:
        """Return the refined chroma (1, 2, h', w') of a sample, if there is a second stage.

        Args:
            gray: luminance from which the features were computed, (H, W) in [0, 1].
            chroma: chroma of the sample, (1, 2, h, w), in the color space of the card.
        """
        if self._refine is None:
            return chroma
        return self._refine.run({"gray": gray[None, None], "chroma": chroma})["refined"]

    def _by_row(
        self,
        features: NDArray[np.float32],
        noise: NDArray[np.float32],
        temperature: float,
        given: Chroma | None,
    ) -> tuple[Chroma, Chroma]:
        """Return chroma, given or sampled from noise (K, h, w), and log-likelihoods."""
        height, width = features.shape[2:]
        sizes: dict[int | str, int] = {"samples": 1, "width": width}
        state = {
            name: np.zeros([int(sizes.get(size, size)) for size in shape], np.float32)
            for name, shape in self.card.states.items()
        }
        values, rows = np.zeros((1, 2, 1, width), np.float32), []
        for row in range(height):
            own = slice(row, row + 1)
            tensors: dict[str, NDArray[Any]] = {**state, "row": np.array(row, np.int64)}
            tensors["features"] = features[:, :, own]
            tensors["noise"] = noise[None, :, own]
            tensors["temperature"] = np.array(temperature, np.float32)
            tensors |= self._above.run(tensors)
            if given is None:
                values, logp = self._settle(values, tensors)
            else:
                values = given[:, :, own]
                logp = self._values(values, tensors)[1]
            rows.append((values, logp))
            left = self._cache.run({**tensors, "values": values})
            # A graph cannot have an output with the name of an input.
            state = {name: left[name if name in left else f"next_{name}"] for name in state}
        chroma, nats = (np.concatenate(part, axis=2) for part in zip(*rows, strict=True))
        if not np.isfinite(nats).all():
            raise CorruptModelError(
                f"{self._row.path} gives likelihoods that are not finite; export the model again."
            )
        return chroma, nats

    def _settle(self, guess: Chroma, tensors: dict[str, NDArray[Any]]) -> tuple[Chroma, Chroma]:
        """Return a row's values (1, 2, 1, w) and their log-likelihood, from a first guess."""
        for _ in range(2 * guess.shape[-1] + 2):
            values, logp = self._values(guess, tensors)
            if np.array_equal(values, guess):
                return guess, logp
            guess = values
        raise CorruptModelError(
            f"{self.card.name} has values that depend on later ones; export it again."
        )

    def _values(self, guess: Chroma, tensors: dict[str, NDArray[Any]]) -> tuple[Chroma, Chroma]:
        """Return the next guess of a row (1, 2, 1, w), and the log-likelihood of the guess."""
        found = self._row.run({**tensors, "guess": guess})
        if not found["values"].shape == found["logp"].shape == guess.shape:
            raise CorruptModelError(
                f"{self._row.path} gives values of another shape than the row's; export it again."
            )
        return found["values"], found["logp"]
