"""Batches: crops, flips, and the look of old film, with targets that stay true.

Every random choice of step k is drawn from a generator seeded by (seed, k), so a resumed run sees
exactly the batches an uninterrupted one would have seen, and so do the processes of a parallel run.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tintype.systems.colorspace import f_inverse, f_of_gray, srgb_to_linear
from tintype.systems.system import Batch, Recipe
from tintype.training.data import PhotoStore

_BT601 = (0.299, 0.587, 0.114)
_FILM = 0.2  # share of the photographs that get the look of old film
_SHARPNESS = 0.8  # how much fine detail is taken away or added at most, relative to what there is


class Batches:
    """The batch of every step.

    Args:
        store: the photographs, on the device that trains.
        recipe: side or sides of the crops, photographs per step, smallest zoom.
        seed: of every random choice.
        rank, world: this process's part of each batch: it gets ``batch / world`` photographs.
    """

    def __init__(
        self, store: PhotoStore, recipe: Recipe, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.store = store
        self.recipe = recipe
        self.seed = seed
        self.mine = slice(rank * recipe.batch // world, (rank + 1) * recipe.batch // world)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def _photographs(self, step: int) -> Tensor:
        """Indices of the step's photographs: each pass is one random order of what it draws."""
        chosen = []
        for position in range(step * self.recipe.batch, (step + 1) * self.recipe.batch):
            epoch, place = divmod(position, len(self.store))
            if epoch != self._epoch:
                random = torch.Generator().manual_seed(_mix(self.seed, -1 - epoch))
                order = torch.randperm(len(self.store), generator=random)
                self._order = _drawn(self.store, random)[order]
                self._epoch = epoch
            chosen.append(self._order[place])
        return torch.stack(chosen)

    def __call__(self, step: int) -> Batch:
        """One step's gray (n, 1, S, S), true colours (n, 3, S, S), labels if any.

        S is the recipe's `crop`, or the one of its `sides` that the step draws.
        """
        index = self._photographs(step)
        random = torch.Generator().manual_seed(_mix(self.seed, step))
        draw = torch.rand((len(index), 16), generator=random)
        smallest, largest = self.recipe.zoom * self.recipe.crop, self.recipe.largest
        grain = torch.randint(1 << 62, (len(index),), generator=random)
        cut = round(float(torch.empty(1).uniform_(smallest, largest, generator=random)))
        sides = self.recipe.sides or (self.recipe.crop,)
        side = sides[int(torch.randint(len(sides), (), generator=random))]
        left, upright = torch.rand(2, generator=random).tolist()
        shorter = round(cut * (1 - self.recipe.stretch * left))
        height, width = (cut, shorter) if upright < 0.5 else (shorter, cut)
        mine = self.mine
        index, draw = index[mine], draw[mine]
        rgb = self.store.crops(index, draw[:, 0], draw[:, 1], cut).float() / 255
        rgb = rgb[..., :height, :width]
        if (height, width) != (side, side):
            rgb = F.interpolate(
                rgb, size=(side, side), mode="bilinear", align_corners=False, antialias=cut > side
            ).clamp(0, 1)
        flip = (draw[:, 2] < 0.5).to(rgb.device)
        rgb = torch.where(flip[:, None, None, None], rgb.flip(-1), rgb)
        batch = develop(rgb, draw[:, 3:].to(rgb.device), grain[mine].tolist(), self.recipe.faded)
        if self.store.labels is None:
            return batch
        return batch._replace(labels=self.store.labels[index.to(rgb.device)].float())


def _drawn(store: PhotoStore, random: torch.Generator) -> Tensor:
    """The photographs of one pass: as many as there are, each once or by its frequency.

    By systematic sampling: each is drawn its expected number of times, rounded down or up.
    """
    count = torch.arange(len(store))
    if store.frequency is None:
        return count
    ends = (store.frequency / store.frequency.sum() * len(store)).cumsum(0)
    start = torch.rand((), generator=random, dtype=torch.float64)
    return torch.searchsorted(ends, start + count, right=True).clamp_max(len(store) - 1)


def _mix(seed: int, step: int) -> int:
    """One seed from two numbers, distinct for every pair in use."""
    return (seed * 1_000_003 + step) % (1 << 62)


def develop(rgb: Tensor, draw: Tensor, grain: Sequence[int], faded: float = 0.0) -> Batch:
    """Photograph the scene in black and white: all with jittered tones, some on old film.

    Old film sees colours in other shares than BT.601 (orthochromatic emulsions hardly see red; a
    colour cast of the light or a filter before the lens is the same to gray film), is
    exposed and printed with another contrast, fades, is softer, and has grain. The true colours are
    rescaled to the new luminance at constant chromaticity (in Lab, but for the darkest, ab times
    the ratio of L* + 16): a darker print asks for darker colours, not for more saturated ones.

    Args:
        rgb: gamma-encoded scenes in [0, 1], (N, 3, H, W).
        draw: uniform numbers in [0, 1), (N, 13).
        grain: seed of each photograph's grain.
        faded: share of the photographs whose tonal range is narrowed; their colors stay.
    """
    column = [d[:, None, None, None] for d in draw.unbind(1)]
    film = column[0] < _FILM
    bt601 = rgb.new_tensor(_BT601).view(1, 3, 1, 1)
    luma = (rgb * bt601).sum(1, keepdim=True)

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

    f = f_of_gray(luma)
    ratio = (f_of_gray(gray) / f).clamp(0.6, 1.6)
    scale = f_inverse(f * ratio) / f_inverse(f).clamp_min(1e-5)
    linear = srgb_to_linear(rgb) * scale.clamp(0, 4.1)  # 1.6 cubed: as far as bright colours go

    # Sharpness: whoever reduced the photograph chose a filter, softer or harder.
    gray = gray + _SHARPNESS * (2 * column[9] - 1) * (gray - _softened(gray))

    if faded:
        # As little as a sixth of the range is left, anywhere between black and white.
        narrow = column[10] < faded
        left = 1 - 0.85 * column[11]
        gray = torch.where(narrow, gray * left + column[12] * (1 - left), gray)

    old = film.flatten().nonzero().flatten()
    if len(old):
        worn = gray[old]
        worn = worn + column[7][old] * (_softened(worn) - worn)
        for k, photo in enumerate(old.tolist()):
            noise = torch.Generator(worn.device).manual_seed(grain[photo])
            strength = 0.05 * float(column[8][photo]) ** 2
            worn[k] += strength * torch.randn(worn[k].shape, generator=noise, device=worn.device)
        gray = gray.index_copy(0, old, worn)
    return Batch(gray.clamp(0, 1), linear)


def _softened(gray: Tensor) -> Tensor:
    """The mean over 3x3 pixels, same size."""
    return F.avg_pool2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), 3, 1)


def plain(rgb: Tensor) -> Batch:
    """The batch without any jitter, for measuring: BT.601 luma and the true colours."""
    luma = (rgb * rgb.new_tensor(_BT601).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return Batch(luma, srgb_to_linear(rgb))
