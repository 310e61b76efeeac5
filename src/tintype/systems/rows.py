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

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.systems.pixelcnn import AboveConv2d, gate
from tintype.systems.system import Graph


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
        height, width = state.shape[2:]
        device = state.device
        y, x = torch.meshgrid(
            torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
        )
        y, x = y.flatten(), x.flatten()
        distance = ((y[:, None] - y).square() + (x[:, None] - x).square()).sqrt()
        distance = distance.masked_fill(y >= y[:, None], torch.inf)
        return self.ask(state, *self.remember(state, colours), distance)

    def remember(self, state: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of cells, each (N, C, cells), for rows below to ask."""
        value = self.value(torch.cat((state, colours), 1))
        return self.key(state).flatten(2), value.flatten(2)

    def ask(self, state: Tensor, keys: Tensor, values: Tensor, distance: Tensor) -> Tensor:
        """Answers for states (N, C, H, W).

        Args:
            state: those who ask.
            keys, values: of the cells asked, (N, C, cells).
            distance: from every asking to every asked cell, (H * W, cells); infinite to those that
                must not be asked.
        """
        n, channels, height, width = state.shape

        def by_heads(x: Tensor) -> Tensor:  # (N, C, cells) to (N, heads, cells, C / heads)
            return x.unflatten(1, (self.heads, channels // self.heads)).transpose(2, 3)

        nobody = self.nobody[:, None, :, None].expand(-1, n, -1, -1)
        keys = by_heads(torch.cat((nobody[0], keys), 2))
        values = by_heads(torch.cat((nobody[1], values), 2))
        scores = by_heads(self.query(state).flatten(2)) @ keys.transpose(2, 3)
        scores = scores / (channels // self.heads) ** 0.5
        distance = F.pad(distance, (1, 0))
        hidden = distance.isinf()
        # Infinity times the slope would leave the slope without a gradient.
        bias = -self.slope.exp()[:, None, None] * distance.masked_fill(hidden, 0)
        scores = (scores + bias.to(scores.dtype)).masked_fill(hidden, -torch.inf)
        y = scores.softmax(-1) @ values
        return self.merge(y.transpose(2, 3).reshape(n, channels, height, width))


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

    def step(
        self, x: Tensor, before: Tensor, memory: Sequence[Tensor], distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The same for one row.

        Args:
            x: the row, (N, C, 1, W).
            before: what the convolution saw of the two rows before, (N, C, 2, W).
            memory: keys and values of all rows above, where the layer asks them.
            distance: from the row's cells to those remembered.

        Returns:
            The row; what the convolution sees of it; and the state in which it asks.
        """
        asking = None
        if self.ask is not None and self.attention is not None:
            asking = self.ask(x)
            x = x + self.attention.ask(asking, memory[0], memory[1], distance)
        own = self.norm(x)
        return x + self.out(gate(self.conv.of_rows(torch.cat((before, own), 2)))), own, asking


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
        colours = self.embed(chroma)
        above = self.first_above(colours) + self.condition(condition)
        for layer in self.above:
            above = layer(above, colours)
        return self.read(chroma, colours, self.settle(above))

    def layers_above(self) -> list[AboveLayer]:
        """The layers of the vertical stack."""
        return [layer for layer in self.above if isinstance(layer, AboveLayer)]

    def embed(self, chroma: Tensor) -> Tensor:
        """Levels (N, 2, H, W) as colours (N, C, H, W)."""
        red, blue = chroma.long().unbind(1)
        return (self.red(red) + self.blue(blue)).permute(0, 3, 1, 2)

    def read(self, chroma: Tensor, colours: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of rows from what is above them and the levels in them.

        Args:
            chroma: levels, (N, 2, H, W).
            colours: the same embedded.
            above: states of the vertical stack, (N, C, H, W).
        """
        # Three cells to the left: the row moved right by one.
        x = self.first_left(F.pad(colours[..., :-1], (3, 0))) + above
        for layer in self.left:
            x = layer(x, above)
        x = self.norm(x)
        own = self.own_red(chroma[:, 0].long()).permute(0, 3, 1, 2)
        red_logits = self.red_logits(F.gelu(self.red_hidden(x)))
        return red_logits, self.blue_logits(F.gelu(self.blue_hidden(x + own)))


def row_graphs(network: RowNetwork) -> dict[str, Graph]:
    """The three graphs that `tintype.runtime.sampler` runs."""
    channels, levels = network.settle.normalized_shape[0], network.red.num_embeddings
    features = network.condition.in_channels
    layers = len(network.above)
    attending = sum(layer.attention is not None for layer in network.layers_above())

    def sizes(size: int) -> tuple[int, int, int]:
        return 1 + size, 4 * size + 1, 12 * size  # samples, cells in a row, cells in all

    def look_up(size: int) -> dict[str, Tensor]:
        n, width, cells = sizes(size)
        distance = torch.rand(width, cells) * 5
        distance[:, cells // 2 :] = torch.inf
        return {
            "condition": torch.randn(1, features, 1, width),
            "colours": torch.randn(n, channels, 3, width),
            "before": torch.randn(layers, n, channels, 2, width),
            "keys": torch.randn(attending, n, channels, cells),
            "values": torch.randn(attending, n, channels, cells),
            "distance": distance,
        }

    def read(size: int) -> dict[str, Tensor]:
        n, width, _ = sizes(size)
        return {
            "above": torch.randn(n, channels, 1, width),
            "levels": torch.randint(levels, (n, 2, 1, width)),
            "noise": torch.randn(2, n, levels, 1, width),
            "temperature": torch.tensor(0.7),
        }

    def remember(size: int) -> dict[str, Tensor]:
        n, width, _ = sizes(size)
        return {
            "levels": torch.randint(levels, (n, 2, 1, width)),
            "asked": torch.randn(attending, n, channels, 1, width),
        }

    n, width, cells = ("samples", 1), ("width", 1), ("cells", 1)
    return {
        "lookup": Graph(
            LookUp(network),
            look_up,
            {
                "condition": {3: width},
                "colours": {0: n, 3: width},
                "before": {1: n, 4: width},
                "keys": {1: n, 3: cells},
                "values": {1: n, 3: cells},
                "distance": {0: width, 1: cells},
            },
            ("above", "seen", "asked"),
        ),
        "read": Graph(
            ReadRow(network),
            read,
            {
                "above": {0: n, 3: width},
                "levels": {0: n, 3: width},
                "noise": {1: n, 4: width},
            },
            ("found", "nats"),
        ),
        "remember": Graph(
            Remember(network),
            remember,
            {"levels": {0: n, 3: width}, "asked": {1: n, 4: width}},
            ("colours", "keys", "values"),
        ),
    }


class LookUp(nn.Module):
    """The vertical stack for the next row: one of the three graphs a sampler runs.

    Args:
        network: whose weights it uses.
    """

    def __init__(self, network: RowNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        condition: Tensor,
        colours: Tensor,
        before: Tensor,
        keys: Tensor,
        values: Tensor,
        distance: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Everything a row can know of the rows above it.

        Args:
            condition: features of the row's luminance, (1 or N, K, 1, W).
            colours: of the three rows before, embedded, (N, C, 3, W); zeros above the picture.
            before: what each layer's convolution saw of the two rows before, (layers, N, C, 2, W).
            keys, values: of all cells, (attending layers, N, C, cells).
            distance: from the row's cells to all cells, (W, cells); infinite to those not above.

        Returns:
            The row's states (N, C, 1, W); what each convolution saw of it, (layers, N, C, 1, W);
            the states in which it asked, (attending layers, N, C, 1, W), for `Remember`.
        """
        x = self.network.first_above.of_rows(colours) + self.network.condition(condition)
        seen, asked = [], []
        for k, layer in enumerate(self.network.layers_above()):
            memory = (keys[len(asked)], values[len(asked)]) if layer.attention is not None else ()
            x, own, asking = layer.step(x, before[k], memory, distance)
            seen.append(own)
            if asking is not None:
                asked.append(asking)
        return self.network.settle(x), torch.stack(seen), torch.stack(asked)


class ReadRow(nn.Module):
    """One pass over a row whose levels are guessed: a better guess, and its likelihood.

    With the noise given, every level is a function of those before it in the row; a guess that
    comes back unchanged is the sample, and each pass settles one more level at least (Song et al.
    2021, arXiv 2002.03629).
    """

    def __init__(self, network: RowNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, above: Tensor, levels: Tensor, noise: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next guess.

        Args:
            above: states from `LookUp`, (N, C, 1, W).
            levels: the guess, (N, 2, 1, W).
            noise: Gumbel noise, (2, N, levels, 1, W).
            temperature: divides the logits.

        Returns:
            Levels (N, 2, 1, W), and the log-likelihood of the levels given, in nats, (N, 2, 1, W).
        """
        logits = torch.stack(self.network.read(levels, self.network.embed(levels), above))
        found = (logits / temperature + noise).argmax(2).transpose(0, 1)
        chosen = levels.transpose(0, 1)[:, :, None]
        nats = logits.log_softmax(2).gather(2, chosen)[:, :, 0].transpose(0, 1)
        return found, nats


class Remember(nn.Module):
    """What a finished row leaves for the rows below."""

    def __init__(self, network: RowNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, levels: Tensor, asked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Colours and memory of a row.

        Args:
            levels: of the row, (N, 2, 1, W).
            asked: from `LookUp`.

        Returns:
            Colours (N, C, 1, W); keys and values, each (attending layers, N, C, W).
        """
        colours = self.network.embed(levels)
        layers = self.network.layers_above()
        attending = [layer.attention for layer in layers if layer.attention is not None]
        pairs = [part.remember(asked[k], colours) for k, part in enumerate(attending)]
        keys, values = zip(*pairs, strict=True)
        return colours, torch.stack(keys), torch.stack(values)
