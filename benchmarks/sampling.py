"""How long does a sample take? Rows by fixed-point iteration, beside value by value.

    python benchmarks/sampling.py [--model tint_sampler] [--threads 2] [--photo FILE]

Both draw the same noise through the same graphs and must give the same chroma, which is checked.
Then what a user waits for: both stages, and eight pictures of one megapixel written to disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tintype import Colorizer, Photo
from tintype.runtime.resize import reduce
from tintype.runtime.sampler import Sampler

PHOTO = Path(__file__).parent.parent / "examples" / "cameraman.jpg"


class ValueByValue(Sampler):
    """The same rows, each read once for every one of its values."""

    def _settle(self, guess, tensors):
        found = {}
        for _ in range(2 * guess.shape[-1] + 1):
            found = self._row.run({**tensors, "guess": guess})
            guess = found["values"]
        return guess, found["logp"]


def least(work: Callable[[], object], runs: int = 3) -> float:
    """Return the seconds of the quickest of several runs, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def ways(colorizer: Colorizer, gray: np.ndarray) -> None:
    """Print how long the first stage takes."""
    seen = reduce(gray, colorizer.card.size)
    rows, slow = (kind(colorizer.card, colorizer.threads) for kind in (Sampler, ValueByValue))
    features = rows.features(seen)
    height, width = features.shape[2:]
    print(f"{height}x{width} cells, {2 * height * width} values, {colorizer.threads} threads")
    for count in (1, 8):
        same = np.array_equal(
            rows.sample(features, count).chroma, slow.sample(features, count).chroma
        )
        seconds = least(lambda n=count: rows.sample(rows.features(seen), n))
        each = least(lambda n=count: slow.sample(slow.features(seen), n), 1)
        print(f"  {count} by rows {seconds:.3f} s, value by value {each:.3f} s, equal: {same}")


def waiting(colorizer: Colorizer, gray: np.ndarray) -> None:
    """Print what a user waits for, the model loaded."""
    megapixel = np.asarray(Image.fromarray(gray).resize((1200, 834), Image.Resampling.LANCZOS))
    large = Photo.from_array(megapixel)

    def written(folder: str) -> None:
        for sample in colorizer.sample(large, 8):
            sample.photo.save(Path(folder, f"{sample.number}.jpg"), overwrite=True)

    taken = least(lambda: colorizer.chroma(gray))
    print(f"  1 at working size, both stages {taken:.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        taken = least(lambda: written(folder))
    print(f"  8 JPEGs of one megapixel, written {taken:.3f} s")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="tint_sampler")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    arguments = parser.parse_args()
    colorizer = Colorizer(arguments.model, threads=arguments.threads)
    gray = Photo.open(arguments.photo).gray
    ways(colorizer, gray)
    waiting(colorizer, gray)


if __name__ == "__main__":
    main()
