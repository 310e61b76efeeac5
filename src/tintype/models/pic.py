"""Probabilistic Image Colorization (Royer, Kolesnikov and Lampert 2017, arXiv 1705.04258).

    L -> embedding network -> autoregressive network (PixelCNN++) -> a, b at a quarter of the size

The distribution of (a, b) in each cell, given the lightness of the whole photograph and the chroma
of all cells before it in raster order, is a mixture of ten discretized logistics (Salimans et al.
2017, arXiv 1701.05517). An auxiliary loss makes the embedding alone predict such a mixture too. The
PixelCNN++ is in `pixelcnnpp.py`, the mixture in `logistics.py`. Layers, constants and the RGB input
of the autoregressive network are those of the authors' code; "our choice" marks the rest.

All layers are weight-normalized and initialized from the first batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import SettingError
from tintype.models.base import (
    Batch,
    ColorModel,
    Graph,
    TrainConfig,
    luma_graph,
    named_graph,
    settle_row,
)
from tintype.models.logistics import NOISES, PARAMETERS, Mixture, dequantize, quantize
from tintype.models.pixelcnnpp import REACH, Autoregressive, concat_elu, gate
from tintype.models.torch_color import gray_to_lightness, lab_to_srgb, linear_to_ab
from tintype.models.weight_norm import WeightNormConv2d

CELL = 4  #: pixels per cell, each way
_CANVAS = 4  # channels: RGB and a constant one, which distinguishes cells from padding


def canvas(lightness: Tensor, scaled: Tensor) -> Tensor:
    """Return the input of the autoregressive network: RGB in [-1, 1] and a one, (N, 4, h, w).

    Args:
        lightness: scaled lightness, (L - 50) / 50, (N, 1, h, w).
        scaled: levels of a and b in [-1, 1], (N, 2, h, w).
    """
    lab = torch.cat((50 * lightness + 50, dequantize(scaled)), 1)
    rgb = 2 * lab_to_srgb(lab).clamp(0, 1) - 1
    return torch.cat((rgb, torch.ones_like(rgb[:, :1])), 1)


@dataclass(frozen=True)
class PicConfig:
    """Sizes of the networks; the defaults are the authors' for ImageNet.

    Raises:
        SettingError: there are too few features.

    Attributes:
        maps: channels of the embedding's first layer; those of the others are in proportion.
        features: channels of the embedding's last layer, at least `PARAMETERS`.
        width: channels of the autoregressive network.
        blocks: number of blocks in each of its two stacks.
        dropout: probability of dropout in every block.
        auxiliary: weight of the auxiliary loss of the embedding.
        input_side: shorter side in pixels of the network's input.
    """

    maps: int = 64
    features: int = 160
    width: int = 160
    blocks: int = 4
    dropout: float = 0.5
    auxiliary: float = 1.0
    input_side: int = 128

    def __post_init__(self) -> None:
        if self.features < PARAMETERS:
            raise SettingError(f"features must be at least {PARAMETERS}: they hold a mixture")
        if not 0 <= self.dropout < 1:
            raise SettingError(f"dropout must be from 0 to below 1, not {self.dropout!r}")


class EmbeddingBlock(nn.Module):
    """A gated residual block of two 3x3 layers with dropout between them."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.first = WeightNormConv2d(2 * channels, channels)
        self.second = WeightNormConv2d(2 * channels, 2 * channels, scale=0.1)
        self.dilation, self.dropout = dilation, dropout

    def forward(self, x: Tensor) -> Tensor:
        d = self.dilation
        y = concat_elu(self.first(concat_elu(x), (d, d, d, d), dilation=d))
        y = F.dropout(y, self.dropout, self.training)
        return x + gate(self.second(y, (1, 1, 1, 1)))


class Embedding(nn.Module):
    """The feed-forward network: lightness to features at a quarter of the size.

    Five groups, each a convolution and gated residual blocks, and a last layer of 160 channels.
    """

    # Per group: channels in units of 64, stride, number of blocks, dilation of their first layers.
    _GROUPS = ((1, 1, 2, 1), (2, 2, 2, 1), (4, 2, 2, 1), (8, 1, 3, 2), (8, 1, 3, 4))

    def __init__(self, config: PicConfig) -> None:
        super().__init__()
        self.convs, self.groups = nn.ModuleList(), nn.ModuleList()
        inputs = 2  # lightness and a one
        for factor, _, count, dilation in self._GROUPS:
            channels = factor * config.maps
            self.convs.append(WeightNormConv2d(inputs, channels))
            blocks = [EmbeddingBlock(channels, dilation, config.dropout) for _ in range(count)]
            self.groups.append(nn.Sequential(*blocks))
            inputs = channels
        self.out = WeightNormConv2d(inputs, config.features)

    def forward(self, lightness: Tensor) -> Tensor:
        """Return features (N, 160, H/4, W/4) of scaled lightness (L - 50) / 50, (N, 1, H, W)."""
        x = torch.cat((lightness, torch.ones_like(lightness)), 1)
        for conv, blocks, group in zip(self.convs, self.groups, self._GROUPS, strict=True):
            x = blocks(conv(x, (1, 1, 1, 1), stride=group[1]))
        return self.out(x, (1, 1, 1, 1))


class ConditionRow(nn.Module):
    """The graph ``above``: the part of a row's computation that depends on the rows above only."""

    def __init__(self, network: Autoregressive) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, features: Tensor, canvas_rows: Tensor, vertical_rows: Tensor, horizontal_rows: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the `RowContext` and the rows of the states that the next row needs too."""
        embedding = features[:, :-1]
        context = self.network.row_context(canvas_rows, vertical_rows, horizontal_rows, embedding)
        tails = canvas_rows[:, :, 1:], vertical_rows[..., 1:, :], horizontal_rows[..., 1:, :]
        return *context, *tails


class SampleRow(nn.Module):
    """The graph ``row``: one step of the fixed-point iteration that samples a row.

    With the noise drawn beforehand every value is a function of those before it, so the fixed point
    of the iteration is the sample, exactly (Song et al. 2021, arXiv 2002.03629).
    """

    def __init__(self, network: Autoregressive) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        features: Tensor,
        start: Tensor,
        first: Tensor,
        second: Tensor,
        guess: Tensor,
        noise: Tensor,
        temperature: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the next guess of ab, and the log-likelihood of the guess in nats, (N, 2, 1, W).

        The likelihood is that at temperature 1.

        Args:
            features: of the row, last the scaled lightness, (1 or N, K + 1, 1, W).
            start, first, second: from `ConditionRow`; see `RowContext`.
            guess: ab in Lab units, (N, 2, 1, W).
            noise: standard Gumbel noise, (N, 14, 1, W).
            temperature: as in `Mixture.sample`.
        """
        lightness = features[:, -1:].expand(guess.shape[0], -1, -1, -1)
        levels = quantize(guess)
        parameters, _ = self.network.row(canvas(lightness, levels), start, first, second)
        mixture = Mixture.of(parameters, lightness)
        return dequantize(mixture.sample(noise, temperature)), mixture.log_likelihood(levels)


class UpdateCache(nn.Module):
    """The graph ``cache``: the states for the next row, given the values of a finished row."""

    def __init__(self, network: Autoregressive) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        values: Tensor,
        features: Tensor,
        start: Tensor,
        first: Tensor,
        second: Tensor,
        vertical: Tensor,
        canvas_tail: Tensor,
        vertical_tail: Tensor,
        horizontal_tail: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three states; see `Pic._state_shapes`."""
        lightness = features[:, -1:].expand(values.shape[0], -1, -1, -1)
        seen = canvas(lightness, quantize(values))
        _, horizontal = self.network.row(seen, start, first, second)
        return (
            torch.cat((canvas_tail, seen), 2),
            torch.cat((vertical_tail, vertical), -2),
            torch.cat((horizontal_tail, horizontal), -2),
        )


# The authors' solver: Adam (0.95, 0.9995), eps 1e-6, rate 1.6e-4 times 0.99999 per step, batches of
# 4 x 16 (there mirrored as a whole), 150 epochs of ImageNet, Polyak averaging.
_PAPER = TrainConfig(
    crop=128, scale=1.0, short_side=128, augment="none", batch=64, steps=3_000_000,
    optimizer="adam", learning_rate=1.6e-4, betas=(0.95, 0.9995), eps=1e-6, lr_decay=0.99999,
    warmup=0, cooldown=0.0, weight_decay=0.0, grad_clip=0.0, ema=0.999,
)  # fmt: skip
# Ours: narrower; 16x16 cells, as the authors have for CIFAR-10, of the whole shorter side; a higher
# rate with a cooldown.
_SMALL = PicConfig(maps=8, features=80, width=28, dropout=0.0, input_side=64)
_SMALL_TRAINING = replace(
    _PAPER, crop=144, crop_sizes=(64,), short_side=144, steps=4_700, learning_rate=1e-3,
    lr_decay=0.9998, cooldown=0.3,
)  # fmt: skip


class Pic(ColorModel):
    """The networks of Royer et al. 2017, their losses, sampling and export."""

    name: ClassVar[str] = "pic"
    paper: ClassVar[str] = "Royer, Kolesnikov and Lampert 2017, arXiv 1705.04258"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (PicConfig(), _PAPER),
        "small": (_SMALL, _SMALL_TRAINING),
        "test": (
            PicConfig(maps=2, features=80, width=8, blocks=1, dropout=0.0, input_side=32),
            replace(_PAPER, crop=32, batch=8, steps=40, learning_rate=1e-3, ema=0.9, short_side=32),
        ),
    }

    def __init__(self, config: PicConfig) -> None:
        super().__init__(config)
        self.embedding = Embedding(config)
        self.autoregressive = Autoregressive(
            _CANVAS, config.features, config.width, config.blocks, config.dropout
        )

    def features(self, gray: Tensor) -> Tensor:
        """Return the embedding and, as last channel, the scaled lightness, (N, K + 1, H/4, W/4)."""
        lightness = (gray_to_lightness(gray) - 50) / 50
        return torch.cat((self.embedding(lightness), F.avg_pool2d(lightness, CELL)), 1)

    def forward(self, gray: Tensor, ab: Tensor) -> Tensor:
        """Return the parameters of every cell's mixture given the cells before, (N, 80, H/4, W/4).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), multiples of 4.
            ab: of the cells in Lab units, (N, 2, H/4, W/4).
        """
        features = self.features(gray)
        return self.autoregressive(canvas(features[:, -1:], quantize(ab)), features[:, :-1])

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the bits per value of both networks, added (``loss``), and its terms.

        ``bits_a`` and ``bits_b`` are those of the autoregressive network; ``bits_embedding`` is the
        mean over a and b of the mixture in the first 80 features of the embedding.
        """
        ab = F.avg_pool2d(linear_to_ab(batch.rgb), CELL)
        levels = quantize(ab)
        features = self.features(batch.gray)
        embedding, lightness = features[:, :-1], features[:, -1:].float()
        found = self.autoregressive(canvas(lightness, levels), embedding)

        def bits(parameters: Tensor) -> Tensor:
            nats = Mixture.of(parameters, lightness).log_likelihood(levels)
            return -nats.mean((0, 2, 3)) / math.log(2)

        own, alone = bits(found), bits(embedding[:, :PARAMETERS])
        return {
            "loss": own.mean() + self.config.auxiliary * alone.mean(),
            "bits_a": own[0].detach(),
            "bits_b": own[1].detach(),
            "bits_embedding": alone.mean().detach(),
        }

    @torch.no_grad()
    def sample(
        self, gray: Tensor, noise: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Draw chroma row by row, with the exported modules and as the runtime does.

        Args:
            gray: luma in [0, 1], (N or 1, 1, H, W), multiples of 4.
            noise: standard Gumbel noise of each sample, (N, 14, H/4, W/4).
            temperature: as in `Mixture.sample`.

        Returns:
            ab (N, 2, H/4, W/4), and the log-likelihood of each value in nats.
        """
        network = self.autoregressive
        above, row, cache = ConditionRow(network), SampleRow(network), UpdateCache(network)
        features = self.features(gray)
        n, _, height, width = noise.shape
        states = [noise.new_zeros(shape) for shape in self._state_shapes(n, width).values()]
        divisor, values, rows = noise.new_tensor(temperature), noise.new_zeros(n, 2, 1, width), []
        for y in range(height):
            own, seen = noise[:, :, y : y + 1], features[:, :, y : y + 1]
            start, first, second, vertical, *tails = above(seen, *states)
            step = partial(row, seen, start, first, second, noise=own, temperature=divisor)
            values, logp = settle_row(step, values)
            rows.append((values, logp))
            states = cache(values, seen, start, first, second, vertical, *tails)
        ab, logp = (torch.cat(part, 2) for part in zip(*rows, strict=True))
        return ab, logp

    def predict(self, gray: Tensor) -> Tensor:
        """Return a sample of fixed noise as ab (N, 2, H/4, W/4) in Lab units."""
        n, _, height, width = gray.shape
        random = torch.Generator().manual_seed(0)
        uniform = torch.rand((1, NOISES, height // CELL, width // CELL), generator=random)
        noise = -(-uniform.clamp_min(1e-20).log()).log()
        return self.sample(gray, noise.to(gray.device).expand(n, -1, -1, -1))[0]

    def _state_shapes(self, samples: Any, width: Any) -> dict[str, tuple[Any, ...]]:
        blocks, c = self.config.blocks, self.config.width
        return {
            "canvas_rows": (samples, _CANVAS, REACH, width),
            "vertical_rows": (blocks, 2, samples, c, REACH, width),
            "horizontal_rows": (blocks, 2, samples, c, REACH, width),
        }

    def graphs(self) -> dict[str, Graph]:
        """Return the main graph, ``above``, ``row`` and ``cache``."""
        network, config = self.autoregressive, self.config

        def example(size: int) -> dict[str, Tensor]:
            n, w = 1 + size, 4 * size + 1
            states = {k: torch.rand(s) for k, s in self._state_shapes(n, w).items()}
            tails = {
                k.replace("rows", "tail"): v[..., 1:, :].contiguous() for k, v in states.items()
            }
            return {
                "features": torch.rand(1, config.features + 1, 1, w),
                **states,
                **tails,
                "start": torch.randn(n, config.width, 1, w),
                "first": torch.randn(config.blocks, n, config.width, 1, w),
                "second": torch.randn(config.blocks, n, 2 * config.width, 1, w),
                "vertical": tails["vertical_tail"],
                "guess": 40 * torch.rand(n, 2, 1, w) - 20,
                "values": 40 * torch.rand(n, 2, 1, w) - 20,
                "noise": torch.randn(n, NOISES, 1, w),
                "temperature": torch.tensor(0.8),
            }

        dynamic = _dynamic(example(1))

        def graph(module: nn.Module, inputs: str, outputs: str) -> Graph:
            return named_graph(module, inputs, outputs, example, dynamic)

        context, states = "start first second", "canvas_rows vertical_rows horizontal_rows"
        tails = states.replace("rows", "tail")
        return {
            "": luma_graph(Features(self), CELL, "features"),
            "above": graph(
                ConditionRow(network), f"features {states}", f"{context} vertical {tails}"
            ),
            "row": graph(
                SampleRow(network), f"features {context} guess noise temperature", "values logp"
            ),
            "cache": graph(
                UpdateCache(network), f"values features {context} vertical {tails}", states
            ),
        }

    def card(self) -> dict[str, Any]:
        """Return the fields of the card that follow from the model."""
        return {
            "description": "PIC, Royer et al. 2017: many colorings of one photograph.",
            "space": "lab",
            "kind": "sampler",
            "size": {"short_side": self.config.input_side, "multiple": CELL},
            "enlarge": "bilinear",
            "states": self._state_shapes("samples", "width"),
            "options": {"temperature": 1.0, "seed": 0},
        }


class Features(nn.Module):
    """The main graph: luma to `Pic.features`."""

    def __init__(self, model: Pic) -> None:
        super().__init__()
        self.model = model

    def forward(self, gray: Tensor) -> Tensor:
        return self.model.features(gray)


def _dynamic(tensors: dict[str, Tensor]) -> dict[str, dict[int, tuple[str, int]]]:
    """Return the dynamic axes: the width is the last axis, the samples are the fourth from last."""
    axes: dict[str, dict[int, tuple[str, int]]] = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 0:
            continue
        axes[name] = {tensor.ndim - 1: ("width", 1)}
        if name != "features":
            axes[name][tensor.ndim - 4] = ("samples", 1)
    return axes
