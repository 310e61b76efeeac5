"""Make batches: crops, flips, and the look of old film, with targets that stay true.

Every random choice of step k is drawn from a generator seeded by (seed, k), so a resumed run sees
exactly the batches an uninterrupted one would have seen, and so do the processes of a parallel run.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tintype.models.base import Batch, TrainConfig
from tintype.models.torch_color import f_to_y, gray_to_f, srgb_to_gray, srgb_to_linear
from tintype.training.data import PhotoStore

_BT601 = (0.299, 0.587, 0.114)
_FILM = 0.2  # share of the photographs that get the look of old film
_SHARPNESS = 0.8  # how much fine detail is taken away or added at most, relative to what there is


class Batches:
    """The batch of every step.

    Args:
        store: the photographs, on the device that trains.
        config: how squares are cut and augmented.
        seed: of every random choice.
        rank, world: this process's part of each batch: it gets ``batch / world`` photographs.
    """

    def __init__(
        self, store: PhotoStore, config: TrainConfig, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.store = store
        self.config = config
        self.seed = seed
        self.mine = slice(rank * config.batch // world, (rank + 1) * config.batch // world)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def _photographs(self, step: int) -> Tensor:
        """Return indices of the step's photographs: each pass is one random order of its draw."""
        chosen = []
        for position in range(step * self.config.batch, (step + 1) * self.config.batch):
            epoch, place = divmod(position, len(self.store))
            if epoch != self._epoch:
                random = torch.Generator().manual_seed(_mix(self.seed, -1 - epoch))
                order = torch.randperm(len(self.store), generator=random)
                self._order = _draw_epoch(self.store, random)[order]
                self._epoch = epoch
            chosen.append(self._order[place])
        return torch.stack(chosen)

    def __call__(self, step: int) -> Batch:
        """Return one step's gray (n, 1, S, S), true colors (n, 3, S, S), and labels if any.

        S is the configuration's `crop`, or the one of its `crop_sizes` that the step draws.
        """
        config, index = self.config, self._photographs(step)
        random = torch.Generator().manual_seed(_mix(self.seed, step))
        draw = torch.rand((len(index), 16), generator=random)
        grain = torch.randint(1 << 62, (len(index),), generator=random)[self.mine].tolist()
        smallest, largest = config.scale * config.crop, config.largest_cut
        cut = round(float(torch.empty(1).uniform_(smallest, largest, generator=random)))
        sides = config.crop_sizes or (config.crop,)
        side = sides[int(torch.randint(len(sides), (), generator=random))]
        narrow, upright = torch.rand(2, generator=random).tolist()
        shorter = round(cut * (1 - config.aspect_jitter * narrow))
        height, width = (cut, shorter) if upright < 0.5 else (shorter, cut)
        index, draw = index[self.mine], draw[self.mine]
        rgb = self.store.crops(index, draw[:, 0], draw[:, 1], cut).float() / 255
        draw = draw.to(rgb.device)
        rgb = rgb[..., :height, :width]
        if (height, width) != (side, side):
            rgb = F.interpolate(
                rgb, size=(side, side), mode="bilinear", align_corners=False, antialias=cut > side
            ).clamp(0, 1)
        if config.flip:
            rgb = torch.where((draw[:, 2] < 0.5)[:, None, None, None], rgb.flip(-1), rgb)
        batch = to_batch(rgb)
        if config.augment == "film":
            batch = augment(rgb, draw[:, 3:], grain, config.faded)
        if self.store.labels is not None:
            batch = batch._replace(labels=self.store.labels[index.to(rgb.device)].float())
        return batch


def _draw_epoch(store: PhotoStore, random: torch.Generator) -> Tensor:
    """Draw the photographs of one pass: as many as there are, each once or by its frequency.

    By systematic sampling: each is drawn its expected number of times, rounded down or up.
    """
    count = torch.arange(len(store))
    if store.frequency is None:
        return count
    ends = (store.frequency / store.frequency.sum() * len(store)).cumsum(0)
    start = torch.rand((), generator=random, dtype=torch.float64)
    return torch.searchsorted(ends, start + count, right=True).clamp_max(len(store) - 1)


def _mix(seed: int, step: int) -> int:
    """Return one seed for two numbers, distinct for every pair in use."""
    return (seed * 1_000_003 + step) % (1 << 62)


def augment(rgb: Tensor, draw: Tensor, grain: Sequence[int], faded: float = 0.0) -> Batch:
    """Photograph scenes in black and white: all with jittered tones, some on old film.

    Old film sees colors in other shares than BT.601 (orthochromatic emulsions hardly see red; a
    color cast of the light or a filter before the lens is the same to gray film), is
    exposed and printed with another contrast, fades, is softer, and has grain. The true colors are
    rescaled to the new luminance at constant chromaticity (in Lab, but for the darkest, ab times
    the ratio of L* + 16): a darker print asks for darker colors, not for more saturated ones.

    Args:
        rgb: gamma-encoded scenes in [0, 1], (N, 3, H, W).
        draw: uniform numbers in [0, 1), (N, 13).
        grain: seed of each photograph's grain.
        faded: share of the photographs whose tonal range is narrowed; their colors stay.
    """
    column = [d[:, None, None, None] for d in draw.unbind(1)]
    film = column[0] < _FILM
    bt601 = rgb.new_tensor(_BT601).view(1, 3, 1, 1)
    luma = srgb_to_gray(rgb)

    # Response: from BT.601 toward a random blue-to-green-to-red balance, less red than the eye.
    share = torch.cat((0.5 * column[1], 0.3 + 0.7 * column[2], 0.1 + 0.7 * column[3]), 1)
    response = torch.where(film, share / share.sum(1, keepdim=True), bt601)
    gray = (rgb * response).sum(1, keepdim=True)

    # Tone: a mild gamma for all (log-normal, sigma 0.12), a stronger one and a fade for film.
    sigma = torch.where(film, 0.3, 0.12)
    normal = torch.erfinv((2 * column[4] - 1).clamp(-0.999, 0.999)) * 2**0.5
    gray = gray.clamp_min(1e-4).pow(torch.exp(sigma * normal))
    black, white = 0.12 * column[5].square(), 1 - 0.12 * column[6].square()
    gray = torch.where(film, black + (white - black) * gray, gray)

    f = gray_to_f(luma)
    ratio = (gray_to_f(gray) / f).clamp(0.6, 1.6)
    scale = f_to_y(f * ratio) / f_to_y(f).clamp_min(1e-5)
    linear = srgb_to_linear(rgb) * scale.clamp(0, 4.1)  # 1.6 cubed: as far as bright colors go

    # Sharpness: whoever reduced the photograph chose a filter, softer or harder.
    gray = gray + _SHARPNESS * (2 * column[9] - 1) * (gray - _softened(gray))

    # A faded print keeps as little as a sixth of the range, anywhere between black and white.
    left = 1 - 0.85 * column[11]
    gray = torch.where(column[10] < faded, gray * left + column[12] * (1 - left), gray)
    gray = torch.where(film, gray + column[7] * (_softened(gray) - gray), gray)
    gray = gray + _grain(gray, film, column[8], grain)
    return Batch(gray.clamp(0, 1), linear)


def _grain(gray: Tensor, film: Tensor, strength: Tensor, seeds: Sequence[int]) -> Tensor:
    """Draw the grain of those on film; every photograph has a seed of its own."""
    noise = torch.zeros_like(gray)
    for k in film.flatten().nonzero().flatten().tolist():
        random = torch.Generator(gray.device).manual_seed(seeds[k])
        noise[k] = torch.randn(gray[k].shape, generator=random, device=gray.device)
    return 0.05 * strength.square() * noise


def _softened(gray: Tensor) -> Tensor:
    """The mean over 3x3 pixels, same size."""
    return F.avg_pool2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), 3, 1)


def to_batch(rgb: Tensor) -> Batch:
    """Make a batch without augmentation: BT.601 luma and the true colors."""
    return Batch(srgb_to_gray(rgb), srgb_to_linear(rgb))
