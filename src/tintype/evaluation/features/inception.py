"""Inception-v3 up to its last pooling, whose 2,048 values FID compares (Heusel et al. 2017).

Szegedy et al., "Rethinking the Inception architecture for computer vision" (2016), in torchvision's
layout and under its parameter names. FID is defined with TensorFlow's network of 2015-12-05, whose
poolings differ: ``tensorflow=True``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = int | tuple[int, int]

SIDE = 299


class BasicConv2d(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Pair, stride: int = 1, padding: Pair = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def _avg_pool(x: Tensor, tensorflow: bool) -> Tensor:
    """Average 3x3; TensorFlow does not count the padding."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=not tensorflow)


class InceptionA(nn.Module):
    """35x35: 1x1, 5x5, two 3x3, and pooling, side by side."""

    def __init__(self, inputs: int, pooled: int, tensorflow: bool) -> None:
        super().__init__()
        self.tensorflow = tensorflow
        self.branch1x1 = BasicConv2d(inputs, 64, 1)
        self.branch5x5_1 = BasicConv2d(inputs, 48, 1)
        self.branch5x5_2 = BasicConv2d(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, padding=1)
        self.branch_pool = BasicConv2d(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pooled = self.branch_pool(_avg_pool(x, self.tensorflow))
        return torch.cat([self.branch1x1(x), five, three, pooled], 1)


class InceptionB(nn.Module):
    """35x35 to 17x17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(inputs, 384, 3, 2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, F.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Module):
    """17x17: convolutions of 7 split into rows and columns."""

    def __init__(self, inputs: int, inner: int, tensorflow: bool) -> None:
        super().__init__()
        self.tensorflow = tensorflow

        def row(inputs: int, outputs: int) -> BasicConv2d:
            return BasicConv2d(inputs, outputs, (1, 7), padding=(0, 3))

        def column(inputs: int, outputs: int) -> BasicConv2d:
            return BasicConv2d(inputs, outputs, (7, 1), padding=(3, 0))

        self.branch1x1 = BasicConv2d(inputs, 192, 1)
        self.branch7x7_1 = BasicConv2d(inputs, inner, 1)
        self.branch7x7_2 = row(inner, inner)
        self.branch7x7_3 = column(inner, 192)
        self.branch7x7dbl_1 = BasicConv2d(inputs, inner, 1)
        self.branch7x7dbl_2 = column(inner, inner)
        self.branch7x7dbl_3 = row(inner, inner)
        self.branch7x7dbl_4 = column(inner, inner)
        self.branch7x7dbl_5 = row(inner, 192)
        self.branch_pool = BasicConv2d(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        pooled = self.branch_pool(_avg_pool(x, self.tensorflow))
        return torch.cat([self.branch1x1(x), once, twice, pooled], 1)


class InceptionD(nn.Module):
    """17x17 to 8x8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv2d(inputs, 192, 1)
        self.branch3x3_2 = BasicConv2d(192, 320, 3, 2)
        self.branch7x7x3_1 = BasicConv2d(inputs, 192, 1)
        self.branch7x7x3_2 = BasicConv2d(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = BasicConv2d(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = BasicConv2d(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, 2)], 1)


class InceptionE(nn.Module):
    """8x8: branches that split once more; TensorFlow's last block takes the maximum as pooling."""

    def __init__(self, inputs: int, tensorflow: bool, maximum: bool = False) -> None:
        super().__init__()
        self.tensorflow, self.maximum = tensorflow, maximum
        self.branch1x1 = BasicConv2d(inputs, 320, 1)
        self.branch3x3_1 = BasicConv2d(inputs, 384, 1)
        self.branch3x3_2a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = BasicConv2d(inputs, 448, 1)
        self.branch3x3dbl_2 = BasicConv2d(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = BasicConv2d(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.maximum else _avg_pool(x, self.tensorflow)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(three),
                self.branch3x3_2b(three),
                self.branch3x3dbl_3a(twice),
                self.branch3x3dbl_3b(twice),
                self.branch_pool(pooled),
            ],
            1,
        )


class InceptionV3(nn.Module):
    """Inception-v3, from RGB in [0, 1], (N, 3, H, W), to the last pooling's features (N, 2048).

    The classifiers are left out, although the files hold their weights.

    Args:
        tensorflow: pool as the network of TensorFlow does, for its converted weights.
    """

    def __init__(self, tensorflow: bool = False) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.Mixed_5b = InceptionA(192, 32, tensorflow)
        self.Mixed_5c = InceptionA(256, 64, tensorflow)
        self.Mixed_5d = InceptionA(288, 64, tensorflow)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128, tensorflow)
        self.Mixed_6c = InceptionC(768, 160, tensorflow)
        self.Mixed_6d = InceptionC(768, 160, tensorflow)
        self.Mixed_6e = InceptionC(768, 192, tensorflow)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280, tensorflow)
        self.Mixed_7c = InceptionE(2048, tensorflow, maximum=tensorflow)

    def forward(self, rgb: Tensor) -> Tensor:
        # Both sets of weights were trained on [-1, 1].
        x = 2 * F.interpolate(rgb, (SIDE, SIDE), mode="bilinear", align_corners=False) - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # (N, 64, 147, 147)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))  # (N, 192, 71, 71)
        x = F.max_pool2d(x, 3, 2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # (N, 288, 35, 35)
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))  # (N, 768, 17, 17)
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        return x.mean((2, 3))
