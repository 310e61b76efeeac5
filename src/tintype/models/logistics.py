"""Mixtures of discretised logistics over a and b (Salimans et al. 2017, arXiv 1701.05517).

a and b are whole numbers of 256 values each, scaled to [-1, 1] as Royer et al. 2017 do:
a = 127.5 x + 0.5 and b = 127.5 x - 0.5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

COMPONENTS = 10
PARAMETERS = 8 * COMPONENTS  #: of a cell: weights, three coefficients, two means, two scales
NOISES = COMPONENTS + 4  #: Gumbel variables of a cell: the component's, two for each logistic
_MIN_LOG_SCALE = -7.0
_EDGE = 0.999  # beyond it a value has all of the tail


def quantize(ab: Tensor) -> Tensor:
    """Return scaled values of [-1, 1], of 256 levels, of ab in Lab units, (N, 2, h, w)."""
    scaled = (ab - _offsets(ab)) / 127.5
    return to_level(scaled)


def dequantize(scaled: Tensor) -> Tensor:
    """Return ab in Lab units, whole numbers, of scaled values (N, 2, h, w)."""
    return (scaled * 127.5 + _offsets(scaled)).round()


def to_level(scaled: Tensor) -> Tensor:
    """Return the nearest of 256 levels of scaled values, within [-1, 1]."""
    return ((scaled.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def _offsets(like: Tensor) -> Tensor:
    return like.new_tensor([0.5, -0.5]).view(1, 2, 1, 1)


class Mixture(NamedTuple):
    """Ten logistics of a and b in each cell; all (N, 10, h, w)."""

    logits: Tensor
    mean_a: Tensor  # given the lightness
    mean_b: Tensor  # given the lightness, before a is known
    slope: Tensor  # of b's mean on a
    log_scale_a: Tensor
    log_scale_b: Tensor

    @classmethod
    def of(cls, parameters: Tensor, lightness: Tensor) -> Mixture:
        """Read (N, 80, h, w) beside the scaled lightness of the cells, (N, 1, h, w)."""
        logits, c0, c1, c2, mu_a, mu_b, scale_a, scale_b = parameters.float().chunk(8, 1)
        mean_a = mu_a + c0.tanh() * lightness
        mean_b = mu_b + c1.tanh() * lightness
        scales = (scale.clamp_min(_MIN_LOG_SCALE) for scale in (scale_a, scale_b))
        return cls(logits, mean_a, mean_b, c2.tanh(), *scales)

    def log_likelihood(self, scaled: Tensor) -> Tensor:
        """Return log p(a) and log p(b | a) in nats, (N, 2, h, w), of levels from `quantize`."""
        a, b = scaled[:, :1], scaled[:, 1:]
        of_a = self.logits.log_softmax(1) + _log_logistic(a - self.mean_a, self.log_scale_a, a)
        distance = b - self.mean_b - self.slope * a
        of_both = of_a + _log_logistic(distance, self.log_scale_b, b)
        log_a = of_a.logsumexp(1)
        return torch.stack((log_a, of_both.logsumexp(1) - log_a), 1)

    def sample(self, noise: Tensor, temperature: Tensor) -> Tensor:
        """Return scaled values (N, 2, h, w) of Gumbel noise (N, 14, h, w).

        The temperature divides the logits of the components and the widths of the logistics.
        """
        chosen = (self.logits / temperature + noise[:, :COMPONENTS]).argmax(1, keepdim=True)

        def of_chosen(x: Tensor) -> Tensor:
            return x.gather(1, chosen)

        # The difference of two Gumbel variables is logistic.
        logistic = noise[:, COMPONENTS::2] - noise[:, COMPONENTS + 1 :: 2]
        wide_a, wide_b = (of_chosen(s).exp() for s in (self.log_scale_a, self.log_scale_b))
        a = to_level(of_chosen(self.mean_a) + wide_a * temperature * logistic[:, :1])
        mean_b = of_chosen(self.mean_b) + of_chosen(self.slope) * a
        return torch.cat((a, to_level(mean_b + wide_b * temperature * logistic[:, 1:])), 1)


def _log_logistic(distance: Tensor, log_scale: Tensor, value: Tensor) -> Tensor:
    """Log of the logistic's mass within 1/255 of a distance from its mean; tails at the ends."""
    sharpness = (-log_scale).exp()
    plus, minus = sharpness * (distance + 1 / 255), sharpness * (distance - 1 / 255)
    # sigmoid(p) - sigmoid(m) = sigmoid(p) sigmoid(-m) (1 - exp(m - p)), without cancellation.
    width = torch.log(-torch.expm1(-sharpness * (2 / 255)))
    inside = F.logsigmoid(plus) + F.logsigmoid(-minus) + width
    low = torch.where(value < -_EDGE, F.logsigmoid(plus), inside)
    return torch.where(value > _EDGE, F.logsigmoid(-minus), low)
