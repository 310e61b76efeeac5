"""Classifiers that encoders start from, under the names their weights were published with.

- `ResNet`: He et al. 2016 (arXiv 1512.03385), dilated as in DeepLab (Chen et al. 2017, 1706.05587).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError

# Of R, G and B in [0, 1] over ImageNet: how torchvision's weights expect their input.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file, or from what ``torch.save`` wrote.

    Raises:
        CheckpointError: the file cannot be read, or holds something else than named tensors.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load and safetensors raise many kinds
        raise CheckpointError(
            f"{path} cannot be read ({error}); give a .safetensors file or a .pth of tensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise CheckpointError(f"{path} holds no state dict: give one of named tensors alone.")
    return dict(state)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with batch norms, added to their input."""

    def __init__(self, inputs: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = 4 * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False
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
    """A ResNet of bottlenecks without its last group: gray in, features at 1/8 out.

    The third group keeps its resolution; after its first block, whose input a classifier sees at
    1/8 too, kernels are dilated by 2. So weights of a classifier give at every second position
    what they give in the classifier, and those of a segmentation network what they give there.

    Args:
        blocks: bottlenecks of the three groups; ``(3, 4, 23)`` is ResNet-101.
        width: channels of the stem, 64 in the paper.

    Attributes:
        channels: of the features, 16 times the width.
    """

    def __init__(self, blocks: tuple[int, int, int] = (3, 4, 23), width: int = 64) -> None:
        super().__init__()
        self.channels = 16 * width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._group(blocks[0], width, width)
        self.layer2 = self._group(blocks[1], 4 * width, 2 * width, stride=2)
        self.layer3 = self._group(blocks[2], 8 * width, 4 * width, dilation=2)

    @staticmethod
    def _group(
        count: int, inputs: int, channels: int, stride: int = 1, dilation: int = 1
    ) -> nn.Sequential:
        first = Bottleneck(inputs, channels, stride, 1)
        rest = (Bottleneck(4 * channels, channels, 1, dilation) for _ in range(count - 1))
        return nn.Sequential(first, *rest)

    def forward(self, gray: Tensor) -> Tensor:
        """Return features (N, 16 width, H/8, W/8) of luma in [0, 1], (N, 1, H, W).

        Args:
            gray: H and W multiples of 8.
        """
        # A gray photograph has three equal channels, each normalised as the weights expect.
        mean = gray.new_tensor(_IMAGENET_MEAN).view(1, 3, 1, 1)
        std = gray.new_tensor(_IMAGENET_STD).view(1, 3, 1, 1)
        x = F.relu(self.bn1(self.conv1((gray - mean) / std)))  # (N, 64, H/2, W/2)
        x = F.max_pool2d(x, 3, 2, 1)  # (N, 64, H/4, W/4)
        return self.layer3(self.layer2(self.layer1(x)))

    def load_torchvision(self, path: Path) -> str:
        """Load weights under the names that torchvision publishes; return whose they are.

        Args:
            path: a state dict of a classifier (``conv1``, ``layer1`` ...) or of a segmentation
                network (``backbone.conv1`` ...). ``layer4`` and what follows are left out.

        Returns:
            ``"a classifier's ResNet"`` or ``"a segmentation network's backbone"``.

        Raises:
            CheckpointError: the file cannot be read, or holds another network.
        """
        state = read_state(path)
        prefix = "backbone." if "backbone.conv1.weight" in state else ""
        own = tuple(f"{prefix}{name}." for name, _ in self.named_children())
        state = {k.removeprefix(prefix): x.float() for k, x in state.items() if k.startswith(own)}
        try:
            missing, unexpected = self.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise CheckpointError(
                f"{path} holds another ResNet than this preset's: {error}"
            ) from error
        # Files of 2017 do not count batches.
        wrong = [k for k in missing if not k.endswith("num_batches_tracked")] + unexpected
        if wrong:
            raise CheckpointError(
                f"{path} does not hold this preset's ResNet under torchvision's names "
                f"(missing or surplus: {', '.join(wrong[:3])}); give a ResNet-101 to a preset that "
                "has one, or leave --init out to start from nothing."
            )
        return "a segmentation network's backbone" if prefix else "a classifier's ResNet"
