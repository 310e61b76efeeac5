"""Bits a value of chroma by its histogram alone: what a sampler has to undercut.

    python benchmarks/marginal_bits.py pixcolor --data photos/ [--store FILE] [--val-size 1967]

The histogram of each channel, in the model's own levels and cells, is counted on training
photographs; the bits are those of held-out ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tintype.models import logistics, pic, pixcolor, pixelcnn, preset_of
from tintype.models.torch_color import linear_to_ab, linear_to_cbcr
from tintype.training.augment import Batches
from tintype.training.data import PhotoStore, load_photos


def levels(name: str, rgb: Tensor) -> Tensor:
    """Return levels from 0 of both channels, (N, 2, h, w), of linear RGB."""
    if name == "pixcolor":
        return pixelcnn.quantize(F.avg_pool2d(linear_to_cbcr(rgb), pixcolor.CELL))
    scaled = logistics.quantize(F.avg_pool2d(linear_to_ab(rgb), pic.CELL))
    return ((scaled + 1) * 127.5).round().long()


def main() -> None:
    """Print the bits of both channels and their mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("pixcolor", "pic"))
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--val-size", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=100)
    options = parser.parse_args()
    _, config = preset_of(options.name, "small")
    photos = load_photos(
        options.data,
        short_side=config.kept_side,
        min_color=config.min_color,
        min_chroma=config.min_chroma,
        store=options.store,
    )

    def counted(part: PhotoStore, batches: int) -> Tensor:
        draw, counts = Batches(part, config, seed=0), torch.zeros(2, 256, dtype=torch.float64)
        for step in range(batches):
            found = levels(options.name, draw(step).rgb)
            counts += torch.stack(
                [torch.bincount(x.flatten(), minlength=256) for x in found.unbind(1)]
            )
        return counts

    train, held_out = photos.split(options.val_size)
    prior = counted(train, options.batches) + 1e-3
    share = counted(held_out, -(-options.val_size // config.batch))
    share = share / share.sum(1, keepdim=True)
    bits = -(share * (prior / prior.sum(1, keepdim=True)).log2()).sum(1)
    print(f"{options.name}: {bits[0]:.3f}, {bits[1]:.3f}; mean {bits.mean():.3f} bits a value")


if __name__ == "__main__":
    main()
