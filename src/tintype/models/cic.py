"""Colorful Image Colorization (Zhang, Isola and Efros 2016, arXiv 1603.08511).

The network maps lightness to a distribution over the 313 ab bins at a quarter of the size. The loss
is the cross-entropy with soft-encoded chroma, rebalanced so that rare colors weigh more; the
decoded color is the annealed mean. Other models use the classification over ab bins too:
`BinsModel` and `Decode`.

Where the paper and its published code differ we follow the code: soft encoding has 10 neighbors,
not the printed 5; the target is the chroma of every fourth pixel, not the mean of 4x4; photographs
without color have no weight; each block has one batch norm, after its last ReLU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.color import bins
from tintype.errors import SettingError
from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, luma_graph
from tintype.models.torch_color import gray_to_lightness, linear_to_ab

BINS = len(bins.ab_bins())  #: number of ab bins, 313

_TEMPERATURE = 0.38
_GRAY = 5.0  # photographs without |a| or |b| above this have no weight in the loss
_REACH = 112  # ab targets are looked up on the integer grid from -_REACH to _REACH
_CALIBRATION_PIXELS = 16_384  # per batch
_CALIBRATION_ROUNDS = 50


class CrossEntropy(NamedTuple):
    """The cross-entropy between predicted distributions over the bins and soft-encoded chroma.

    Attributes:
        nats: cross-entropy of each pixel in nats, (N, h, w).
        weight: rebalancing weight of the bin nearest to the true chroma, (N, h, w).
        entropy: mean entropy of the soft targets in nats, the lower bound of the mean of `nats`.
    """

    nats: Tensor
    weight: Tensor
    entropy: Tensor

    def terms(self) -> dict[str, Tensor]:
        """Return values for the log: the mean cross-entropy ``ce`` and the KL divergence ``kl``."""
        ce = self.nats.detach().mean()
        return {"ce": ce, "kl": ce - self.entropy}


@dataclass(frozen=True)
class Decoding:
    """How ``vividness`` in [0, 1] sets the prior correction and the temperature of the decoding.

    The predicted distribution p is divided by the rebalancing weights w of the training, p / w **
    r, normalized, and decoded by the annealed mean.

    Attributes:
        prior_correction: r at vividness 0 and at 1, linear in between; 1 removes the rebalancing,
            0 leaves the distribution as trained.
        temperature: temperature of the annealed mean at vividness 0 and at 1; its logarithm is
            linear in between.
        vividness: default value of the option.
    """

    prior_correction: tuple[float, float] = (1.0, 0.0)
    temperature: tuple[float, float] = (_TEMPERATURE, _TEMPERATURE)
    vividness: float = 1.0


class Decode(nn.Module):
    """The graph ``decode``: log-probabilities of the bins and vividness to chroma.

    Args:
        weights: rebalancing weights of the bins, (313,).
        decoding: how vividness sets prior correction and temperature.
    """

    def __init__(self, weights: Tensor, decoding: Decoding) -> None:
        super().__init__()
        self.decoding = decoding
        self.centers: Tensor
        self.log_weights: Tensor
        centers = torch.from_numpy(bins.ab_bins().copy()).to(weights.device)
        self.register_buffer("centers", centers, persistent=False)
        self.register_buffer("log_weights", weights.detach().log(), persistent=False)

    def forward(self, bins: Tensor, vividness: Tensor) -> Tensor:
        """Return ab (N, 2, h, w) in Lab units.

        Args:
            bins: log-probabilities (or logits), (N, 313, h, w).
            vividness: scalar in [0, 1].
        """
        (safe, vivid), (calm, bold) = self.decoding.prior_correction, self.decoding.temperature
        correction = safe + vividness * (vivid - safe)
        temperature = calm * (bold / calm) ** vividness
        logits = bins.float() - correction * self.log_weights[:, None, None]
        share = (logits / temperature).softmax(1)
        # In float32: bfloat16 is too coarse for the mean.
        with torch.autocast(share.device.type, enabled=False):
            return torch.einsum("nqhw,qc->nchw", share, self.centers)


class BinsModel(ColorModel):
    """A model that predicts logits over the ab bins at a quarter of the input's size.

    Its configuration has ``lam``, the weight of the uniform distribution in the rebalancing, and
    ``max_weight``, the largest rebalancing weight (0 for no limit).

    Attributes:
        centers: centers of the bins, (313, 2) in Lab units.
        weights: rebalancing weights of the loss, (313,).
        corrected_weights: rebalancing weights that decoding corrects for, (313,); see `calibrate`.
        decoding: how vividness sets prior correction and temperature.
    """

    decoding: Decoding = Decoding()
    centers: Tensor
    weights: Tensor
    corrected_weights: Tensor
    codes: Tensor
    shares: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("centers", torch.from_numpy(bins.ab_bins().copy()), persistent=False)
        self.register_buffer("weights", torch.ones(BINS))
        self.register_buffer("corrected_weights", torch.ones(BINS))
        # Soft encoding of the integer ab grid: a table look-up replaces 313 distances per pixel.
        axis = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        codes, shares = bins.soft_encode(grid)
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int32)), persistent=False)
        self.register_buffer("shares", torch.from_numpy(shares), persistent=False)

    def soft_encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Soft-encode ab (..., 2) to indices of the nearest bins and weights, both (..., 10)."""
        cell = ab.round().clamp(-_REACH, _REACH).long() + _REACH
        index = cell[..., 0] * (2 * _REACH + 1) + cell[..., 1]
        return self.codes[index].long(), self.shares[index]

    def target(self, batch: Batch) -> Tensor:
        """Return the true ab as means over 4x4 pixels, (N, H/4, W/4, 2)."""
        return F.avg_pool2d(linear_to_ab(batch.rgb), 4).permute(0, 2, 3, 1)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> CrossEntropy:
        """Return the cross-entropy of logits (N, 313, h, w) and true ab (N, h, w, 2)."""
        codes, shares = self.soft_encode(target)
        logits = logits.permute(0, 2, 3, 1).float()
        # Only ten logits have a target above 0; the rest enter by the log-sum-exp.
        nats = logits.logsumexp(-1) - (logits.gather(-1, codes) * shares).sum(-1)
        entropy = -(shares * shares.clamp_min(1e-12).log()).sum(-1).mean()
        return CrossEntropy(nats, self.weights[codes[..., 0]], entropy)

    def annealed_mean(self, logits: Tensor, prior_correction: float, temperature: float) -> Tensor:
        """Return ab (N, 2, h, w) of logits (N, 313, h, w), differentiable; see `Decoding`."""
        fixed = Decoding((prior_correction, prior_correction), (temperature, temperature))
        return Decode(self.corrected_weights, fixed)(logits, logits.new_zeros(()))

    def start_training(self, ab: Tensor) -> None:
        """Compute the rebalancing weights from a sample of the training chroma, (N, 2)."""
        codes, shares = bins.soft_encode(ab.cpu().numpy())
        prior = bins.smooth_prior(bins.count_bins(codes, shares))
        weights = bins.rebalancing_weights(prior, lam=self.config.lam)
        self.weights.copy_(torch.from_numpy(weights))
        if self.config.max_weight:
            self.weights.clamp_(max=self.config.max_weight)
        self.corrected_weights.copy_(self.weights)

    def load_decoding(self, weights: Mapping[str, Tensor]) -> None:
        """Load the calibrated weights of an exported model."""
        self.corrected_weights.copy_(weights["log_weights"].exp())

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Estimate `corrected_weights` on validation batches.

        Each pixel is weighted by its nearest bin only, so the rebalancing that the network learns
        differs from `weights`. The weights with which the mean prediction on the batches equals the
        frequency of each bin are fitted; as rare bins make them noisy, their geometric mean with
        `weights` is taken.

        Args:
            batches: validation batches without augmentation.
        """
        found, frequency = [], torch.zeros_like(self.weights)
        for batch in batches:
            codes, shares = self.soft_encode(self.target(batch))
            frequency.index_add_(0, codes.flatten(), shares.flatten())
            logits = self(batch.gray).float().permute(0, 2, 3, 1).reshape(-1, BINS)
            found.append(logits[:: max(1, len(logits) // _CALIBRATION_PIXELS)])
        if not found:
            return
        logits, frequency = torch.cat(found), frequency / frequency.sum()
        log_weights = self.weights.log()  # not from an earlier calibration
        for _ in range(_CALIBRATION_ROUNDS):
            predicted = (logits - log_weights).softmax(1).mean(0)
            # The constant keeps the weights of bins that hardly occur finite.
            log_weights += ((predicted + 1e-5) / (frequency + 1e-5)).log()
        self.corrected_weights.copy_(((log_weights + self.weights.log()) / 2).exp())

    def calm_error(self, batch: Batch) -> Tensor:
        """Return the RMSE of ab decoded at vividness 0, relative to that of gray."""
        logits, truth = self(batch.gray), self.target(batch).permute(0, 3, 1, 2)
        calm = Decode(self.corrected_weights, self.decoding)(logits, logits.new_zeros(()))
        return ((calm - truth).square().sum() / truth.square().sum().clamp_min(1e-6)).sqrt()

    def predict(self, gray: Tensor) -> Tensor:
        """Return ab (N, 2, H/4, W/4) in Lab units at the default vividness."""
        vividness = torch.tensor(self.decoding.vividness, device=gray.device)
        return Decode(self.corrected_weights, self.decoding)(self(gray), vividness)

    def decode_graph(self) -> Graph:
        """Return the graph ``decode`` of a trained model."""

        def example(size: int) -> dict[str, Tensor]:
            logits = 3 * torch.randn(1, BINS, 4 + size, 3 + size)
            return {"bins": logits.log_softmax(1), "vividness": torch.tensor(1 / size)}

        dynamic = {"bins": {2: ("rows", 1), 3: ("columns", 1)}}
        decode = Decode(self.corrected_weights, self.decoding)
        return Graph(decode, example, dynamic, ("chroma",))


class LogProbabilities(nn.Module):
    """The main graph of a classifier: gray, and hints where it takes them, to log-probabilities."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        logits = self.model(gray) if hints is None else self.model(gray, hints)
        return logits.log_softmax(1)


# Per block: number of convolutions, channels relative to the first block, stride of the last
# convolution, dilation.
_BLOCKS = (
    (2, 1, 2, 1),
    (2, 2, 2, 1),
    (3, 4, 2, 1),
    (3, 8, 1, 1),
    (3, 8, 1, 2),
    (3, 8, 1, 2),
    (3, 8, 1, 1),
)


def check_rebalancing(lam: float, max_weight: float) -> None:
    """Raise a SettingError unless the constants give weights above 0."""
    if not (0 <= lam <= 1 and max_weight >= 0 and (lam or max_weight)):
        raise SettingError(
            f"lam must be from 0 to 1, max_weight at least 0, and one of them above it, not "
            f"{lam!r} and {max_weight!r}"
        )


@dataclass(frozen=True)
class CicConfig:
    """Sizes of the network and constants of the loss; the defaults are the paper's.

    Attributes:
        maps: channels of the first block; those of the others are in proportion.
        input_side: shorter side in pixels of the network's input.
        lam: weight of the uniform distribution in the rebalancing (Zhang et al. 2016: lambda).
        max_weight: largest weight of a bin in the rebalancing; 0 for no limit.
    """

    maps: int = 64
    input_side: int = 256
    lam: float = 0.5
    max_weight: float = 0.0

    def __post_init__(self) -> None:
        check_rebalancing(self.lam, self.max_weight)


# The published solver: Adam (0.9, 0.99), 3e-5, divided by 10 every 225,000 iterations, batches of
# 40 mirrored crops of 176. Weights are initialized as by He et al. (in the paper by k-means).
_PAPER = TrainConfig(
    crop=176,
    batch=40,
    steps=450_000,
    learning_rate=3e-5,
    optimizer="adam",
    betas=(0.9, 0.99),
    warmup=0,
    cooldown=0.0,
    milestones=((225_000, 0.1), (450_000, 0.01)),
    weight_decay=1e-3,
    grad_clip=0.0,
    ema=0.0,
    augment="none",
    scale=1.0,
    short_side=256,
)


class Cic(BinsModel):
    """The network of Zhang et al. 2016, its loss and its export."""

    name: ClassVar[str] = "cic"
    paper: ClassVar[str] = "Zhang, Isola and Efros 2016, arXiv 1603.08511"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (CicConfig(), _PAPER),
        # Ours: narrower, smaller crops, a higher learning rate; weights of rare bins are limited.
        "small": (
            CicConfig(maps=16, input_side=160, max_weight=6.0),
            TrainConfig(
                steps=5_000,
                learning_rate=1e-3,
                crop_sizes=(96,),
                optimizer="adam",
                weight_decay=0.0,
                augment="none",
            ),
        ),
        "test": (
            CicConfig(maps=4, input_side=64),
            TrainConfig(crop=64, batch=8, steps=20, warmup=5, ema=0.9, augment="none"),
        ),
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
        """Return logits over the ab bins, (N, 313, H/4, W/4).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 8.
        """
        x = self.blocks((gray_to_lightness(gray) - 50) / 100)  # (N, 8 maps, H/8, W/8)
        x = F.relu(self.enlarge(x))  # (N, 4 maps, H/4, W/4)
        for conv in self.fine:
            x = F.relu(conv(x))
        return self.classify(x)

    def target(self, batch: Batch) -> Tensor:
        """Return the true ab of every fourth pixel each way, (N, H/4, W/4, 2)."""
        return linear_to_ab(batch.rgb[..., ::4, ::4]).permute(0, 2, 3, 1)

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the rebalanced cross-entropy (``loss``), and `CrossEntropy.terms`, in nats."""
        target = self.target(batch)
        found = self.cross_entropy(self(batch.gray), target)
        colored = (target.abs().amax((1, 2, 3)) > _GRAY).float()[:, None, None]
        return {"loss": (found.nats * found.weight * colored).mean(), **found.terms()}

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss, and `calm_error` (``calm``)."""
        return {**self.loss(batch), "calm": self.calm_error(batch)}

    def graphs(self) -> dict[str, Graph]:
        """Return the classifier and the graph ``decode``."""
        return {"": luma_graph(LogProbabilities(self), 8, "bins"), "decode": self.decode_graph()}

    def card(self) -> dict[str, Any]:
        """Return the fields of the card; the default vividness, 1, is the paper's decoding."""
        return {
            "description": "A classifier of colors in which rare ones weigh more.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": self.config.input_side, "multiple": 8},
            "enlarge": "bilinear",
            "options": {"vividness": self.decoding.vividness},
        }
