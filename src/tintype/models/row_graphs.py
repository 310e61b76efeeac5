"""The graphs by which the runtime samples `tint_sampler` row by row; see `runtime/sampler.py`.

The states are ``colors``, the embedded colors of the three rows before; ``before``, the inputs of
the vertical layers' convolutions in the two rows before; and ``keys`` and ``vals``, the KV cache of
the layers with attention, which grows by the cells of each row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tintype.models.base import Graph
from tintype.models.rows import CausalAttention, Rows, quantize


def _attentions(rows: Rows) -> list[CausalAttention]:
    return [layer.attention for layer in rows.vertical_layers() if layer.attention is not None]


def row_states(rows: Rows) -> dict[str, tuple[int | str, ...]]:
    """Return the shapes of the states before the first row, in the form of a card."""
    c, layers, attending = rows.norm.normalized_shape[0], len(rows.vertical), len(_attentions(rows))
    return {
        "colors": ("samples", c, 3, "width"),
        "before": (layers, "samples", c, 2, "width"),
        "keys": (attending, "samples", c, 0),
        "vals": (attending, "samples", c, 0),
    }


class ConditionRow(nn.Module):
    """The graph ``above``: the vertical stack for one row."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def forward(
        self, features: Tensor, colors: Tensor, before: Tensor, keys: Tensor, vals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the vertical states, and the inputs of each convolution and attention, of a row.

        Args:
            features: conditioning features of the row, (1, K, 1, W).
            colors, before, keys, vals: the states; see `row_states`.
        """
        # Positions of the cached cells relative to this row; the last cached row is directly above.
        # The width is a tensor, because the exporter cannot divide by a symbolic size.
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


class SampleRow(nn.Module):
    """The graph ``row``: one step of the fixed-point iteration that samples a row.

    With the noise given, every value is a function of those before it, so the fixed point is the
    sample, and each step fixes at least one more value (Song et al. 2021, arXiv 2002.03629).
    """

    def __init__(self, rows: Rows, levels: Tensor) -> None:
        super().__init__()
        self.rows = rows
        self.levels: Tensor
        self.register_buffer("levels", levels, persistent=False)

    def forward(
        self, context: Tensor, guess: Tensor, noise: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the next guess of Cb and Cr, and the log-likelihood of the guess in nats.

        Both are (N, 2, 1, W); the likelihood is that at temperature 1.

        Args:
            context: vertical states from `ConditionRow`, (N, C, 1, W).
            guess: Cb and Cr, (N, 2, 1, W), which are rounded to levels.
            noise: standard Gumbel noise of the levels of Cr, then of Cb, (N, 64, 1, W).
            temperature: divides the logits.
        """
        levels = quantize(guess.flip(1))
        logits = self.rows.horizontal_stack(
            levels, self.rows.embed(levels), context
        )  # (2, N, 32, 1, W)
        drawn = noise.unflatten(1, (2, -1)).transpose(0, 1)
        found = (logits / temperature + drawn).argmax(2).transpose(0, 1)
        chosen = levels.transpose(0, 1)[:, :, None]
        logp = logits.log_softmax(2).gather(2, chosen)[:, :, 0].transpose(0, 1)
        return self.levels[found].flip(1), logp.flip(1)


class UpdateCache(nn.Module):
    """The graph ``cache``: the states for the next row, given the values of a finished row."""

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
        """Return the new states; in the graph their names begin with ``next_``.

        Args:
            values: Cb and Cr of the row, (N, 2, 1, W).
            seen, queries: from `ConditionRow`.
            colors, before, keys, vals: the states of the row.
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
    """Return the graphs ``above``, ``row`` and ``cache``.

    Args:
        rows: the autoregressive network.
        levels: centered chroma of each level, (32,).
    """
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
        "row": Graph(SampleRow(rows, levels), row, dynamic, ("values", "logp")),
        "cache": Graph(
            UpdateCache(rows), cache, dynamic, tuple(f"next_{name}" for name in of_states)
        ),
    }
