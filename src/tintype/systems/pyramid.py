"""The feature pyramid that our own networks share, from luminance to features at 1/8 or 1/4.

- encoder: MobileNetV2 (`mobilenet.py`), meant to start from ImageNet weights, all of it trained;
- at 1/32 transformer blocks (Vaswani et al. 2017, pre-norm), so that every place sees the whole
  picture;
- decoder: a feature pyramid with additive lateral connections (Lin et al. 2017, arXiv 1612.03144).
  Adding costs half of what concatenation does at the same width.

Networks that have one can start from that of an exported `tint` (`Pyramid.adopt`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError
from tintype.systems.efficientnet import EfficientNetLite
from tintype.systems.mobilenet import MobileNetV2

_PARTS = ("encoder", "level", "gather", "blocks", "fuse16", "fuse8", "fuse4")


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and a two-layer perceptron, each with a residual."""

    def __init__(self, channels: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.merge = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, channels = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, heads, tokens, channels / heads)
        # Written out: at a few dozen tokens the fused kernel's backward pass is slower.
        share = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        y = (share @ v).transpose(1, 2).reshape(n, tokens, channels)
        x = x + F.dropout(self.merge(y), self.dropout, self.training)
        y = self.narrow(F.gelu(self.wide(self.norm2(x))))
        return x + F.dropout(y, self.dropout, self.training)


class Fuse(nn.Module):
    """One step up: the coarser map enlarged twice, a lateral map added, one 3x3 convolution."""

    def __init__(self, coarse: int, lateral: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.reduce = nn.Conv2d(coarse, outputs, 1, bias=False)
        self.lateral = nn.Conv2d(lateral, outputs, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, coarse: Tensor, lateral: Tensor) -> Tensor:
        up = F.interpolate(self.reduce(coarse), scale_factor=2.0, mode="bilinear")
        x = F.relu(self.norm1(up + self.lateral(lateral)))
        x = F.relu(self.norm2(self.conv(x)))
        # Whole maps: what a single value lacks, its neighbours would tell.
        return F.dropout2d(x, self.dropout, self.training)


class HintEncoder(nn.Module):
    """Features of known colors at one scale; zero where nothing is known, and at first all zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.project = nn.Conv2d(32, channels, 1, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, hints: Tensor) -> Tensor:
        return self.project(F.relu(self.conv(hints)))


def reduce_hints(hints: Tensor, factor: int) -> Tensor:
    """Reduce hints (N, 3, h, w: a, b, mask) by a factor: mean of the known ab, largest mask."""
    mask = hints[:, 2:]
    known = F.avg_pool2d(hints[:, :2] * mask, factor)
    share = F.avg_pool2d(mask, factor).clamp_min(1e-4)
    return torch.cat((known / share, F.max_pool2d(mask, factor)), 1)


class Pyramid(nn.Module):
    """Encoder, transformer blocks and decoder.

    Args:
        encoder: ``"mobilenet_v2"``, ``"efficientnet_lite0"`` or ``"efficientnet_lite2"``.
        finer_blocks: transformer blocks at 1/16, after the decoder's first step.
        hints: whether `forward` takes known colors.
        width: factor on MobileNetV2's channels; ImageNet weights fit 1.0 only.
        attention: channels of the transformer blocks at 1/32.
        heads: attention heads.
        blocks: number of transformer blocks.
        decoder: channels at 1/16, 1/8 and, where features are wanted at that size, 1/4.
        dropout: share of the features at 1/32 and of the residuals added to them that a step leaves
            out; of the decoder's maps it is half of that.

    Attributes:
        channels: of the features.
    """

    def __init__(
        self,
        width: float,
        attention: int,
        heads: int,
        blocks: int,
        decoder: Sequence[int],
        dropout: float = 0.0,
        encoder: str = "mobilenet_v2",
        finer_blocks: int = 0,
        hints: bool = False,
    ) -> None:
        super().__init__()
        if encoder == "mobilenet_v2":
            self.encoder: MobileNetV2 | EfficientNetLite = MobileNetV2(width)
        else:
            self.encoder = EfficientNetLite(encoder, width)
        fine, eighth, sixteenth, last = self.encoder.channels
        # Normalised before the projection, not after it: a batch norm there forgives a mean that
        # grows without bound, in bfloat16 until nothing else is left, and the encoder's top died.
        self.level = nn.LayerNorm(last)
        self.gather = nn.Linear(last, attention)
        self.dropout = dropout
        self.blocks = nn.ModuleList(
            TransformerBlock(attention, heads, dropout) for _ in range(blocks)
        )
        self.fuse16 = Fuse(attention, sixteenth, decoder[0], dropout / 2)
        self.fuse8 = Fuse(decoder[0], eighth, decoder[1], dropout / 2)
        self.fuse4 = None
        if len(decoder) > 2:
            self.fuse4 = Fuse(decoder[1], fine, decoder[2], dropout / 2)
        self.channels = decoder[-1]
        self.finer_blocks = nn.ModuleList(
            TransformerBlock(decoder[0], heads, dropout) for _ in range(finer_blocks)
        )
        self.hints = None
        if hints:
            widths = (fine, eighth, sixteenth, attention)
            self.hints = nn.ModuleList(HintEncoder(channels) for channels in widths)

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Features.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 32.
            hints: known colors, (N, 3, H/4, W/4): a / 110, b / 110 and a mask of 0 and 1.

        Returns:
            (N, C, H/4, W/4), or at 1/8 of the size without a decoder for 1/4.
        """
        return self.climb(*self.look(gray, hints))

    def look(self, gray: Tensor, hints: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """The way down: features of the whole picture at 1/32, and the encoder's to climb back on.

        Args:
            gray, hints: as `forward` takes them.

        Returns:
            (N, attention, H/32, W/32), and the encoder's features at 1/4, 1/8 and 1/16.
        """
        added: list[Tensor] = []
        if hints is not None and self.hints is not None:
            scales = [hints, *(reduce_hints(hints, factor) for factor in (2, 4, 8))]
            added = [part(scale) for part, scale in zip(self.hints, scales, strict=True)]
        *levels, last = self.encoder(gray, added[:3]) if added else self.encoder(gray)
        n, _, height, width = last.shape
        tokens = self.gather(self.level(last.flatten(2).transpose(1, 2)))  # (N, cells, C)
        if added:
            tokens = tokens + added[3].flatten(2).transpose(1, 2)
        tokens = F.dropout(tokens, self.dropout, self.training)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.transpose(1, 2).reshape(n, -1, height, width), levels

    def climb(self, x: Tensor, levels: list[Tensor]) -> Tensor:
        """The way up: features as `forward` returns them, of what `look` does."""
        fine, eighth, sixteenth = levels
        x = self.fuse16(x, sixteenth)
        if self.finer_blocks:
            n, channels, height, width = x.shape
            tokens = x.flatten(2).transpose(1, 2)
            for block in self.finer_blocks:
                tokens = block(tokens)
            x = tokens.transpose(1, 2).reshape(n, channels, height, width)
        x = self.fuse8(x, eighth)
        return x if self.fuse4 is None else self.fuse4(x, fine)

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the pyramid of a `tint`, as far as this one goes.

        Args:
            weights: of the whole `tint`, by name.

        Raises:
            CheckpointError: it has other sizes.
        """
        own = {name for name in self.state_dict() if name.partition(".")[0] in _PARTS}
        try:
            taken = {
                name: weights[f"pyramid.{name}"]
                for name in own
                if not name.endswith("num_batches_tracked")
            }
            self.load_state_dict(taken, strict=False)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"That tint has other sizes ({error}).") from error
