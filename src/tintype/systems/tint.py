"""tint: tintype's own model, made to be good and quick on a CPU.

Luminance in, a distribution over the 313 ab bins at a quarter of its size out. The parts and where
they come from:

- encoder: MobileNetV2 (`mobilenet.py`), meant to start from ImageNet weights, all of it trained;
- at 1/32 two transformer blocks (Vaswani et al. 2017, pre-norm), so that every place sees the whole
  picture;
- decoder: a feature pyramid with additive lateral connections (Lin et al. 2017, arXiv 1612.03144)
  up to 1/4. Adding costs half of what concatenation does at the same width;
- loss: class-rebalanced cross-entropy on soft-encoded chroma (Zhang et al. 2016, arXiv 1603.08511).

All sizes are our choice: at 256 px the network takes 1.25 G multiplications, of which the encoder
has a third.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from tintype.color import bins
from tintype.systems.binned import Binned
from tintype.systems.mobilenet import MobileNetV2
from tintype.systems.system import Batch, Recipe

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


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and a two-layer perceptron, each with a residual."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.merge = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, channels = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, heads, tokens, channels / heads)
        # Written out: at a few dozen tokens the fused kernel's backward pass is slower.
        share = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        y = (share @ v).transpose(1, 2).reshape(n, tokens, channels)
        x = x + self.merge(y)
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


class Fuse(nn.Module):
    """One step up: the coarser map enlarged twice, a lateral map added, one 3x3 convolution."""

    def __init__(self, coarse: int, lateral: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, outputs, 1, bias=False)
        self.lateral = nn.Conv2d(lateral, outputs, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, coarse: Tensor, lateral: Tensor) -> Tensor:
        up = F.interpolate(self.reduce(coarse), scale_factor=2.0, mode="bilinear")
        x = F.relu(self.norm1(up + self.lateral(lateral)))
        return F.relu(self.norm2(self.conv(x)))


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
        self.encoder = MobileNetV2(config.encoder_width)
        fine, eighth, sixteenth, last = self.encoder.channels
        d16, d8, d4 = config.decoder
        # Normalised before the projection, not after it: a batch norm there forgives a mean that
        # grows without bound, in bfloat16 until nothing else is left, and the encoder's top died.
        self.level = nn.LayerNorm(last)
        self.gather = nn.Linear(last, config.attention)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.attention, config.heads) for _ in range(config.blocks)
        )
        self.fuse16 = Fuse(config.attention, sixteenth, d16)
        self.fuse8 = Fuse(d16, eighth, d8)
        self.fuse4 = Fuse(d8, fine, d4)
        self.classify = nn.Conv2d(d4, len(bins.ab_bins()), 1)

    def forward(self, gray: Tensor) -> Tensor:
        """Logits over the ab bins.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 32.

        Returns:
            Logits (N, 313, H/4, W/4).
        """
        fine, eighth, sixteenth, last = self.encoder(gray)
        n, _, height, width = last.shape
        tokens = self.gather(self.level(last.flatten(2).transpose(1, 2)))  # (N, H/32 * W/32, 384)
        for block in self.blocks:
            tokens = block(tokens)
        x = tokens.transpose(1, 2).reshape(n, -1, height, width)  # (N, 384, H/32, W/32)
        x = self.fuse16(x, sixteenth)
        x = self.fuse8(x, eighth)
        x = self.fuse4(x, fine)  # (N, 80, H/4, W/4)
        return self.classify(x)

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
        said = self.encoder.start(path)
        self.encoder_rate = 0.25
        return said

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """An encoder that starts from something worth keeping learns at a quarter of the rate."""
        encoder = list(self.encoder.parameters())
        known = {id(p) for p in encoder}
        rest = [p for p in self.parameters() if id(p) not in known]
        return [(encoder, self.encoder_rate), (rest, 1.0)]

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
