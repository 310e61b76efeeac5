"""What the guided filter costs: by radius, which should not matter, and by pixels.

    python benchmarks/guided_filter.py [--megapixels 3 6 12] [--radius 10 40 160]

Two planes of chroma filtered with a gray plane as the guide (He, Sun, Tang, ECCV 2010), as
patch-wise colorization does, on one core. All from one run; each time is the least of three.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from tintype.color.guided import guided_filter


def seconds(megapixels: float, radius: int, runs: int = 3) -> float:
    """Time of one filtering at a size, 4:3."""
    random = np.random.default_rng(0)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    guide = random.random((height, round(height * 4 / 3)), dtype=np.float32)
    chroma = random.random((*guide.shape, 2), dtype=np.float32) - np.float32(0.5)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        guided_filter(guide, chroma, radius, 1e-4)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print one table: a line per radius at the largest size, and one per size at radius 40."""
    parser = argparse.ArgumentParser(description="What the guided filter costs.")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[3, 6, 12])
    parser.add_argument("--radius", type=int, nargs="+", default=[10, 40, 160])
    options = parser.parse_args()
    largest = max(options.megapixels)
    print(f"{'megapixels':>10}{'radius':>8}{'seconds':>9}{'s / MP':>8}")
    cases = [(largest, radius) for radius in options.radius]
    cases += [(size, 40) for size in options.megapixels]
    for size, radius in dict.fromkeys(cases):
        took = seconds(size, radius)
        print(f"{size:>10g}{radius:>8}{took:>9.2f}{took / size:>8.3f}", flush=True)


if __name__ == "__main__":
    main()
