"""The conditional gated PixelCNN of PixColor (Guadarrama et al. 2017, Table 2, "coloring network").

Chroma of 28x28 cells in, for every cell the distributions of Cr and of Cb given all cells before it
in raster order, Cb given the cell's own Cr too. The paper prints sizes; the gated block and its
masks follow conditional PixelCNN (van den Oord et al. 2016, arXiv 1606.05328):

- a vertical stack sees the rows above and a horizontal stack what lies to the left, so that no
  past cell is missed. Only the first vertical layer leaves out its own row: the states of later
  ones already hold rows above alone, and leaving the row out again would open a blind spot;
- every feature map is split in two groups, R for Cr and B for Cb. At the current cell R sees R
  and B sees both, except in the first layer, where R sees nothing and B sees Cr.

Kernels are stored without the half that a mask would hide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _groups(channels: int, repeats: int = 1) -> Tensor:
    """0 for the channels of the R group and 1 for those of the B group."""
    return torch.tensor(([0] * (channels // 2) + [1] * (channels // 2)) * repeats)


class MaskedConv2d(nn.Conv2d):
    """A convolution over what lies to the left in the row, and over the cell itself by groups.

    Args:
        inputs, outputs: the group (0 or 1) of every channel.
        width: taps; the last one is the cell itself.
        strict: at the cell itself a group sees lower groups only (the first layer's mask A), and
            not its own as well (mask B).
    """

    def __init__(self, inputs: Tensor, outputs: Tensor, width: int, strict: bool = False) -> None:
        super().__init__(len(inputs), len(outputs), (1, width))
        mask = torch.ones_like(self.weight)
        seen = inputs < outputs[:, None] if strict else inputs <= outputs[:, None]
        mask[:, :, 0, -1] = seen
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        padded = F.pad(input, (self.kernel_size[1] - 1, 0))
        return F.conv2d(padded, self.weight * self.mask, self.bias)


class AboveConv2d(nn.Conv2d):
    """A convolution over the rows above, ``rows`` of them, and with ``own`` over the row itself."""

    def __init__(self, inputs: int, outputs: int, rows: int, width: int, own: bool) -> None:
        super().__init__(inputs, outputs, (rows + own, width))
        self.rows, self.own = rows, own

    def forward(self, input: Tensor) -> Tensor:
        # Without its own row the output is that of the row before, moved down by one.
        cut = input if self.own else input[:, :, :-1]
        return self.of_rows(F.pad(cut, (0, 0, self.rows, 0)))

    def of_rows(self, rows: Tensor) -> Tensor:
        """The output for the last of the rows it sees, (N, C, rows + own, W) to (N, C', 1, W)."""
        side = self.kernel_size[1] // 2
        return super().forward(F.pad(rows, (side, side, 0, 0)))


def gate(x: Tensor) -> Tensor:
    """tanh of the first half of the channels times the sigmoid of the second."""
    signal, control = x.chunk(2, 1)
    return signal.tanh() * control.sigmoid()


class GatedBlock(nn.Module):
    """One layer of both stacks, the conditioning added before both gates."""

    def __init__(self, channels: int, kernel: int, conditioning: int) -> None:
        super().__init__()
        single, double = _groups(channels), _groups(channels, 2)
        reach = kernel // 2
        self.above = AboveConv2d(channels, 2 * channels, reach, kernel, own=True)
        self.row = MaskedConv2d(single, double, reach + 1)
        self.down = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.condition_above = nn.Conv2d(conditioning, 2 * channels, 1)
        self.condition_row = nn.Conv2d(conditioning, 2 * channels, 1)
        self.out = MaskedConv2d(single, single, 1)

    def forward(self, above: Tensor, row: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        ungated = self.above(above)
        across = self.row(row) + self.down(ungated) + self.condition_row(condition)
        return gate(ungated + self.condition_above(condition)), row + self.out(gate(across))


class PixelCNN(nn.Module):
    """Table 2's coloring network: 7x7, ten gated blocks of 5x5, 1x1 to 1024, 1x1 to 2 x 32.

    Args:
        levels: of Cr and of Cb.
        conditioning: channels of the conditioning features.
        channels, blocks, hidden: 64, 10 and 1,024 in the paper.
    """

    def __init__(
        self, levels: int, conditioning: int, channels: int, blocks: int, hidden: int
    ) -> None:
        super().__init__()
        self.levels = levels
        self.first_above = AboveConv2d(2, channels, 3, 7, own=False)
        self.first_row = MaskedConv2d(_groups(2), _groups(channels), 4, strict=True)
        self.blocks = nn.ModuleList(GatedBlock(channels, 5, conditioning) for _ in range(blocks))
        self.widen = MaskedConv2d(_groups(channels), _groups(hidden), 1)
        self.classify = MaskedConv2d(_groups(hidden), _groups(2 * levels), 1)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:  # Table 2; by fan-in where that is smaller, or the deep stack saturates
                std = min(0.1, parameter[0].numel() ** -0.5)
                nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)

    def forward(self, chroma: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of every cell's Cr and Cb.

        Args:
            chroma: levels of Cr and Cb from 0, (N, 2, H, W).
            condition: features of the luminance, (N, C, H, W).

        Returns:
            Logits of Cr given the cells before, and of Cb given the same and the cell's Cr, each
            (N, levels, H, W).
        """
        x = chroma.to(condition.dtype) * (2 / (self.levels - 1)) - 1
        above, row = self.first_above(x), self.first_row(x)
        for block in self.blocks:
            above, row = block(above, row, condition)
        red, blue = self.classify(F.relu(self.widen(F.relu(row)))).chunk(2, 1)
        return red, blue
