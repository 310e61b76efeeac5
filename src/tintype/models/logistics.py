"""Mixtures of discretized logistics over a and b (Salimans et al. 2017, arXiv 1701.05517).

a and b have 256 integer values each, scaled to [-1, 1] as in Royer et al. 2017:
a = 127.5 x + 0.5 and b = 127.5 x - 0.5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

COMPONENTS = 10  #: logistics of the mixture
PARAMETERS = 8 * COMPONENTS  #: per cell: logits, three coefficients, two means, two log-scales
NOISES = COMPONENTS + 4  #: Gumbel variables per cell: one per component, two per logistic
_MIN_LOG_SCALE = -7.0
_EDGE = 0.999  # the outermost levels lie beyond it; they get the mass of the tail


def quantize(ab: Tensor) -> Tensor:
    """Return the nearest of 256 levels in [-1, 1] of ab in Lab units, (N, 2, h, w)."""
    scaled = (ab - _offsets(ab)) / 127.5
    return to_level(scaled)


def dequantize(scaled: Tensor) -> Tensor:
    """Return ab in Lab units, rounded to integers, of levels in [-1, 1], (N, 2, h, w)."""
    return (scaled * 127.5 + _offsets(scaled)).round()


def to_level(scaled: Tensor) -> Tensor:
    """Return the nearest of 256 levels in [-1, 1], of any shape."""
    return ((scaled.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def _offsets(like: Tensor) -> Tensor:
    return like.new_tensor([0.5, -0.5]).view(1, 2, 1, 1)


class Mixture(NamedTuple):
    """The parameters of a mixture of ten logistics in each cell; all are (N, 10, h, w)."""

    logits: Tensor
    mean_a: Tensor  # given the lightness
    mean_b: Tensor  # given the lightness, before a is known
    slope: Tensor  # of b's mean on a
    log_scale_a: Tensor
    log_scale_b: Tensor

    @classmethod
    def of(cls, parameters: Tensor, lightness: Tensor) -> Mixture:
        """Split the output of a network into the parameters of a mixture.

        Args:
            parameters: (N, 80, h, w).
            lightness: scaled lightness of the cells, (L - 50) / 50, (N, 1, h, w).
        """
        logits, c0, c1, c2, mu_a, mu_b, scale_a, scale_b = parameters.float().chunk(8, 1)
        mean_a = mu_a + c0.tanh() * lightness
        mean_b = mu_b + c1.tanh() * lightness
        scales = (scale.clamp_min(_MIN_LOG_SCALE) for scale in (scale_a, scale_b))
        return cls(logits, mean_a, mean_b, c2.tanh(), *scales)

    def log_likelihood(self, scaled: Tensor) -> Tensor:
        """Return log p(a) and log p(b | a) in nats, (N, 2, h, w), of levels (N, 2, h, w)."""
        a, b = scaled[:, :1], scaled[:, 1:]
        of_a = self.logits.log_softmax(1) + _log_logistic(a - self.mean_a, self.log_scale_a, a)
        distance = b - self.mean_b - self.slope * a
        of_both = of_a + _log_logistic(distance, self.log_scale_b, b)
        log_a = of_a.logsumexp(1)
        return torch.stack((log_a, of_both.logsumexp(1) - log_a), 1)

    def sample(self, noise: Tensor, temperature: Tensor) -> Tensor:
        """Return sampled levels in [-1, 1], (N, 2, h, w).

        Args:
            noise: standard Gumbel noise, (N, 14, h, w).
            temperature: divides the logits of the components and multiplies the scales of the
                logistics; a scalar.
        """
        chosen = (self.logits / temperature + noise[:, :COMPONENTS]).argmax(1, keepdim=True)

        def of_chosen(x: Tensor) -> Tensor:
            return x.gather(1, chosen)

        # The difference of two standard Gumbel variables is logistic.
        logistic = noise[:, COMPONENTS::2] - noise[:, COMPONENTS + 1 :: 2]
        wide_a, wide_b = (of_chosen(s).exp() for s in (self.log_scale_a, self.log_scale_b))
        a = to_level(of_chosen(self.mean_a) + wide_a * temperature * logistic[:, :1])
        mean_b = of_chosen(self.mean_b) + of_chosen(self.slope) * a
        return torch.cat((a, to_level(mean_b + wide_b * temperature * logistic[:, 1:])), 1)


def _log_logistic(distance: Tensor, log_scale: Tensor, value: Tensor) -> Tensor:
    """Return the log of the logistic's mass in a level; the outermost levels get the tails."""
    sharpness = (-log_scale).exp()
    plus, minus = sharpness * (distance + 1 / 255), sharpness * (distance - 1 / 255)
    # sigmoid(p) - sigmoid(m) = sigmoid(p) sigmoid(-m) (1 - exp(m - p)), without cancellation.
    width = torch.log(-torch.expm1(-sharpness * (2 / 255)))
    inside = F.logsigmoid(plus) + F.logsigmoid(-minus) + width
    low = torch.where(value < -_EDGE, F.logsigmoid(plus), inside)
    return torch.where(value > _EDGE, F.logsigmoid(-minus), low)
