"""The feature pyramid of `tint` and `tint_sampler`: gray to features at 1/4 or 1/8.

    gray -> encoder -> 1/32: transformer -> 1/16: transformer -> 1/8 -> 1/4
                                                ^ laterals of the encoder   ^ hints

- encoder: an ImageNet classifier (`backbones.py`), fine-tuned;
- transformer blocks (Vaswani et al. 2017, pre-norm), for a global receptive field;
- decoder: a feature pyramid with additive lateral connections (Lin et al. 2017, arXiv 1612.03144);
- known colors are spread over the features at the end (`hints.py`); without any nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError, SettingError
from tintype.models.backbones import VARIANTS, Backbone
from tintype.models.base import scaled_lr_groups
from tintype.models.hints import HintSpread
from tintype.models.layers import enlarge


class TransformerBlock(nn.Module):
    """A pre-norm transformer block: self-attention and a two-layer perceptron."""

    def __init__(self, channels: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, 2 * channels)
        self.fc2 = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, channels = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, heads, tokens, channels / heads)
        # Not torch's fused attention, whose backward pass is slower for a few dozen tokens.
        attention = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        y = (attention @ v).transpose(1, 2).reshape(n, tokens, channels)
        x = x + F.dropout(self.proj(y), self.dropout, self.training)
        y = self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return x + F.dropout(y, self.dropout, self.training)


class UpBlock(nn.Module):
    """Upsample a coarse map by 2, add a lateral map, and convolve (3x3)."""

    def __init__(self, coarse: int, lateral: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.reduce = nn.Conv2d(coarse, outputs, 1, bias=False)
        self.lateral = nn.Conv2d(lateral, outputs, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, coarse: Tensor, lateral: Tensor) -> Tensor:
        up = enlarge(self.reduce(coarse), 2)
        x = F.relu(self.norm1(up + self.lateral(lateral)))
        x = F.relu(self.norm2(self.conv(x)))
        # Whole channels, because single values can be inferred from their neighbors.
        return F.dropout2d(x, self.dropout, self.training)


@dataclass(frozen=True)
class PyramidConfig:
    """Sizes of the network that `tint` and `tint_sampler` share.

    Raises:
        SettingError: a value is not valid.

    Attributes:
        encoder: ``"efficientnet_lite0"``, ``"efficientnet_lite2"`` or ``"mobilenet_v2"``.
        encoder_width: factor on the encoder's channels; ImageNet weights fit 1.0 only.
        symmetric: padding of the encoder; see `Backbone`.
        attention: channels of the transformer blocks at 1/32.
        heads: number of attention heads.
        blocks: number of transformer blocks at 1/32 and at 1/16.
        decoder: channels at 1/16, 1/8 and, for features at that size, 1/4.
        dropout: probability of dropout at 1/32 and in transformer blocks; half of it in the
            decoder.
        hints: whether the network takes hints.
    """

    encoder: str = "mobilenet_v2"
    encoder_width: float = 1.0
    symmetric: bool = True
    attention: int = 384
    heads: int = 8
    blocks: tuple[int, int] = (2, 1)
    decoder: tuple[int, ...] = (256, 128, 64)
    dropout: float = 0.1
    hints: bool = True

    def __post_init__(self) -> None:
        if self.encoder not in VARIANTS:
            raise SettingError(
                f"encoder must be one of {', '.join(VARIANTS)}, not {self.encoder!r}"
            )
        if not 0 < self.heads <= self.attention or self.attention % self.heads:
            raise SettingError(f"heads must divide attention, {self.attention}")
        if not 0 <= self.dropout < 1:
            raise SettingError(
                f"dropout must be a probability from 0 to below 1, not {self.dropout!r}"
            )


class Pyramid(nn.Module):
    """Encoder, transformer blocks and decoder: gray to features at 1/4 or 1/8.

    Attributes:
        channels: number of channels of the features.
    """

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        wide, dropout, decoder = config.attention, config.dropout, config.decoder
        self.encoder = Backbone(config.encoder, config.encoder_width, symmetric=config.symmetric)
        fourth, eighth, sixteenth, last = self.encoder.channels
        # Layer norm before the projection. With batch norm after it the mean of the features grew
        # without bound, until bfloat16 left nothing else and the last encoder layer died.
        self.norm = nn.LayerNorm(last)
        self.project = nn.Linear(last, wide)
        self.dropout = dropout
        self.blocks32 = self._blocks(config.blocks[0], wide, config)
        self.up16 = UpBlock(wide, sixteenth, decoder[0], dropout / 2)
        self.blocks16 = self._blocks(config.blocks[1], decoder[0], config)
        self.up8 = UpBlock(decoder[0], eighth, decoder[1], dropout / 2)
        seen = decoder[1] + eighth
        self.up4 = None
        if len(decoder) > 2:
            self.up4 = UpBlock(decoder[1], fourth, decoder[2], dropout / 2)
        self.channels = decoder[len(decoder) - 1]
        self.hints = HintSpread(self.channels, seen) if config.hints else None

    @staticmethod
    def _blocks(count: int, channels: int, config: PyramidConfig) -> nn.ModuleList:
        return nn.ModuleList(
            TransformerBlock(channels, config.heads, config.dropout) for _ in range(count)
        )

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Return features (N, C, H/4, W/4), or (N, C, H/8, W/8) without a decoder for 1/4.

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 32.
            hints: hint map, (N, 3, H/4, W/4); see `tintype.models.hints`.
        """
        return self.decode(*self.encode(gray), gray, hints)

    def encode(self, gray: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features (N, C, H/32, W/32), and the encoder's at 1/4, 1/8 and 1/16.

        Args:
            gray: as in `forward`.
        """
        *levels, last = self.encoder(gray)
        x = self.project(self.norm(last.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        x = F.dropout(x, self.dropout, self.training)
        return self._attend(self.blocks32, x), levels

    def decode(
        self, x: Tensor, levels: Sequence[Tensor], gray: Tensor, hints: Tensor | None = None
    ) -> Tensor:
        """Return the features of `forward` from the results of `encode`."""
        fourth, eighth, sixteenth = levels
        x = self._attend(self.blocks16, self.up16(x, sixteenth))
        coarse = x = self.up8(x, eighth)
        if self.up4 is not None:
            x = self.up4(x, fourth)
        if hints is None or self.hints is None:
            return x
        return x + self.hints(x, torch.cat((coarse, eighth), 1), F.avg_pool2d(gray, 8), hints)

    @staticmethod
    def _attend(blocks: nn.ModuleList, x: Tensor) -> Tensor:
        """Apply transformer blocks to a map (N, C, h, w) as h * w tokens."""
        if not len(blocks):
            return x
        n, channels, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2)  # (N, h w, C)
        for block in blocks:
            tokens = block(tokens)
        return tokens.transpose(1, 2).reshape(n, channels, height, width)

    def load_from(self, weights: Mapping[str, Tensor]) -> None:
        """Load the pyramid of an exported `tint`; this one may lack its last blocks and levels.

        Args:
            weights: exported weights by name.

        Raises:
            CheckpointError: the sizes differ.
        """
        own = [name for name in self.state_dict() if not name.endswith("num_batches_tracked")]
        try:
            taken = {name: weights[f"pyramid.{name}"] for name in own}
            self.load_state_dict(taken, strict=False)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"That tint has other sizes ({error}).") from error

    def groups(
        self, rate: float, freeze: int, parameters: Sequence[nn.Parameter]
    ) -> list[tuple[list[nn.Parameter], float]]:
        """Return parameter groups with learning-rate factors: frozen blocks, encoder, the rest.

        Args:
            rate: factor for the encoder.
            freeze: number of first encoder blocks that are frozen, with the stem.
            parameters: all parameters of the model.

        Raises:
            SettingError: there are fewer blocks than `freeze`.
        """
        blocks = self.encoder.blocks
        if not 0 <= freeze <= len(blocks):
            raise SettingError(
                f"freeze_blocks must be a number from 0 to {len(blocks)}, not {freeze}"
            )
        encoder, rest = scaled_lr_groups(self.encoder, rate, parameters)
        if not freeze:
            return [encoder, rest]
        first = nn.ModuleList((self.encoder.stem, *blocks[:freeze]))
        frozen, (later, _) = scaled_lr_groups(first, 0.0, encoder[0])
        return [frozen, (later, rate), rest]
