"""DeOldify (Antic 2018-2020): fastai's U-Net over a ResNet, trained with its NoGAN.

There is no paper; https://github.com/jantic/DeOldify describes it. There are two networks: the deep
one ("artistic") over a ResNet-34 has two convolutions a level, the wide one ("stable", "video")
over a ResNet-101 has one. Both give RGB, of which only the chroma is kept, as in DeOldify itself.
Parameters have their published names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import UnimportableError
from tintype.models.backbones import Bottleneck
from tintype.models.base import ColorModel, Graph, luma_graph
from tintype.models.published.shuffle import Shuffle, blur
from tintype.models.published.state import State, count_parts, load_state, sizes
from tintype.models.torch_color import srgb_to_uv

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
_SKIPS = (2, 4, 5, 6)  # parts of the encoder whose maps are skips: at 1/2, 1/4, 1/8 and 1/16
_ATTENDED = 1  # the decoder's level with self-attention
_RANGE = 3  # normalized RGB is in [-3, 3]


@dataclass(frozen=True)
class DeOldifyConfig:
    """Sizes of the network; by default those of the deep one.

    Attributes:
        stem: channels of the ResNet's stem.
        blocks: number of blocks in each of the ResNet's four groups.
        deep: whether there are basic blocks and two convolutions a level, or bottlenecks and one.
        shuffled, outputs: channels of each level after enlarging, and at its end.
    """

    stem: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    deep: bool = True
    shuffled: tuple[int, ...] = (256, 384, 384, 336)
    outputs: tuple[int, ...] = (768, 768, 672, 300)


WIDE = DeOldifyConfig(64, (3, 4, 23, 3), False, (512, 512, 512, 256), (512, 512, 512, 256))


class BasicBlock(nn.Module):
    """ResNet's basic block: two 3x3 convolutions with batch norms, added to their input."""

    def __init__(self, inputs: int, outputs: int, stride: int, _: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


def resnet(config: DeOldifyConfig) -> nn.Sequential:
    """Return the encoder: a ResNet without its head, over gray and a channel of ones."""
    stem = nn.Conv2d(2, config.stem, 7, 2, 3, bias=False)
    parts = [stem, nn.BatchNorm2d(config.stem), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    block, growth = (BasicBlock, 1) if config.deep else (Bottleneck, 4)
    inputs = config.stem
    for group, count in enumerate(config.blocks):
        channels = config.stem << group
        first = block(inputs, channels, 1 if group == 0 else 2, 1)
        inputs = growth * channels
        parts.append(
            nn.Sequential(first, *(block(inputs, channels, 1, 1) for _ in range(count - 1)))
        )
    return nn.Sequential(*parts)


class SelfAttention(nn.Module):
    """Self-attention of Zhang et al. 2018, arXiv 1805.08318; the softmax is over the queries."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv1d(channels, channels // 8, 1, bias=False)
        self.key = nn.Conv1d(channels, channels // 8, 1, bias=False)
        self.value = nn.Conv1d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        share = (self.query(flat).transpose(1, 2) @ self.key(flat)).softmax(1)
        return x + self.gamma * (self.value(flat) @ share).view_as(x)


def convolution(inputs: int, outputs: int, attended: bool = False) -> nn.Sequential:
    """Return a 3x3 convolution, ReLU and batch norm, followed by self-attention if `attended`."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    parts = [conv, nn.ReLU(), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*parts, *([SelfAttention(outputs)] if attended else []))


class UnetBlock(nn.Module):
    """A level of the decoder: the level below, enlarged, joined with the encoder's map."""

    def __init__(
        self, inputs: int, skip: int, shuffled: int, outputs: int, deep: bool, attended: bool
    ) -> None:
        super().__init__()
        self.shuf = Shuffle(inputs, shuffled)
        self.bn = nn.BatchNorm2d(skip)
        self.deep = deep
        if deep:
            self.conv1 = convolution(shuffled + skip, outputs)
            self.conv2 = convolution(outputs, outputs, attended)
        else:
            self.conv = convolution(shuffled + skip, outputs, attended)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        # Sizes differ by a pixel where a side is not a multiple of 32; elsewhere this only copies.
        up = F.interpolate(self.shuf(x), size=skip.shape[2:], mode="nearest")
        x = F.relu(torch.cat((up, self.bn(skip)), 1))
        return self.conv2(self.conv1(x)) if self.deep else self.conv(x)


class DeOldify(ColorModel):
    """The network, from gray to U and V at its own size."""

    name: ClassVar[str] = "deoldify"
    paper: ClassVar[str] = ""
    mean: Tensor
    std: Tensor

    def __init__(self, config: DeOldifyConfig) -> None:
        super().__init__(config)
        growth = 1 if config.deep else 4
        skips = [config.stem, *(growth * config.stem << k for k in range(3))][::-1]
        encoded = growth * config.stem << 3
        middle = (convolution(encoded, 2 * encoded), convolution(2 * encoded, encoded))
        inputs = (encoded, *config.outputs[:-1])
        levels = [
            UnetBlock(
                *(inputs[k], skips[k], config.shuffled[k], config.outputs[k]), config.deep, own
            )
            for k, own in enumerate(k == _ATTENDED for k in range(4))
        ]
        last = config.outputs[-1]
        residual = [
            nn.Sequential(nn.Conv2d(last + 3, last + 3, 3, 1, 1), nn.ReLU()) for _ in range(2)
        ]
        self.layers = nn.ModuleList(
            [
                resnet(config),
                nn.BatchNorm2d(encoded),
                nn.ReLU(),
                nn.Sequential(*middle),
                *levels,
                nn.ModuleDict({"conv": nn.Sequential(nn.Conv2d(last, 4 * last, 1))}),
                nn.Identity(),
                nn.ModuleDict({"layers": nn.Sequential(*residual)}),
                nn.Sequential(nn.Conv2d(last + 3, 3, 1)),
            ]
        )
        self.register_buffer("mean", torch.tensor(_MEAN, device="cpu")[:, None, None], False)
        self.register_buffer("std", torch.tensor(_STD, device="cpu")[:, None, None], False)

    def forward(self, gray: Tensor) -> Tensor:
        """Return analogue U and V, (N, 2, H, W).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 16.
        """
        parts: Any = self.layers
        x, skips = torch.cat((gray, torch.ones_like(gray)), 1), []
        for k, part in enumerate(parts[0]):
            x = part(x)
            if k in _SKIPS:
                skips.append(x)
        x = parts[3](parts[2](parts[1](x)))
        for level in parts[4:8]:
            x = level(x, skips.pop())  # at 1/16, 1/8, 1/4, 1/2
        x = blur(F.pixel_shuffle(F.relu(parts[8]["conv"](x)), 2))
        x = torch.cat((x, (gray - self.mean) / self.std), 1)  # (N, outputs + 3, H, W)
        x = parts[11](x + parts[10]["layers"](x))
        rgb = (2 * _RANGE * x.sigmoid() - _RANGE) * self.std + self.mean
        return srgb_to_uv(rgb.clamp(0, 1))

    def graphs(self) -> dict[str, Graph]:
        """Return the network's only graph."""
        return {"": luma_graph(self, 16, "chroma")}

    def card(self) -> dict[str, Any]:
        """Return the input rule of the published code at its render factor of 35."""
        return {
            "description": "DeOldify (Antic 2018-2020), as published.",
            "space": "yuv",
            "kind": "chroma",
            "size": {"short_side": 560, "multiple": 16, "shape": "square", "resample": "triangle"},
            "enlarge": "guided",
        }


def from_state(state: State) -> DeOldify:
    """Return the network of a published state dict, its norms folded.

    Raises:
        UnimportableError: it is of another network.
    """
    state = dict(state)
    stem = "layers.0.0.weight"
    if sizes(state, stem, 4)[1] != 3:
        raise UnimportableError(f"its {stem} does not take the three channels of a picture")
    # The three channels are all gray: the kernel is summed over them. The means go into the kernel
    # of a channel of ones, not into a bias: the padding of a normalized picture is 0.
    own = state[stem] / torch.tensor(_STD)[:, None, None]
    moved = own * torch.tensor(_MEAN)[:, None, None]
    state[stem] = torch.cat((own.sum(1, keepdim=True), -moved.sum(1, keepdim=True)), 1)
    deep = "layers.4.conv1.0.weight" in state
    conv = "conv2" if deep else "conv"
    levels = [f"layers.{k}" for k in range(4, 8)]
    config = DeOldifyConfig(
        stem=state[stem].shape[0],
        blocks=tuple(count_parts(state, f"layers.0.{k}.") for k in range(4, 8)),
        deep=deep,
        shuffled=tuple(sizes(state, f"{k}.shuf.conv.0.weight", 4)[0] // 4 for k in levels),
        outputs=tuple(sizes(state, f"{k}.{conv}.0.weight", 4)[0] for k in levels),
    )
    with torch.device("meta"):
        model = DeOldify(config)
    load_state(model, state)
    return model


def published_keys(config: DeOldifyConfig = WIDE) -> list[str]:
    """Return the keys of a published state dict, its norms folded."""
    with torch.device("meta"):
        return list(DeOldify(config).state_dict())
