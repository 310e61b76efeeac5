"""What systems share that predict a distribution over the 313 ab bins (Zhang et al. 2016).

Soft encoding of the true chroma, the rebalancing of rare colours, their cross-entropy, and the
annealed mean on tensors. The numbers are those of `tintype.color.bins`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tintype.color import bins
from tintype.systems.colorspace import ab_of_linear
from tintype.systems.system import Batch, System

BINS = len(bins.ab_bins())  #: of ab, 313

_CALIBRATION_PIXELS = 16_384  # of each batch
_CALIBRATION_ROUNDS = 50
_REACH = 112  # ab targets are looked up on the integer grid from -_REACH to _REACH


class CrossEntropy(NamedTuple):
    """Of a distribution over the bins and soft-encoded chroma, in nats.

    Attributes:
        nats: of each pixel, (N, h, w).
        weight: how much it counts: the rebalancing weight of the bin nearest its true chroma.
        entropy: of the soft targets, their mean: what `nats` cannot go below.
    """

    nats: Tensor
    weight: Tensor
    entropy: Tensor

    def terms(self) -> dict[str, Tensor]:
        """What a log shows: the plain cross-entropy, and what of it is above the least there is."""
        ce = self.nats.detach().mean()
        return {"ce": ce, "kl": ce - self.entropy}


class Binned(System):
    """A system whose network ends in logits over the ab bins, at a quarter of the input's size.

    Its configuration has ``uniform``, lambda of the rebalancing, and ``cap``, the largest weight
    (0 for no limit).

    Attributes:
        centres: of the bins, (313, 2) in Lab units.
        weights: how much more a pixel counts whose true colour is in that bin: 1 until `prepare`.
        effective: the weights that decoding takes back out; see `calibrate`.
    """

    centres: Tensor
    weights: Tensor
    effective: Tensor
    codes: Tensor
    shares: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("centres", torch.from_numpy(bins.ab_bins().copy()), persistent=False)
        self.register_buffer("weights", torch.ones(len(self.centres)))
        self.register_buffer("effective", torch.ones(len(self.centres)))
        # Soft encoding on the integer ab grid: a look-up instead of 313 distances per pixel.
        axis = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        codes, shares = bins.soft_encode(grid)
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int32)), persistent=False)
        self.register_buffer("shares", torch.from_numpy(shares), persistent=False)

    def encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Soft encoding of ab (..., 2): bin indices and shares, both (..., 10)."""
        cell = ab.round().clamp(-_REACH, _REACH).long() + _REACH
        index = cell[..., 0] * (2 * _REACH + 1) + cell[..., 1]
        return self.codes[index].long(), self.shares[index]

    def target(self, batch: Batch) -> Tensor:
        """True ab at a quarter of the size, the mean over 4x4 pixels, (N, H/4, W/4, 2)."""
        return F.avg_pool2d(ab_of_linear(batch.linear), 4).permute(0, 2, 3, 1)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> CrossEntropy:
        """Of logits (N, 313, h, w) and true ab (N, h, w, 2), soft-encoded over 10 bins."""
        codes, shares = self.encode(target)
        logits = logits.permute(0, 2, 3, 1).float()
        # From the ten logits that matter and one log-sum-exp.
        nats = logits.logsumexp(-1) - (logits.gather(-1, codes) * shares).sum(-1)
        entropy = -(shares * shares.clamp_min(1e-12).log()).sum(-1).mean()
        return CrossEntropy(nats, self.weights[codes[..., 0]], entropy)

    def annealed_mean(self, logits: Tensor, temperature: float) -> Tensor:
        """Chroma (N, 2, h, w) in Lab units of logits (N, 313, h, w); differentiable."""
        share = (logits.float() / temperature).softmax(1)
        # In float32: bfloat16 cannot tell neighbouring means apart.
        with torch.autocast(share.device.type, enabled=False):
            return torch.einsum("nqhw,qc->nchw", share, self.centres)

    def prepare(self, ab: Tensor) -> None:
        """Set the rebalancing weights from a sample of the training chroma, (N, 2)."""
        codes, shares = bins.soft_encode(ab.cpu().numpy())
        prior = bins.smooth_prior(bins.count_bins(codes, shares))
        weights = bins.rebalancing_weights(prior, lam=self.config.uniform)
        self.weights.copy_(torch.from_numpy(weights))
        if self.config.cap:
            self.weights.clamp_(max=self.config.cap)
        self.effective.copy_(self.weights)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Set `effective` halfway between the loss's weights and those that fit photographs best.

        A pixel is weighted by its nearest bin alone, so the network does not see quite the weights
        it was given. Those that fit photographs held back (taken out, every bin is as likely as it
        is frequent, which is where the likelihood has its maximum) are noisy, for rare bins occur
        in few of them: `effective` becomes the geometric mean of the fitted and the loss's own.

        Args:
            batches: photographs the network was not trained on, without augmentation.
        """
        found, frequency = [], torch.zeros_like(self.effective)
        for batch in batches:
            codes, shares = self.encode(self.target(batch))
            frequency.index_add_(0, codes.flatten(), shares.flatten())
            logits = self(batch.gray).float().permute(0, 2, 3, 1).reshape(-1, len(self.centres))
            found.append(logits[:: max(1, len(logits) // _CALIBRATION_PIXELS)])
        if not found:
            return
        logits, frequency = torch.cat(found), frequency / frequency.sum()
        log_weights = self.weights.log()  # not where another calibration ended
        for _ in range(_CALIBRATION_ROUNDS):
            predicted = (logits - log_weights).softmax(1).mean(0)
            # The floor keeps bins that hardly occur from being chased to nothing.
            log_weights += ((predicted + 1e-5) / (frequency + 1e-5)).log()
        self.effective.copy_(((log_weights + self.weights.log()) / 2).exp())

    def rebalancing(self) -> list[float]:
        """The weights that decoding takes out, for the card."""
        return [float(f"{w:.5g}") for w in self.effective.tolist()]
