"""The conditional PixelCNN of PixColor, and the graphs that sample it row by row.

Guadarrama et al. 2017 (arXiv 1705.07208), section 3.1 and Table 2; gates and conditioning of van
den Oord et al. 2016 (arXiv 1606.05328). "Our choice" marks what the papers leave open.

Chroma is (Cb, Cr), centered, as everywhere; levels and logits are in the order in which they are
drawn, (Cr, Cb).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.layers import gated_tanh

LEVELS = 32  #: of Cr and of Cb
FIRST_ROWS = 3  #: rows above that the first layer's 7x7 kernel sees
BLOCK_ROWS = 2  #: rows above that a gated block's 5x5 kernel sees


def quantize(chroma: Tensor) -> Tensor:
    """Return levels of Cr and Cb, int64 (N, 2, h, w), of centered Cb and Cr, (N, 2, h, w).

    "32 values instead of 256": k = floor(c / 8) for c from 0 to 255, rounded (our choice).
    """
    c = (chroma.flip(1) + 0.5) * 255
    return ((c + 0.5) / 8).floor().clamp(0, LEVELS - 1).long()


def dequantize(levels: Tensor) -> Tensor:
    """Return centered Cb and Cr in the middle of levels k of Cr and Cb, (8k + 3.5) / 255 - 0.5."""
    return ((8 * levels.float() + 3.5) / 255 - 0.5).flip(1)


def gumbel_noise(seed: int, sample: int, height: int, width: int) -> Tensor:
    """Return standard Gumbel noise of a sample, (64, h, w): 32 levels of Cr, then of Cb."""
    random = np.random.default_rng((seed, sample))
    return torch.from_numpy(random.gumbel(size=(2 * LEVELS, height, width)).astype(np.float32))


def init_truncated_normal(network: nn.Module) -> None:
    """Draw weights of convolutions from a truncated normal, and set biases to 0 (Table 2)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # Table 2 prints 0.1, with which deep stacks saturate: by fan-in where that is smaller.
            std = min(0.1, module.weight[0].numel() ** -0.5)
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _groups(channels: int, repeats: int = 1) -> Tensor:
    """Return the group of every channel: 0 for Cr, 1 for Cb."""
    return torch.arange(2).repeat_interleave(channels // 2).repeat(repeats)


class MaskedConv2d(nn.Conv2d):
    """A horizontal convolution over the cells to the left and, masked by group, the cell itself.

    Half of the channels belong to Cr, half to Cb (our choice). At the cell itself, outputs of Cr
    see inputs of Cr, and outputs of Cb see both (mask B); in the first layer outputs of Cr see
    nothing, and outputs of Cb see Cr (mask A). Taps that are masked for both are not stored.

    Args:
        inputs, outputs: group of every channel.
        width: number of taps; the last is the cell itself.
        first: use mask A.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor, width: int, first: bool = False) -> None:
        super().__init__(len(inputs), len(outputs), (1, width))
        mask = torch.ones_like(self.weight)
        mask[..., -1] = (inputs < outputs[:, None] if first else inputs <= outputs[:, None])[
            ..., None
        ]
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        padded = F.pad(input, (self.kernel_size[1] - 1, 0))
        return F.conv2d(padded, self.weight * self.mask, self.bias)


class GatedBlock(nn.Module):
    """One 5x5 layer of the vertical and of the horizontal stack.

    The paper prints sizes only. Gates, and conditioning by 1x1 convolutions, are those of
    conditional PixelCNN (our choice). Vertical states depend on rows above only, so the vertical
    kernel includes their own row; otherwise there would be a blind spot.
    """

    def __init__(self, channels: int, features: int, last: bool) -> None:
        super().__init__()
        single, double = _groups(channels), _groups(channels, 2)
        self.vertical = nn.Conv2d(channels, 2 * channels, (BLOCK_ROWS + 1, 5), padding=(0, 2))
        self.horizontal = MaskedConv2d(single, double, 3)
        self.down = nn.Conv2d(2 * channels, 2 * channels, 1)
        # The output of the last vertical layer is not used.
        self.vertical_condition = None if last else nn.Conv2d(features, 2 * channels, 1)
        self.horizontal_condition = nn.Conv2d(features, 2 * channels, 1)
        self.out = MaskedConv2d(single, single, 1)

    def vertical_step(self, rows: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next vertical states (N, C, H, W) and the horizontal layer's context.

        Args:
            rows: vertical states, with those of the two rows above, (N, C, 2 + H, W).
            features: conditioning features, (N, K, H, W).
        """
        x = self.vertical(rows)  # (N, 2C, H, W)
        context = self.down(x) + self.horizontal_condition(features)
        if self.vertical_condition is not None:
            x = x + self.vertical_condition(features)
        return gated_tanh(x), context

    def horizontal_step(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the next horizontal states of x, (N, C, H, W), and the context, (N, 2C, H, W)."""
        return x + self.out(gated_tanh(self.horizontal(x) + context))


class PixelCNN(nn.Module):
    """PixelCNN: a 7x7 layer, ten gated 5x5 blocks, 1x1 to 1,024 channels, 1x1 to 2 x 32 logits.

    The vertical stack sees the rows above, the horizontal stack the cells to the left. In sampling,
    `vertical_stack` is computed once per row.

    Args:
        features: channels of the conditioning features.
        channels: of both stacks, even.
        blocks: number of gated blocks.
        hidden: channels before the logits, even.
    """

    def __init__(self, features: int, channels: int, blocks: int, hidden: int) -> None:
        super().__init__()
        c = channels
        self.channels = c
        self.first_vertical = nn.Conv2d(2, c, (FIRST_ROWS, 7), padding=(0, 3))
        self.first_horizontal = MaskedConv2d(_groups(2), _groups(c), 4, first=True)
        self.blocks = nn.ModuleList(
            GatedBlock(c, features, last=k == blocks - 1) for k in range(blocks)
        )
        self.widen = MaskedConv2d(_groups(c), _groups(hidden), 1)
        self.classify = MaskedConv2d(_groups(hidden), _groups(2 * LEVELS), 1)
        init_truncated_normal(self)

    def forward(self, chroma: Tensor, features: Tensor) -> Tensor:
        """Return logits of Cr and of Cb, (N, 2, 32, h, w), for all cells at once.

        Args:
            chroma: centered, in the middle of levels, (N, 2, h, w).
            features: conditioning features, (N, K, h, w).
        """
        above = F.pad(chroma[:, :, :-1], (0, 0, FIRST_ROWS, 0))
        n, _, _, width = chroma.shape
        nothing = chroma.new_zeros(len(self.blocks), n, self.channels, BLOCK_ROWS, width)
        contexts, _ = self.vertical_stack(above, nothing, features)
        return self.horizontal_stack(chroma, contexts)

    def vertical_stack(
        self, chroma_rows: Tensor, stack_rows: Tensor, features: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the contexts for the horizontal stack, and the vertical states, of H rows.

        Args:
            chroma_rows: chroma from three rows above the first row to one above the last,
                (N, 2, 2 + H, W).
            stack_rows: vertical states of the two rows above, (blocks, N, C, 2, W).
            features: conditioning features, (N, K, H, W).

        Returns:
            For each block its context (N, 2C, H, W), and its input states (N, C, H, W).
        """
        x = self.first_vertical(self._scale(chroma_rows))
        contexts, states = [], []
        for block, rows in zip(self._gated_blocks(), stack_rows.unbind(0), strict=True):
            states.append(x)
            x, context = block.vertical_step(torch.cat((rows, x), 2), features)
            contexts.append(context)
        return contexts, states

    def horizontal_stack(self, chroma: Tensor, contexts: Iterable[Tensor]) -> Tensor:
        """Return logits (N, 2, 32, H, W) of rows, given their chroma and contexts."""
        x = self.first_horizontal(self._scale(chroma))
        for block, context in zip(self._gated_blocks(), contexts, strict=True):
            x = block.horizontal_step(x, context)
        return self.classify(F.relu(self.widen(F.relu(x)))).unflatten(1, (2, LEVELS))

    def _gated_blocks(self) -> list[GatedBlock]:
        return [block for block in self.blocks if isinstance(block, GatedBlock)]

    @staticmethod
    def _scale(chroma: Tensor) -> Tensor:
        """Return Cr and Cb with the outermost levels at -1 and 1 (our choice)."""
        return chroma.flip(1) * (255 / 124)


class ConditionRow(nn.Module):
    """The graph ``above``: the part of a row's computation that depends on the rows above only.

    The states are the chroma of the three rows above, (N, 2, 3, W), and each block's vertical
    states of the two rows above, (blocks, N, C, 2, W). The graph passes on the rows that the next
    row needs too, as ``tail``, because an ONNX graph cannot have an output with the name of an
    input.
    """

    def __init__(self, network: PixelCNN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, features: Tensor, chroma_rows: Tensor, stack_rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the contexts (blocks, N, 2C, 1, W), and the inputs of `UpdateCache`.

        Args:
            features: conditioning features of the row, (1 or N, K, 1, W).
            chroma_rows, stack_rows: the states.
        """
        contexts, states = self.network.vertical_stack(chroma_rows, stack_rows, features)
        tails = chroma_rows[:, :, 1:], stack_rows[:, :, :, 1:]
        return torch.stack(contexts), *tails, torch.stack(states)


class SampleRow(nn.Module):
    """The graph ``row``: one step of the fixed-point iteration that samples a row.

    With the noise drawn beforehand every value is a function of those before it, so the fixed point
    of the iteration is the sample, exactly (Song et al. 2021, arXiv 2002.03629). Each step fixes at
    least one more value, usually many.
    """

    def __init__(self, network: PixelCNN) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, context: Tensor, guess: Tensor, noise: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the next guess, and the log-likelihood of the guess in nats, (N, 2, 1, W).

        The likelihood is that at temperature 1.

        Args:
            context: from `ConditionRow`.
            guess: centered chroma, (N, 2, 1, W), which is rounded to levels.
            noise: standard Gumbel noise of the levels of Cr, then of Cb, (N, 64, 1, W).
            temperature: divides the logits.
        """
        levels = quantize(guess)
        logits = self.network.horizontal_stack(dequantize(levels), context.unbind(0))
        drawn = (logits / temperature + noise.unflatten(1, (2, LEVELS))).argmax(2)
        logp = logits.log_softmax(2).gather(2, levels[:, :, None])[:, :, 0]
        return dequantize(drawn), logp.flip(1)


class UpdateCache(nn.Module):
    """The graph ``cache``: the states for the next row, given the values of a finished row."""

    def forward(
        self, values: Tensor, chroma_tail: Tensor, stack_tail: Tensor, vertical: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both states; the arguments are outputs of `SampleRow` and `ConditionRow`."""
        values = dequantize(quantize(values))  # true colors may lie between levels
        return torch.cat((chroma_tail, values), 2), torch.cat((stack_tail, vertical), 3)
