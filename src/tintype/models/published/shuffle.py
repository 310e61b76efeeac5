"""Enlarging by a pixel shuffle, as DDColor and DeOldify do, both after fastai."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def blur(x: Tensor) -> Tensor:
    """Average each pixel with those above and to the left, which smooths what a shuffle leaves."""
    return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class Shuffle(nn.Module):
    """Twice the size by a pixel shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, 4 * outputs, 1, bias=False)
        self.conv = nn.Sequential(conv, nn.BatchNorm2d(4 * outputs))

    def forward(self, x: Tensor) -> Tensor:
        return blur(F.pixel_shuffle(F.relu(self.conv(x)), 2))
