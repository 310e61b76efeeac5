"""Layers and activations that networks of several papers have in common."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn_relu(
    inputs: int, *layers: tuple[int, int], kernel: int = 3, padding: int | None = None
) -> nn.Sequential:
    """Return convolutions, each with batch norm and ReLU behind it.

    Args:
        inputs: channels of the input.
        layers: output channels and stride of each convolution.
        kernel: side of every kernel, odd.
        padding: of every convolution; by default half a kernel, which keeps the size.
    """
    parts: list[nn.Module] = []
    padding = kernel // 2 if padding is None else padding
    for outputs, stride in layers:
        parts.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False))
        parts += [nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*parts)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels at each position of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def gated_tanh(x: Tensor) -> Tensor:
    """Return tanh of the first half of the channels times the sigmoid of the second half.

    The gated activation of conditional PixelCNN (van den Oord et al. 2016, arXiv 1606.05328,
    equation 2).
    """
    signal, control = x.chunk(2, 1)
    return signal.tanh() * control.sigmoid()


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Enlarge (N, C, h, w) bilinearly, to be exported fast: the sizes need not be compared."""
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear")


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """Resize (N, C, h, w) bilinearly to the height and width of `like`, (N, any, H, W)."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear")
