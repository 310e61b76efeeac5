"""Adversarial training (Lal, Garg and Verma 2017): a colour classifier with a critic and labels.

    luminance -> generator -> 313 ab bins at a quarter of the size -> annealed mean -> ab
                     |                                                                  |
              last layer -> head -> what the photograph shows          (L, ab / 100) -> critic

Three losses: rebalanced cross-entropy on soft-encoded chroma (Zhang et al. 2016), the cross-entropy
of the head's labels, and the score of a Wasserstein critic, whose gradient passes through the
annealed mean. First the first two; the critic joins for the end of a run.

``paper`` has the layers that are printed. The paper prints neither weights of the losses nor how
the critic's slope is limited; where it cites the Wasserstein GAN we take that paper's values.
``small`` is a network to use, not a miniature of the paper's: the generator of `tint`, which
can start from its weights, and a critic limited by a gradient penalty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError, SettingError
from tintype.systems.binned import BINS, Binned
from tintype.systems.colorspace import lightness_of_gray
from tintype.systems.pyramid import Pyramid
from tintype.systems.system import Batch, Recipe, slowed
from tintype.systems.wasserstein import clip_weights, critic_loss, generator_loss, gradient_penalty

_SCALE = 100.0  # the critic sees ab / 100, which lies in about [-1.1, 1.1]
_SLOPE = 0.2  # of the leaky ReLUs below zero
_LOOK = 20  # steps after which predicted and true colour are compared
_WEIGH = 200  # steps after which the gradient of each loss is measured
_FAINT, _GAUDY = 0.4, 2.0  # chroma over the true one at which a generator is called collapsed
_RUNAWAY = 100.0  # a critic of slope 1 cannot tell two sets of chroma that far apart


@dataclass(frozen=True)
class AdversarialConfig:
    """Sizes, constants and weights of the losses.

    Attributes:
        generator: ``"printed"`` or ``"pyramid"`` (that of `tint`).
        maps: of the printed generator's first layer, 64 in the paper; the others in proportion.
        width, attention, heads, blocks, decoder: of the pyramid, as in `tint.TintConfig`.
        encoder_rate: factor on the learning rate of the pyramid's encoder.
        critic_maps: of the critic's first layer, 64 in the paper.
        lipschitz: ``"clipping"``, with batch norm in the critic as printed, or ``"penalty"``,
            with layer norm, since the penalty is on the slope of each sample alone.
        clip_at: largest weight of a clipped critic.
        penalty: weight of the gradient penalty.
        critic_rate: learning rate of the critic: of RMSProp when clipping, else of Adam (0, 0.9).
        critics: critic steps to each step of the generator.
        critic_from: how far the run is when the critic begins to learn; 1 for never.
        felt_from: how far it is when the generator begins to feel it.
        classes: of the labels.
        pooled: side of the map, averaged from the last layer, that the head looks at.
        hidden: units of each of its two layers.
        colour, label, game: weights of the three losses, lambda 1, 2 and 3, which are not printed.
            0.003 for labels is usual (ChromaGAN), and there is a thousandth of the gradient of the
            colour loss; 1 gives it a fifth, and 0.1 the game a sixth (measured at the last layer).
        temperature: of the annealed mean.
        removed: how much of the rebalancing is taken back out before it, from 0 to 1.
        uniform, cap: of the rebalancing, as in `binned.Binned`.
    """

    generator: str = "pyramid"
    maps: int = 64
    width: float = 1.0
    attention: int = 384
    heads: int = 8
    blocks: int = 2
    decoder: tuple[int, int, int] = (256, 128, 80)
    encoder_rate: float = 0.25
    critic_maps: int = 32
    lipschitz: str = "penalty"
    clip_at: float = 0.01
    penalty: float = 10.0
    critic_rate: float = 2e-4
    critics: int = 1
    critic_from: float = 1.0
    felt_from: float = 1.0
    classes: int = 1000
    pooled: int = 4
    hidden: int = 512
    colour: float = 1.0
    label: float = 1.0
    game: float = 0.1
    temperature: float = 0.38
    removed: float = 0.25
    uniform: float = 0.5
    cap: float = 3.0

    def __post_init__(self) -> None:
        for name, choices in (
            ("generator", ("printed", "pyramid")),
            ("lipschitz", ("clipping", "penalty")),
        ):
            if getattr(self, name) not in choices:
                raise SettingError(f"{name} is one of {', '.join(choices)}")
        if self.felt_from < self.critic_from:
            raise SettingError("felt_from comes after critic_from: a critic has to learn first")
        if not self.temperature > 0 or self.critics < 1:
            raise SettingError("temperature is above 0, and critics a number from 1")


def _block(inputs: int, outputs: int, stride: int, norm: nn.Module | None) -> list[nn.Module]:
    """sCk of the paper: 3x3 convolution, norm (but in the first layer), leaky ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=norm is None)
    return [conv, *([norm] if norm else []), nn.LeakyReLU(_SLOPE)]


class PrintedGenerator(nn.Module):
    """Section 3.2.1, sCk a convolution of stride s and k maps with its norm and leaky ReLU:

        1C64 - 2C64 - 1C128 - 2C128 - 2 x 1C256 - 2C256 - 12 x 1C512 - T512 - 2 x 1C256

    T512 has a 4x4 kernel, as in Zhang et al., which enlarges without gaps.

    Attributes:
        channels: of the last layer, on which the bins and the head look.
    """

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__()
        w = config.maps
        layers = [(w, 1), (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 1), (4 * w, 2)]
        layers += 12 * [(8 * w, 1)]
        parts: list[nn.Module] = []
        inputs = 1
        for outputs, stride in layers:
            parts += _block(inputs, outputs, stride, nn.BatchNorm2d(outputs) if parts else None)
            inputs = outputs
        parts += [nn.ConvTranspose2d(inputs, inputs, 4, 2, 1, bias=False)]
        parts += [nn.BatchNorm2d(inputs), nn.LeakyReLU(_SLOPE)]
        for outputs in (4 * w, 4 * w):
            parts += _block(inputs, outputs, 1, nn.BatchNorm2d(outputs))
            inputs = outputs
        self.layers = nn.Sequential(*parts)
        self.channels = inputs
        self.classify = nn.Conv2d(inputs, BINS, 1)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer is not self.classify:
                nn.init.kaiming_normal_(layer.weight, _SLOPE, nonlinearity="leaky_relu")

    def forward(self, gray: Tensor) -> Tensor:
        """Luminance (N, 1, H, W) in [0, 1] to the last layer's features (N, C, H/4, W/4)."""
        # A stride of 2 of an odd side would round up: the engine gives multiples of 8.
        return self.layers(_scaled_lightness(gray))


class PyramidGenerator(Pyramid):
    """Ours: the network of `tint`."""

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__(
            config.width, config.attention, config.heads, config.blocks, config.decoder
        )
        self.classify = nn.Conv2d(self.channels, BINS, 1)


class Critic(nn.Module):
    """Section 3.2.2: 1C64 - 2C128 - 2C256 - 2C512 - 1C512 - 2C512 - 1C1 on (L, ab).

    The last layer has no norm and no activation: a Wasserstein critic is not bounded. The score is
    the mean over its map. Kernels of 3x3 and leaky ReLUs are our choice.
    """

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__()
        w = config.critic_maps
        parts: list[nn.Module] = []
        inputs = 3
        for factor, stride in ((1, 1), (2, 2), (4, 2), (8, 2), (8, 1), (8, 2)):
            outputs = factor * w
            norm = None
            if parts:
                clipped = config.lipschitz == "clipping"
                norm = nn.BatchNorm2d(outputs) if clipped else nn.GroupNorm(1, outputs)
            parts += _block(inputs, outputs, stride, norm)
            inputs = outputs
        self.layers = nn.Sequential(*parts, nn.Conv2d(inputs, 1, 3, 1, 1))

    def forward(self, lab: Tensor) -> Tensor:
        """L and ab as `judged` scales them, (N, 3, H/4, W/4), to scores (N,)."""
        return self.layers(lab).mean((1, 2, 3))


class Head(nn.Module):
    """Section 3.2.3: two layers with dropout 0.5, and one unit for each class.

    Flattening the last layer as it is would take 4.3 G weights: it is averaged to a small map first
    (our choice).
    """

    def __init__(self, channels: int, config: AdversarialConfig) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(config.pooled)
        self.hidden1 = nn.Linear(channels * config.pooled**2, config.hidden)
        self.hidden2 = nn.Linear(config.hidden, config.hidden)
        self.classes = nn.Linear(config.hidden, config.classes)

    def forward(self, features: Tensor) -> Tensor:
        """The generator's last layer (N, C, h, w) to logits of the classes (N, classes)."""
        x = self.pool(features).flatten(1)
        x = F.dropout(F.relu(self.hidden1(x)), 0.5, self.training)
        x = F.dropout(F.relu(self.hidden2(x)), 0.5, self.training)
        return self.classes(x)


def _scaled_lightness(gray: Tensor) -> Tensor:
    """(L* - 50) / 50 of luminance in [0, 1]: from -1 to 1."""
    return (lightness_of_gray(gray) - 50) / 50


def judged(gray: Tensor, ab: Tensor) -> Tensor:
    """What the critic sees: (L - 50) / 50 at the chroma's size and ab / 100, (N, 3, h, w).

    Args:
        gray: luminance in [0, 1], (N, 1, H, W).
        ab: in Lab units, (N, 2, H/4, W/4).
    """
    light = F.avg_pool2d(_scaled_lightness(gray.float()), gray.shape[-1] // ab.shape[-1])
    return torch.cat((light, ab.float() / _SCALE), 1)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of soft labels (N, classes), each photograph weighted by how sure they are.

    The weight is 1 - H / log(classes): 1 for a single class, 0 where all are alike.
    """
    labels = labels.float()
    entropy = -(labels * labels.clamp_min(1e-12).log()).sum(1)
    sure = 1 - entropy / math.log(labels.shape[1])
    return -(sure * (labels * logits.float().log_softmax(1)).sum(1)).mean()


def spread(ab: Tensor) -> Tensor:
    """Mean chroma sqrt(a^2 + b^2) of ab (N, 2, h, w)."""
    return ab.square().sum(1).sqrt().mean()


_PRINTED = AdversarialConfig(
    generator="printed",
    critic_maps=64,
    lipschitz="clipping",
    critic_rate=5e-5,
    critics=5,
    critic_from=0.5,
    felt_from=0.55,
    hidden=4096,
    label=0.003,
    removed=0.0,
    cap=0.0,
)


class Adversarial(Binned):
    """Generator, critic and head, their losses, and what of it is exported: the generator."""

    name: ClassVar[str] = "adversarial"
    unexported: ClassVar[tuple[str, ...]] = ("critic", "head")
    presets: ClassVar[dict[str, tuple[Any, Recipe]]] = {
        "paper": (
            _PRINTED,
            Recipe(
                crop=256,
                batch=32,
                learning_rate=5e-5,
                optimiser="rmsprop",
                warmup=0,
                weight_decay=0.0,
                short_side=288,
            ),
        ),
        "small": (AdversarialConfig(), Recipe(learning_rate=5e-4)),
        "test": (
            AdversarialConfig(
                width=0.25,
                attention=32,
                heads=2,
                blocks=1,
                decoder=(16, 16, 16),
                critic_maps=4,
                critic_from=0.3,
                felt_from=0.5,
                critics=2,
                classes=10,
                pooled=2,
                hidden=16,
            ),
            Recipe(crop=64, batch=8, warmup=5, ema=0.9),
        ),
    }

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__(config)
        generators = {"printed": PrintedGenerator, "pyramid": PyramidGenerator}
        self.generator = generators[config.generator](config)
        self.head = Head(self.generator.channels, config)
        self.critic = Critic(config)

    def forward(self, gray: Tensor) -> Tensor:
        """Chroma.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 32 (``paper``: of 8).

        Returns:
            ab in Lab units, (N, 2, H/4, W/4).
        """
        return self.decode(self.generator.classify(self.generator(gray)))

    def decode(self, logits: Tensor) -> Tensor:
        """The annealed mean of logits (N, 313, h, w), rebalanced as the configuration says."""
        if self.config.removed:
            logits = logits.float() - self.config.removed * self.weights.log()[:, None, None]
        return self.annealed_mean(logits, self.config.temperature)

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """The weighted sum of the three losses (``loss``), as far as the run has them.

        ``co`` is the rebalanced cross-entropy, ``ce`` and ``kl`` the plain one as in `tint`,
        ``cl`` the label loss, ``g`` the generator's in the game. Now and then ``chroma`` is added,
        the mean chroma over the true one, and the norms of the gradients that the weighted
        losses send to the generator's last layer (``grad_co``, ``grad_cl``, ``grad_g``).
        """
        config = self.config
        features = self.generator(batch.gray)
        logits = self.generator.classify(features)
        target = self.target(batch)
        found = self.cross_entropy(logits, target)
        parts = {"co": (config.colour, (found.nats * found.weight).mean())}
        if config.label and batch.labels is not None:
            parts["cl"] = (config.label, label_loss(self.head(features), batch.labels))
        felt = self.training and config.game > 0 and self.progress >= config.felt_from
        looked = self.training and (step + 1) % _LOOK == 0
        watched: dict[str, Tensor] = {}
        if felt or looked:
            ab = self.decode(logits)
            truth = target.permute(0, 3, 1, 2)
            watched["chroma"] = spread(ab.detach()) / spread(truth).clamp_min(1)
            if felt:
                with torch.autocast(ab.device.type, enabled=False):
                    score = cast(Critic, self.critic)(judged(batch.gray, ab))
                parts["g"] = (config.game, generator_loss(score))
        if self.training and features.requires_grad and (step + 1) % _WEIGH == 0:
            for name, (weight, value) in parts.items():
                (slope,) = torch.autograd.grad(weight * value, features, retain_graph=True)
                watched[f"grad_{name}"] = slope.float().norm()
        total = sum(weight * value for weight, value in parts.values())
        values = {name: value.detach() for name, (_, value) in parts.items()}
        return {"loss": cast(Tensor, total), **values, **found.terms(), **watched}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropies, the error of ab, and its chroma over the true one."""
        logits = self.generator.classify(self.generator(batch.gray))
        target = self.target(batch)
        ab, truth = self.decode(logits), target.permute(0, 3, 1, 2)
        return {
            **self.cross_entropy(logits, target).terms(),
            "rmse": (ab - truth).square().mean().sqrt(),
            "chroma": spread(ab) / spread(truth).clamp_min(1),
        }

    @property
    def labelled(self) -> bool:
        """Whether the configuration gives the label loss a weight."""
        return self.config.label > 0

    def critic_optimiser(self) -> torch.optim.Optimizer:
        """RMSProp when clipping, as in the Wasserstein GAN; Adam (0, 0.9) with the penalty."""
        parameters, rate = cast(Critic, self.critic).parameters(), self.config.critic_rate
        if self.config.lipschitz == "clipping":
            return torch.optim.RMSprop(parameters, rate)
        return torch.optim.Adam(parameters, rate, betas=(0.0, 0.9))

    def critic_steps(self) -> int:
        """None before the critic's stage."""
        playing = self.config.game > 0 and self.progress >= self.config.critic_from
        return self.config.critics if playing else 0

    def critic_loss(self, batch: Batch) -> dict[str, Tensor]:
        """The critic's loss, ``critic`` without the penalty (minus the distance it has found).

        True and predicted chroma are judged beside the same lightness.
        """
        critic = cast(Critic, self.critic)
        with torch.no_grad():
            ab = self(batch.gray)
            real = judged(batch.gray, self.target(batch).permute(0, 3, 1, 2))
            fake = judged(batch.gray, ab)
        with torch.autocast(ab.device.type, enabled=False):  # the penalty is on small slopes
            game = critic_loss(critic(real), critic(fake))
            if self.config.lipschitz == "clipping":
                return {"loss": game, "critic": game.detach()}
            penalty = gradient_penalty(critic, real, fake)
        return {
            "loss": game + self.config.penalty * penalty,
            "critic": game.detach(),
            "penalty": penalty.detach(),
        }

    def constrain_critic(self) -> None:
        """Clip its weights, where that is how its slope is limited."""
        if self.config.lipschitz == "clipping":
            clip_weights(cast(Critic, self.critic), self.config.clip_at)

    def remarks(self, values: Mapping[str, float]) -> list[str]:
        """Missing labels, collapse to gray or to gaudy colours, a critic that runs away."""
        found = []
        if self.config.label and "cl" not in values:
            found.append("the label loss is off: there are no labels to learn; give a --teacher")
        chroma = values.get("chroma", 1.0)
        # Before the game a generator that starts from nothing is gray, and no harm in it.
        if "g" in values and not _FAINT <= chroma <= _GAUDY:
            kind = "gray" if chroma < _FAINT else "gaudy"
            found.append(
                f"the generator has collapsed to {kind}: its chroma is {chroma:.2f} of the true "
                "one; lower game, or let the critic begin later"
            )
        if abs(values.get("critic", 0.0)) > _RUNAWAY or values.get("penalty", 0.0) > _RUNAWAY:
            found.append(
                "the critic runs away from the generator: its slope is no longer limited; lower "
                "critic_rate, or raise penalty"
            )
        return found

    def chroma(self, gray: Tensor) -> Tensor:
        """ab, as `forward`."""
        return self(gray)

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Nothing: how bins are decoded is part of what the critic judged."""

    def initialise(self, path: Path) -> str:
        """Start the encoder of ``small`` from MobileNetV2's ImageNet weights, as `tint` does.

        Raises:
            CheckpointError: the file is not one, or this preset has another generator.
        """
        if not isinstance(self.generator, PyramidGenerator):
            raise CheckpointError("The printed generator starts from nothing: leave out --init.")
        return self.generator.encoder.start(path)

    def adopt(self, system: str, weights: dict[str, Tensor]) -> str:
        """Take over the network of an exported `tint` as the generator.

        Raises:
            CheckpointError: it is another system's, or of other sizes.
        """
        if system != "tint" or not isinstance(self.generator, PyramidGenerator):
            return super().adopt(system, weights)
        self.generator.adopt(weights)
        classify = {name: weights[f"classify.{name}"] for name in ("weight", "bias")}
        self.generator.classify.load_state_dict(classify)
        return "generator from tint"

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The pyramid's encoder, which starts from something, at a lower rate; then the rest."""
        own = [*self.generator.parameters(), *self.head.parameters()]
        if not isinstance(self.generator, PyramidGenerator):
            return [(own, 1.0)]
        return slowed(self.generator.encoder, self.config.encoder_rate, own)

    def card(self) -> dict[str, Any]:
        """Input rule and output, as `tintype.runtime.card.Card` has them."""
        printed = self.config.generator == "printed"
        return {
            "description": "Lal et al. 2017: a colour classifier trained with labels and a critic.",
            "space": "lab",
            "output": "chroma",
            "stride": 4,
            "size": {
                "short_side": 256 if printed else 160,
                "multiple": 8 if printed else 32,
                "longest": 1024 if printed else 640,
            },
            "upsampling": "guided",
        }
