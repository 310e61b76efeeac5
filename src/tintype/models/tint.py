"""tint: our default model, made to be good and quick on a CPU, and to take hints.

Luminance and known colors in (`hints.py`), features of a pyramid (`pyramid.py`), a distribution
over the 313 ab bins at a quarter of the size out. The loss is the rebalanced cross-entropy of Zhang
et al. 2016 (`cic.py`); the photograph is looked at in two sizes, the distributions are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.backbones import Classifier
from tintype.models.base import Batch, Graph, TrainConfig
from tintype.models.cic import BINS, BinsModel, Decoding
from tintype.models.hints import draw_hints, hint_map
from tintype.models.pyramid import Pyramid, PyramidConfig
from tintype.models.torch_color import linear_to_srgb

_FIRST_LOOK = 0.6  # weight of the look at the full network size, in the mean of two
# The teacher was trained at 224 px. At the size of training crops it names a quarter fewer
# photographs rightly, at 1.5 times that hardly any.
_TEACHER_ZOOM = 1.5


@dataclass(frozen=True)
class TintConfig(PyramidConfig):
    """Sizes of the network and constants of its loss.

    Attributes:
        lam, max_weight: of the rebalancing, as in `cic.BinsModel`.
        error: weight of the squared error of the mean chroma, beside the cross-entropy.
        distill: weight of distillation (Romero et al. 2015, arXiv 1412.6550): what an ImageNet
            classifier sees in the colors is guessed from gray. 0 for none.
        encoder_rate: factor on the learning rate of an encoder that starts from something.
        freeze_blocks: how many of its first blocks then stay as they are, with its stem.
        looks: whether the photograph is looked at again at three fifths of the size.
    """

    lam: float = 0.5
    max_weight: float = 5.0
    error: float = 0.0
    distill: float = 0.0
    encoder_rate: float = 0.25
    freeze_blocks: int = 3
    looks: bool = True


_TRAINING = TrainConfig(
    steps=100_000,
    learning_rate=7e-4,
    warmup=300,
    cooldown=0.1,
    ema=0.9995,
    aspect_jitter=0.2,
    crop_sizes=(96, 128),
    faded=0.5,
)


class Tint(BinsModel):
    """The network, its loss, and how it is exported."""

    name: ClassVar[str] = "tint"
    training_only: ClassVar[tuple[str, ...]] = ("distill",)
    decoding: Decoding = Decoding((1.25, -0.06), (1.25, 0.26), 0.8)
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "small": (TintConfig(), _TRAINING),
        "test": (
            TintConfig(
                encoder="tiny",
                encoder_width=0.25,
                attention=32,
                heads=2,
                blocks=(1, 1),
                decoder=(16, 16, 16),
                looks=False,  # of sizes that are symbols, twice as many take minutes to export
            ),
            TrainConfig(crop=64, batch=8, steps=20, warmup=5, ema=0.9),
        ),
    }

    def __init__(self, config: TintConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config)
        self.classify = nn.Conv2d(self.pyramid.channels, BINS, 1)
        self.teacher: tuple[Classifier, ...] = ()  # one, in a tuple: its weights are not ours
        self.distill, self.needs_teacher = None, config.distill > 0
        if self.needs_teacher:
            # Beginning at zero: at first no gradient of it reaches the network.
            guess = nn.Linear(config.attention, Classifier.FEATURES)
            nn.init.zeros_(guess.weight)
            self.distill = nn.Sequential(nn.LayerNorm(config.attention), guess)

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Return logits over the ab bins, (N, 313, H/4, W/4); arguments as of `Pyramid`."""
        return self.classify(self.pyramid(gray, hints))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the rebalanced cross-entropy (``loss``) and what is logged beside it.

        ``ce`` is the plain cross-entropy in nats per pixel, ``kl`` it without the entropy of the
        soft targets. ``error``, where it has a weight, is the squared error of the mean chroma with
        the rebalancing taken out, relative to that of gray; ``distill`` what a linear guess from
        gray misses of the teacher's features, relative to their variance.
        """
        target = self.target(batch)
        hints = draw_hints(target) if self.config.hints and self.training else None
        whole, levels = self.pyramid.encode(batch.gray, hints)
        logits = self.classify(self.pyramid.decode(whole, levels))
        found = self.cross_entropy(logits, target)
        terms = {"loss": (found.nats * found.weight).mean(), **found.terms()}
        if self.config.error:
            miss = self.annealed_mean(logits, 1.0, 1.0).permute(0, 2, 3, 1) - target
            error = miss.square().mean() / target.square().mean().clamp_min(1)
            terms["loss"] = terms["loss"] + self.config.error * error
            terms["error"] = error.detach()
        if self.teacher:
            missed = self._distillation(whole, batch.rgb)
            terms["loss"] = terms["loss"] + self.config.distill * missed
            terms["distill"] = missed.detach()
        return terms

    def _distillation(self, whole: Tensor, rgb: Tensor) -> Tensor:
        """0 is all seen, 1 no better than the mean of the teacher's features."""
        assert self.distill is not None
        with torch.no_grad():
            srgb = linear_to_srgb(rgb.clamp(0, 1))
            srgb = F.interpolate(srgb, scale_factor=_TEACHER_ZOOM, mode="bilinear")
            seen = self.teacher[0].features(srgb.contiguous(memory_format=torch.channels_last))
            seen = F.adaptive_avg_pool2d(seen.float(), (whole.shape[2], whole.shape[3]))
            seen = seen.flatten(2).transpose(1, 2)  # (N, h w, 1280)
            variance = (seen - seen.mean((0, 1))).square().mean()
        guess = self.distill(whole.flatten(2).transpose(1, 2)).float()
        return (guess - seen).square().mean() / variance.clamp_min(1e-6)

    def set_teacher(self, teacher: Classifier) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn to see in gray what this classifier sees in color."""
        self.teacher = (teacher,)

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss without hints, and the error that is left of gray's.

        ``safe`` is the RMSE of the mean chroma over that of gray, the rebalancing taken out;
        ``safe_hinted`` the same with about ten known cells a photograph.
        """
        terms = self.loss(batch)
        target = self.target(batch)

        def error(hints: Tensor | None) -> Tensor:
            guess = self.annealed_mean(self(batch.gray, hints), 1.0, 1.0).permute(0, 2, 3, 1)
            return ((guess - target).square().sum() / target.square().sum()).sqrt()

        terms["safe"] = error(None)
        if self.config.hints:
            random = torch.Generator(target.device).manual_seed(0)
            places = torch.rand(target.shape[:3], generator=random, device=target.device)
            terms["safe_hinted"] = error(hint_map(target, places < 10 / places[0].numel()))
        return terms

    def load_backbone(self, path: Path) -> str:
        """Start the encoder from ImageNet weights; see `Backbone.load_imagenet`."""
        return self.pyramid.encoder.load_imagenet(path)

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the encoder, which starts from something worth keeping, at a lower rate."""
        config, own = self.config, list(self.parameters())
        return self.pyramid.groups(config.encoder_rate, config.freeze_blocks, own)

    def graphs(self) -> dict[str, Graph]:
        """Return the classifier of two looks, with hints, and its decoding."""

        def example(size: int) -> dict[str, Tensor]:
            height, width = 32 * (2 + size), 32 * (3 + size)
            gray = F.interpolate(torch.rand(1, 1, 2 + size, 4), size=(height, width))
            hints = torch.rand(1, 3, height // 4, width // 4)
            hints[:, 2:] = (hints[:, 2:] > 0.9).float()
            inputs = {"gray": gray, "hints": hints}
            return inputs if self.config.hints else {"gray": gray}

        dynamic = {
            "gray": {2: ("rows", 32), 3: ("columns", 32)},
            "hints": {2: ("rows", 8), 3: ("columns", 8)},
        }
        looks = Looks(self) if self.config.looks else Look(self)
        return {"": Graph(looks, example, dynamic, ("bins",)), "decode": self.decode_graph()}

    def card(self) -> dict[str, Any]:
        """Return input rule, output and options."""
        options: dict[str, Any] = {"vividness": self.decoding.vividness}
        return {
            "description": "Our default model: an ImageNet encoder, attention, a light decoder.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": 160, "multiple": 32, "longest": 640, "resample": "triangle"},
            "enlarge": "guided",
            "normalise": True,
            "options": options | ({"hints": []} if self.config.hints else {}),
        }


class Look(nn.Module):
    """The graph of a classifier that looks once: log-probabilities of the bins."""

    def __init__(self, model: Tint) -> None:
        super().__init__()
        self.model = model

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        return self.model(gray, hints).log_softmax(1)


class Looks(Look):
    """The graph of a classifier that looks twice, the second time at three fifths of the size.

    The distributions are averaged, not the logits.
    """

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        height, width = gray.shape[2:]
        coarse = ((height * 3 // 5 + 16) // 32 * 32, (width * 3 // 5 + 16) // 32 * 32)
        seen = resize(gray, *coarse)
        known = None
        if hints is not None:
            mask = resize(hints[:, 2:], coarse[0] // 4, coarse[1] // 4)
            ab = resize(hints[:, :2] * hints[:, 2:], coarse[0] // 4, coarse[1] // 4)
            known = torch.cat((ab / mask.clamp_min(1e-4), (mask > 0.05).to(mask.dtype)), 1)
            known = known * known[:, 2:]
        first = self.model(gray, hints).softmax(1)
        second = self.model(seen, known).softmax(1)
        second = F.interpolate(second, size=first.shape[2:], mode="bilinear")
        return (_FIRST_LOOK * first + (1 - _FIRST_LOOK) * second).clamp_min(1e-30).log()


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Reduce (N, C, H, W) by a triangle filter, antialiased, as Pillow's does; it exports."""
    return _triangle(height, x.shape[2]) @ x @ _triangle(width, x.shape[3]).T


def _triangle(outputs: int, inputs: int) -> Tensor:
    scale = inputs / outputs
    center = (torch.arange(outputs) + 0.5) * scale - 0.5
    weights = (1 - (center[:, None] - torch.arange(inputs)).abs() / scale).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)
