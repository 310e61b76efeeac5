"""Make training batches: crops, flips, and the look of old film with matching true colors.

Every random choice of step k is drawn from a generator seeded by (seed, k), so a resumed run sees
exactly the batches that an uninterrupted run would have seen, as do the processes of a parallel
run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tintype.models.base import Batch, TrainConfig
from tintype.models.torch_color import f_to_y, gray_to_f, srgb_to_gray, srgb_to_linear
from tintype.training.data import PhotoStore
from tintype.training.stream import PhotoStream

_BT601 = (0.299, 0.587, 0.114)
_FILM = 0.2  # share of the photographs that get the look of old film
_SHARPNESS = 0.8  # largest change of fine detail, relative to the detail there is


class _Drawn(NamedTuple):
    """The random choices of a step."""

    places: Tensor  # uniform in [0, 1), (N, 16), of this process's photographs
    grain: list[int]
    cut: int  # side of the squares that are cut
    height: int  # of what is kept of them
    width: int
    side: int  # to which that is resized


class Batches:
    """The training batches of a run, by step.

    Args:
        store: photographs; batches come on their device.
        config: training configuration.
        seed: seed of every random choice.
        rank, world_size: index of this process and number of processes; each gets
            ``batch / world_size`` photographs of a batch.
    """

    def __init__(
        self,
        store: PhotoStore | PhotoStream,
        config: TrainConfig,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.store = store
        self.config = config
        self.seed = seed
        self.mine = slice(
            rank * config.batch // world_size, (rank + 1) * config.batch // world_size
        )
        self._orders: dict[int, Tensor] = {}

    def _photographs(self, step: int) -> Tensor:
        """Return the indices of a step's photographs; each epoch has a random order of its own."""
        first = step * self.config.batch
        chosen = []
        for position in range(first, first + self.config.batch):
            epoch, place = divmod(position, len(self.store))
            if epoch not in self._orders:
                random = torch.Generator().manual_seed(_mix(self.seed, -1 - epoch))
                kept = list(self._orders.items())[-1:]  # a second network has epochs of its own
                self._orders = dict([*kept, (epoch, self.store.epoch(random))])
            chosen.append(self._orders[epoch][place])
        return torch.stack(chosen)

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step: crops of side S, and labels if there are any.

        S is `TrainConfig.crop`, or the one of `TrainConfig.crop_sizes` that is drawn for the step.
        """
        return self._batch(step, *self._take(step))

    def follow(self, steps: Iterable[int]) -> Generator[Batch]:
        """Yield the batches of steps, those of streamed photographs made ahead."""
        for made in self.store.ahead(self._take, steps):
            yield self._batch(*made)

    def _draw(self, step: int) -> _Drawn:
        """Make the random choices of a step."""
        config = self.config
        random = torch.Generator().manual_seed(_mix(self.seed, step))
        draw = torch.rand((config.batch, 16), generator=random)
        grain = torch.randint(1 << 62, (config.batch,), generator=random)[self.mine].tolist()
        smallest, largest = config.scale * config.crop, config.largest_cut
        cut = round(float(torch.empty(1).uniform_(smallest, largest, generator=random)))
        sides = config.crop_sizes or (config.crop,)
        side = sides[int(torch.randint(len(sides), (), generator=random))]
        narrow, upright = torch.rand(2, generator=random).tolist()
        shorter = round(cut * (1 - config.aspect_jitter * narrow))
        height, width = (cut, shorter) if upright < 0.5 else (shorter, cut)
        return _Drawn(draw[self.mine], grain, cut, height, width, side)

    def _take(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return this process's squares of a step, uint8 (N, 3, cut, cut), and their labels."""
        drawn, index = self._draw(step), self._photographs(step)[self.mine]
        return self.store.take(index, drawn.places[:, 0], drawn.places[:, 1], drawn.cut)

    def _batch(self, step: int, squares: Tensor, labels: Tensor | None) -> Batch:
        """Make the batch of a step from its squares: resized, mirrored, photographed in gray."""
        drawn = self._draw(step)
        side = drawn.side
        rgb = squares.to(self.store.device).float() / 255
        draw = drawn.places.to(rgb.device)
        rgb = rgb[..., : drawn.height, : drawn.width]
        if (drawn.height, drawn.width) != (side, side):
            rgb = F.interpolate(
                rgb,
                size=(side, side),
                mode="bilinear",
                align_corners=False,
                antialias=drawn.cut > side,
            ).clamp(0, 1)
        if self.config.flip:
            rgb = torch.where((draw[:, 2] < 0.5)[:, None, None, None], rgb.flip(-1), rgb)
        batch = to_batch(rgb)
        if self.config.augment == "film":
            batch = augment(rgb, draw[:, 3:], drawn.grain, self.config.faded)
        return batch if labels is None else batch._replace(labels=labels.to(rgb.device))


def _mix(seed: int, step: int) -> int:
    """Combine a seed and a step into one seed, distinct for all pairs in use."""
    return (seed * 1_000_003 + step) % (1 << 62)


def augment(rgb: Tensor, draw: Tensor, grain: Sequence[int], faded: float = 0.0) -> Batch:
    """Turn color photographs into black-and-white ones, some of them as on old film.

    Old film has a spectral response other than BT.601 (orthochromatic emulsions hardly respond to
    red; a color cast or a lens filter has a similar effect), another contrast, fading, less
    sharpness and grain. The true colors are rescaled to the new luminance at constant chromaticity
    (in Lab, except for the darkest, ab is scaled by the ratio of L* + 16).

    Args:
        rgb: gamma-encoded photographs in [0, 1], (N, 3, H, W).
        draw: uniform random numbers in [0, 1), (N, 13).
        grain: seed of each photograph's grain.
        faded: share of the photographs whose tonal range is narrowed; true colors do not change.
    """
    column = [d[:, None, None, None] for d in draw.unbind(1)]
    film = column[0] < _FILM
    bt601 = rgb.new_tensor(_BT601).view(1, 3, 1, 1)
    luma = srgb_to_gray(rgb)

    # Spectral response: BT.601, or random weights with less red than the eye's.
    share = torch.cat((0.5 * column[1], 0.3 + 0.7 * column[2], 0.1 + 0.7 * column[3]), 1)
    response = torch.where(film, share / share.sum(1, keepdim=True), bt601)
    gray = (rgb * response).sum(1, keepdim=True)

    # Tone: a log-normal gamma, of sigma 0.12, for film 0.3 with fading.
    sigma = torch.where(film, 0.3, 0.12)
    normal = torch.erfinv((2 * column[4] - 1).clamp(-0.999, 0.999)) * 2**0.5
    gray = gray.clamp_min(1e-4).pow(torch.exp(sigma * normal))
    black, white = 0.12 * column[5].square(), 1 - 0.12 * column[6].square()
    gray = torch.where(film, black + (white - black) * gray, gray)

    f = gray_to_f(luma)
    ratio = (gray_to_f(gray) / f).clamp(0.6, 1.6)
    scale = f_to_y(f * ratio) / f_to_y(f).clamp_min(1e-5)
    linear = srgb_to_linear(rgb) * scale.clamp(0, 4.1)  # 1.6 cubed, the limit for bright colors

    # Sharpness: photographs are reduced by filters that are softer or sharper than ours.
    gray = gray + _SHARPNESS * (2 * column[9] - 1) * (gray - _softened(gray))

    # A faded print keeps down to 15 % of the range, anywhere between black and white.
    left = 1 - 0.85 * column[11]
    gray = torch.where(column[10] < faded, gray * left + column[12] * (1 - left), gray)
    gray = torch.where(film, gray + column[7] * (_softened(gray) - gray), gray)
    gray = gray + _grain(gray, film, column[8], grain)
    return Batch(gray.clamp(0, 1), linear)


def _grain(gray: Tensor, film: Tensor, strength: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return grain for the photographs on film, each from a seed of its own."""
    noise = torch.zeros_like(gray)
    for k in film.flatten().nonzero().flatten().tolist():
        random = torch.Generator(gray.device).manual_seed(seeds[k])
        noise[k] = torch.randn(gray[k].shape, generator=random, device=gray.device)
    return 0.05 * strength.square() * noise


def _softened(gray: Tensor) -> Tensor:
    """Return the mean over 3x3 pixels, of the same size."""
    return F.avg_pool2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), 3, 1)


def to_batch(rgb: Tensor) -> Batch:
    """Return a batch without augmentation of gamma-encoded RGB (N, 3, H, W) in [0, 1]."""
    return Batch(srgb_to_gray(rgb), srgb_to_linear(rgb))
