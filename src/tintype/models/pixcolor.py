"""PixColor (Guadarrama, Dahl, Bieber, Norouzi, Shlens, Murphy 2017, arXiv 1705.07208), all of it.

    gray -> conditioning and adaptation network -> PixelCNN -> 28x28 chroma -> refinement network

Cr and Cb (full range) are averaged over cells of 8x8 pixels, 28x28 cells of 224x224 pixels, and
quantized to 32 levels each. The PixelCNN gives every cell's distribution of Cr, and of Cb given Cr,
given the luma of the whole picture and the chroma of all cells before it in raster order:

    p(chroma | gray) = prod_i p(Cr_i | chroma_<i, gray) p(Cb_i | Cr_i, chroma_<i, gray)

A sample of it is one coloring; the refinement network then puts its chroma on the edges of the
luma. Table 2 of the paper prints the layers. "Our choice" marks what it leaves open.

Outside the network chroma is (Cb, Cr), centered, as everywhere; levels and logits are in the order
in which they are drawn, (Cr, Cb).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import SettingError
from tintype.models.backbones import ResNet
from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, luma_graph
from tintype.models.torch_color import cbcr_to_ab, linear_to_cbcr

CELL = 8  #: pixels of a cell, each way
LEVELS = 32  #: of Cr and of Cb
_GLOBAL_SIDE = 224  # of the copy that the refinement's global branch sees
_FIRST_ROWS, _BLOCK_ROWS = 3, 2  # rows above that 7x7 and 5x5 kernels see


def quantize(chroma: Tensor) -> Tensor:
    """Return levels (N, 2, h, w), int64, of centered chroma of the same shape.

    "32 values instead of 256": k = floor(c / 8) of c from 0 to 255, rounded (our choice).
    """
    c = (chroma.flip(1) + 0.5) * 255
    return ((c + 0.5) / 8).floor().clamp(0, LEVELS - 1).long()


def dequantize(levels: Tensor) -> Tensor:
    """Return the centered chroma in the middle of levels, (8k + 3.5) / 255, (N, 2, h, w)."""
    return ((8 * levels.float() + 3.5) / 255 - 0.5).flip(1)


def gumbel_noise(seed: int, sample: int, height: int, width: int) -> Tensor:
    """Return the noise of one sample, (64, h, w): Cr's 32 levels, then Cb's."""
    random = np.random.default_rng((seed, sample))
    return torch.from_numpy(random.gumbel(size=(2 * LEVELS, height, width)).astype(np.float32))


def _initialize(network: nn.Module) -> None:
    """Draw weights from a truncated normal and set biases to 0 (Table 2)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # Table 2 prints 0.1; by fan-in where that is smaller, or the deep stack saturates.
            std = min(0.1, module.weight[0].numel() ** -0.5)
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class PixColorConfig:
    """Sizes of the networks; the defaults are the paper's.

    Attributes:
        backbone: of the conditioning network: ``"resnet101"`` or ``"efficientnet_lite0"``.
        blocks: bottlenecks of the ResNet's three groups.
        width: channels of the ResNet's stem.
        adaptation: channels of the features that the PixelCNN is conditioned on.
        channels: of the PixelCNN.
        gated_blocks: of the PixelCNN.
        hidden: channels before the PixelCNN's logits.
        refinement: channels of the refinement's first layer; the others are in proportion.
        freeze_steps: during which a backbone that was loaded is not trained.
    """

    backbone: str = "resnet101"
    blocks: tuple[int, int, int] = (3, 4, 23)
    width: int = 64
    adaptation: int = 64
    channels: int = 64
    gated_blocks: int = 10
    hidden: int = 1024
    refinement: int = 64
    freeze_steps: int = 100_000  # "gradient multiplier: engaged at 100,000 steps"

    def __post_init__(self) -> None:
        if self.backbone not in ("resnet101", "efficientnet_lite0"):
            raise SettingError("backbone is 'resnet101' or 'efficientnet_lite0'")
        if self.backbone == "efficientnet_lite0":
            raise SettingError("pixcolor cannot start from EfficientNet yet: use 'resnet101'")
        if self.channels % 2 or self.hidden % 2:
            raise SettingError("channels and hidden are even: half for Cr, half for Cb")


class Conditioning(nn.Module):
    """ResNet-101 without its last group, and the adaptation network: luma to features.

    The paper starts from weights trained on the segmentation of COCO, and multiplies the gradient
    into the ResNet by 0 for 100,000 steps, by 1 from there on (its second value is our choice).
    While it is frozen its batch norms keep their statistics too. A ResNet that was not loaded is
    trained at once, or it would stay random for so long (our choice).
    """

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__()
        # Table 2 prints strides 2, 1, 1 in the first group and no pooling; the standard pooling
        # and an unstrided group have the same stride and take standard weights (our choice).
        self.backbone = ResNet(config.blocks, config.width)
        c = config.adaptation
        self.adaptation = nn.Sequential(  # 3x3, 64, three times; ReLU is our choice
            *(nn.Conv2d(self.backbone.channels + 1, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, c, 3, padding=1), nn.ReLU()),
        )
        _initialize(self.adaptation)
        self.frozen: Tensor
        self.register_buffer("frozen", torch.tensor(False))  # kept in checkpoints

    def freeze(self, frozen: bool) -> None:
        """Freeze the backbone, or let it be trained."""
        self.frozen.fill_(frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Conditioning:
        super().train(mode)
        if mode and self.frozen:
            self.backbone.eval()
        return self

    def forward(self, gray: Tensor) -> Tensor:
        """Return features (N, K, H/8, W/8) of luma in [0, 1], (N, 1, H, W); multiples of 8."""
        if self.training and self.frozen:
            with torch.no_grad():
                x = self.backbone(gray)
        else:
            x = self.backbone(gray)
        return self.adaptation(torch.cat((x, F.avg_pool2d(gray, CELL)), 1))  # 1024 + Y


def _groups(channels: int, repeats: int = 1) -> Tensor:
    """Return 0 for the channels of Cr's group, 1 for those of Cb's."""
    return torch.arange(2).repeat_interleave(channels // 2).repeat(repeats)


class MaskedConv2d(nn.Conv2d):
    """A convolution over the cells to the left, and over the cell itself by channel groups.

    Half of every map is Cr's group, half Cb's (our choice). At the cell itself Cr's group sees Cr's
    and Cb's sees both (mask B); in the first layer Cr's sees nothing and Cb's sees Cr (mask A).
    Taps that a mask would hide from both are not stored.

    Args:
        inputs, outputs: the group of every channel.
        width: taps; the last is the cell itself.
        first: whether this is the first layer.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor, width: int, first: bool = False) -> None:
        super().__init__(len(inputs), len(outputs), (1, width))
        mask = torch.ones_like(self.weight)
        mask[..., -1] = (inputs < outputs[:, None] if first else inputs <= outputs[:, None])[
            ..., None
        ]
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        padded = F.pad(input, (self.kernel_size[1] - 1, 0))
        return F.conv2d(padded, self.weight * self.mask, self.bias)


def gate(x: Tensor) -> Tensor:
    """Return tanh of the first half of the channels times the sigmoid of the second."""
    signal, control = x.chunk(2, 1)
    return signal.tanh() * control.sigmoid()


class GatedBlock(nn.Module):
    """One 5x5 layer of the vertical and of the horizontal stack.

    The paper prints sizes alone; gates, and features added by 1x1 convolutions before both, are
    those of conditional PixelCNN (van den Oord et al. 2016, arXiv 1606.05328; our choice). Vertical
    states hold rows above alone, so the vertical kernel takes their own row too: without it cells
    above would be missed (blind spot).
    """

    def __init__(self, channels: int, features: int, last: bool) -> None:
        super().__init__()
        single, double = _groups(channels), _groups(channels, 2)
        self.vertical = nn.Conv2d(channels, 2 * channels, (_BLOCK_ROWS + 1, 5), padding=(0, 2))
        self.horizontal = MaskedConv2d(single, double, 3)
        self.down = nn.Conv2d(2 * channels, 2 * channels, 1)
        # Nothing comes after the last vertical state.
        self.vertical_condition = None if last else nn.Conv2d(features, 2 * channels, 1)
        self.horizontal_condition = nn.Conv2d(features, 2 * channels, 1)
        self.out = MaskedConv2d(single, single, 1)

    def vertical_step(self, rows: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next vertical state and the context of the horizontal stack.

        Args:
            rows: vertical states with two rows above them, (N, C, 2 + H, W).
            features: (N, K, H, W).
        """
        x = self.vertical(rows)  # (N, 2C, H, W)
        context = self.down(x) + self.horizontal_condition(features)
        if self.vertical_condition is not None:
            x = x + self.vertical_condition(features)
        return gate(x), context

    def horizontal_step(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the next horizontal state, (N, C, H, W), of (N, C, H, W) and (N, 2C, H, W)."""
        return x + self.out(gate(self.horizontal(x) + context))


class PixelCNN(nn.Module):
    """The coloring network: 7x7, ten gated 5x5 blocks, 1x1 to 1,024, 1x1 to 2 x 32 logits.

    The vertical stack sees the rows above, the horizontal stack what lies to the left. What needs
    the rows above alone (`vertical_stack`) is computed once a row in sampling.
    """

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__()
        c, hidden, count = config.channels, config.hidden, config.gated_blocks
        self.channels = c
        self.first_vertical = nn.Conv2d(2, c, (_FIRST_ROWS, 7), padding=(0, 3))
        self.first_horizontal = MaskedConv2d(_groups(2), _groups(c), 4, first=True)
        self.blocks = nn.ModuleList(
            GatedBlock(c, config.adaptation, last=k == count - 1) for k in range(count)
        )
        self.widen = MaskedConv2d(_groups(c), _groups(hidden), 1)
        self.classify = MaskedConv2d(_groups(hidden), _groups(2 * LEVELS), 1)
        _initialize(self)

    def forward(self, chroma: Tensor, features: Tensor) -> Tensor:
        """Return logits of Cr and of Cb, (N, 2, 32, h, w), for all cells at once.

        Args:
            chroma: centered, in the middle of levels, (N, 2, h, w).
            features: (N, K, h, w).
        """
        above = F.pad(chroma[:, :, :-1], (0, 0, _FIRST_ROWS, 0))
        n, _, _, width = chroma.shape
        nothing = chroma.new_zeros(len(self.blocks), n, self.channels, _BLOCK_ROWS, width)
        contexts, _ = self.vertical_stack(above, nothing, features)
        return self.horizontal_stack(chroma, contexts)

    def vertical_stack(
        self, chroma_rows: Tensor, stack_rows: Tensor, features: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return all that H rows can know of the rows above, and each block's vertical states.

        Args:
            chroma_rows: the three rows above the first to the one above the last, (N, 2, 2 + H, W).
            stack_rows: each block's vertical states of the two rows above, (blocks, N, C, 2, W).
            features: (N, K, H, W).

        Returns:
            Of each block the context (N, 2C, H, W), and its vertical states (N, C, H, W).
        """
        x = self.first_vertical(self._scale(chroma_rows))
        contexts, states = [], []
        for block, rows in zip(self._gated_blocks(), stack_rows.unbind(0), strict=True):
            states.append(x)
            x, context = block.vertical_step(torch.cat((rows, x), 2), features)
            contexts.append(context)
        return contexts, states

    def horizontal_stack(self, chroma: Tensor, contexts: Iterable[Tensor]) -> Tensor:
        """Return logits (N, 2, 32, H, W) of rows from their chroma and `vertical_stack`'s."""
        x = self.first_horizontal(self._scale(chroma))
        for block, context in zip(self._gated_blocks(), contexts, strict=True):
            x = block.horizontal_step(x, context)
        return self.classify(F.relu(self.widen(F.relu(x)))).unflatten(1, (2, LEVELS))

    def _gated_blocks(self) -> list[GatedBlock]:
        return [block for block in self.blocks if isinstance(block, GatedBlock)]

    @staticmethod
    def _scale(chroma: Tensor) -> Tensor:
        """Cr, Cb with the outermost levels at -1 and 1 (our choice); padding is neutral."""
        return chroma.flip(1) * (255 / 124)


class ConditionRow(nn.Module):
    """The graph ``above``: what the next row can know of the rows above, once a row.

    The states are chroma of the three rows above, (N, 2, 3, W), and each block's vertical states of
    the two rows above, (blocks, N, C, 2, W). The graph gives on those of their rows that stay,
    under their own names: in ONNX no graph gives new states under the names of those it takes.
    """

    def __init__(self, network: PixelCNN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, features: Tensor, chroma_rows: Tensor, stack_rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the contexts (blocks, N, 2C, 1, W), and what `UpdateCache` puts together.

        Args:
            features: of the row, (1 or N, K, 1, W).
            chroma_rows, stack_rows: the states.
        """
        contexts, states = self.network.vertical_stack(chroma_rows, stack_rows, features)
        tails = chroma_rows[:, :, 1:], stack_rows[:, :, :, 1:]
        return torch.stack(contexts), *tails, torch.stack(states)


class SampleRow(nn.Module):
    """The graph ``row``: a better guess of a row, and the likelihood of the one given.

    With the noise drawn beforehand every value is a function of those before it: a guess that
    reproduces itself is the sample, exactly (Song et al. 2021, arXiv 2002.03629). Each pass settles
    one more value at least, most of them many.
    """

    def __init__(self, network: PixelCNN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, context: Tensor, guess: Tensor, noise: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return chroma and the guess's log-likelihood in nats at temperature 1, (N, 2, 1, W).

        Args:
            context: from `ConditionRow`.
            guess: centered chroma, (N, 2, 1, W); its nearest levels count.
            noise: Gumbel noise of Cr's levels and of Cb's, (N, 64, 1, W).
            temperature: divides the logits.
        """
        levels = quantize(guess)
        logits = self.network.horizontal_stack(dequantize(levels), context.unbind(0))
        drawn = (logits / temperature + noise.unflatten(1, (2, LEVELS))).argmax(2)
        logp = logits.log_softmax(2).gather(2, levels[:, :, None])[:, :, 0]
        return dequantize(drawn), logp.flip(1)


class UpdateCache(nn.Module):
    """The graph ``cache``: the states for the row below, with the values of a finished row."""

    def forward(
        self, values: Tensor, chroma_tail: Tensor, stack_tail: Tensor, vertical: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both states; the arguments are `SampleRow`'s and `ConditionRow`'s."""
        values = dequantize(quantize(values))  # of a true photograph they may lie between levels
        return torch.cat((chroma_tail, values), 2), torch.cat((stack_tail, vertical), 3)


def _convs(inputs: int, *layers: tuple[int, int], kernel: int = 3, pad: int = 1) -> nn.Sequential:
    """Convolutions with batch norm and ReLU; a layer is its maps and its stride."""
    parts: list[nn.Module] = []
    for outputs, stride in layers:
        parts += [nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False)]
        parts += [nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*parts)


class Refinement(nn.Module):
    """The refinement network: luma and cells' chroma to chroma at half the size.

    Table 2 prints one list of layers. It is the two-branch network of "Let there be Color!" (Iizuka
    et al. 2016) with bilinear enlargement, as the text says: the sizes agree, a 5x5 and a 3x3 layer
    without padding take the 7x7 map of the global branch to one vector. Batch norm and ReLU as
    there, and a linear output (our choice).

    Args:
        w: channels of the first layer, 64 in the paper, whose maps the comments give.
    """

    def __init__(self, w: int) -> None:
        super().__init__()
        # 64 / 2; 128, 128 / 2; 256, 256 / 2; 512: to 28x28 of 224x224
        self.low = _convs(3, (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1))
        self.middle = _convs(8 * w, (8 * w, 1), (4 * w, 1))  # 512, 256
        self.glob = nn.Sequential(
            _convs(8 * w, (8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1)),  # 512: to 7x7
            _convs(8 * w, (16 * w, 1), kernel=5, pad=0),  # 1024: to 3x3
            _convs(16 * w, (8 * w, 1), kernel=3, pad=0),  # 512: to 1x1
        )
        self.fusion = _convs(12 * w, (2 * w, 1), (2 * w, 1))  # 128, 128 at 1/8
        self.at4 = _convs(2 * w, (w, 1), (w, 1))  # 64, 64 at 1/4
        self.at2 = _convs(w, (w // 2, 1), (w // 2, 1))  # 32, 32 at 1/2
        self.output = nn.Conv2d(w // 2, 2, 1)
        _initialize(self)

    def forward(self, gray: Tensor, chroma: Tensor) -> Tensor:
        """Return centered chroma (N, 2, H/2, W/2).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), multiples of 8.
            chroma: centered, of cells, (N, 2, H/8, W/8).
        """
        x = torch.cat((gray, _enlarge(chroma, gray)), 1)
        low = self.low(x)
        square = low
        # As in "Let there be Color!" the global branch sees a copy of one size; in training at
        # that size the picture is its own copy.
        if not self.training or gray.shape[2:] != (_GLOBAL_SIDE, _GLOBAL_SIDE):
            square = self.low(F.interpolate(x, size=(_GLOBAL_SIDE, _GLOBAL_SIDE), mode="bilinear"))
        vector = self.glob(square)  # (N, 512, 1, 1)
        x = self.middle(low)  # (N, 256, H/8, W/8)
        x = self.fusion(torch.cat((vector.expand(-1, -1, *x.shape[2:]), x), 1))
        x = self.at4(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = self.at2(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        return self.output(x)


def _enlarge(chroma: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(chroma, size=like.shape[2:], mode="bilinear")


# Table 2: Adam, 0.0003 and no schedule, batch 64, 360,000 steps, colorness threshold 0.05. Our
# choice: beta2 (printed: "beta1 = 0.9, momentum = 0.9"), what colorness is, the averaged weights,
# random crops of 224 from photographs of 256, and mirroring.
_TRAINING = TrainConfig(
    crop=224,
    batch=64,
    steps=360_000,
    learning_rate=3e-4,
    optimizer="adam",
    betas=(0.9, 0.999),
    warmup=0,
    cooldown=0.0,
    weight_decay=0.0,
    grad_clip=0.0,
    ema=0.999,
    augment="none",
    flip=True,
    scale=1.0,
    short_side=256,
    min_color=0.0,
    min_chroma=0.05,
)


class PixColor(ColorModel):
    """Both stages, their losses, and exact sampling."""

    name: ClassVar[str] = "pixcolor"
    paper: ClassVar[str] = (
        "Guadarrama, Dahl, Bieber, Norouzi, Shlens and Murphy 2017, arXiv 1705.07208"
    )
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (PixColorConfig(), _TRAINING),
        "small": (
            PixColorConfig(
                blocks=(2, 2, 3),
                width=16,
                adaptation=32,
                channels=32,
                gated_blocks=5,
                hidden=256,
                refinement=16,
                freeze_steps=0,
            ),
            replace(_TRAINING, crop=128, steps=30_000, short_side=146),
        ),
        "test": (
            PixColorConfig(
                blocks=(1, 1, 1),
                width=4,
                adaptation=8,
                channels=8,
                gated_blocks=2,
                hidden=16,
                refinement=4,
                freeze_steps=0,
            ),
            replace(_TRAINING, crop=64, batch=8, steps=100, ema=0.9, short_side=73),
        ),
    }

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__(config)
        self.conditioning = Conditioning(config)
        self.pixelcnn = PixelCNN(config)
        self.refinement = Refinement(config.refinement)

    def forward(self, gray: Tensor, chroma: Tensor) -> Tensor:
        """Return logits of every cell's Cr and Cb given the cells before, (N, 2, 32, H/8, W/8).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), multiples of 8.
            chroma: centered, in the middle of levels, (N, 2, H/8, W/8).
        """
        return self.pixelcnn(chroma, self.conditioning(gray))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the sum of both stages' losses, and what they are made of.

        ``loss`` is the cross-entropy, in nats a value, plus the squared error of the refined
        chroma. The paper trains the stages one by one; they share no parameter, and Adam does not
        heed the scale of a gradient, so both learn here as if alone.

        Returns:
            ``loss``; ``bits_cr`` and ``bits_cb`` a value; ``refined_mse`` and, of the refinement's
            input enlarged, ``bilinear_mse``, of chroma in [-0.5, 0.5].
        """
        if self.conditioning.frozen and step >= self.config.freeze_steps:
            self.conditioning.freeze(False)
        truth = linear_to_cbcr(batch.rgb)  # (N, 2, H, W)
        levels = quantize(F.avg_pool2d(truth, CELL))  # means of cells: our choice
        # Not samples but the truth is refined, so that the network keeps trusting its input; as
        # levels, as samples are (our choice).
        given = dequantize(levels)
        logits = self(batch.gray, given).float().transpose(1, 2)  # (N, 32, 2, h, w)
        nats = F.cross_entropy(logits, levels, reduction="none").mean((0, 2, 3))  # of Cr, of Cb
        refined = _enlarge(self.refinement(batch.gray, given).float(), truth)
        refined_mse = F.mse_loss(refined, truth)
        bits = nats.detach() / math.log(2)
        return {
            "loss": nats.mean() + refined_mse,
            "bits_cr": bits[0],
            "bits_cb": bits[1],
            "refined_mse": refined_mse.detach(),
            "bilinear_mse": F.mse_loss(_enlarge(given, truth), truth).detach(),
        }

    @torch.no_grad()
    def sample(
        self, gray: Tensor, noise: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Draw chroma row by row, with what is exported and as the runtime does.

        Args:
            gray: luma in [0, 1], (N or 1, 1, H, W), multiples of 8.
            noise: of each sample, see `gumbel_noise`, (N, 64, H/8, W/8).
            temperature: divides the logits.

        Returns:
            Centred chroma (N, 2, H/8, W/8), and the log-likelihood of each value in nats.
        """
        above, row, cache = ConditionRow(self.pixelcnn), SampleRow(self.pixelcnn), UpdateCache()
        features = self.conditioning(gray)
        n, _, height, width = noise.shape
        blocks, channels = len(self.pixelcnn.blocks), self.pixelcnn.channels
        states = (
            noise.new_zeros(n, 2, _FIRST_ROWS, width),
            noise.new_zeros(blocks, n, channels, _BLOCK_ROWS, width),
        )
        divisor, values, rows = noise.new_tensor(temperature), noise.new_zeros(n, 2, 1, width), []
        for y in range(height):
            context, *tails = above(features[:, :, y : y + 1], *states)
            own, guess = noise[:, :, y : y + 1], values
            values, logp = row(context, guess, own, divisor)
            while not torch.equal(values, guess):
                guess = values
                values, logp = row(context, guess, own, divisor)
            rows.append((values, logp))
            states = cache(values, *tails)
        chroma, logp = (torch.cat(part, 2) for part in zip(*rows, strict=True))
        return chroma, logp

    def predict(self, gray: Tensor) -> Tensor:
        """Return the first sample of seed 0, refined, as ab (N, 2, H/2, W/2)."""
        n, _, height, width = gray.shape
        noise = gumbel_noise(0, 0, height // CELL, width // CELL).to(gray.device)
        chroma, _ = self.sample(gray, noise.expand(n, -1, -1, -1))
        return cbcr_to_ab(F.avg_pool2d(gray, 2), self.refinement(gray, chroma))

    def load_backbone(self, path: Path) -> str:
        """Start the conditioning network from a ResNet of torchvision; see `ResNet`.

        The backbone is then frozen for the first `PixColorConfig.freeze_steps`.

        Raises:
            CheckpointError: the file holds another network.
        """
        source = self.conditioning.backbone.load_torchvision(path)
        self.conditioning.freeze(self.config.freeze_steps > 0)
        return f"conditioning network started from {source} ({path.name})"

    def graphs(self) -> dict[str, Graph]:
        """Return the conditioning network, the three graphs of a row, and the refinement."""
        blocks, c = len(self.pixelcnn.blocks), self.pixelcnn.channels

        def example(size: int) -> dict[str, Tensor]:
            n, w = 1 + size, 4 * size + 1
            coarse = torch.rand(n, 1, 2 + size, 4)
            return {
                "gray": F.interpolate(coarse, size=((1 + size) * 32, 64)),
                "chroma": torch.rand(n, 2, (1 + size) * 4, 8) - 0.5,
                "features": torch.rand(1, self.config.adaptation, 1, w),
                "context": torch.randn(blocks, n, 2 * c, 1, w),
                "guess": torch.rand(n, 2, 1, w) - 0.5,
                "noise": torch.randn(n, 2 * LEVELS, 1, w),
                "temperature": torch.tensor(0.7),
                "values": torch.rand(n, 2, 1, w) - 0.5,
                "chroma_rows": torch.rand(n, 2, _FIRST_ROWS, w) - 0.5,
                "chroma_tail": torch.rand(n, 2, _FIRST_ROWS - 1, w) - 0.5,
                "stack_rows": torch.randn(blocks, n, c, _BLOCK_ROWS, w),
                "stack_tail": torch.randn(blocks, n, c, _BLOCK_ROWS - 1, w),
                "vertical": torch.randn(blocks, n, c, 1, w),
            }

        n, width = ("samples", 1), ("width", 1)
        of_row = ("guess", "noise", "values", "chroma_rows", "chroma_tail")
        of_stack = ("context", "stack_rows", "stack_tail", "vertical")
        dynamic = {"features": {3: width}}
        dynamic |= {name: {0: n, 3: width} for name in of_row}
        dynamic |= {name: {1: n, 4: width} for name in of_stack}
        dynamic["gray"] = {0: n, 2: ("rows", CELL), 3: ("columns", CELL)}
        dynamic["chroma"] = {0: n, 2: ("rows", 1), 3: ("columns", 1)}

        def graph(module: nn.Module, inputs: str, outputs: str) -> Graph:
            names = inputs.split()
            own = {name: axes for name, axes in dynamic.items() if name in names}

            def given(size: int) -> dict[str, Tensor]:
                tensors = example(size)
                return {name: tensors[name] for name in names}

            return Graph(module, given, own, tuple(outputs.split()))

        above, row, cache = ConditionRow(self.pixelcnn), SampleRow(self.pixelcnn), UpdateCache()
        states, tails = "chroma_rows stack_rows", "chroma_tail stack_tail vertical"
        return {
            "": luma_graph(self.conditioning, CELL, "features"),
            "above": graph(above, f"features {states}", f"context {tails}"),
            "row": graph(row, "context guess noise temperature", "values logp"),
            "cache": graph(cache, f"values {tails}", states),
            "refine": graph(self.refinement, "gray chroma", "refined"),
        }

    def card(self) -> dict[str, Any]:
        """Return the fields of the card that follow from the model."""
        blocks, channels = len(self.pixelcnn.blocks), self.pixelcnn.channels
        states = {
            "chroma_rows": ("samples", 2, _FIRST_ROWS, "width"),
            "stack_rows": (blocks, "samples", channels, _BLOCK_ROWS, "width"),
        }
        return {
            "description": "PixColor, Guadarrama et al. 2017: many colorings of one photograph.",
            "space": "ycbcr",
            "kind": "sampler",
            "size": {"short_side": 224, "multiple": CELL},
            "enlarge": "bilinear",
            "states": states,
            "options": {"temperature": 1.0, "seed": 0, "refine": True},
        }
