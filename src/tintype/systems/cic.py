"""Colorful Image Colorization (Zhang, Isola and Efros 2016, arXiv 1603.08511).

Luminance in, a distribution over the 313 ab bins at a quarter of its size out; cross-entropy with
soft-encoded chroma in which rare colours weigh more; the annealed mean of it as colour. The source
of the bins, the rebalancing and the decoding that `tint` and `adversarial` use too.

Where the paper and its published code differ we follow the code: 10 neighbours, not the 5 that are
printed; targets are every fourth pixel's chroma, not the mean of 4x4; photographs without colour
have no weight; batch norm once a block, after its last ReLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from tintype.systems.binned import BINS, Binned
from tintype.systems.colorspace import ab_of_linear, lightness_of_gray
from tintype.systems.system import Batch, Recipe

_TEMPERATURE = 0.38
_GRAY = 5.0  # a photograph none of whose |a| or |b| exceeds this teaches nothing
# Convolutions, channels in units of the first block's, stride of the last, dilation.
_BLOCKS = (
    (2, 1, 2, 1),
    (2, 2, 2, 1),
    (3, 4, 2, 1),
    (3, 8, 1, 1),
    (3, 8, 1, 2),
    (3, 8, 1, 2),
    (3, 8, 1, 1),
)


@dataclass(frozen=True)
class CicConfig:
    """Sizes and constants of the loss.

    Attributes:
        maps: of the first block, 64 in the paper; the others in proportion.
        uniform, cap: of the rebalancing, as in `binned.Binned`.
    """

    maps: int = 64
    uniform: float = 0.5
    cap: float = 0.0


class Cic(Binned):
    """The network, its loss, and how it is exported."""

    name: ClassVar[str] = "cic"
    presets: ClassVar[dict[str, tuple[Any, Recipe]]] = {
        # Adam's second constant is 0.99 in the published solver and 0.98 here.
        "paper": (
            CicConfig(),
            Recipe(
                crop=176,
                batch=40,
                learning_rate=3e-5,
                warmup=0,
                weight_decay=1e-3,
                zoom=1.0,
                short_side=256,
            ),
        ),
        "small": (CicConfig(maps=16, cap=6.0), Recipe()),
        "test": (CicConfig(maps=4), Recipe(crop=64, batch=8, warmup=5, ema=0.9)),
    }

    def __init__(self, config: CicConfig) -> None:
        super().__init__(config)
        blocks: list[nn.Module] = []
        inputs = 1
        for count, factor, stride, dilation in _BLOCKS:
            outputs = factor * config.maps
            parts: list[nn.Module] = []
            for k in range(count):
                step = stride if k == count - 1 else 1
                parts += [nn.Conv2d(inputs, outputs, 3, step, dilation, dilation), nn.ReLU()]
                inputs = outputs
            blocks.append(nn.Sequential(*parts, nn.BatchNorm2d(outputs)))
        self.blocks = nn.Sequential(*blocks)
        last = 4 * config.maps
        self.enlarge = nn.ConvTranspose2d(inputs, last, 4, 2, 1)
        self.fine = nn.ModuleList(nn.Conv2d(last, last, 3, 1, 1) for _ in range(2))
        self.classify = nn.Conv2d(last, BINS, 1)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.normal_(self.classify.weight, std=0.01)

    def forward(self, gray: Tensor) -> Tensor:
        """Logits over the ab bins.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 8.

        Returns:
            Logits (N, 313, H/4, W/4).
        """
        x = self.blocks((lightness_of_gray(gray) - 50) / 100)  # (N, 8 maps, H/8, W/8)
        x = F.relu(self.enlarge(x))  # (N, 4 maps, H/4, W/4)
        for conv in self.fine:
            x = F.relu(conv(x))
        return self.classify(x)

    def target(self, batch: Batch) -> Tensor:
        """True ab of every fourth pixel, (N, H/4, W/4, 2)."""
        return ab_of_linear(batch.linear[..., ::4, ::4]).permute(0, 2, 3, 1)

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Rebalanced cross-entropy (``loss``), the plain one (``ce``), and ``kl`` as in `tint`."""
        target = self.target(batch)
        found = self.cross_entropy(self(batch.gray), target)
        coloured = (target.abs().amax((1, 2, 3)) > _GRAY).float()[:, None, None]
        return {"loss": (found.nats * found.weight * coloured).mean(), **found.terms()}

    def chroma(self, gray: Tensor) -> Tensor:
        """The paper's decoding: the annealed mean at a temperature of 0.38."""
        return self.annealed_mean(self(gray), _TEMPERATURE)

    def card(self) -> dict[str, Any]:
        """Input rule, output and decoding, as `tintype.runtime.card.Card` has them.

        The default vividness, 1, is the paper's decoding; below it rebalancing is taken back out.
        """
        return {
            "description": "Zhang et al. 2016: a class-rebalanced classifier of colours.",
            "space": "lab",
            "output": "bins",
            "stride": 4,
            "upsampling": "guided",
            "size": {"short_side": 256 if self.config.maps >= 64 else 160, "multiple": 8},
            "decoding": {
                "rebalancing": self.rebalancing(),
                "safe": 1.0,
                "vivid": 0.0,
                "temperature": _TEMPERATURE,
                "vividness": 1.0,
            },
        }
