"""PixColor's own comparisons (Guadarrama et al. 2017, Figures 5, 7 and 8), on any photographs.

    python benchmarks/pixcolor.py PHOTOS [--model tint_sampler] [--threads 2] [--limit N]

- the likelihood of the true colours, in bits per chroma value;
- unrefined against refined, for a sample and for the true chroma in cells: PSNR, error of a and b,
  colorfulness and histogram intersection, beside gray; both samples at the model's own temperature
  and at 1;
- multiscale SSIM between two samples of each photograph: its histogram, mode and tail, beside what
  was read off the paper's plot.

Protocol as in `tintype evaluate`: each photograph at its own size, its luma given.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tintype import Colorizer, Photo
from tintype.color.spaces import rgb_to_lab
from tintype.errors import PhotoError
from tintype.evaluation.metrics import (
    ab_histogram,
    colorfulness,
    histogram_intersection,
    psnr,
)
from tintype.evaluation.ssim import MS_SSIM_MIN_SIDE, ms_ssim
from tintype.runtime.resize import reduce
from tintype.runtime.sampler import Sampler


class Column:
    """What one kind of picture scores, gathered photograph by photograph."""

    def __init__(self) -> None:
        self.psnr: list[float] = []
        self.square: list[float] = []
        self.colorful: list[float] = []
        self.histogram = np.zeros((2, 220))

    def add(self, rgb: np.ndarray, truth: np.ndarray) -> None:
        """A picture and the photograph's true colours, 8-bit RGB."""
        ab, true_ab = (rgb_to_lab(x / np.float32(255))[..., 1:] for x in (rgb, truth))
        self.psnr.append(psnr(rgb, truth))
        self.square.append(float(np.square(ab - true_ab).mean(dtype=np.float64)))
        self.colorful.append(colorfulness(rgb))
        self.histogram += ab_histogram(ab)

    @property
    def rmse(self) -> float:
        """Root mean square error of a and b."""
        return float(np.sqrt(np.mean(self.square)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="tint_sampler")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    colorizer = Colorizer(arguments.model, threads=arguments.threads)
    measure(colorizer, sorted(arguments.photos.iterdir())[: arguments.limit])


def measure(colorizer: Colorizer, paths: Sequence[Path]) -> None:
    """Print the tables for photographs in colour; others are left out."""
    sampler = Sampler(colorizer.card, colorizer.threads)
    own = colorizer.options().temperature or 1.0
    columns: dict[str, Column] = {}
    bits, alike, alike_at_1 = [], [], []
    for path in paths:
        try:
            photo = Photo.open(path)
            score = colorizer.score(photo)
        except PhotoError:
            continue
        gray, truth = photo.gray, photo.rgb()
        if truth.dtype != np.uint8:
            continue
        seen = reduce(gray, colorizer.card.size)
        features = sampler.features(seen)
        bits.append(score.bits_by_channel)
        samples = sampler.sample(features, 2, temperature=own).chroma
        bold = sampler.sample(features, 2).chroma
        true = colorizer.true_chroma(photo, (features.shape[2], features.shape[3]))
        columns.setdefault("gray", Column()).add(np.repeat(gray[..., None], 3, -1), truth)
        columns.setdefault("truth", Column()).add(truth, truth)
        pictures = {}
        for name, cells in (
            ("true cells", true[None]),
            (f"sample at {own}", samples),
            ("sample at 1.0", bold),
        ):
            for kind, chroma in (
                ("unrefined", cells),
                ("refined", [sampler.refine(seen, one[None])[0] for one in cells]),
            ):
                pictures[name, kind] = [colorizer.join(gray, one) for one in chroma]
                columns.setdefault(f"{name}, {kind}", Column()).add(
                    np.asarray(pictures[name, kind][0], np.uint8), truth
                )
        if min(gray.shape) >= MS_SSIM_MIN_SIDE:
            for found, name in ((alike, f"sample at {own}"), (alike_at_1, "sample at 1.0")):
                first, second = (np.asarray(x, np.uint8) for x in pictures[name, "refined"])
                found.append(ms_ssim(first, second))
    print(f"{len(bits)} photographs")
    cb, cr = np.mean(bits, axis=0)
    print(f"bits per value of the true colours: Cr {cr:.3f}, Cb {cb:.3f}, mean {(cr + cb) / 2:.3f}")
    gray_rmse = columns["gray"].rmse
    print(f"\n{'':<30}{'PSNR':>8}{'ab RMSE':>9}{'of gray':>9}{'colorful':>10}{'hist a':>8}{'b':>7}")
    for name, column in columns.items():
        a, b = histogram_intersection(column.histogram, columns["truth"].histogram)
        print(
            f"{name:<30}{np.mean(column.psnr):8.2f}{column.rmse:9.2f}{column.rmse / gray_rmse:9.3f}"
            f"{np.mean(column.colorful):10.1f}{a:8.2f}{b:7.2f}"
        )
    print(
        "\nmultiscale SSIM between two samples (the paper's plot: mode 0.985 to 0.99, little < 0.9)"
    )
    for name, values in ((f"at {own}", alike), ("at 1.0", alike_at_1)):
        edges = np.array(
            [0, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 1.001]
        )
        counts, _ = np.histogram(values, edges)
        fine, at = np.histogram(values, np.arange(0.8, 1.0051, 0.005))
        mode = at[fine.argmax()]
        print(
            f"  {name}: mean {np.mean(values):.3f}, mode {mode:.3f} to {mode + 0.005:.3f}, ", end=""
        )
        print(f"below 0.90 {np.mean(np.array(values) < 0.9):.1%}")
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            print(f"    {low:.3f} to {min(high, 1):.3f} {count / len(values):7.1%}")


if __name__ == "__main__":
    main()
