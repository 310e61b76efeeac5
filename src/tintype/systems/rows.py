"""The coloring network of our `pixcolor.small`: a PixelCNN whose rows look back at all rows above.

An exact autoregressive model over cells in raster order, Cr before Cb, as PixColor's. What ten
small convolutions lack is a view of the whole picture: hue drifts across it. So the work is put
where sampling can afford it:

- everything that depends on the rows above alone is computed once for a row, however large. Here
  each layer is a gated convolution, and in some of them attention (Vaswani et al. 2017): every cell
  of the row asks all cells above what colours they took, by what luminance says of both. One
  meadow, one green, at any distance;
- what depends on the cells to the left is small: gated convolutions of three taps whose steps
  double (van den Oord et al. 2016, WaveNet), so that four layers reach across 30 cells.

Layer norms look at one cell at a time, so they keep the order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.systems.pixelcnn import AboveConv2d, gate


class CellNorm(nn.LayerNorm):
    """Layer norm over the channels of every cell of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class AboveAttention(nn.Module):
    """Every cell asks the cells of all rows above for their colours.

    Queries and keys come from states, which hold the luminance around a cell and the colours above
    it; values from states and from the cell's own colour, which rows below may know. Each head
    has a slope by which distance, in cells, lowers a score (Press et al. 2022, arXiv 2108.12409):
    nothing depends on the size of the picture. A key of its own stands for "nobody above".
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(2 * channels, channels, 1)
        self.merge = nn.Conv2d(channels, channels, 1)
        self.nobody = nn.Parameter(torch.zeros(2, channels))
        # From looking anywhere to looking at the next few cells.
        self.slope = nn.Parameter(torch.linspace(-5, -1, heads))

    def forward(self, state: Tensor, colours: Tensor) -> Tensor:
        """Answers (N, C, H, W) for states and embedded colours of the same shape."""
        n, channels, height, width = state.shape
        share = channels // self.heads
        query = self.query(state)
        key, value = self.key(state), self.value(torch.cat((state, colours), 1))

        def by_heads(x: Tensor) -> Tensor:  # (N, heads, cells, channels / heads)
            return x.flatten(2).view(n, self.heads, share, -1).transpose(2, 3)

        nobody = self.nobody.view(2, 1, self.heads, 1, share).expand(2, n, -1, -1, -1)
        keys = torch.cat((nobody[0], by_heads(key)), 2)
        values = torch.cat((nobody[1], by_heads(value)), 2)
        scores = by_heads(query) @ keys.transpose(2, 3) / share**0.5
        scores = scores + self._bias(height, width).to(scores.dtype)
        y = scores.softmax(-1) @ values
        return self.merge(y.transpose(2, 3).reshape(n, channels, height, width))

    def _bias(self, height: int, width: int) -> Tensor:
        """What is added to the scores: (heads, cells, 1 + cells), -inf where order forbids it."""
        device = self.slope.device
        y, x = torch.meshgrid(
            torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
        )
        y, x = y.flatten(), x.flatten()
        distance = ((y[:, None] - y).square() + (x[:, None] - x).square()).sqrt()
        bias = -self.slope.exp()[:, None, None] * distance
        bias = bias.masked_fill(y >= y[:, None], -torch.inf)
        return F.pad(bias, (1, 0))


class AboveLayer(nn.Module):
    """One layer of the vertical stack; see `RowNetwork`."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.ask = CellNorm(channels) if heads else None
        self.attention = AboveAttention(channels, heads) if heads else None
        self.norm = CellNorm(channels)
        self.conv = AboveConv2d(channels, 2 * channels, 2, 5, own=True)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, colours: Tensor) -> Tensor:
        if self.ask is not None and self.attention is not None:
            x = x + self.attention(self.ask(x), colours)
        return x + self.out(gate(self.conv(self.norm(x))))


class LeftLayer(nn.Module):
    """One layer of the horizontal stack: three taps, the cell itself and two to its left."""

    def __init__(self, channels: int, step: int) -> None:
        super().__init__()
        self.reach = 2 * step
        self.norm = CellNorm(channels)
        self.conv = nn.Conv2d(channels, 2 * channels, (1, 3), dilation=(1, step))
        self.above = nn.Conv2d(channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, above: Tensor) -> Tensor:
        y = self.conv(F.pad(self.norm(x), (self.reach, 0)))
        return x + self.out(gate(y + self.above(above)))


class RowNetwork(nn.Module):
    """Distributions of every cell's Cr and Cb given luminance and all cells before it.

    Args:
        levels: of Cr and of Cb.
        conditioning: channels of the conditioning features.
        channels: of both stacks.
        above: layers of the vertical stack; every second one attends.
        left: layers of the horizontal stack.
        heads: of the attention.
    """

    def __init__(
        self, levels: int, conditioning: int, channels: int, above: int, left: int, heads: int
    ) -> None:
        super().__init__()
        self.red = nn.Embedding(levels, channels)
        self.blue = nn.Embedding(levels, channels)
        self.condition = nn.Conv2d(conditioning, channels, 1)
        self.first_above = AboveConv2d(channels, channels, 3, 5, own=False)
        self.above = nn.ModuleList(
            AboveLayer(channels, heads if k % 2 else 0) for k in range(above)
        )
        self.settle = CellNorm(channels)
        self.first_left = nn.Conv2d(channels, channels, (1, 3))
        self.left = nn.ModuleList(LeftLayer(channels, 2**k) for k in range(left))
        self.norm = CellNorm(channels)
        self.own_red = nn.Embedding(levels, channels)
        self.red_hidden = nn.Conv2d(channels, 2 * channels, 1)
        self.red_logits = nn.Conv2d(2 * channels, levels, 1)
        self.blue_hidden = nn.Conv2d(channels, 2 * channels, 1)
        self.blue_logits = nn.Conv2d(2 * channels, levels, 1)
        for embedding in (self.red, self.blue, self.own_red):
            nn.init.normal_(embedding.weight, std=0.5)

    def forward(self, chroma: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of Cr and Cb, each (N, levels, H, W); arguments as of `PixelCNN.forward`."""
        chroma = chroma.long()
        red, blue = chroma.unbind(1)
        colours = (self.red(red) + self.blue(blue)).permute(0, 3, 1, 2)
        seen = self.condition(condition)
        above = self.first_above(colours) + seen
        for layer in self.above:
            above = layer(above, colours)
        above = self.settle(above)
        # Three cells to the left: the row moved right by one.
        x = self.first_left(F.pad(colours[..., :-1], (3, 0))) + above
        for layer in self.left:
            x = layer(x, above)
        x = self.norm(x)
        own = self.own_red(red).permute(0, 3, 1, 2)
        red_logits = self.red_logits(F.gelu(self.red_hidden(x)))
        return red_logits, self.blue_logits(F.gelu(self.blue_hidden(x + own)))
