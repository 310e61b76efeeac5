"""The game of a Wasserstein GAN (Arjovsky et al. 2017, arXiv 1701.07875).

A critic f scores high what is real and low what is made up. Among functions with slopes of at most
1 the largest difference of its mean scores is the Wasserstein distance of the two distributions;
the critic descends on the negative of that difference, the generator on the negative of its score.
Slopes are limited by clipping the critic's weights, as in that paper, or by a penalty on them
(Gulrajani et al. 2017, arXiv 1704.00028).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Of the critic's scores of real and of made-up samples, each (N,)."""
    return fake.mean() - real.mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Of the critic's scores of what the generator made, (N,)."""
    return -fake.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Mean squared distance of the critic's slope from 1, on random points between the two.

    Args:
        critic: samples (N, ...) to scores (N,), each of its own sample alone: no batch norm.
        real, fake: as many samples of one shape; no gradient flows into them.
    """
    share = torch.rand((len(real), *[1] * (real.ndim - 1)), device=real.device)
    between = (fake + share * (real - fake)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, most: float) -> None:
    """Bring every parameter of the critic into [-most, most]."""
    for parameter in critic.parameters():
        parameter.clamp_(-most, most)
