"""What each loss of adversarial colorization adds: benchmarks/adversarial.py PHOTOS -m MODEL...

For instance, the ablation of Lal et al. 2017 on photographs that no model was trained on; the three
are trained with `--set lambda_label=0 --set lambda_adv=0`, `--set lambda_adv=0`, and neither:

    python benchmarks/adversarial.py PHOTOS -m color.onnx -m color-label.onnx -m all.onnx

Beside gray and the truth, for every model: error of ab, colorfulness and how far it is from the
truth's, histogram intersection of a and of b, and a probe.

The probe is a small convolutional network, trained anew for each model to tell true (L, ab) from
colored (L, ab) on one half of the photographs; printed is how well it does on the other half, with
a bootstrap interval over photographs. 0.5 would be indistinguishable to it. It is a probe and no
Turing test: nobody has looked, and what a network can tell a person need not see. True and colored
chroma reach it on one road, so that it cannot go by how a picture was stored or by how fine its
chroma is: each as 8-bit RGB, in gamut, of the photograph's size, from there to ab beside the
lightness of the same luma, all averaged to 40 px on the shorter side, which is the resolution at
which models predict chroma, and cut to the central square.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tintype import Colorizer, Photo
from tintype.color.gamut import join_lab
from tintype.color.guided import area_mean
from tintype.color.spaces import gray_to_lightness, rgb_to_lab
from tintype.errors import PhotoError
from tintype.evaluation.metrics import ab_histogram, colorfulness, histogram_intersection

SIDE = 40  # of what the probe sees: a quarter of the 160 px that networks see
BOOTSTRAP = 2000


@dataclass
class Measured:
    """Photographs by one source of color.

    Attributes:
        square: mean squared error of ab of each photograph.
        colorful: of each.
        histogram: of a and of b, pooled.
        seen: what the probe sees, (N, 3, SIDE, SIDE).
    """

    square: list[float]
    colorful: list[float]
    histogram: NDArray[np.float64]
    seen: list[NDArray[np.float32]]


def reduced(gray: NDArray[np.uint8], ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled L and ab, averaged to SIDE on the shorter side and cut square, (3, SIDE, SIDE)."""
    height, width = gray.shape
    scale = SIDE / min(height, width)
    cells = max(SIDE, round(height * scale)), max(SIDE, round(width * scale))
    light = (gray_to_lightness(gray / np.float32(255)) - 50) / 50
    planes = np.stack(
        [
            area_mean(np.ascontiguousarray(p), cells)
            for p in (light, ab[..., 0] / 100, ab[..., 1] / 100)
        ]
    )
    top, left = (cells[0] - SIDE) // 2, (cells[1] - SIDE) // 2
    return planes[:, top : top + SIDE, left : left + SIDE].astype(np.float32)


def gather(paths: Sequence[Path], colorizers: dict[str, Colorizer]) -> dict[str, Measured]:
    """Every photograph in color by every source: gray, the truth, and the models."""
    columns = {
        name: Measured([], [], np.zeros((2, 220)), []) for name in ("gray", "truth", *colorizers)
    }
    for path in paths:
        try:
            photo = Photo.open(path)
        except PhotoError:
            continue
        if photo.kind == "gray" or photo.gray.dtype != np.uint8 or min(photo.gray.shape) < SIDE:
            continue
        gray = photo.gray.astype(np.uint8, copy=False)
        true_ab = rgb_to_lab(photo.rgb() / np.float32(255))[..., 1:]
        pictures = {
            "gray": np.repeat(gray[..., None], 3, -1),
            # The true chroma on the models' road: beside the lightness of the luma, in eight bits.
            "truth": join_lab(gray, true_ab),
        }
        pictures |= {name: c.colorize(photo).rgb() for name, c in colorizers.items()}
        for name, rgb in pictures.items():
            column = columns[name]
            ab = rgb_to_lab(rgb / np.float32(255))[..., 1:]
            column.square.append(float(np.square(ab - true_ab).mean(dtype=np.float64)))
            column.colorful.append(colorfulness(np.asarray(rgb, np.uint8)))
            column.histogram += ab_histogram(ab)
            column.seen.append(reduced(gray, ab))
    return columns


class Probe(nn.Module):
    """Four strided convolutions and a mean: (N, 3, SIDE, SIDE) to logits of being true (N,)."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        inputs = 3
        for outputs in (32, 64, 96, 128):
            parts += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
            parts += [nn.ReLU()]
            inputs = outputs
        self.features = nn.Sequential(*parts)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(inputs, 1)

    def forward(self, lab: Tensor) -> Tensor:
        """See the class."""
        return self.last(self.drop(self.features(lab).mean((2, 3))))[:, 0]


def probe_scores(
    true: Tensor, colored: Tensor, *, steps: int = 400, batch: int = 32, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Logits of being true for the photographs of the second half, after training on the first.

    A photograph's true and its colored picture are always in the same half.

    Args:
        true, colored: the same photographs in the same order, each (N, 3, SIDE, SIDE).
        steps: of AdamW, at a rate that falls to nothing.
        batch: photographs a step, each in both forms.
        seed: of the halves, the weights and the batches.

    Returns:
        Logits of the true and of the colored pictures of the second half.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        order = torch.randperm(len(true))
        learnt, held = order[: len(true) // 2], order[len(true) // 2 :]
        network = Probe()
        optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        answers = torch.cat((torch.ones(batch), torch.zeros(batch)))
        for _ in range(steps):
            chosen = learnt[torch.randint(len(learnt), (batch,))]
            seen = torch.cat((true[chosen], colored[chosen]))
            if torch.rand(()) < 0.5:
                seen = seen.flip(-1)
            loss = nn.functional.binary_cross_entropy_with_logits(network(seen), answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            return network(true[held]), network(colored[held])


def accuracy(true: NDArray[np.float32], colored: NDArray[np.float32]) -> float:
    """Share of right answers, both kinds alike."""
    return float(((true > 0).mean() + (colored <= 0).mean()) / 2)


def area(true: NDArray[np.float32], colored: NDArray[np.float32]) -> float:
    """Area under the ROC curve: how often a true picture scores above a colored one."""
    difference = true[:, None] - colored
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def interval(true: NDArray[np.float32], colored: NDArray[np.float32]) -> tuple[float, float]:
    """95 % of the areas of photographs drawn anew; true and colored are drawn together."""
    random = np.random.default_rng(0)
    draws = random.integers(0, len(true), (BOOTSTRAP, len(true)))
    low, high = np.percentile([area(true[d], colored[d]) for d in draws], (2.5, 97.5))
    return float(low), float(high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--probes", type=int, default=3, help="probes a model, over which to mean")
    arguments = parser.parse_args()
    colorizers = {name: Colorizer(name, arguments.threads) for name in arguments.model}
    columns = gather(sorted(arguments.photos.iterdir())[: arguments.limit], colorizers)
    truth, gray = columns["truth"], np.sqrt(np.mean(columns["gray"].square))
    seen = {name: torch.from_numpy(np.stack(c.seen)) for name, c in columns.items()}
    print(f"{len(truth.square)} photographs; the probe learns from half of them")
    width = max(map(len, columns)) + 1
    names = ("ab RMSE", "of gray", "colorful", "difference", "hist a", "hist b")
    print(" " * width + "".join(f"{n:>11}" for n in (*names, "probe acc.", "probe AUC")))
    for name, column in columns.items():
        rmse = np.sqrt(np.mean(column.square))
        difference = np.abs(np.subtract(column.colorful, truth.colorful)).mean()
        a, b = histogram_intersection(column.histogram, truth.histogram)
        figures = (rmse, rmse / gray, np.mean(column.colorful), difference, a, b)
        line = f"{name:<{width}}" + "".join(f"{value:>11.3f}" for value in figures)
        if name != "truth":
            runs = [
                tuple(s.numpy() for s in probe_scores(seen["truth"], seen[name], seed=seed))
                for seed in range(arguments.probes)
            ]
            low, high = np.mean([interval(*scores) for scores in runs], axis=0)
            line += f"{np.mean([accuracy(*scores) for scores in runs]):>11.3f}"
            line += f"{np.mean([area(*scores) for scores in runs]):>11.3f} [{low:.3f}, {high:.3f}]"
        print(line, flush=True)


if __name__ == "__main__":
    main()
