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

import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError
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


class Pyramid(nn.Module):
    """Encoder, transformer blocks and decoder.

    Args:
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
    ) -> None:
        super().__init__()
        self.encoder = MobileNetV2(width)
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

    def forward(self, gray: Tensor) -> Tensor:
        """Features.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 32.

        Returns:
            (N, C, H/4, W/4), or at 1/8 of the size without a decoder for 1/4.
        """
        return self.climb(*self.look(gray))

    def look(self, gray: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The way down: features of the whole picture at 1/32, and the encoder's to climb back on.

        Args:
            gray: as `forward` takes it.

        Returns:
            (N, attention, H/32, W/32), and the encoder's features at 1/4, 1/8 and 1/16.
        """
        *levels, last = self.encoder(gray)
        n, _, height, width = last.shape
        tokens = self.gather(self.level(last.flatten(2).transpose(1, 2)))  # (N, cells, C)
        tokens = F.dropout(tokens, self.dropout, self.training)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.transpose(1, 2).reshape(n, -1, height, width), levels

    def climb(self, x: Tensor, levels: list[Tensor]) -> Tensor:
        """The way up: features as `forward` returns them, of what `look` does."""
        fine, eighth, sixteenth = levels
        x = self.fuse8(self.fuse16(x, sixteenth), eighth)
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
