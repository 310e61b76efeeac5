"""A convolution with weight normalization (Salimans and Kingma 2016, arXiv 1602.07868)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class WeightNormConv2d(nn.Module):
    """A weight-normalized convolution: the kernel of each output is a direction times a length.

    Initialization depends on the data (section 3): the first training batch sets length and bias so
    that outputs have mean 0 and standard deviation `scale`.

    Args:
        inputs, outputs: numbers of channels.
        kernel: height and width of the kernel.
        scale: standard deviation of the outputs for the first batch.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int] = (3, 3), scale: float = 1.0
    ) -> None:
        super().__init__()
        self.direction = nn.Parameter(0.05 * torch.randn(outputs, inputs, *kernel))
        self.length = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = scale
        self.started: Tensor
        self.register_buffer("started", torch.tensor(False))

    def _load_from_state_dict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state_dict: Any, prefix: str, *rest: Any
    ) -> None:
        # The weights of an exported model come without the flag.
        if f"{prefix}length" in state_dict:
            self.started.fill_(True)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def kernel(self) -> Tensor:
        """Return the normalized kernel, (outputs, inputs, height, width)."""
        norm = self.direction.square().sum((1, 2, 3), keepdim=True).sqrt()
        return self.direction * (self.length[:, None, None, None] / norm)

    def forward(
        self, x: Tensor, pad: tuple[int, int, int, int], stride: int = 1, dilation: int = 1
    ) -> Tensor:
        """Return the convolution of x (N, C, H, W).

        Args:
            x: input.
            pad: zeros added to the left, right, top and bottom.
            stride, dilation: as in torch's convolution.
        """
        x = F.pad(x, pad)
        y = F.conv2d(x, self.kernel(), self.bias, stride, 0, dilation)
        if self.training and not self.started:
            with torch.no_grad():
                std, mean = torch.std_mean(y.float(), (0, 2, 3))
                factor = self.scale / (std + 1e-10)
                self.length.mul_(factor)
                self.bias.copy_((self.bias - mean) * factor)
                if dist.is_initialized():
                    # Each process has its own part of the batch: the first one's counts.
                    for value in (self.length, self.bias):
                        dist.broadcast(value, 0)
                self.started.fill_(True)
            y = F.conv2d(x, self.kernel(), self.bias, stride, 0, dilation)
        return y
