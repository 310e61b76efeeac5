"""A training batch of noise, for systems whose arithmetic is looked at."""

import torch

from tintype.models.base import Batch


def batch(count=2, side=64, seed=0):
    random = torch.Generator().manual_seed(seed)
    return Batch(
        torch.rand(count, 1, side, side, generator=random),
        torch.rand(count, 3, side, side, generator=random),
    )
