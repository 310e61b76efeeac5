"""Colorful Image Colorization (Zhang, Isola and Efros 2016, arXiv 1603.08511).

Luminance in, a distribution over the 313 ab bins at a quarter of its size out; cross-entropy with
soft-encoded chroma in which rare colors weigh more; the annealed mean of it as color. The
classification over ab bins, `BinsModel` and `Decode`, is what other models import.

Where the paper and its published code differ we follow the code: 10 neighbors, not the 5 that are
printed; targets are every fourth pixel's chroma, not the mean of 4x4; photographs without color
have no weight; batch norm once a block, after its last ReLU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.color import bins
from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, luma_graph
from tintype.models.torch_color import gray_to_lightness, linear_to_ab

BINS = len(bins.ab_bins())  #: of ab, 313

_TEMPERATURE = 0.38
_GRAY = 5.0  # a photograph none of whose |a| or |b| exceeds this teaches nothing
_REACH = 112  # ab targets are looked up on the integer grid from -_REACH to _REACH
_CALIBRATION_PIXELS = 16_384  # of each batch
_CALIBRATION_ROUNDS = 50


class CrossEntropy(NamedTuple):
    """The cross-entropy of a distribution over the bins and soft-encoded chroma, in nats.

    Attributes:
        nats: of each pixel, (N, h, w).
        weight: the rebalancing weight of the bin nearest its true chroma, (N, h, w).
        entropy: mean entropy of the soft targets: what `nats` cannot go below.
    """

    nats: Tensor
    weight: Tensor
    entropy: Tensor

    def terms(self) -> dict[str, Tensor]:
        """Return what a log shows: the plain cross-entropy, and what of it is above the least."""
        ce = self.nats.detach().mean()
        return {"ce": ce, "kl": ce - self.entropy}


@dataclass(frozen=True)
class Decoding:
    """What ``vividness`` from 0 to 1 means: both ends of prior correction and temperature.

    The rebalancing weights w that the network was trained with are taken out of its distribution in
    part, wholly, or more than that: p / w ** r; of the result the annealed mean is taken.

    Attributes:
        prior_correction: r at vividness 0 and 1, linear in between; 1 gives every bin the
            probability with which it occurs, 0 leaves the distribution as it was trained.
        temperature: of the annealed mean at vividness 0 and 1, its logarithm linear in between.
        vividness: the default.
    """

    prior_correction: tuple[float, float] = (1.0, 0.0)
    temperature: tuple[float, float] = (_TEMPERATURE, _TEMPERATURE)
    vividness: float = 1.0


class Decode(nn.Module):
    """The graph ``decode``: bins and vividness to chroma.

    Args:
        weights: rebalancing weights of the bins, (313,).
        decoding: what vividness means.
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
        """Return ab (N, 2, h, w) of log-probabilities (N, 313, h, w) and a scalar in [0, 1]."""
        (safe, vivid), (calm, bold) = self.decoding.prior_correction, self.decoding.temperature
        correction = safe + vividness * (vivid - safe)
        temperature = calm * (bold / calm) ** vividness
        logits = bins.float() - correction * self.log_weights[:, None, None]
        share = (logits / temperature).softmax(1)
        # In float32: bfloat16 cannot tell neighboring means apart.
        with torch.autocast(share.device.type, enabled=False):
            return torch.einsum("nqhw,qc->nchw", share, self.centers)


class BinsModel(ColorModel):
    """A model whose network ends in logits over the ab bins, at a quarter of the input's size.

    Its configuration has ``lam``, the share of the uniform distribution in the smoothed prior, and
    ``max_weight``, the largest rebalancing weight (0 for no limit).

    Attributes:
        centers: of the bins, (313, 2) in Lab units.
        weights: how much more a pixel counts whose true color is in that bin.
        corrected_weights: the weights that decoding takes back out; see `calibrate`.
        decoding: what vividness means.
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
        # Soft encoding on the integer ab grid: a look-up instead of 313 distances per pixel.
        axis = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        codes, shares = bins.soft_encode(grid)
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int32)), persistent=False)
        self.register_buffer("shares", torch.from_numpy(shares), persistent=False)

    def soft_encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Spread ab (..., 2) over the nearest bins: indices and shares, both (..., 10)."""
        cell = ab.round().clamp(-_REACH, _REACH).long() + _REACH
        index = cell[..., 0] * (2 * _REACH + 1) + cell[..., 1]
        return self.codes[index].long(), self.shares[index]

    def target(self, batch: Batch) -> Tensor:
        """Return the true ab at a quarter of the size, means over 4x4 pixels, (N, H/4, W/4, 2)."""
        return F.avg_pool2d(linear_to_ab(batch.rgb), 4).permute(0, 2, 3, 1)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> CrossEntropy:
        """Compare logits (N, 313, h, w) with true ab (N, h, w, 2), soft-encoded."""
        codes, shares = self.soft_encode(target)
        logits = logits.permute(0, 2, 3, 1).float()
        # From the ten logits that matter and one log-sum-exp.
        nats = logits.logsumexp(-1) - (logits.gather(-1, codes) * shares).sum(-1)
        entropy = -(shares * shares.clamp_min(1e-12).log()).sum(-1).mean()
        return CrossEntropy(nats, self.weights[codes[..., 0]], entropy)

    def annealed_mean(self, logits: Tensor, prior_correction: float, temperature: float) -> Tensor:
        """Return ab (N, 2, h, w) of logits (N, 313, h, w); differentiable."""
        fixed = Decoding((prior_correction, prior_correction), (temperature, temperature))
        return Decode(self.corrected_weights, fixed)(logits, logits.new_zeros(()))

    def start_training(self, ab: Tensor) -> None:
        """Set the rebalancing weights from a sample of the training chroma, (N, 2)."""
        codes, shares = bins.soft_encode(ab.cpu().numpy())
        prior = bins.smooth_prior(bins.count_bins(codes, shares))
        weights = bins.rebalancing_weights(prior, lam=self.config.lam)
        self.weights.copy_(torch.from_numpy(weights))
        if self.config.max_weight:
            self.weights.clamp_(max=self.config.max_weight)
        self.corrected_weights.copy_(self.weights)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Set `corrected_weights` halfway between the loss's and those that fit photographs best.

        A pixel is weighted by its nearest bin alone, so the network does not see quite the weights
        it was given. Those that fit photographs held back (taken out, every bin is as likely as it
        is frequent) are noisy, for rare bins occur in few of them: the geometric mean of both is
        taken.

        Args:
            batches: photographs the network was not trained on, without augmentation.
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
        log_weights = self.weights.log()  # not where another calibration ended
        for _ in range(_CALIBRATION_ROUNDS):
            predicted = (logits - log_weights).softmax(1).mean(0)
            # The floor keeps bins that hardly occur from being chased to nothing.
            log_weights += ((predicted + 1e-5) / (frequency + 1e-5)).log()
        self.corrected_weights.copy_(((log_weights + self.weights.log()) / 2).exp())

    def predict(self, gray: Tensor) -> Tensor:
        """Return ab (N, 2, H/4, W/4) at the default vividness."""
        vividness = torch.tensor(self.decoding.vividness, device=gray.device)
        return Decode(self.corrected_weights, self.decoding)(self(gray), vividness)

    def decode_graph(self) -> Graph:
        """Describe the graph ``decode`` of a trained model."""

        def example(size: int) -> dict[str, Tensor]:
            logits = 3 * torch.randn(1, BINS, 4 + size, 3 + size)
            return {"bins": logits.log_softmax(1), "vividness": torch.tensor(1 / size)}

        dynamic = {"bins": {2: ("rows", 1), 3: ("columns", 1)}}
        decode = Decode(self.corrected_weights, self.decoding)
        return Graph(decode, example, dynamic, ("chroma",))


class LogProbabilities(nn.Module):
    """The graph of a classifier over the bins: gray to log-probabilities ``bins``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, gray: Tensor) -> Tensor:
        return self.model(gray).log_softmax(1)


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
        input_side: shorter side in pixels at which a photograph is seen, 256 in the paper.
        lam, max_weight: of the rebalancing, as in `BinsModel`; the paper has no limit.
    """

    maps: int = 64
    input_side: int = 256
    lam: float = 0.5
    max_weight: float = 0.0


# The published solver: Adam (0.9, 0.99), 3e-5, a tenth every 225,000 iterations, batches of 40
# crops of 176, mirrored; no augmentation. Initial weights are He's (the paper's were k-means').
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
    """The network, its loss, and how it is exported."""

    name: ClassVar[str] = "cic"
    paper: ClassVar[str] = "Zhang, Isola and Efros 2016, arXiv 1603.08511"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (CicConfig(), _PAPER),
        # Ours: narrower, smaller crops, a higher rate; weights of rare bins are limited.
        "small": (
            CicConfig(maps=16, input_side=160, max_weight=6.0),
            TrainConfig(
                steps=5_000, learning_rate=1e-3, optimizer="adam", weight_decay=0.0, augment="none"
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
        """Return the true ab of every fourth pixel, (N, H/4, W/4, 2)."""
        return linear_to_ab(batch.rgb[..., ::4, ::4]).permute(0, 2, 3, 1)

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the rebalanced cross-entropy (``loss``), the plain one (``ce``), and ``kl``."""
        target = self.target(batch)
        found = self.cross_entropy(self(batch.gray), target)
        colored = (target.abs().amax((1, 2, 3)) > _GRAY).float()[:, None, None]
        return {"loss": (found.nats * found.weight * colored).mean(), **found.terms()}

    def graphs(self) -> dict[str, Graph]:
        """Return the classifier and its decoding."""
        return {"": luma_graph(LogProbabilities(self), 8, "bins"), "decode": self.decode_graph()}

    def card(self) -> dict[str, Any]:
        """Return input rule, output and decoding; the default vividness, 1, is the paper's."""
        return {
            "description": "A classifier of colors in which rare ones weigh more.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": self.config.input_side, "multiple": 8},
            "enlarge": "bilinear",
            "options": {"vividness": self.decoding.vividness},
        }
