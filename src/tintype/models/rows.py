"""The autoregressive network of `tint_sampler`: rows that attend to all rows above.

Everything that depends on the rows above alone, the vertical stack, runs once a row: gated
convolutions, and in every second layer attention to all cells above by what luminance says of both
(Vaswani et al. 2017). One meadow, one green, at any distance. What depends on the cells to the
left, the horizontal stack, is small: gated convolutions of three taps whose dilation doubles (van
den Oord et al. 2016, WaveNet). Layer norms look at one cell at a time, so they keep the order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.color.bins import ChromaLevels

#: Of Cr and of Cb: -0.30 to 0.28 in steps of 0.01875, so that neutral is one and gray stays gray.
LEVELS = ChromaLevels(32, -16 * 0.01875, 15 * 0.01875)


def quantize(chroma: Tensor) -> Tensor:
    """Return the nearest level of centered chroma, int64 of any shape."""
    step = (LEVELS.high - LEVELS.low) / (LEVELS.count - 1)
    return ((chroma - LEVELS.low) / step + 0.5).floor().clamp(0, LEVELS.count - 1).long()


def gate(x: Tensor) -> Tensor:
    """Return tanh of the first half of the channels times the sigmoid of the second."""
    signal, control = x.chunk(2, 1)
    return signal.tanh() * control.sigmoid()


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of every cell of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class VerticalConv2d(nn.Conv2d):
    """A convolution over ``rows`` rows above, and with ``own`` over the row itself."""

    def __init__(self, inputs: int, outputs: int, rows: int, width: int, own: bool) -> None:
        super().__init__(inputs, outputs, (rows + own, width))
        self.rows, self.own = rows, own

    def forward(self, input: Tensor) -> Tensor:
        # Without its own row the output is that of the row before, moved down by one.
        cut = input if self.own else input[:, :, :-1]
        return self.last_row(F.pad(cut, (0, 0, self.rows, 0)))

    def last_row(self, rows: Tensor) -> Tensor:
        """Return the output for the last of the rows it sees: (N, C, rows + own, W) to one row."""
        side = self.kernel_size[1] // 2
        return super().forward(F.pad(rows, (side, side, 0, 0)))


class CausalAttention(nn.Module):
    """Attention from every cell to the cells of all rows above.

    Queries and keys come from states, which hold the luminance around a cell and the colors above
    it; values from states and from the cell's own color, which rows below may know. Each head has a
    slope by which distance, in cells, lowers a score (ALiBi: Press et al. 2022, arXiv 2108.12409):
    nothing depends on the size of the picture. A null key stands for "nobody above".
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(2 * channels, channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.null_key = nn.Parameter(torch.zeros(2, channels))  # and its value
        # From looking anywhere to looking at the next few cells.
        self.log_slope = nn.Parameter(torch.linspace(-5, -1, heads))

    def forward(self, state: Tensor, colors: Tensor) -> Tensor:
        """Attend for states and embedded colors, both (N, C, H, W), all rows at once."""
        height, width = state.shape[2:]
        y = torch.arange(height, device=state.device).repeat_interleave(width)
        x = torch.arange(width, device=state.device).repeat(height)
        distance = ((y[:, None] - y).square() + (x[:, None] - x).square()).sqrt()
        distance = distance.masked_fill(y >= y[:, None], torch.inf)
        return self.attend(state, *self.key_value(state, colors), distance)

    def key_value(self, state: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of cells, each (N, C, cells), for rows below."""
        value = self.value(torch.cat((state, colors), 1))
        return self.key(state).flatten(2), value.flatten(2)

    def attend(self, state: Tensor, keys: Tensor, values: Tensor, distance: Tensor) -> Tensor:
        """Return what states (N, C, H, W) find.

        Args:
            state: of the cells that attend.
            keys, values: of the cells attended to, (N, C, cells).
            distance: from every attending to every other cell, (H * W, cells); infinite where it
                must not attend.
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
        # Infinity times the slope would leave the slope without a gradient.
        bias = -self.log_slope.exp()[:, None, None] * distance.masked_fill(hidden, 0)
        scores = (scores + bias.to(scores.dtype)).masked_fill(hidden, -torch.inf)
        y = scores.softmax(-1) @ values
        return self.proj(y.transpose(2, 3).reshape(n, channels, height, width))


class VerticalLayer(nn.Module):
    """One layer of the vertical stack: attention where it has heads, then a gated convolution."""

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
        return x + self.out(gate(self.conv(self.norm(x))))

    def step(
        self, x: Tensor, before: Tensor, cache: tuple[Tensor, ...], distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Do the same for one row.

        Args:
            x: the row, (N, C, 1, W).
            before: what the convolution saw of the two rows before, (N, C, 2, W).
            cache: keys and values of all rows above, where the layer attends.
            distance: from the row's cells to those in the cache.

        Returns:
            The row; what the convolution sees of it; and the state in which it attends.
        """
        query = None
        if self.attention_norm is not None and self.attention is not None:
            query = self.attention_norm(x)
            x = x + self.attention.attend(query, cache[0], cache[1], distance)
        own = self.norm(x)
        return x + self.out(gate(self.conv.last_row(torch.cat((before, own), 2)))), own, query


class HorizontalLayer(nn.Module):
    """One layer of the horizontal stack: three taps, the cell itself and two to its left."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.reach = 2 * dilation
        self.norm = LayerNorm2d(channels)
        self.conv = nn.Conv2d(channels, 2 * channels, (1, 3), dilation=(1, dilation))
        self.vertical = nn.Conv2d(channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, vertical: Tensor) -> Tensor:
        y = self.conv(F.pad(self.norm(x), (self.reach, 0)))
        return x + self.out(gate(y + self.vertical(vertical)))


class Rows(nn.Module):
    """The distributions of every cell's Cr and Cb given luminance and all cells before it.

    Args:
        features: channels of the conditioning features.
        channels: of both stacks.
        layers: of the vertical and of the horizontal stack.
        heads: of the attention in every second vertical layer.
    """

    def __init__(self, features: int, channels: int, layers: tuple[int, int], heads: int) -> None:
        super().__init__()
        c, levels = channels, LEVELS.count
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
        """Return logits of Cr and Cb, (2, N, levels, H, W).

        Args:
            levels: of Cr and Cb, int64 (N, 2, H, W).
            features: of the luminance, (N, K, H, W).
        """
        colors = self.embed(levels)
        x = self.first_vertical(colors) + self.condition(features)
        for layer in self.vertical:
            x = layer(x, colors)
        return self.read(levels, colors, self.vertical_norm(x))

    def vertical_layers(self) -> list[VerticalLayer]:
        """Return the layers of the vertical stack."""
        return [layer for layer in self.vertical if isinstance(layer, VerticalLayer)]

    def embed(self, levels: Tensor) -> Tensor:
        """Return levels (N, 2, H, W) as colors (N, C, H, W)."""
        cr, cb = levels.unbind(1)
        return (self.cr(cr) + self.cb(cb)).permute(0, 3, 1, 2)

    def read(self, levels: Tensor, colors: Tensor, vertical: Tensor) -> Tensor:
        """Return the logits of rows from the vertical stack's states and the levels in them."""
        # Three cells to the left: the row moved right by one.
        x = self.first_horizontal(F.pad(colors[..., :-1], (3, 0))) + vertical
        for layer in self.horizontal:
            x = layer(x, vertical)
        x = self.norm(x)
        own = self.own_cr(levels[:, 0]).permute(0, 3, 1, 2)
        cr = self.cr_logits(F.gelu(self.cr_hidden(x)))
        return torch.stack((cr, self.cb_logits(F.gelu(self.cb_hidden(x + own)))))
