"""The graphs with which the runtime samples `tint_sampler` row by row; see `runtime.sampler`.

States: ``colors``, the embedded colors of the three rows before; ``before``, what each vertical
layer's convolution saw of the two rows before; ``keys`` and ``vals``, the KV cache of the layers
that attend, which grows by a row's cells each time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tintype.models.base import Graph
from tintype.models.rows import CausalAttention, Rows, quantize


def _attentions(rows: Rows) -> list[CausalAttention]:
    return [layer.attention for layer in rows.vertical_layers() if layer.attention is not None]


def row_states(rows: Rows) -> dict[str, tuple[int | str, ...]]:
    """Return the shapes of the states before the first row, as a card lists them."""
    c, layers, attending = rows.norm.normalized_shape[0], len(rows.vertical), len(_attentions(rows))
    return {
        "colors": ("samples", c, 3, "width"),
        "before": (layers, "samples", c, 2, "width"),
        "keys": (attending, "samples", c, 0),
        "vals": (attending, "samples", c, 0),
    }


class ConditionRow(nn.Module):
    """The graph ``above``: the vertical stack for the next row."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def forward(
        self, features: Tensor, colors: Tensor, before: Tensor, keys: Tensor, vals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the row's states, what each convolution saw of it, and the attending states.

        Args:
            features: of the row's luminance, (1, K, 1, W).
            colors, before, keys, vals: states; see `row_states`.
        """
        # Where the cells of the cache lie, seen from the row that comes next: the last cell is one
        # row above. The width is a tensor, for the exporter knows no division by a symbolic size.
        own, index = torch.arange(features.shape[3]), torch.arange(keys.shape[3])
        width = own[-1] + 1
        x = index % width - own[:, None]
        y = keys.shape[3] // features.shape[3] - index // width
        distance = (x.square() + y.square()).float().sqrt()  # (W, cells)
        state = self.rows.first_vertical.last_row(colors) + self.rows.condition(features)
        seen, queries = [], []
        for k, layer in enumerate(self.rows.vertical_layers()):
            cache = ()
            if layer.attention is not None:
                cache = (keys[len(queries)], vals[len(queries)])
            state, own, query = layer.step(state, before[k], cache, distance)
            seen.append(own)
            if query is not None:
                queries.append(query)
        return self.rows.vertical_norm(state), torch.stack(seen), torch.stack(queries)


class SampleCell(nn.Module):
    """The graph ``row``: a better guess of a row from a guess, and the likelihood of that guess.

    With the noise given, every value is a function of those before it in the row; a guess that
    comes back unchanged is the sample, and each pass settles one more value at least.
    """

    def __init__(self, rows: Rows, levels: Tensor) -> None:
        super().__init__()
        self.rows = rows
        self.levels: Tensor
        self.register_buffer("levels", levels, persistent=False)

    def forward(
        self, context: Tensor, guess: Tensor, noise: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return Cb and Cr (N, 2, 1, W), and log-probabilities of the guess in nats.

        Args:
            context: states from `ConditionRow`, (N, C, 1, W).
            guess: Cb and Cr, (N, 2, 1, W); each stands for its nearest level.
            noise: Gumbel noise, (N, 64, 1, W), that of Cr first.
            temperature: divides the logits.
        """
        levels = quantize(guess.flip(1))
        logits = self.rows.read(levels, self.rows.embed(levels), context)  # (2, N, 32, 1, W)
        drawn = noise.unflatten(1, (2, -1)).transpose(0, 1)
        found = (logits / temperature + drawn).argmax(2).transpose(0, 1)
        chosen = levels.transpose(0, 1)[:, :, None]
        logp = logits.log_softmax(2).gather(2, chosen)[:, :, 0].transpose(0, 1)
        return self.levels[found].flip(1), logp.flip(1)


class UpdateCache(nn.Module):
    """The graph ``cache``: what a finished row leaves to the rows below."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def forward(
        self,
        values: Tensor,
        seen: Tensor,
        queries: Tensor,
        colors: Tensor,
        before: Tensor,
        keys: Tensor,
        vals: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the new states, as ``next_`` and the name of each (a graph has no name twice).

        Args:
            values: of the row, Cb and Cr, (N, 2, 1, W).
            seen, queries: from `ConditionRow`.
            colors, before, keys, vals: the states so far.
        """
        own = self.rows.embed(quantize(values.flip(1)))
        pairs = [part.key_value(queries[k], own) for k, part in enumerate(_attentions(self.rows))]
        key, val = (torch.stack(each) for each in zip(*pairs, strict=True))
        return (
            torch.cat((colors[:, :, 1:], own), 2),
            torch.cat((before[..., 1:, :], seen), 3),
            torch.cat((keys, key), 3),
            torch.cat((vals, val), 3),
        )


def row_graphs(rows: Rows, levels: Tensor) -> dict[str, Graph]:
    """Return the graphs ``above``, ``row`` and ``cache``."""
    c, layers, attending = rows.norm.normalized_shape[0], len(rows.vertical), len(_attentions(rows))
    count = len(levels)

    def states(size: int) -> dict[str, Tensor]:
        n, width = 1 + size, 4 * size + 1
        return {
            "colors": torch.randn(n, c, 3, width),
            "before": torch.randn(layers, n, c, 2, width),
            "keys": torch.randn(attending, n, c, (1 + size) * width),
            "vals": torch.randn(attending, n, c, (1 + size) * width),
        }

    def above(size: int) -> dict[str, Tensor]:
        features = torch.randn(1, rows.condition.in_channels, 1, 4 * size + 1)
        return {"features": features, **states(size)}

    def chroma(size: int) -> Tensor:
        return levels[torch.randint(count, (1 + size, 2, 1, 4 * size + 1))]

    def row(size: int) -> dict[str, Tensor]:
        n, width = 1 + size, 4 * size + 1
        return {
            "context": torch.randn(n, c, 1, width),
            "guess": chroma(size),
            "noise": torch.randn(n, 2 * count, 1, width),
            "temperature": torch.tensor(0.7),
        }

    def cache(size: int) -> dict[str, Tensor]:
        n, width = 1 + size, 4 * size + 1
        seen = {
            "seen": torch.randn(layers, n, c, 1, width),
            "queries": torch.randn(attending, n, c, 1, width),
        }
        return {"values": chroma(size), **seen, **states(size)}

    n, width, cells = ("samples", 1), ("width", 1), ("cells", 1)
    of_states = {
        "colors": {0: n, 3: width},
        "before": {1: n, 4: width},
        "keys": {1: n, 3: cells},
        "vals": {1: n, 3: cells},
    }
    of_row = {name: {0: n, 3: width} for name in ("context", "guess", "noise", "values")}
    of_row |= {name: {1: n, 4: width} for name in ("seen", "queries")}
    dynamic = {**of_states, **of_row, "features": {3: width}}
    return {
        "above": Graph(ConditionRow(rows), above, dynamic, ("context", "seen", "queries")),
        "row": Graph(SampleCell(rows, levels), row, dynamic, ("values", "logp")),
        "cache": Graph(
            UpdateCache(rows), cache, dynamic, tuple(f"next_{name}" for name in of_states)
        ),
    }
