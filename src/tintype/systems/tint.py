"""tint: tintype's own model, made to be good and quick on a CPU.

Luminance in, a distribution over the 313 ab bins at a quarter of its size out: a pyramid of
features (`pyramid.py`) and a linear classifier, trained by class-rebalanced cross-entropy on
soft-encoded chroma (Zhang et al. 2016, arXiv 1603.08511).

All sizes are our choice: at 256 px the network takes 1.25 G multiplications, of which the encoder
has a third.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from tintype.systems.binned import BINS, Binned
from tintype.systems.pyramid import Pyramid
from tintype.systems.system import Batch, Recipe, slowed

# Decoding, as `tintype.runtime.card.Decoding` has it, chosen on photographs held back. At the same
# colorfulness a higher temperature has less error and a lower one the truer histogram.
_SAFE, _VIVID, _TEMPERATURE, _VIVIDNESS = 1.25, -0.5, 0.75, 0.6


@dataclass(frozen=True)
class TintConfig:
    """Sizes of the network and constants of its loss.

    Attributes:
        encoder_width: factor on MobileNetV2's channels; ImageNet weights fit 1.0 only.
        attention: channels of the transformer blocks at 1/32.
        heads: attention heads.
        blocks: number of transformer blocks.
        decoder: channels of the decoder at 1/16, 1/8 and 1/4.
        uniform: lambda of the rebalancing: share of the uniform distribution in the prior.
        cap: largest rebalancing weight, so that a rare bin cannot dominate a step; 0 for no limit.
        error: weight of the squared error of the mean chroma, beside the cross-entropy.
    """

    encoder_width: float = 1.0
    attention: int = 384
    heads: int = 8
    blocks: int = 2
    decoder: tuple[int, int, int] = (256, 128, 80)
    uniform: float = 0.5
    cap: float = 3.0
    error: float = 0.0


class Tint(Binned):
    """The network, its loss, and how it is exported."""

    name: ClassVar[str] = "tint"
    presets: ClassVar[dict[str, tuple[Any, Recipe]]] = {
        "small": (TintConfig(), Recipe()),
        "test": (
            TintConfig(encoder_width=0.25, attention=32, heads=2, blocks=1, decoder=(16, 16, 16)),
            Recipe(crop=64, batch=8, warmup=5, ema=0.9),
        ),
    }

    def __init__(self, config: TintConfig) -> None:
        super().__init__(config)
        self.encoder_rate = 1.0
        self.pyramid = Pyramid(
            config.encoder_width, config.attention, config.heads, config.blocks, config.decoder
        )
        self.classify = nn.Conv2d(self.pyramid.channels, BINS, 1)

    def forward(self, gray: Tensor) -> Tensor:
        """Logits over the ab bins.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 32.

        Returns:
            Logits (N, 313, H/4, W/4).
        """
        return self.classify(self.pyramid(gray))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Rebalanced cross-entropy (``loss``) and, for comparing runs, the plain one (``ce``).

        ``kl`` is ``ce`` less the entropy of the soft targets, so it does not depend on how softly
        they are encoded. All in nats per pixel of the quarter-size map. Where the configuration
        asks for it, ``error`` is added in its weight: the squared error of the mean chroma without
        the rebalancing (vividness 0), relative to that of gray.
        """
        target = self.target(batch)
        logits = self(batch.gray)
        found = self.cross_entropy(logits, target)
        terms = {"loss": (found.nats * found.weight).mean(), **found.terms()}
        if self.config.error:
            biased = logits.float() - self.effective.log()[:, None, None]
            miss = self.annealed_mean(biased, 1.0).permute(0, 2, 3, 1) - target
            error = miss.square().mean() / target.square().mean().clamp_min(1)
            terms["loss"] = terms["loss"] + self.config.error * error
            terms["error"] = error.detach()
        return terms

    def chroma(self, gray: Tensor) -> Tensor:
        """Annealed mean at the default vividness, (N, 2, H/4, W/4); `card` says how."""
        removed = _SAFE + _VIVIDNESS * (_VIVID - _SAFE)
        logits = self(gray).float() - removed * self.effective.log()[:, None, None]
        return self.annealed_mean(logits, _TEMPERATURE)

    def initialise(self, path: Path) -> str:
        """Start the encoder from MobileNetV2's ImageNet weights (safetensors, norms folded).

        Raises:
            CheckpointError: the file is not one, or fits another network.
        """
        said = self.pyramid.encoder.start(path)
        self.encoder_rate = 0.25
        return said

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """An encoder that starts from something worth keeping learns at a quarter of the rate."""
        return slowed(self.pyramid.encoder, self.encoder_rate, self.parameters())

    def card(self) -> dict[str, Any]:
        """Input rule, output and decoding, as `tintype.runtime.card.Card` has them."""
        return {
            "description": "Our own model: MobileNetV2 encoder, attention, light decoder.",
            "space": "lab",
            "output": "bins",
            "stride": 4,
            "upsampling": "guided",
            "size": {"short_side": 160, "multiple": 32, "longest": 640},
            "decoding": {
                "rebalancing": self.rebalancing(),
                "safe": _SAFE,
                "vivid": _VIVID,
                "temperature": _TEMPERATURE,
                "vividness": _VIVIDNESS,
            },
        }
