"""Hint maps as a network takes them, the layers that spread them, and random hints for training.

A hint map is (N, 3, h, w): a / 110, b / 110 and a mask of 0 and 1, all zero where no color is known
(Zhang et al. 2017, arXiv 1705.02999).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.layers import enlarge

_MIXED = 64  # channels in which what is known is mixed


def hint_map(ab: Tensor, mask: Tensor) -> Tensor:
    """Return the hint map (N, 3, h, w) of ab (N, h, w, 2) at the cells of a mask (N, h, w)."""
    mask = mask.unsqueeze(1).to(ab.dtype)
    return torch.cat((ab.permute(0, 3, 1, 2) / 110 * mask, mask), 1)


class HintSpread(nn.Module):
    """Spread known colors over a feature map, by attention from every cell to the known ones.

    Every cell attends to the cells whose color is known, and to an extra entry that stands for
    none. The weight falls with the squared distance, once in cells (``fall``) and once in units of
    the mean spacing of the hints (``relative_fall``). What is gathered is mixed with the features
    and the hints themselves. Without hints, and at initialization, the result is zero.

    Args:
        features: channels of the features that it adds to.
        seen: channels of the features that tell which cells look alike.
        heads, width: number of attention heads, and channels of each.
    """

    def __init__(self, features: int, seen: int, heads: int = 4, width: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(seen)
        self.query = nn.Linear(seen + 1, heads * width)
        self.key = nn.Linear(seen + 1, heads * width)
        self.value = nn.Linear(seen + 4, heads * width)
        self.none = nn.Parameter(torch.zeros(heads, 1, 1))
        # Logarithms of the factors on squared distances: from a cell to the whole picture.
        far = torch.linspace(0, -7, heads).reshape(heads, 1, 1)
        self.fall, self.relative_fall = nn.Parameter(far), nn.Parameter(far.flip(0) + 1)
        self.gather = nn.Conv2d(heads * width, _MIXED, 1, bias=False)
        self.lateral = nn.Conv2d(features, _MIXED, 1, bias=False)
        self.known = nn.Conv2d(3, _MIXED, 3, padding=1)
        self.mix = nn.Conv2d(_MIXED, _MIXED, 3, padding=1)
        self.project = nn.Conv2d(_MIXED, features, 1, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, features: Tensor, seen: Tensor, luma: Tensor, hints: Tensor) -> Tensor:
        """Return what to add to the features, of their shape.

        Args:
            features: (N, C, H/4, W/4) or (N, C, H/8, W/8).
            seen, luma: features that tell which cells look alike, and luma in [0, 1], at 1/8.
            hints: hint map, (N, 3, H/4, W/4).
        """
        coarse = halve_hints(hints)
        x = self.gather(self._attend(seen, luma, coarse))
        if features.shape[2] != coarse.shape[2]:
            x = enlarge(x, 2)
            coarse = hints
        x = F.relu(x + self.lateral(features) + self.known(_scaled(coarse)))
        x = self.project(F.relu(self.mix(x)))
        return x * hints[:, 2:].amax((2, 3), keepdim=True)

    def _attend(self, seen: Tensor, luma: Tensor, hints: Tensor) -> Tensor:
        n, _, height, width = seen.shape
        tokens = self.norm(seen.flatten(2).transpose(1, 2))  # (N, T, C)
        luma = 4 * luma.flatten(2).transpose(1, 2)  # to about the size of the normed features
        tokens = torch.cat((tokens, luma), 2)
        known = _scaled(hints).flatten(2).transpose(1, 2)

        def heads(x: Tensor) -> Tensor:
            return x.reshape(n, height * width, self.heads, -1).transpose(1, 2)

        query, key = heads(self.query(tokens)), heads(self.key(tokens))
        value = heads(self.value(torch.cat((tokens, known), 2)))
        mask = known[:, None, None, :, 2]  # (N, 1, 1, T)
        away = _squared_distances(height, width, seen.device)
        fall = self.fall.exp() + self.relative_fall.exp() * mask.mean(3, keepdim=True)
        scores = query @ key.transpose(2, 3) / key.shape[3] ** 0.5 - fall * away + 1e4 * (mask - 1)
        scores = torch.cat((scores, self.none.expand(n, -1, height * width, -1)), 3)
        found = scores.softmax(3)[..., :-1] @ value  # (N, heads, T, width)
        return found.transpose(2, 3).reshape(n, -1, height, width)


def _squared_distances(height: int, width: int, device: torch.device) -> Tensor:
    """Return the squared distances between the cells of a map, (height width, height width)."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    down = (rows[:, None] - rows).square()
    across = (columns[:, None] - columns).square()
    away = down[:, None, :, None] + across[None, :, None, :]
    return away.reshape(height * width, height * width).float()


def _scaled(hints: Tensor) -> Tensor:
    """Bring ab to about the size of the mask, 1."""
    return torch.cat((4 * hints[:, :2], hints[:, 2:]), 1)


def halve_hints(hints: Tensor) -> Tensor:
    """Halve a hint map (N, 3, h, w) each way: the mean of the known ab, and the maximum mask."""
    mask = hints[:, 2:]
    known = F.avg_pool2d(hints[:, :2] * mask, 2)
    share = F.avg_pool2d(mask, 2).clamp_min(1e-4)
    return torch.cat((known / share, F.max_pool2d(mask, 2)), 1)


def draw_hints(target: Tensor, none: float = 0.4) -> Tensor:
    """Draw random hint maps (N, 3, h, w) from the true ab (N, h, w, 2), in Lab units.

    Of photographs with hints, five of six have points, 1 to 400 in the mean (log-uniform), squares
    of 1, 2 or 4 cells; one has approximate colors in a whole region, as the previous frame of a
    film or a faded print gives them (after Zhang et al. 2017, section 3.1, in other proportions).
    Half of the photographs with points have them more often where the color differs from the
    picture's mean, as somebody would click.

    Args:
        target: true ab.
        none: probability of no hints.
    """
    n, height, width, _ = target.shape
    draw = torch.rand((n, 6, 1, 1, 1), device=target.device)
    kind, size, count, gain, part, choice = draw.unbind(1)
    ab = target.permute(0, 3, 1, 2)
    count = torch.exp(count * math.log(400))
    apart = (ab - ab.mean((2, 3), keepdim=True)).square().sum(1, keepdim=True) + 1
    likely = torch.where(choice < 0.5, apart / apart.mean((2, 3), keepdim=True), 1.0)
    points = torch.zeros_like(torch.cat((ab, ab[:, :1]), 1))
    for cells, first, last in ((1, 0.0, 0.6), (2, 0.6, 0.85), (4, 0.85, 1.0)):
        mean = F.avg_pool2d(ab, cells)
        chance = F.avg_pool2d(likely, cells) * count / mean[0, 0].numel()
        mask = (torch.rand_like(mean[:, :1]) < chance).to(ab.dtype)
        drawn = torch.cat((mean / 110 * mask, mask), 1)
        drawn = F.interpolate(drawn, size=(height, width), mode="nearest")
        points = torch.where((size >= first) & (size < last), drawn, points)
    # The region: blurred, shifted, with another saturation and a color cast, on part of the width.
    soft = F.interpolate(F.avg_pool2d(ab, 4), size=(height, width), mode="bilinear")
    soft = soft.roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3)) * (0.4 + 0.8 * gain)
    soft = (soft + 6 * torch.randn((n, 2, 1, 1), device=ab.device)) / 110
    mask = torch.arange(width, device=ab.device) < width * (0.3 + part)
    mask = mask.expand(n, 1, height, width).to(ab.dtype)
    field = torch.cat((soft * mask, mask), 1)
    some = 1 - none
    return torch.where(kind < some / 6, field, torch.where(kind < some, points, 0.0))
