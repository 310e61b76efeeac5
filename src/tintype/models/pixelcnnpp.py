"""PixelCNN++ (Salimans et al. 2017, arXiv 1701.05517) as in the code of Royer et al. 2017.

Two stacks of gated residual blocks at one resolution: the vertical stack sees the rows above, the
horizontal stack also the cells to the left. Training runs on whole images. Sampling runs row by
row, and computes what depends on the rows above only once per row. Kernels are 3x3 and causal by
padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.logistics import PARAMETERS
from tintype.models.weight_norm import WeightNormConv2d

REACH = 2  #: rows above, or columns to the left, that a causal kernel sees


def concat_elu(x: Tensor) -> Tensor:
    """Return the ELU of x and of -x, concatenated to twice the channels."""
    return F.elu(torch.cat((x, -x), 1))


def gate(x: Tensor) -> Tensor:
    """Return the first half of the channels times the sigmoid of the second."""
    signal, control = x.chunk(2, 1)
    return signal * control.sigmoid()


class VerticalBlock(nn.Module):
    """A gated residual block of the vertical stack, conditioned on the embedding."""

    def __init__(self, channels: int, embedded: int, dropout: float) -> None:
        super().__init__()
        self.first = WeightNormConv2d(2 * channels, channels)
        self.aux = WeightNormConv2d(2 * embedded, channels, (1, 1))
        self.second = WeightNormConv2d(2 * channels, 2 * channels, scale=0.1)
        self.dropout = dropout

    def forward(self, x: Tensor, above: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the hidden states of H rows, both (N, C, H, W).

        Args:
            x: input, (N, C, H, W).
            above: input and hidden states of the two rows above, (2, N, C, 2, W).
            embedding: features of the rows, (N, K, H, W).
        """
        seen = concat_elu(torch.cat((above[0], x), 2))
        hidden = self.first(seen, (1, 1, 0, 0)) + self.aux(concat_elu(embedding), (0, 0, 0, 0))
        y = concat_elu(torch.cat((above[1], hidden), 2))
        y = F.dropout(y, self.dropout, self.training)
        return x + gate(self.second(y, (1, 1, 0, 0))), hidden


class HorizontalBlock(nn.Module):
    """A gated residual block of the horizontal stack, conditioned on both others."""

    def __init__(self, channels: int, embedded: int, dropout: float) -> None:
        super().__init__()
        self.first = WeightNormConv2d(2 * channels, channels)
        self.aux = WeightNormConv2d(2 * (channels + embedded), channels, (1, 1))
        self.second = WeightNormConv2d(2 * channels, 2 * channels, scale=0.1)
        self.dropout = dropout

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        """Return the output for whole images, (N, C, H, W).

        Args:
            x: input, (N, C, H, W).
            aux: states of the vertical stack and embedding, (N, C + K, H, W).
        """
        hidden = self.first(concat_elu(x), (REACH, 0, REACH, 0))
        hidden = hidden + self.aux(concat_elu(aux), (0, 0, 0, 0))
        y = F.dropout(concat_elu(hidden), self.dropout, self.training)
        return x + gate(self.second(y, (REACH, 0, REACH, 0)))

    def above(self, states: Tensor, aux: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the rows above add to a row's two layers, (N, C, 1, W) and (N, 2C, 1, W).

        Args:
            states: input and hidden states of the two rows above, (2, N, C, 2, W).
            aux: as in `forward`, of the row.
        """
        first = _rows(self.first, states[0]) + self.aux(concat_elu(aux), (0, 0, 0, 0))
        return first, _rows(self.second, states[1])

    def row(self, x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return output and hidden states (N, C, 1, W) of a row, given the results of `above`."""
        hidden = first + _row(self.first, x)
        return x + gate(second + _row(self.second, hidden)), hidden


def _rows(conv: WeightNormConv2d, states: Tensor) -> Tensor:
    """Apply the taps of a causal kernel on the rows above."""
    x = F.pad(concat_elu(states), (REACH, 0))
    return F.conv2d(x, conv.kernel()[:, :, :REACH], conv.bias)


def _row(conv: WeightNormConv2d, states: Tensor) -> Tensor:
    """Apply the taps of a causal kernel on the row itself."""
    return F.conv2d(F.pad(concat_elu(states), (REACH, 0)), conv.kernel()[:, :, REACH:])


class RowContext(NamedTuple):
    """The part of a row's computation that depends on the rows above only."""

    start: Tensor  # for the input of the horizontal stack, (N, C, 1, W)
    first: Tensor  # for each block's first layer, (blocks, N, C, 1, W)
    second: Tensor  # for each block's second layer, (blocks, N, 2C, 1, W)
    vertical: Tensor  # input and hidden states of the vertical blocks, (blocks, 2, N, C, 1, W)


class Autoregressive(nn.Module):
    """The two stacks of gated residual blocks, and the mixture of every cell.

    Where the authors' code shifts the output of a layer, here the input is shifted. The results
    differ by the bias at the border.

    Args:
        canvas: channels of the input.
        features: channels of the embedding.
        channels: of both stacks.
        blocks: number of blocks in each stack.
        dropout: probability of dropout in every block.
    """

    def __init__(
        self, canvas: int, features: int, channels: int, blocks: int, dropout: float
    ) -> None:
        super().__init__()
        c, k = channels, features
        self.vertical_in = WeightNormConv2d(canvas, c, (2, 3))
        self.above_in = WeightNormConv2d(canvas, c, (1, 3))
        self.left_in = WeightNormConv2d(canvas, c, (2, 1))
        self.vertical = nn.ModuleList(VerticalBlock(c, k, dropout) for _ in range(blocks))
        self.horizontal = nn.ModuleList(HorizontalBlock(c, k, dropout) for _ in range(blocks))
        self.out = WeightNormConv2d(c, PARAMETERS, (1, 1))

    def blocks(self) -> Iterator[tuple[int, VerticalBlock, HorizontalBlock]]:
        """Yield the index and the two blocks of each level."""
        for k, (vertical, horizontal) in enumerate(
            zip(self.vertical, self.horizontal, strict=True)
        ):
            assert isinstance(vertical, VerticalBlock)
            assert isinstance(horizontal, HorizontalBlock)
            yield k, vertical, horizontal

    def forward(self, seen: Tensor, embedding: Tensor) -> Tensor:
        """Return the parameters of every cell's mixture, (N, 80, h, w).

        Args:
            seen: the cells, (N, A, h, w); each cell's mixture depends on those before it only.
            embedding: features, (N, K, h, w).
        """
        above = F.pad(seen[:, :, :-1], (0, 0, 1, 0))
        u = self.vertical_in(above, (1, 1, 1, 0))
        x = self.above_in(above, (1, 1, 0, 0))
        x = x + self.left_in(F.pad(seen, (1, 0))[..., :-1], (0, 0, 1, 0))
        nothing = u.new_zeros(2, *u.shape[:2], REACH, u.shape[3])
        for _, vertical, horizontal in self.blocks():
            u, _ = vertical(u, nothing, embedding)
            x = horizontal(x, torch.cat((u, embedding), 1))
        return self.out(F.elu(x), (0, 0, 0, 0))

    def row_context(
        self, canvas_rows: Tensor, vertical: Tensor, horizontal: Tensor, embedding: Tensor
    ) -> RowContext:
        """Return the `RowContext` of a row.

        Args:
            canvas_rows: the two rows above, (N, A, 2, W).
            vertical, horizontal: input and hidden states of the blocks of both stacks in the two
                rows above, (blocks, 2, N, C, 2, W).
            embedding: features of the row, (N or 1, K, 1, W).
        """
        embedding = embedding.expand(canvas_rows.shape[0], -1, -1, -1)
        u = self.vertical_in(canvas_rows, (1, 1, 0, 0))
        start = self.above_in(canvas_rows[:, :, 1:], (1, 1, 0, 0))
        left = F.pad(canvas_rows[:, :, 1:], (1, 0))[..., :-1]
        start = start + F.conv2d(left, self.left_in.kernel()[:, :, :1], self.left_in.bias)
        states, first, second = [], [], []
        for k, down, right in self.blocks():
            before = u
            u, hidden = down(u, vertical[k], embedding)
            states.append(torch.stack((before, hidden)))
            parts = right.above(horizontal[k], torch.cat((u, embedding), 1))
            first.append(parts[0])
            second.append(parts[1])
        return RowContext(start, *map(torch.stack, (first, second, states)))

    def row(
        self, seen: Tensor, start: Tensor, first: Tensor, second: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the parameters of a row's mixtures, (N, 80, 1, W), and its horizontal states.

        Args:
            seen: the row, (N, A, 1, W).
            start, first, second: from its `RowContext`.

        Returns:
            The parameters; input and hidden states of the horizontal blocks, (blocks, 2, N, C, 1,
            W).
        """
        left = F.pad(seen, (1, 0))[..., :-1]
        x = start + F.conv2d(left, self.left_in.kernel()[:, :, 1:])
        states = []
        for k, _, right in self.blocks():
            before = x
            x, hidden = right.row(x, first[k], second[k])
            states.append(torch.stack((before, hidden)))
        return self.out(F.elu(x), (0, 0, 0, 0)), torch.stack(states)
