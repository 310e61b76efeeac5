"""tint: our default model, accurate and fast on a CPU; it takes hints.

A feature pyramid (`pyramid.py`) maps luminance and hints (`hints.py`) to a distribution over the
313 ab bins at a quarter of the size. The loss is the rebalanced cross-entropy of Zhang et al. 2016
(`cic.py`). The exported graph averages the distributions of two scales of the photograph.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError, SettingError
from tintype.models.backbones import Classifier
from tintype.models.base import Batch, Graph, TrainConfig, scaled_lr_groups
from tintype.models.cic import BINS, BinsModel, Decoding, LogProbabilities, check_rebalancing
from tintype.models.hints import draw_hints, hint_map
from tintype.models.pyramid import Pyramid, PyramidConfig
from tintype.models.torch_color import linear_to_srgb

_FULL_SCALE_WEIGHT = 0.6  # of the distribution at the full network size, in the mean of two scales
_FINISHED = (
    "hints_only trains layers of a finished tint: give one with --init, e.g. --init tint.small."
)
# Crops are enlarged for the teacher, which was trained at 224 pixels: at the size of the crops its
# accuracy falls by a quarter, at 1.5 times that size hardly.
_TEACHER_ZOOM = 1.5


@dataclass(frozen=True)
class TintConfig(PyramidConfig):
    """Sizes of the network and constants of the loss.

    Attributes:
        lam: weight of the uniform distribution in the rebalancing (Zhang et al. 2016: lambda).
        max_weight: largest weight of a bin in the rebalancing; 0 for no limit.
        error: weight of the squared error of the mean chroma in the loss.
        distill: weight of feature distillation (Romero et al. 2015, arXiv 1412.6550): from gray the
            network predicts the features of an ImageNet classifier on the colors. 0 for none.
        encoder_rate: factor on the learning rate of a pretrained encoder.
        freeze_blocks: number of first blocks of a pretrained encoder that are frozen, with the
            stem.
        looks: whether the exported graph averages two scales, the second three fifths of the first.
        hints_only: whether only the layers that spread hints are trained: without hints the network
            then stays what it started from.
    """

    blocks: tuple[int, int] = (2, 0)
    decoder: tuple[int, ...] = (256, 128, 80)
    lam: float = 0.5
    max_weight: float = 5.0
    error: float = 0.0
    distill: float = 0.0
    encoder_rate: float = 0.25
    freeze_blocks: int = 3
    looks: bool = True
    hints_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hints_only and not self.hints:
            raise SettingError("hints_only trains the layers for hints: leave out hints=false")
        check_rebalancing(self.lam, self.max_weight)


_TRAINING = TrainConfig(
    steps=100_000,
    learning_rate=7e-4,
    warmup=300,
    cooldown=0.1,
    ema=0.998,
    aspect_jitter=0.2,
    crop_sizes=(96, 128),
    faded=0.5,
)


class Tint(BinsModel):
    """The network of `tint`, its loss and its export."""

    name: ClassVar[str] = "tint"
    training_only: ClassVar[tuple[str, ...]] = ("distill",)
    may_lack: ClassVar[tuple[str, ...]] = ("pyramid.hints.",)
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
        self.teacher: tuple[Classifier, ...] = ()  # at most one; not a submodule
        self.distill, self.needs_teacher = None, config.distill > 0
        if self.needs_teacher:
            # Initialized to zero, so that its first gradients do not reach the network.
            guess = nn.Linear(config.attention, Classifier.FEATURES)
            nn.init.zeros_(guess.weight)
            self.distill = nn.Sequential(nn.LayerNorm(config.attention), guess)

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Return logits over the ab bins, (N, 313, H/4, W/4); arguments as in `Pyramid.forward`."""
        return self.classify(self.pyramid(gray, hints))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the loss (``loss``) and its terms.

        The loss is the rebalanced cross-entropy plus the weighted ``error`` and ``distill``, where
        they have a weight. ``ce`` and ``kl`` are those of `CrossEntropy`. ``error`` is the squared
        error of the mean chroma, corrected for the prior, relative to that of gray; ``distill`` is
        the squared error of the predicted teacher features, relative to their variance.
        """
        target = self.target(batch)
        hints = None
        if self.config.hints and self.training:
            hints = draw_hints(target, 0.0 if self.config.hints_only else 0.4)
        whole, levels = self.pyramid.encode(batch.gray)
        logits = self.classify(self.pyramid.decode(whole, levels, batch.gray, hints))
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
        """Return the squared error of predicted teacher features, relative to their variance."""
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
        """Set the classifier whose features are distilled."""
        self.teacher = (teacher,)

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss without hints, and errors of the mean chroma.

        ``safe`` is the RMSE of the mean chroma, corrected for the prior, relative to that of gray;
        ``safe_hinted`` is the same with about ten hints per photograph.
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

    def train(self, mode: bool = True) -> Tint:
        """Set training mode; layers that are not trained have no dropout and keep their norms."""
        super().train(mode)
        if self.config.hints_only:
            self.pyramid.eval()
        return self

    def start_training(self, ab: Tensor) -> None:
        """Compute the rebalancing weights; see `BinsModel.start_training`."""
        calibrated = self.corrected_weights.clone()
        super().start_training(ab)
        if self.config.hints_only:
            if bool((calibrated == 1).all()):
                raise CheckpointError(_FINISHED)
            self.corrected_weights.copy_(calibrated)

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Calibrate the decoding, unless only hints are trained; see `BinsModel.calibrate`."""
        if not self.config.hints_only:
            super().calibrate(batches)

    def load_backbone(self, path: Path) -> str:
        """Load ImageNet weights into the encoder; see `Backbone.load_imagenet`."""
        if self.config.hints_only:
            raise CheckpointError(_FINISHED)
        return self.pyramid.encoder.load_imagenet(path)

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return frozen blocks, the encoder at a lower learning rate, and the rest."""
        config, own = self.config, list(self.parameters())
        if config.hints_only and self.pyramid.hints is not None:
            hints, rest = scaled_lr_groups(self.pyramid.hints, 1.0, own)
            return [hints, (rest[0], 0.0)]
        return self.pyramid.groups(config.encoder_rate, config.freeze_blocks, own)

    def graphs(self) -> dict[str, Graph]:
        """Return the classifier and the graph ``decode``."""

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
        classifier = TwoScaleLogProbabilities(self) if self.config.looks else LogProbabilities(self)
        return {"": Graph(classifier, example, dynamic, ("bins",)), "decode": self.decode_graph()}

    def card(self) -> dict[str, Any]:
        """Return the fields of the card."""
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


class TwoScaleLogProbabilities(nn.Module):
    """The graph of a classifier at two scales: log-probabilities of the mean distribution.

    The second scale is three fifths of the first. Probabilities are averaged, not logits.
    """

    def __init__(self, model: Tint) -> None:
        super().__init__()
        self.model = model

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
        return (
            (_FULL_SCALE_WEIGHT * first + (1 - _FULL_SCALE_WEIGHT) * second).clamp_min(1e-30).log()
        )


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Reduce (N, C, H, W) by an antialiased triangle filter, like Pillow's bilinear filter.

    Two matrix products, because the exporter does not know torch's antialiased interpolation.
    """
    return _triangle(height, x.shape[2]) @ x @ _triangle(width, x.shape[3]).T


def _triangle(outputs: int, inputs: int) -> Tensor:
    scale = inputs / outputs
    center = (torch.arange(outputs) + 0.5) * scale - 0.5
    weights = (1 - (center[:, None] - torch.arange(inputs)).abs() / scale).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)
