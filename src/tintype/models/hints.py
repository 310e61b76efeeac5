"""Hint maps as a network takes them, and random hints for training.

A hint map is (N, 3, h, w): a / 110, b / 110 and a mask of 0 and 1, all zero where no color is known
(Zhang et al. 2017, arXiv 1705.02999).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def hint_map(ab: Tensor, mask: Tensor) -> Tensor:
    """Return the hint map (N, 3, h, w) of ab (N, h, w, 2) at the cells of a mask (N, h, w)."""
    mask = mask.unsqueeze(1).to(ab.dtype)
    return torch.cat((ab.permute(0, 3, 1, 2) / 110 * mask, mask), 1)


def draw_hints(target: Tensor) -> Tensor:
    """Draw random hint maps (N, 3, h, w) from the true ab (N, h, w, 2), in Lab units.

    Of ten photographs four have no hints; five have 1 to 400 points (log-uniform) of 1 to 4 cells;
    one has approximate colors in a whole region, as the previous frame of a film or a faded print
    gives them (after Zhang et al. 2017, section 3.1, in other proportions).
    """
    n, height, width, _ = target.shape
    draw = torch.rand((n, 5, 1, 1, 1), device=target.device)
    kind, size, count, gain, part = draw.unbind(1)
    ab = target.permute(0, 3, 1, 2)
    count = torch.exp(count * math.log(400))
    points = torch.zeros_like(torch.cat((ab, ab[:, :1]), 1))
    for cells, first, last in ((1, 0.0, 0.6), (2, 0.6, 0.85), (4, 0.85, 1.0)):
        mean = F.avg_pool2d(ab, cells)
        mask = (torch.rand_like(mean[:, :1]) < count / mean[0, 0].numel()).to(ab.dtype)
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
    return torch.where(kind < 0.1, field, torch.where(kind < 0.6, points, 0.0))
