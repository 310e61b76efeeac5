"""ResNet-101 without its last group, at a stride of 8 (He et al. 2016, arXiv 1512.03385).

PixColor's conditioning network (Guadarrama et al. 2017, Table 2). The table prints strides 2,1,1 in
the first group and no pooling; we keep the standard pooling and an unstrided first group, which
has the same total and takes standard weights. The third group is unstrided; its 3x3 convolutions
are spread by 2, which keeps the field of view that the standard stride gives.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with batch norms, added to the input."""

    def __init__(self, inputs: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = 4 * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride, dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """Luminance in, features at 1/8 out.

    Attributes:
        channels: of the features; 1,024 in the paper.
    """

    def __init__(self, blocks: tuple[int, int, int] = (3, 4, 23), width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        groups, inputs = [], width
        for count, factor, stride, dilation in zip(
            blocks, (1, 2, 4), (1, 2, 1), (1, 1, 2), strict=True
        ):
            group = []
            for k in range(count):
                group.append(Bottleneck(inputs, factor * width, stride if k == 0 else 1, dilation))
                inputs = 4 * factor * width
            groups.append(nn.Sequential(*group))
        self.layer1, self.layer2, self.layer3 = groups
        self.channels = inputs

    def forward(self, gray: Tensor) -> Tensor:
        """Luminance in [0, 1], (N, 1, H, W), to (N, 1024, H/8, W/8); H and W multiples of 8."""
        # Standard weights see three colours: a gray photograph is the same in all of them.
        x = F.relu(self.bn1(self.conv1((2 * gray - 1).expand(-1, 3, -1, -1))))
        x = F.max_pool2d(x, 3, 2, 1)
        return self.layer3(self.layer2(self.layer1(x)))
