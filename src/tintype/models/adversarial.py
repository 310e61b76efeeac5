"""Automatic Image Colorization Using Adversarial Training (Lal, Garg and Verma 2017).

    luma -> generator -> 313 ab bins at a quarter of the size -> annealed mean -> ab
                |                                                                 |
            last layer -> label head -> classes of the photograph    (L, ab) -> critic

The loss has three terms: rebalanced cross-entropy on soft-encoded chroma (Zhang et al. 2016),
cross-entropy of the labels, and the score of a Wasserstein critic, whose gradient passes through
the annealed mean. The third term is added from a later step on.

Layers of the three networks (sections 3.2.1 to 3.2.3) and losses are the paper's. The paper prints
no weights of the losses and no constants of the training; where it cites the Wasserstein GAN
(Arjovsky et al. 2017, arXiv 1701.07875), constants are from there. The rest is marked "our choice".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import SettingError
from tintype.models.base import (
    Batch,
    Graph,
    TrainConfig,
    average_gradients,
    label_loss,
    luma_graph,
)
from tintype.models.cic import BINS, BinsModel, LogProbabilities, check_rebalancing
from tintype.models.torch_color import gray_to_lightness

_SLOPE = 0.2  # negative slope of the leaky ReLUs; for the critic our choice
_GRADIENTS_EVERY = 200  # steps between two logs of gradient norms
# Outside these ratios of predicted to true chroma a warning says that the generator has collapsed.
_FAINT, _GAUDY = 0.4, 2.0
_RUNAWAY = 100.0  # loss of the critic that a 1-Lipschitz critic cannot reach


@dataclass(frozen=True)
class AdversarialConfig:
    """Sizes of the networks, weights of the losses, and training of the critic.

    Raises:
        SettingError: a value is out of range.

    Attributes:
        maps, critic_maps: channels of the first layers, 64 in the paper; those of the others are in
            proportion.
        pool: side to which the generator's last layer is average-pooled for the label head.
        hidden: units of each of the label head's two hidden layers.
        classes: number of classes.
        input_side: shorter side in pixels of the network's input.
        lambda_color, lambda_label, lambda_adv: weights of the three losses.
        n_critic: steps of the critic per step of the generator.
        critic_start: step from which the critic is trained.
        adv_start: step from which its score is part of the loss, not before `critic_start`.
        critic_learning_rate: learning rate of RMSProp with clipping, of Adam (0, 0.9) with penalty.
        lipschitz: how the critic is kept Lipschitz: by weight ``"clipping"``, with batch norm as
            printed, or by a gradient ``"penalty"`` (Gulrajani et al. 2017, arXiv 1704.00028), with
            layer norm, because the penalty is per sample.
        clip_value: largest absolute weight with clipping.
        lambda_gp: weight of the gradient penalty.
        lam: weight of the uniform distribution in the rebalancing (Zhang et al. 2016: lambda).
        max_weight: largest weight of a bin in the rebalancing; 0 for no limit.
    """

    maps: int = 64
    critic_maps: int = 64
    pool: int = 4  # our choice: without pooling the first layer would have 4.3 G weights
    hidden: int = 4096
    classes: int = 1000
    input_side: int = 256
    lambda_color: float = 1.0
    lambda_label: float = 0.003  # our choice, ChromaGAN's weight
    lambda_adv: float = 0.1  # our choice
    n_critic: int = 5
    critic_start: int = 90_000  # our choice
    adv_start: int = 100_000  # our choice
    critic_learning_rate: float = 5e-5
    lipschitz: str = "clipping"
    clip_value: float = 0.01
    lambda_gp: float = 10.0
    lam: float = 0.5
    max_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.lipschitz not in ("clipping", "penalty"):
            raise SettingError(f"lipschitz is 'clipping' or 'penalty', not {self.lipschitz!r}")
        if self.adv_start < self.critic_start:
            raise SettingError("adv_start must not be before critic_start")
        if self.n_critic < 1 or self.classes < 1:
            raise SettingError("n_critic and classes must be at least 1")
        check_rebalancing(self.lam, self.max_weight)


def _conv(inputs: int, outputs: int, stride: int, norm: nn.Module | None) -> list[nn.Module]:
    """Return the paper's sCk: a 3x3 convolution of stride s to k channels, norm, leaky ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=norm is None)
    return [conv, *([norm] if norm else []), nn.LeakyReLU(_SLOPE)]


class Generator(nn.Module):
    """The generator (section 3.2.1); sCk is a convolution of stride s to k channels:

        1C64 - 2C64 - 1C128 - 2C128 - 2 x 1C256 - 2C256 - 12 x 1C512 - T512 - 2 x 1C256

    The first layer has no norm. T512 is a transposed convolution. Its 4x4 kernel, as in Zhang et
    al., and the 1x1 kernel of the last convolution, to the bins, are our choice.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        listed = [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 1), (4, 2), *12 * [(8, 1)]]
        layers: list[nn.Module] = []
        inputs = 1
        for factor, stride in listed:
            outputs = factor * maps
            layers += _conv(inputs, outputs, stride, nn.BatchNorm2d(outputs) if layers else None)
            inputs = outputs
        layers += [nn.ConvTranspose2d(inputs, inputs, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(inputs), nn.LeakyReLU(_SLOPE)]
        self.channels = 4 * maps
        for _ in range(2):
            layers += _conv(inputs, self.channels, 1, nn.BatchNorm2d(self.channels))
            inputs = self.channels
        self.layers = nn.Sequential(*layers)
        self.bins = nn.Conv2d(inputs, BINS, 1)
        for layer in layers:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(layer.weight, _SLOPE, nonlinearity="leaky_relu")

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, 313, H/4, W/4) and features (N, 256, H/4, W/4) of luma (N, 1, H, W)."""
        features = self.layers(_scaled_lightness(gray))  # reduced by 8, enlarged by 2
        return self.bins(features), features


class Critic(nn.Module):
    """The critic (section 3.2.2): 1C64 - 2C128 - 2C256 - 2C512 - 1C512 - 2C512 - 1C1 on (L, ab).

    The last layer has no norm and no activation, because a Wasserstein critic is not bounded. The
    score is the mean over the last map (our choice).
    """

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for factor, stride in ((1, 1), (2, 2), (4, 2), (8, 2), (8, 1), (8, 2)):
            outputs = factor * config.critic_maps
            norm = None
            if layers:
                batch_norm = config.lipschitz == "clipping"
                norm = nn.BatchNorm2d(outputs) if batch_norm else nn.GroupNorm(1, outputs)
            layers += _conv(inputs, outputs, stride, norm)
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, 1, 1))

    def forward(self, lab: Tensor) -> Tensor:
        """Return scores (N,) of `critic_input`, (N, 3, h, w); h and w are 64 in the paper."""
        return self.layers(lab).mean((1, 2, 3))  # (N, 1, 4, 4) to (N,)


class LabelHead(nn.Module):
    """The classifier (section 3.2.3): two hidden layers with dropout 0.5."""

    def __init__(self, channels: int, config: AdversarialConfig) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(config.pool)
        self.fc1 = nn.Linear(channels * config.pool**2, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.hidden)
        self.fc3 = nn.Linear(config.hidden, config.classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, classes) of the generator's last layer (N, C, h, w)."""
        x = self.pool(features).flatten(1)
        x = F.dropout(F.relu(self.fc1(x)), 0.5, self.training)
        x = F.dropout(F.relu(self.fc2(x)), 0.5, self.training)
        return self.fc3(x)


def _scaled_lightness(gray: Tensor) -> Tensor:
    """Return (L* - 50) / 50, in [-1, 1] (our choice)."""
    return (gray_to_lightness(gray) - 50) / 50


def critic_input(gray: Tensor, ab: Tensor) -> Tensor:
    """Return the critic's input, (N, 3, h, w): scaled L at the size of the chroma, and ab / 100.

    Args:
        gray: luma in [0, 1], (N, 1, H, W).
        ab: chroma in Lab units, (N, 2, h, w).
    """
    lightness = F.avg_pool2d(_scaled_lightness(gray.float()), gray.shape[-1] // ab.shape[-1])
    return torch.cat((lightness, ab.float() / 100), 1)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Return the gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028, equation 3).

    It is the mean of (norm of the critic's gradient - 1)^2 at random points between samples.

    Args:
        critic: maps samples (N, ...) to scores (N,), without batch norm.
        real, fake: samples, (N, ...).
    """
    share = torch.rand((len(real), *[1] * (real.ndim - 1)), device=real.device)
    between = (fake + share * (real - fake)).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def chroma_ratio(ab: Tensor, truth: Tensor) -> Tensor:
    """Return the ratio of mean predicted chroma to mean true chroma; ab are (N, 2, h, w)."""
    return ab.square().sum(1).sqrt().mean() / truth.square().sum(1).sqrt().mean().clamp_min(1)


# RMSProp and its rate as in the Wasserstein GAN, mirroring as in Zhang et al.; batch size and
# number of steps are our choice.
_PAPER = TrainConfig(
    crop=256, scale=1.0, short_side=256, augment="none", batch=32, steps=200_000,
    optimizer="rmsprop", learning_rate=5e-5, warmup=0, cooldown=0.0, weight_decay=0.0,
    grad_clip=0.0, ema=0.0,
)  # fmt: skip
# Ours: narrower, smaller crops, weights of rare bins limited. With these weights of the losses the
# gradients of labels and critic have a fifth and a sixth of the norm of the color loss's. With
# gradient penalty and Adam one step of the critic is enough.
_SMALL = AdversarialConfig(
    maps=16, critic_maps=32, hidden=512, input_side=144, lambda_label=1.0, max_weight=3.0,
    n_critic=1, critic_start=4_500, adv_start=5_000, critic_learning_rate=2e-4,
    lipschitz="penalty",
)  # fmt: skip
_TEST = AdversarialConfig(
    maps=4, critic_maps=4, pool=2, hidden=16, classes=10, input_side=64,
    n_critic=2, critic_start=10, adv_start=20, clip_value=0.1, critic_learning_rate=1e-3,
)  # fmt: skip


class Adversarial(BinsModel):
    """Generator, critic and label head with their losses; the generator is exported."""

    name: ClassVar[str] = "adversarial"
    paper: ClassVar[str] = "Lal, Garg and Verma 2017, doi:10.1145/3163080.3163104"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (AdversarialConfig(), _PAPER),
        "small": (
            _SMALL,
            TrainConfig(
                crop=96, batch=32, learning_rate=5e-4, scale=1.0, augment="none", short_side=144
            ),
        ),
        "test": (_TEST, TrainConfig(crop=64, batch=8, steps=40, warmup=5, ema=0.9, augment="none")),
    }
    training_only: ClassVar[tuple[str, ...]] = ("critic", "label_head")
    needs_labels: ClassVar[bool] = True

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__(config)
        self.generator = Generator(config.maps)
        self.label_head = LabelHead(self.generator.channels, config)
        # Requires gradients in its own steps only, so that the generator's loss gives it none.
        self.critic: nn.Module = Critic(config).requires_grad_(False)
        self._critic_optimizer: torch.optim.Optimizer | None = None

    def forward(self, gray: Tensor) -> Tensor:
        """Return logits (N, 313, H/4, W/4) of luma (N, 1, H, W) in [0, 1], multiples of 8."""
        return self.generator(gray)[0]

    def decode(self, logits: Tensor) -> Tensor:
        """Return the annealed mean, ab (N, 2, h, w) in Lab units, which the critic is given."""
        decoding = self.decoding  # at vividness 1
        return self.annealed_mean(logits, decoding.prior_correction[1], decoding.temperature[1])

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the weighted sum of the losses that are active (``loss``), and values for the log.

        ``color`` is the rebalanced cross-entropy, ``ce`` and ``kl`` are those of `CrossEntropy`,
        ``label`` is the label loss and ``adv`` the negative score of the critic. Every 200 steps
        ``grad_color``, ``grad_label`` and ``grad_adv`` are the norms of the gradients of the
        weighted losses at the generator's last layer.
        """
        config = self.config
        logits, features = self.generator(batch.gray)
        target = self.target(batch)
        found = self.cross_entropy(logits, target)
        parts = {"color": (config.lambda_color, (found.nats * found.weight).mean())}
        terms = found.terms()
        if config.lambda_label and batch.labels is not None and batch.labels.numel():
            label = label_loss(self.label_head(features), batch.labels)
            parts["label"] = (config.lambda_label, label)
        if self.training and config.lambda_adv and step >= config.adv_start:
            ab, truth = self.decode(logits), target.permute(0, 3, 1, 2)
            with torch.autocast(ab.device.type, enabled=False):
                score = self.critic(critic_input(batch.gray, ab)).mean()
            parts["adv"] = (config.lambda_adv, -score)
            terms["chroma_ratio"] = chroma_ratio(ab.detach(), truth)
        if self.training and features.requires_grad and (step + 1) % _GRADIENTS_EVERY == 0:
            for name, (weight, value) in parts.items():
                (slope,) = torch.autograd.grad(weight * value, features, retain_graph=True)
                terms[f"grad_{name}"] = slope.float().norm()
        total = torch.stack([weight * value for weight, value in parts.values()]).sum()
        return {"loss": total, **{k: value.detach() for k, (_, value) in parts.items()}, **terms}

    def batches_per_step(self, step: int) -> int:
        """Return 1, for the generator's step, plus one batch for each step of the critic."""
        trained = self.config.lambda_adv and step >= self.config.critic_start
        return 1 + self.config.n_critic if trained else 1

    def training_step(self, batches: Sequence[Batch], step: int) -> dict[str, Tensor]:
        """Train the critic for its steps; return the terms of the loss for the generator.

        Args:
            batches: the generator's, and one for each step of the critic.
            step: step of the run.
        """
        own, *others = batches
        terms: dict[str, Tensor] = {}
        for other in others:
            terms = self.critic_step(other)
        return {**terms, **self.loss(own, step)}

    def critic_step(self, batch: Batch) -> dict[str, Tensor]:
        """Take one optimizer step of the critic; return values for the log.

        ``critic`` is its loss without the gradient ``penalty``: minus the estimated Wasserstein
        distance.
        """
        config, optimizer = self.config, self.extra_optimizers()["critic"]
        with torch.no_grad():
            real = critic_input(batch.gray, self.target(batch).permute(0, 3, 1, 2))
            fake = critic_input(batch.gray, self.decode(self(batch.gray)))
        # Otherwise autocast reuses weights cast here, without gradients, in the generator's loss.
        torch.clear_autocast_cache()
        self.critic.requires_grad_(True)
        with torch.autocast(real.device.type, enabled=False):  # bfloat16 is too coarse
            loss = self.critic(fake).mean() - self.critic(real).mean()
            terms = {"critic": loss.detach()}
            if config.lipschitz == "penalty":
                penalty = gradient_penalty(self.critic, real, fake)
                loss = loss + config.lambda_gp * penalty
                terms["penalty"] = penalty.detach()
            loss.backward()
        average_gradients(self.critic.parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.critic.requires_grad_(False)
        if config.lipschitz == "clipping":
            with torch.no_grad():
                for parameter in self.critic.parameters():
                    parameter.clamp_(-config.clip_value, config.clip_value)
        return terms

    def extra_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the critic's optimizer: RMSProp with clipping, Adam with penalty."""
        if self._critic_optimizer is None:  # not in __init__: the critic must be on its device
            parameters, rate = self.critic.parameters(), self.config.critic_learning_rate
            if self.config.lipschitz == "clipping":
                self._critic_optimizer = torch.optim.RMSprop(parameters, rate)
            else:
                self._critic_optimizer = torch.optim.Adam(parameters, rate, betas=(0.0, 0.9))
        return {"critic": self._critic_optimizer}

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return generator and label head; the critic has an optimizer of its own."""
        return [([*self.generator.parameters(), *self.label_head.parameters()], 1.0)]

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return cross-entropies, RMSE of ab in Lab units, `chroma_ratio`, and `calm_error`."""
        logits, target = self(batch.gray), self.target(batch)
        ab, truth = self.decode(logits), target.permute(0, 3, 1, 2)
        return {
            **self.cross_entropy(logits, target).terms(),
            "rmse": (ab - truth).square().mean().sqrt(),
            "chroma_ratio": chroma_ratio(ab, truth),
            "calm": self.calm_error(batch),
        }

    def warnings(self, values: Mapping[str, float]) -> list[str]:
        """Return warnings of missing labels, a collapsed generator, and a diverging critic."""
        found = []
        if self.config.lambda_label and "label" not in values:
            found.append("the label loss is off: no photograph has a label; give a --teacher")
        ratio = values.get("chroma_ratio", 1.0)
        if "adv" in values and not _FAINT <= ratio <= _GAUDY:
            found.append(
                f"the generator has collapsed to {'gray' if ratio < _FAINT else 'gaudy'}: its "
                f"chroma is {ratio:.2f} of the true one; lower lambda_adv, or raise adv_start"
            )
        critic = abs(values.get("critic", 0.0))
        if not (critic <= _RUNAWAY and values.get("penalty", 0.0) <= _RUNAWAY):  # or not a number
            found.append(
                "the critic diverges: it is no longer Lipschitz; lower critic_learning_rate"
            )
        return found

    def graphs(self) -> dict[str, Graph]:
        """Return the generator and the graph ``decode``."""
        return {"": luma_graph(LogProbabilities(self), 8, "bins"), "decode": self.decode_graph()}

    def card(self) -> dict[str, Any]:
        """Return the fields of the card; the default vividness, 1, is the paper's decoding."""
        return {
            "description": "A classifier of colors trained with labels and a Wasserstein critic.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": self.config.input_side, "multiple": 8},
            "enlarge": "bilinear",
            "options": {"vividness": self.decoding.vividness},
        }
