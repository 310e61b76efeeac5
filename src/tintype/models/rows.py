"""The autoregressive network of `tint_sampler`, with attention to all rows above.

The vertical stack depends on the rows above only, and runs once per row: gated convolutions, and in
every second layer causal attention to all cells above (Vaswani et al. 2017), so that distant parts
of one object get one color. The horizontal stack depends on the cells to the left too, and is
small: gated convolutions of three taps with doubling dilation (WaveNet, van den Oord et al. 2016,
arXiv 1609.03499). Layer norms act on single cells, so they are causal.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.layers import LayerNorm2d, gated_tanh

LEVELS = 32  #: levels of Cr and of Cb
# From -0.30 to 0.28 in steps of 0.01875. Neutral is one of them, so that gray stays gray.
_LOW, _HIGH = -16 * 0.01875, 15 * 0.01875


def quantize(chroma: Tensor) -> Tensor:
    """Return the nearest of the 32 levels of centered Cr or Cb, int64 of any shape."""
    step = (_HIGH - _LOW) / (LEVELS - 1)
    return ((chroma - _LOW) / step + 0.5).floor().clamp(0, LEVELS - 1).long()


def level_centers() -> Tensor:
    """Return the centered chroma of each level, float32 (32,)."""
    return torch.from_numpy(np.linspace(_LOW, _HIGH, LEVELS, dtype=np.float32))


class VerticalConv2d(nn.Conv2d):
    """A convolution over a number of rows above and, with ``own``, the row itself."""

    def __init__(self, inputs: int, outputs: int, rows: int, width: int, own: bool) -> None:
        super().__init__(inputs, outputs, (rows + own, width))
        self.rows, self.own = rows, own

    def forward(self, input: Tensor) -> Tensor:
        # Without its own row, shift the input down by one row.
        cut = input if self.own else input[:, :, :-1]
        return self.last_row(F.pad(cut, (0, 0, self.rows, 0)))

    def last_row(self, rows: Tensor) -> Tensor:
        """Return the output (N, C, 1, W) for the last of the rows (N, C, rows + own, W)."""
        side = self.kernel_size[1] // 2
        return super().forward(F.pad(rows, (side, side, 0, 0)))


class CausalAttention(nn.Module):
    """Attention from every cell to the cells of all rows above.

    Queries and keys are computed from the states of the vertical stack, values from the states and
    the colors of the cells attended to. Each head has a learned slope, times which the distance in
    cells is subtracted from the scores (ALiBi, Press et al. 2022, arXiv 2108.12409), so that
    nothing depends on the size of the image. A learned null key makes the first row well defined.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(2 * channels, channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.null_key = nn.Parameter(torch.zeros(2, channels))  # a key and its value
        # Initial slopes from global attention to attention to the nearest cells.
        self.log_slope = nn.Parameter(torch.linspace(-5, -1, heads))

    def forward(self, state: Tensor, colors: Tensor) -> Tensor:
        """Return attention of all rows, of states and embedded colors (N, C, H, W)."""
        height, width = state.shape[2:]
        y = torch.arange(height, device=state.device).repeat_interleave(width)
        x = torch.arange(width, device=state.device).repeat(height)
        distance = ((y[:, None] - y).square() + (x[:, None] - x).square()).sqrt()
        distance = distance.masked_fill(y >= y[:, None], torch.inf)
        return self.attend(state, *self.key_value(state, colors), distance)

    def key_value(self, state: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (N, C, cells) of states and colors (N, C, H, W)."""
        value = self.value(torch.cat((state, colors), 1))
        return self.key(state).flatten(2), value.flatten(2)

    def attend(self, state: Tensor, keys: Tensor, values: Tensor, distance: Tensor) -> Tensor:
        """Return the result of attention, (N, C, H, W).

        Args:
            state: states of the cells that attend, (N, C, H, W).
            keys, values: of the cells attended to, (N, C, cells).
            distance: from every attending cell to every cell attended to, (H * W, cells); infinite
                where attention is masked.
        """
        n, channels, height, width = state.shape

        def by_heads(x: Tensor) -> Tensor:  # (N, C, cells) to (N, heads, cells, C / heads)
            return x.unflatten(1, (self.heads, channels // self.heads)).transpose(2, 3)

        null = self.null_key[:, None, :, None].expand(-1, n, -1, -1)
        keys = by_heads(torch.cat((null[0], keys), 2))
        values = by_heads(torch.cat((null[1], values), 2))
        scores = by_heads(self.query(state).flatten(2)) @ keys.transpose(2, 3)
        scores = scores / (channels // self.heads) ** 0.5
        distance = F.pad(distance, (1, 0))
        hidden = distance.isinf()
        # Infinity times the slope would give the slope a gradient of nan.
        bias = -self.log_slope.exp()[:, None, None] * distance.masked_fill(hidden, 0)
        scores = (scores + bias.to(scores.dtype)).masked_fill(hidden, -torch.inf)
        y = scores.softmax(-1) @ values
        return self.proj(y.transpose(2, 3).reshape(n, channels, height, width))


class VerticalLayer(nn.Module):
    """One layer of the vertical stack: attention, if it has heads, and a gated convolution."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = LayerNorm2d(channels) if heads else None
        self.attention = CausalAttention(channels, heads) if heads else None
        self.norm = LayerNorm2d(channels)
        self.conv = VerticalConv2d(channels, 2 * channels, 2, 5, own=True)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, colors: Tensor) -> Tensor:
        if self.attention_norm is not None and self.attention is not None:
            x = x + self.attention(self.attention_norm(x), colors)
        return x + self.out(gated_tanh(self.conv(self.norm(x))))

    def step(
        self, x: Tensor, before: Tensor, cache: tuple[Tensor, ...], distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Compute the layer for one row.

        Args:
            x: states of the row, (N, C, 1, W).
            before: input of the convolution in the two rows before, (N, C, 2, W).
            cache: keys and values of all rows above, if the layer has attention.
            distance: from the row's cells to those in the cache, (W, cells).

        Returns:
            The output, (N, C, 1, W); the row's input of the convolution; and its input of the
            attention, None without attention.
        """
        query = None
        if self.attention_norm is not None and self.attention is not None:
            query = self.attention_norm(x)
            x = x + self.attention.attend(query, cache[0], cache[1], distance)
        own = self.norm(x)
        return x + self.out(gated_tanh(self.conv.last_row(torch.cat((before, own), 2)))), own, query


class HorizontalLayer(nn.Module):
    """One layer of the horizontal stack: a gated convolution of the cell and two to its left."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.reach = 2 * dilation
        self.norm = LayerNorm2d(channels)
        self.conv = nn.Conv2d(channels, 2 * channels, (1, 3), dilation=(1, dilation))
        self.vertical = nn.Conv2d(channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, vertical: Tensor) -> Tensor:
        y = self.conv(F.pad(self.norm(x), (self.reach, 0)))
        return x + self.out(gated_tanh(y + self.vertical(vertical)))


class Rows(nn.Module):
    """The network that predicts each cell's Cr and Cb from luminance and all cells before it.

    Args:
        features: channels of the conditioning features.
        channels: channels of both stacks.
        layers: number of layers of the vertical and of the horizontal stack.
        heads: number of heads of the attention in every second vertical layer.
    """

    def __init__(self, features: int, channels: int, layers: tuple[int, int], heads: int) -> None:
        super().__init__()
        c, levels = channels, LEVELS
        vertical, horizontal = layers
        self.cr = nn.Embedding(levels, c)
        self.cb = nn.Embedding(levels, c)
        self.condition = nn.Conv2d(features, c, 1)
        self.first_vertical = VerticalConv2d(c, c, 3, 5, own=False)
        self.vertical = nn.ModuleList(
            VerticalLayer(c, heads if k % 2 else 0) for k in range(vertical)
        )
        self.vertical_norm = LayerNorm2d(c)
        self.first_horizontal = nn.Conv2d(c, c, (1, 3))
        self.horizontal = nn.ModuleList(HorizontalLayer(c, 2**k) for k in range(horizontal))
        self.norm = LayerNorm2d(c)
        self.own_cr = nn.Embedding(levels, c)
        self.cr_hidden = nn.Conv2d(c, 2 * c, 1)
        self.cr_logits = nn.Conv2d(2 * c, levels, 1)
        self.cb_hidden = nn.Conv2d(c, 2 * c, 1)
        self.cb_logits = nn.Conv2d(2 * c, levels, 1)
        for embedding in (self.cr, self.cb, self.own_cr):
            nn.init.normal_(embedding.weight, std=0.5)

    def forward(self, levels: Tensor, features: Tensor) -> Tensor:
        """Return logits of Cr and Cb, (2, N, 32, H, W).

        Args:
            levels: levels of Cr and Cb, int64 (N, 2, H, W).
            features: conditioning features, (N, K, H, W).
        """
        colors = self.embed(levels)
        x = self.first_vertical(colors) + self.condition(features)
        for layer in self.vertical:
            x = layer(x, colors)
        return self.horizontal_stack(levels, colors, self.vertical_norm(x))

    def vertical_layers(self) -> list[VerticalLayer]:
        """Return the layers of the vertical stack."""
        return [layer for layer in self.vertical if isinstance(layer, VerticalLayer)]

    def embed(self, levels: Tensor) -> Tensor:
        """Return the embedding (N, C, H, W) of levels (N, 2, H, W)."""
        cr, cb = levels.unbind(1)
        return (self.cr(cr) + self.cb(cb)).permute(0, 3, 1, 2)

    def horizontal_stack(self, levels: Tensor, colors: Tensor, vertical: Tensor) -> Tensor:
        """Return logits (2, N, 32, H, W) of rows.

        Args:
            levels: levels of Cr and Cb in the rows, (N, 2, H, W).
            colors: their embedding, (N, C, H, W).
            vertical: states of the vertical stack, (N, C, H, W).
        """
        # Shifted by one, so that the first layer sees the three cells to the left.
        x = self.first_horizontal(F.pad(colors[..., :-1], (3, 0))) + vertical
        for layer in self.horizontal:
            x = layer(x, vertical)
        x = self.norm(x)
        own = self.own_cr(levels[:, 0]).permute(0, 3, 1, 2)
        cr = self.cr_logits(F.gelu(self.cr_hidden(x)))
        return torch.stack((cr, self.cb_logits(F.gelu(self.cb_hidden(x + own)))))
