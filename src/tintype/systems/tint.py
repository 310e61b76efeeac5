"""tint: tintype's own model, made to be good and quick on a CPU.

Luminance in, a distribution over the 313 ab bins at a quarter of its size out: a pyramid of
features (`pyramid.py`) and a linear classifier, trained by class-rebalanced cross-entropy on
soft-encoded chroma (Zhang et al. 2016, arXiv 1603.08511).

All sizes are our choice: at 256 px the network takes 1.25 G multiplications, of which the encoder
has a third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import SettingError
from tintype.systems.binned import BINS, Binned
from tintype.systems.colorspace import linear_to_srgb
from tintype.systems.mobilenet import Classifier
from tintype.systems.pyramid import Pyramid
from tintype.systems.system import Batch, Recipe, slowed

# Decoding, as `tintype.runtime.card.Decoding` has it; docs/tint.md says how it was chosen. At the
# same colorfulness a higher temperature has less error and a lower one the truer histogram.
_SAFE, _VIVID, _VIVIDNESS = 1.25, -0.06, 0.8
_TEMPERATURES = 1.25, 0.26  # at vividness 0 and 1

# The teacher was trained at 224 px. At the size of training crops it names a quarter fewer
# photographs rightly, at 1.5 times that hardly any (0.49, 0.67, 0.68 at 128, 192, 224 px,
# measured while its strided kernels lay a pixel off).
_TEACHER_ZOOM = 1.5


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
        hint: weight of the hint (Romero et al. 2015, arXiv 1412.6550): what an ImageNet classifier
            sees in the colours is to be guessed from gray. 0 for none.
        encoder_rate: factor on the learning rate of an encoder that is started from something.
        frozen: how many of its first blocks then stay as they are, with its stem: those at the
            finest sizes see edges and textures, and their gradients are a third of a step's work.
        dropout: share of its features that a step leaves out, against learning photographs by
            heart; see `Pyramid`.
        encoder: ``"mobilenet_v2"``, ``"efficientnet_lite0"`` or ``"efficientnet_lite2"``.
        finer_blocks: transformer blocks at 1/16.
        hints: whether the network takes known colors, and is trained with some.
    """

    encoder_width: float = 1.0
    attention: int = 384
    heads: int = 8
    blocks: int = 2
    decoder: tuple[int, int, int] = (256, 128, 80)
    uniform: float = 0.5
    cap: float = 3.0
    error: float = 0.0
    hint: float = 0.0
    encoder_rate: float = 0.25
    frozen: int = 0
    dropout: float = 0.0
    encoder: str = "mobilenet_v2"
    finer_blocks: int = 0
    hints: bool = False


def hint_map(ab: Tensor, mask: Tensor) -> Tensor:
    """Known ab (N, h, w, 2) and where they are known (N, h, w) as the network takes them."""
    mask = mask.unsqueeze(1).to(ab.dtype)
    return torch.cat((ab.permute(0, 3, 1, 2) / 110 * mask, mask), 1)


def draw_hints(target: Tensor) -> Tensor:
    """Draw what a person may know of the true ab (N, h, w, 2), as `hint_map` gives it.

    Of ten photographs four have no hint, five have points in number from 1 to 400 (log-uniform)
    and size from 1 to 4 cells, and one a whole field that is slightly wrong, as the last frame of
    a film or a faded print gives it (Zhang et al. 2017, arXiv 1705.02999, section 3.1).
    """
    n, height, width, _ = target.shape
    draw = torch.rand((n, 6), device=target.device)
    ab = target.permute(0, 3, 1, 2)
    count = torch.exp(draw[:, 1] * math.log(400))
    hints = torch.zeros_like(torch.cat((ab, ab[:, :1]), 1))
    for size, share in ((1, 0.6), (2, 0.25), (4, 0.15)):
        mean = F.avg_pool2d(ab, size)
        chance = (count / mean[0, 0].numel()).view(n, 1, 1, 1)
        mask = (torch.rand_like(mean[:, :1]) < chance).to(ab.dtype)
        points = torch.cat((mean / 110 * mask, mask), 1)
        points = F.interpolate(points, size=(height, width), mode="nearest")
        begin = {1: 0.0, 2: 0.6, 4: 0.85}[size]
        chosen = (draw[:, 2] >= begin) & (draw[:, 2] < begin + share)
        hints = torch.where(chosen.view(n, 1, 1, 1), points, hints)
    # The field: soft, shifted a little, paler or stronger, with a cast; on a part of the picture.
    soft = F.interpolate(F.avg_pool2d(ab, 4), size=(height, width), mode="bilinear")
    shift = torch.randint(-2, 3, (2,)).tolist()
    soft = soft.roll(shift, (2, 3)) * (0.4 + 0.8 * draw[:, 3]).view(n, 1, 1, 1)
    soft = (soft + 6 * torch.randn((n, 2, 1, 1), device=ab.device)) / 110
    column = torch.arange(width, device=ab.device) < (width * (0.3 + draw[:, 4, None]))
    mask = column[:, None, None, :].expand(n, 1, height, width).to(ab.dtype)
    field = torch.cat((soft * mask, mask), 1)
    kind = draw[:, 0].view(n, 1, 1, 1)
    return torch.where(kind < 0.1, field, torch.where(kind < 0.6, hints, 0.0))


class Tint(Binned):
    """The network, its loss, and how it is exported."""

    name: ClassVar[str] = "tint"
    unexported: ClassVar[tuple[str, ...]] = ("hint",)
    presets: ClassVar[dict[str, tuple[Any, Recipe]]] = {
        "small": (TintConfig(), Recipe()),
        "lite0": (
            TintConfig(
                decoder=(256, 128, 64),
                cap=5.0,
                frozen=3,
                dropout=0.1,
                encoder="efficientnet_lite0",
                finer_blocks=1,
                hints=True,
            ),
            Recipe(
                learning_rate=7e-4,
                warmup=300,
                ema=0.9995,
                stretch=0.2,
                sides=(96, 128),
                faded=0.5,
            ),
        ),
        "test": (
            TintConfig(encoder_width=0.25, attention=32, heads=2, blocks=1, decoder=(16, 16, 16)),
            Recipe(crop=64, batch=8, warmup=5, ema=0.9),
        ),
    }

    def __init__(self, config: TintConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(
            config.encoder_width,
            config.attention,
            config.heads,
            config.blocks,
            config.decoder,
            config.dropout,
            config.encoder,
            config.finer_blocks,
            config.hints,
        )
        most = len(self.pyramid.encoder.blocks)
        if not 0 <= config.frozen <= most:
            raise SettingError(f"frozen is a number of blocks from 0 to {most}")
        if not 0 < config.heads <= config.attention or config.attention % config.heads:
            raise SettingError(f"heads is a number that divides attention, {config.attention}")
        if not 0 <= config.dropout < 1:
            raise SettingError("dropout is a share from 0 up to, but not, 1")
        self.classify = nn.Conv2d(self.pyramid.channels, BINS, 1)
        self.teacher: tuple[Classifier, ...] = ()  # one, in a tuple: its weights are not ours
        self.hint = None
        if config.hint:
            # Beginning at zero: at first no gradient of the hint reaches the network.
            guess = nn.Linear(config.attention, Classifier.FEATURES)
            nn.init.zeros_(guess.weight)
            self.hint = nn.Sequential(nn.LayerNorm(config.attention), guess)

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Logits over the ab bins.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 32.
            hints: known colors, as `Pyramid.forward` takes them.

        Returns:
            Logits (N, 313, H/4, W/4).
        """
        return self.classify(self.pyramid(gray, hints))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Rebalanced cross-entropy (``loss``) and, for comparing runs, the plain one (``ce``).

        ``kl`` is ``ce`` less the entropy of the soft targets, so it does not depend on how softly
        they are encoded. All in nats per pixel of the quarter-size map. Where the configuration
        asks for it, ``error`` is added in its weight: the squared error of the mean chroma at a
        temperature of 1, the rebalancing taken back out, relative to that of gray.
        """
        target = self.target(batch)
        hints = draw_hints(target) if self.config.hints and self.training else None
        whole, levels = self.pyramid.look(batch.gray, hints)
        logits = self.classify(self.pyramid.climb(whole, levels))
        found = self.cross_entropy(logits, target)
        terms = {"loss": (found.nats * found.weight).mean(), **found.terms()}
        if self.config.error:
            biased = logits.float() - self.effective.log()[:, None, None]
            miss = self.annealed_mean(biased, 1.0).permute(0, 2, 3, 1) - target
            error = miss.square().mean() / target.square().mean().clamp_min(1)
            terms["loss"] = terms["loss"] + self.config.error * error
            terms["error"] = error.detach()
        if self.hint is not None and self.teacher:
            unseen = self._unseen(whole, batch.linear)
            terms["loss"] = terms["loss"] + self.config.hint * unseen
            terms["hint"] = unseen.detach()
        return terms

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of the loss without hints; with them the share of the error of gray that is left.

        ``safe`` is the RMSE of the mean chroma over that of gray, the rebalancing taken out;
        ``safe_hinted`` the same with ten hints or so a photograph.
        """
        terms = self.loss(batch)
        target = self.target(batch)

        def miss(hints: Tensor | None) -> Tensor:
            logits = self(batch.gray, hints).float() - self.effective.log()[:, None, None]
            guess = self.annealed_mean(logits, 1.0).permute(0, 2, 3, 1)
            return (guess - target).square().sum((1, 2, 3)).mean()

        gray = target.square().sum((1, 2, 3)).mean()
        terms["safe"] = (miss(None) / gray).sqrt()
        if self.config.hints:
            random = torch.Generator(target.device).manual_seed(0)
            places = torch.rand(target.shape[:3], generator=random, device=target.device)
            mask = places < 10 / places[0].numel()
            terms["safe_hinted"] = (miss(hint_map(target, mask)) / gray).sqrt()
        return terms

    def _unseen(self, whole: Tensor, linear: Tensor) -> Tensor:
        """What a linear guess from (N, C, h, w) misses of the teacher's features of the colours.

        Relative to their variance: 0 is all seen, 1 no better than their mean.
        """
        assert self.hint is not None
        height, width = whole.shape[-2:]
        with torch.no_grad():
            rgb = linear_to_srgb(linear.clamp(0, 1))
            rgb = F.interpolate(rgb, scale_factor=_TEACHER_ZOOM, mode="bilinear")
            seen = self.teacher[0].features(rgb.contiguous(memory_format=torch.channels_last))
            seen = F.adaptive_avg_pool2d(seen.float(), (height, width))
            seen = seen.flatten(2).transpose(1, 2)  # (N, h * w, 1280)
            spread = (seen - seen.mean((0, 1))).square().mean()
        guess = self.hint(whole.flatten(2).transpose(1, 2)).float()
        return (guess - seen).square().mean() / spread.clamp_min(1e-6)

    def chroma(self, gray: Tensor) -> Tensor:
        """Annealed mean at the default vividness, (N, 2, H/4, W/4); `card` says how."""
        removed = _SAFE + _VIVIDNESS * (_VIVID - _SAFE)
        logits = self(gray).float() - removed * self.effective.log()[:, None, None]
        safe, vivid = _TEMPERATURES
        return self.annealed_mean(logits, safe * (vivid / safe) ** _VIVIDNESS)

    def initialise(self, path: Path) -> str:
        """Start the encoder from MobileNetV2's ImageNet weights (safetensors, norms folded).

        Raises:
            CheckpointError: the file is not one, or fits another network.
        """
        return self.pyramid.encoder.start(path)

    @property
    def hinted(self) -> bool:
        """Whether the configuration asks for hints of a teacher."""
        return self.hint is not None

    def watch(self, teacher: Classifier) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn to see in gray what this classifier sees in colour."""
        self.teacher = (teacher,)

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The encoder starts from something worth keeping: it learns at a lower rate.

        Where the configuration freezes its first blocks, they are a group before it.
        """
        encoder = self.pyramid.encoder
        groups = slowed(encoder, self.config.encoder_rate, self.parameters())
        if not self.config.frozen:
            return groups
        first = nn.ModuleList((encoder.stem, *encoder.blocks[: self.config.frozen]))
        kept, later = slowed(first, 0.0, groups[0][0])
        return [kept, (later[0], self.config.encoder_rate), groups[1]]

    def card(self) -> dict[str, Any]:
        """Input rule, output and decoding, as `tintype.runtime.card.Card` has them."""
        return {
            "description": "Our own model: MobileNetV2 encoder, attention, light decoder.",
            "space": "lab",
            "output": "bins",
            "stride": 4,
            "upsampling": "guided",
            "size": {
                "short_side": 160,
                "multiple": 32,
                "longest": 640,
                "filter": "triangle",
                "other_sides": (96,),
            },
            "decoding": {
                "rebalancing": self.rebalancing(),
                "safe": _SAFE,
                "vivid": _VIVID,
                "temperature": _TEMPERATURES[1],
                "safe_temperature": _TEMPERATURES[0],
                "vividness": _VIVIDNESS,
            },
        }
