"""PixColor, second stage (Guadarrama et al. 2017): from 28x28 chroma to chroma along edges.

Luminance and the enlarged low-resolution chroma in, chroma at half the size out. Table 2 of the
paper prints one list of layers; it is the two-branch network of *Let there be Color!* (Iizuka et
al. 2016) with bilinear in place of learned enlargement, as the text says, and the sizes agree: a
5x5 and a 3x3 layer without padding take the 7x7 map of the global branch to a single vector.

Trained on true chroma reduced, quantised and enlarged, not on samples, so that it keeps trusting
what it is given; with the squared error of the full-size chroma. Activation, batch norm and a
linear output are our choice.

``small`` is narrower, takes the mean over the global branch's map in place of those two layers, so
that any size of picture is one pass, and predicts what to add to the enlarged chroma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.systems.colorspace import ab_of_uv
from tintype.systems.pixcolor import CELL, LEVELS, chrominance, quantised, uv_of_chrominance
from tintype.systems.system import Batch, Graph, Recipe, System

_GLOBAL = 224  # side of the copy that the paper's global branch looks at


@dataclass(frozen=True)
class RefinementConfig:
    """Sizes.

    Attributes:
        levels: how the given chroma is quantised in training, a key of `pixcolor.LEVELS`.
        width: maps of the first layer; the others follow in the paper's proportions.
        pooled: take the mean over the global branch's map, in place of layers without padding.
        residual: predict what to add to the given chroma.
    """

    levels: str = "neutral"
    width: int = 16
    pooled: bool = True
    residual: bool = True


def _convs(inputs: int, *layers: tuple[int, int], kernel: int = 3, pad: int = 1) -> nn.Sequential:
    """Convolutions with batch norm and ReLU; a layer is its maps and its stride."""
    parts: list[nn.Module] = []
    for outputs, stride in layers:
        parts += [nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False)]
        parts += [nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*parts)


class Refinement(System):
    """The network, its loss, and what it is given in training."""

    name: ClassVar[str] = "refinement"
    presets: ClassVar[dict[str, tuple[Any, Recipe]]] = {
        "paper": (
            RefinementConfig(levels="paper", width=64, pooled=False, residual=False),
            Recipe(crop=_GLOBAL, learning_rate=3e-4, warmup=0, weight_decay=0.0, short_side=256),
        ),
        "small": (RefinementConfig(), Recipe()),
        "test": (RefinementConfig(width=4), Recipe(crop=64, batch=8, warmup=5, ema=0.9)),
    }

    def __init__(self, config: RefinementConfig) -> None:
        super().__init__(config)
        w = config.width
        self.low = _convs(3, (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1))
        self.middle = _convs(8 * w, (8 * w, 1), (4 * w, 1))
        self.whole = _convs(8 * w, (8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1))
        if config.pooled:
            self.vector = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8 * w, 8 * w, 1))
        else:
            self.vector = nn.Sequential(
                _convs(8 * w, (16 * w, 1), kernel=5, pad=0),
                _convs(16 * w, (8 * w, 1), kernel=3, pad=0),
            )
        self.at8 = _convs(12 * w, (2 * w, 1), (2 * w, 1))
        self.at4 = _convs(2 * w, (w, 1), (w, 1))
        self.at2 = _convs(w, (w // 2, 1), (w // 2, 1))
        self.output = nn.Conv2d(w // 2, 2, 1)
        if config.residual:
            nn.init.zeros_(self.output.weight)
            assert self.output.bias is not None
            nn.init.zeros_(self.output.bias)

    def forward(self, gray: Tensor, chroma: Tensor) -> Tensor:
        """Chroma at half the size of the luminance.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 8.
            chroma: Cr and Cb from neutral, in [-0.5, 0.5], of cells, (N, 2, H/8, W/8).

        Returns:
            Cr and Cb from neutral, (N, 2, H/2, W/2).
        """
        x = torch.cat((gray, self._enlarged(chroma, gray.shape[2:])), 1)
        low = self.low(x)
        seen = low
        if not self.config.pooled and gray.shape[2:] != (_GLOBAL, _GLOBAL):
            # The global branch always looks at one size, as that of Let there be Color! does.
            seen = self.low(F.interpolate(x, size=(_GLOBAL, _GLOBAL), mode="bilinear"))
        vector = self.vector(self.whole(seen))
        x = self.middle(low)
        x = self.at8(torch.cat((vector.expand(-1, -1, *x.shape[2:]), x), 1))
        x = self.at4(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = self.at2(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = self.output(x)
        if self.config.residual:
            x = x + self._enlarged(chroma, x.shape[2:])
        return x

    @staticmethod
    def _enlarged(chroma: Tensor, size: Any) -> Tensor:
        return F.interpolate(chroma, size=tuple(size), mode="bilinear")

    def given(self, linear: Tensor) -> Tensor:
        """True chroma as the first stage would give it: cells' means, quantised, from neutral."""
        levels = LEVELS[self.config.levels]
        step = (levels.high - levels.low) / (levels.count - 1)
        means = F.avg_pool2d(chrominance(linear), CELL)
        return quantised(means, levels) * step + (levels.low - 0.5)

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Squared error of the full-size chroma (``loss``), and that of the chroma given (``raw``).

        Both are means over pixels and both channels; less than ``raw`` is what the network adds.
        """
        given = self.given(batch.linear)
        truth = chrominance(batch.linear) - 0.5
        found = self._enlarged(self(batch.gray, given).float(), truth.shape[2:])
        raw = self._enlarged(given, truth.shape[2:])
        return {
            "loss": (found - truth).square().mean(),
            "raw": (raw - truth).square().mean().detach(),
        }

    def chroma(self, gray: Tensor) -> Tensor:
        """What the network makes of no chroma at all, as ab (N, 2, H/2, W/2): near gray."""
        n, _, height, width = gray.shape
        neutral = gray.new_zeros(n, 2, height // CELL, width // CELL)
        return ab_of_uv(F.avg_pool2d(gray, 2), uv_of_chrominance(self(gray, neutral)))

    def graphs(self) -> dict[str, Graph]:
        """One, from luminance and coarse chroma to finer chroma, of any number of pictures."""

        def example(size: int) -> dict[str, Tensor]:
            gray = torch.rand(size, 1, 1 + size, 4)
            return {
                "gray": F.interpolate(gray, size=((1 + size) * 32, 64)),
                "chroma": torch.rand(size, 2, (1 + size) * 4, 8) / 4 - 0.125,
            }

        n, rows, columns = ("samples", 1), ("rows", 1), ("columns", 1)
        dynamic = {
            "gray": {0: n, 2: ("rows", CELL), 3: ("columns", CELL)},
            "chroma": {0: n, 2: rows, 3: columns},
        }
        return {"": Graph(self, example, dynamic, ("finer",))}

    def card(self) -> dict[str, Any]:
        """Input rule and output, as `tintype.runtime.card.Card` has them."""
        return {
            "description": "PixColor's second stage: finer chroma. Name pixcolor to colour with.",
            "space": "ycbcr",
            "output": "finer",
            "stride": 2,
            "size": {"short_side": 224, "multiple": 32, "longest": 896},
            "upsampling": "guided",
        }
