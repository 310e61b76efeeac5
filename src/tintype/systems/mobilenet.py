"""MobileNetV2 as the encoder of gray photographs (Sandler et al. 2018, arXiv 1801.04381).

Every batch norm is folded into the convolution before it, as in the ImageNet weights an encoder can
start from: fine-tuning without normalisation is stable from such a start, and the network exports
as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError

#: Where the ImageNet weights come from, for cards.
IMAGENET = "MobileNetV2 1.0 trained on ImageNet-1k (github.com/google-coral/test_data, Apache-2.0)"

# Expansion, output channels, repetitions, stride of the first: Table 2 of the paper.
_GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class DepthwiseConv(nn.Conv2d):
    """A 3x3 depthwise convolution.

    While training on a CPU in bfloat16 a stride of 2 is taken as every second value of the
    unstrided convolution: the same numbers, and the backward pass is five to ten times faster,
    because the library has no optimised gradient for strided depthwise kernels of that type
    (measured with torch 2.13).
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, 1, groups=channels)

    def forward(self, input: Tensor) -> Tensor:
        half = input.device.type == "cpu" and input.dtype == torch.bfloat16
        if self.training and self.weight.requires_grad and half and self.stride[0] == 2:
            full = F.conv2d(input, self.weight, self.bias, 1, 1, 1, self.groups)
            return full[:, :, ::2, ::2]
        return super().forward(input)


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (depthwise 3x3), project (1x1, linear); residual where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = nn.Conv2d(inputs, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise: nn.Conv2d = DepthwiseConv(width, stride)
        self.project = nn.Conv2d(width, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if isinstance(self.expand, nn.Identity) else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """Gray luminance in, features at 1/4, 1/8, 1/16 and 1/32 of its size out.

    Attributes:
        channels: features per level, finest first.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        scaled = [max(8, round(c * width / 8) * 8) for _, c, _, _ in _GROUPS]
        stem, last = max(8, round(32 * width / 8) * 8), max(8, round(1280 * width / 8) * 8)
        self.stem = nn.Conv2d(1, stem, 3, 2, 1)
        self.blocks = nn.ModuleList()
        channels = stem
        for (expansion, _, count, stride), outputs in zip(_GROUPS, scaled, strict=True):
            for k in range(count):
                block = InvertedResidual(channels, outputs, expansion, stride if k == 0 else 1)
                self.blocks.append(block)
                channels = outputs
        self.head = nn.Conv2d(channels, last, 1)
        # The last block before each halving: 1/4, 1/8 and 1/16; the head stands for 1/32.
        self.taps = (2, 5, 12)
        self.channels = (scaled[1], scaled[2], scaled[4], last)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # By fan-in, which keeps the scale through depthwise layers too.
                gain = "linear" if name.endswith("project") else "relu"
                nn.init.kaiming_normal_(layer.weight, nonlinearity=gain)
                nn.init.zeros_(layer.bias)

    def forward(self, gray: Tensor) -> list[Tensor]:
        """Luminance in [0, 1], (N, 1, H, W), to four feature maps, finest first."""
        x = F.relu6(self.stem(2 * gray - 1))  # (N, 32, H/2, W/2)
        features = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in self.taps:
                features.append(x)
        features.append(F.relu6(self.head(x)))  # (N, 1280, H/32, W/32)
        return features

    def start(self, path: Path) -> str:
        """Start from ImageNet weights in a safetensors file; returns what to say on the card.

        Raises:
            CheckpointError: the file is not one, or fits another network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self.load_imagenet(load_file(path))
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} does not hold MobileNetV2 1.0 with folded norms ({error}); "
                "give that file with --init, or leave --init out to start from nothing."
            ) from error
        return f"encoder started from {IMAGENET}"

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a colour classifier with folded batch norms.

        A gray input is the same value in all three colour channels, so the stem's kernel summed
        over them computes exactly what the classifier would.

        Raises:
            KeyError, RuntimeError: a tensor is missing or has another shape.
        """
        own = {name: weights[name].float() for name in self.state_dict()}
        own["stem.weight"] = own["stem.weight"].sum(1, keepdim=True)
        self.load_state_dict(own)
        self.to(torch.float32)


class _SameConv(nn.Conv2d):
    """A 3x3 convolution of stride 2 with TensorFlow's "SAME" padding.

    Of an even size only the far side is padded, so every kernel lies a pixel further than with
    torch's padding of 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        height, width = input.shape[-2:]
        return super().forward(F.pad(input, (width % 2, 1, height % 2, 1)))


class Classifier(MobileNetV2):
    """MobileNetV2 as the ImageNet classifier it was published as: colours in, 1,000 classes out.

    The teacher of labels and of hints. Its weights are those that `MobileNetV2.start` takes, whole.
    They were trained by TensorFlow, so its strided convolutions pad as TensorFlow does: padded as
    the encoder is, which gets used to it in training, it names fewer photographs rightly.
    """

    FEATURES: ClassVar[int] = 1280

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SameConv(3, self.stem.out_channels, 3, 2)
        for block in self.blocks:
            assert isinstance(block, InvertedResidual)
            if block.depthwise.stride[0] == 2:
                width = block.depthwise.in_channels
                block.depthwise = _SameConv(width, width, 3, 2, groups=width)
        self.classifier = nn.Linear(self.channels[-1], 1001)

    def forward(self, rgb: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gamma-encoded RGB in [0, 1], (N, 3, H, W), to the classes' probabilities (N, 1000).

        The file's first output, "background", is no class and left out.
        """
        return self.classifier(self.features(rgb).mean((2, 3)))[:, 1:].float().softmax(1)

    def features(self, rgb: Tensor) -> Tensor:
        """What the classes are told from: (N, 1280, H/32, W/32) of RGB as `forward` takes it."""
        return super().forward(rgb)[-1]

    @classmethod
    def read(cls, path: Path) -> Classifier:
        """The classifier in a safetensors file, in evaluation mode.

        Raises:
            CheckpointError: the file is not one.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        network = cls()
        try:
            weights = load_file(path)
            network.load_state_dict({k: weights[k].float() for k in network.state_dict()})
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} does not hold MobileNetV2 1.0 with folded norms and its classifier "
                f"({error}); give that file with --teacher, or leave --teacher out."
            ) from error
        return network.eval().requires_grad_(False)
