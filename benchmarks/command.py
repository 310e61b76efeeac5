"""What the whole command costs beside Pillow alone: python benchmarks/command.py [--against SRC]

A small JPEG and one of 12 megapixels, gray with grain like a scan's. Three processes take turns:
`tintype colorize`; Python that opens the photograph with Pillow and saves it again; and with
--against the same command from another checkout's `src`. Wall and CPU seconds are medians, and a
ratio is the median of the ratios turn by turn, so that another program's load weighs on both.
Memory is the largest resident set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SIZES = {"small": (640, 480), "12 megapixels": (4000, 3000)}
PILLOW = "import sys; from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2], quality=95)"
OWN_SOURCE = Path(__file__).parent.parent / "src"


class Cost(NamedTuple):
    """What one process took: wall seconds, CPU seconds, peak megabytes."""

    wall: float
    cpu: float
    peak: float


def write_photograph(path: Path, size: tuple[int, int]) -> None:
    """Write a gray JPEG with soft shapes, edges and grain."""
    random = np.random.default_rng(0)
    soft = Image.fromarray(random.integers(20, 236, (9, 12), dtype=np.uint8))
    gray = np.asarray(soft.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    gray += random.integers(-6, 7, gray.shape, dtype=np.int16)
    Image.fromarray(gray.clip(0, 255).astype(np.uint8)).save(path, quality=92)


def measure(arguments: list[str], source: Path) -> Cost:
    """Return the cost of one Python process that finds tintype in a `src` folder."""
    environment = os.environ | {"PYTHONPATH": str(source)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status != 0:
        raise SystemExit(f"failed: {' '.join(arguments)}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(path: Path, runs: int, against: Path | None) -> None:
    """Print the cost of each process on one photograph, and the command's ratio to the others."""
    out = path.with_name("out.jpg")
    colorize = ["-m", "tintype", "colorize", str(path), "-o", str(out), "--overwrite"]
    processes = {
        "tintype colorize": (colorize, OWN_SOURCE),
        "Pillow alone": (["-c", PILLOW, str(path), str(out)], OWN_SOURCE),
    }
    if against is not None:
        processes[str(against)] = (colorize, against)
    costs: dict[str, list[Cost]] = {name: [] for name in processes}
    for turn in range(runs + 1):
        for name, process in processes.items():
            cost = measure(*process)
            if turn:  # the first fills caches
                costs[name].append(cost)
    own = costs["tintype colorize"]
    for name, found in costs.items():
        typical = [statistics.median(column) for column in zip(*found, strict=True)]
        ratios = [
            statistics.median(a[k] / b[k] for a, b in zip(own, found, strict=True))
            for k in range(3)
        ]
        print(
            f"  {name:24} {typical[0]:6.3f} s wall {typical[1]:6.3f} s CPU {typical[2]:5.0f} MB"
            + (
                ""
                if found is own
                else f"   colorize is {ratios[0]:.2f} of its wall, {ratios[1]:.2f} of its CPU, "
                f"{ratios[2]:.2f} of its memory"
            ),
            flush=True,
        )


def main() -> None:
    """Print one block for each size of photograph."""
    parser = argparse.ArgumentParser(description="What the whole command costs beside Pillow's.")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--against", type=Path, metavar="SRC", help="another checkout's src folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, size in SIZES.items():
            path = Path(folder, "photograph.jpg")
            write_photograph(path, size)
            print(f"{name}, median of {options.runs} runs in turns, {os.cpu_count()} cores")
            compare(path, options.runs, options.against)


if __name__ == "__main__":
    main()
