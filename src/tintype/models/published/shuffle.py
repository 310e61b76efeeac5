"""Enlargement by pixel shuffle, as in DDColor and DeOldify, both after fastai."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def blur(x: Tensor) -> Tensor:
    """Average each pixel with its neighbours above and left, which smooths a shuffle's pattern."""
    return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class Shuffle(nn.Module):
    """Enlarge a map (N, C, H, W) to (N, outputs, 2 H, 2 W) by a pixel shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, 4 * outputs, 1, bias=False)
        self.conv = nn.Sequential(conv, nn.BatchNorm2d(4 * outputs))

    def forward(self, x: Tensor) -> Tensor:
        return blur(F.pixel_shuffle(F.relu(self.conv(x)), 2))
