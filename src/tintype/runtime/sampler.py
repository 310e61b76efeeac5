"""Sampling chroma cell by cell from an autoregressive model, exactly and in little time.

The model gives every cell's distribution of Cr, and of Cb given Cr, given the luminance and all
cells before it (Guadarrama et al. 2017). Naively each of the 1,568 values of 28x28 cells costs a
pass of the whole network. Here a picture goes row by row through three graphs (those of
`tintype.systems.rows`):

- ``lookup``: everything the row can know of the rows above, once, with what they left in memory;
- ``read``: one pass over the row for a guess of its levels. The noise is drawn beforehand, so each
  level is a function of those before it; a guess that comes back unchanged is the sample, exactly
  (Song et al. 2021, arXiv 2002.03629). Every pass settles one more level at least, most of them
  many;
- ``remember``: what the finished row leaves for the rows below.

The luminance is looked at once for all samples, and samples go side by side. The graphs of a row
are too small to be shared among threads, so the samples are: each thread takes some of them. A
second stage then takes each sample and the luminance and gives chroma at half the size
(`Sampler.refine`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tintype.color.bins import ChromaLevels, level_centers, quantize_chroma
from tintype.color.spaces import rgb_to_ycbcr
from tintype.errors import CorruptModelError, UnknownModelError
from tintype.runtime.card import Card, find
from tintype.runtime.session import Session, cores

#: Its number, its states (n, C, 1, w), and what takes its levels (n, 2, 1, w).
_Row: TypeAlias = "tuple[int, NDArray[np.float32], Callable[[NDArray[np.int64]], None]]"


@dataclass(frozen=True)
class Known:
    """Chroma that is given and not to be sampled.

    Attributes:
        levels: of Cr and Cb, integers (2, h, w); looked at where `mask` is set.
        mask: of cells, bool (h, w).
    """

    levels: NDArray[np.int64]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """Colourings of one picture.

    Attributes:
        levels: of Cr and Cb, int64 (n, 2, h, w).
        nats: log-likelihood of each, under the model itself and not at the temperature, (n,).
        passes: how often rows were read in all.
    """

    levels: NDArray[np.int64]
    nats: NDArray[np.float64]
    passes: int

    @property
    def bits(self) -> NDArray[np.float64]:
        """Bits per chroma value of each, (n,): the lower, the likelier."""
        return -self.nats / (np.log(2) * self.levels[0].size)


class Sampler:
    """An autoregressive model, loaded once.

    Args:
        card: of a model whose output is ``sampler``.
        threads: of ONNX Runtime, and how many share the samples of a picture; by default as many
            as there are cores to this process.

    Raises:
        CorruptModelError: a file is missing, damaged or not what the card promises.
    """

    def __init__(self, card: Card, threads: int | None = None) -> None:
        if card.sampling is None:
            raise CorruptModelError(f"{card.name} is no sampler; name another model.")
        self.card = card
        self._threads = threads or cores()
        self._second_stage = card.sampling.second_stage
        self.temperature = card.sampling.temperature
        self.levels = ChromaLevels(card.sampling.levels, card.sampling.low, card.sampling.high)
        self._condition = Session(card, self._threads)
        self._look_up, self._read, self._remember = (
            Session(card, 1, part) for part in ("lookup", "read", "remember")
        )
        # The sizes of the memory: (layers, n, channels, rows, width), (layers, n, channels, cells).
        self._layers, _, self._channels = _fixed(self._look_up.sizes("before")[:3])
        (self._attending,) = _fixed(self._look_up.sizes("keys")[:1])

    def condition(self, gray: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network makes of luminance (H, W) in [0, 1]: features (1, K, H/8, W/8)."""
        return self._condition.call(gray=gray[None, None])[0]

    def sample(
        self,
        condition: NDArray[np.float32],
        count: int,
        *,
        seed: int = 0,
        temperature: float | None = None,
        known: Known | None = None,
    ) -> Samples:
        """Several colourings of one picture.

        Args:
            condition: from `condition`.
            count: how many.
            seed: of the noise; sample k of a seed is the same whatever the count.
            temperature: divides the logits; below 1 likelier and calmer; by default the card's.
            known: cells whose chroma is given. What is sampled follows those before it.

        Raises:
            ValueError: count is below 1, temperature not above 0, or known of another size.
        """
        if count < 1:
            raise ValueError(f"count is a number of samples from 1, not {count}")
        if temperature is None:
            temperature = self.temperature
        if not temperature > 0:
            raise ValueError(f"temperature is above 0, not {temperature}")
        height, width = condition.shape[2:]
        if known is not None and known.mask.shape != (height, width):
            raise ValueError(f"known is of {known.mask.shape}, the picture of {(height, width)}")
        noise = gumbel(seed, count, self.levels.count, (height, width))

        def drawn(mine: NDArray[np.float32]) -> Samples:
            return self._sample(condition, mine, temperature, known)

        shares = np.array_split(noise, min(count, self._threads), axis=1)
        with ThreadPoolExecutor(len(shares)) as pool:
            parts = list(pool.map(drawn, shares))
        return Samples(
            np.concatenate([part.levels for part in parts]),
            np.concatenate([part.nats for part in parts]),
            sum(part.passes for part in parts),
        )

    def _sample(
        self,
        condition: NDArray[np.float32],
        noise: NDArray[np.float32],
        temperature: float,
        known: Known | None,
    ) -> Samples:
        """One colouring for each of the noise, (2, n, levels, h, w), row by row."""
        count, (height, width) = noise.shape[1], noise.shape[3:]
        levels = np.full((count, 2, height, width), self.levels.count // 2, np.int64)
        total, passes = np.zeros(count), 0
        for row, above, finish in self._rows(condition, count):
            # A first guess: like the row above.
            guess = levels[:, :, max(0, row - 1)][:, :, None]
            own = noise[..., row : row + 1, :]
            levels[:, :, row : row + 1], nats, taken = self._settle(
                guess, above, own, temperature, known, row
            )
            total += nats.sum((1, 2, 3), dtype=np.float64)
            passes += taken
            finish(levels[:, :, row : row + 1])
        return Samples(levels, total, passes)

    def _settle(
        self,
        guess: NDArray[np.int64],
        above: NDArray[np.float32],
        noise: NDArray[np.float32],
        temperature: float,
        known: Known | None,
        row: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """A row's levels (n, 2, 1, w) and nats from a first guess, and the passes that took."""
        for passes in range(1, 2 * guess.shape[-1] + 2):
            guess = _with_known(guess, known, row)
            found, nats = self._read.call(
                above=above,
                levels=guess,
                noise=noise,
                temperature=np.array(temperature, np.float32),
            )
            found = _with_known(found, known, row)
            if np.array_equal(found, guess):
                return guess, nats, passes
            guess = found
        raise CorruptModelError(
            f"{self.card.name} does not keep the order of its cells; export it again."
        )

    def chroma(self, levels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Levels of Cr and Cb (n, 2, h, w) as full-range Cb and Cr in [0, 1], (n, h, w, 2)."""
        return np.moveaxis(level_centers(self.levels)[levels[:, ::-1]], 1, -1)

    def refine(self, gray: NDArray[np.float32], levels: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the second stage makes of samples; without one, `chroma`.

        Args:
            gray: the luminance that was conditioned on, (H, W) in [0, 1].
            levels: (n, 2, H/8, W/8).

        Returns:
            Full-range Cb and Cr, (n, H/2, W/2, 2).

        Raises:
            UnknownModelError, CorruptModelError: the second stage is missing or damaged.
        """
        if self._finer is None:
            return self.chroma(levels)
        coarse = level_centers(self.levels)[levels] - np.float32(0.5)
        shown = np.broadcast_to(gray, (len(levels), 1, *gray.shape))
        (finer,) = self._finer.call(gray=np.ascontiguousarray(shown), chroma=coarse)
        return np.moveaxis(finer[:, ::-1], 1, -1) + np.float32(0.5)

    @cached_property
    def _finer(self) -> Session | None:
        if not self._second_stage:
            return None
        try:
            card = find(self._second_stage)
        except UnknownModelError as error:
            raise UnknownModelError(
                f"{self.card.name} needs the model {self._second_stage!r} for its second stage, "
                "and it is not there: export one, or leave that stage out with --refine none."
            ) from error
        if card.output != "finer":
            raise CorruptModelError(
                f"{self.card.name} names {card.name} as its second stage, which it is not; "
                "export it again."
            )
        return Session(card, self._threads)

    def quantise(self, rgb: NDArray[np.float32]) -> NDArray[np.int64]:
        """Levels of colours: sRGB (H, W, 3) in [0, 1] to Cr and Cb of cells, (2, H/8, W/8)."""
        stride = self.card.stride
        height, width = rgb.shape[0] // stride, rgb.shape[1] // stride
        chroma = rgb_to_ycbcr(rgb)[..., :0:-1]
        cells = chroma.reshape(height, stride, width, stride, 2).mean((1, 3))
        return np.moveaxis(quantize_chroma(cells, self.levels), -1, 0).astype(np.int64)

    def score(
        self, condition: NDArray[np.float32], levels: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Log-likelihood in nats of given chroma: levels (n, 2, h, w) to nats of the same shape."""
        noise = np.zeros((2, len(levels), self.levels.count, 1, levels.shape[-1]), np.float32)
        nats = np.empty(levels.shape, np.float32)
        for row, above, finish in self._rows(condition, len(levels)):
            own = levels[:, :, row : row + 1]
            _, nats[:, :, row : row + 1] = self._read.call(
                above=above, levels=own, noise=noise, temperature=np.array(1, np.float32)
            )
            finish(own)
        return nats

    def _rows(self, condition: NDArray[np.float32], count: int) -> Iterator[_Row]:
        """Every row with what is above it, and a function to be called with the row's levels."""
        height, width = condition.shape[2:]
        cells, channels = height * width, self._channels
        colours = np.zeros((count, channels, 3, width), np.float32)
        before = np.zeros((self._layers, count, channels, 2, width), np.float32)
        keys, values = np.zeros((2, self._attending, count, channels, cells), np.float32)
        y, x = np.divmod(np.arange(cells), width)
        for row in range(height):
            distance = np.hypot(y - row, x - np.arange(width)[:, None]).astype(np.float32)
            distance[:, y >= row] = np.inf
            above, seen, asked = self._look_up.call(
                condition=condition[:, :, row : row + 1],
                colours=colours,
                before=before,
                keys=keys,
                values=values,
                distance=distance,
            )

            def finish(
                levels: NDArray[np.int64], row: int = row, asked: NDArray[np.float32] = asked
            ) -> None:
                own, key, value = self._remember.call(levels=levels, asked=asked)
                colours[:, :, :2], colours[:, :, 2:] = colours[:, :, 1:].copy(), own
                part = slice(row * width, (row + 1) * width)
                keys[..., part], values[..., part] = key, value

            yield row, above, finish
            before = np.concatenate((before[..., 1:, :], seen), axis=3)


def gumbel(seed: int, count: int, levels: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Noise with which an argmax is a sample: (2, count, levels, h, w), Cr first."""
    drawn = [np.random.default_rng((seed, k)).gumbel(size=(2, levels, *size)) for k in range(count)]
    return np.stack(drawn, axis=1).astype(np.float32)


def _with_known(levels: NDArray[np.int64], known: Known | None, row: int) -> NDArray[np.int64]:
    if known is None:
        return levels
    return np.where(known.mask[row], known.levels[:, row][:, None], levels)


def _fixed(sizes: list[int | str | None]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in sizes)
