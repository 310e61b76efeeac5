"""What colouring costs: the network alone, and the whole command by size of the photograph.

    python benchmarks/engine.py [--megapixels 1 4 12 48] [--beside cic.paper.onnx]

Every figure comes from this one run; other models' networks run in turns with tint's. Times of the
whole command are of a fresh process, from its start to the file on disk; memory is that process's
largest resident set. The last column compares each size with the one before: time and memory added
per megapixel.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tintype.runtime.registry import find_model
from tintype.runtime.session import Session


def network(beside: Sequence[str], runs: int = 20) -> None:
    """Time of networks at 256 x 256 on one thread, in turns, and what multiple of tint's it is."""
    names = ("tint", *beside)
    sessions = {name: Session(find_model(name), "", {"gray": 4}, {}) for name in names}
    gray = np.random.default_rng(0).random((1, 1, 256, 256), dtype=np.float32)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(runs + 3):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run({"gray": gray})
            times[name].append(1e3 * (time.perf_counter() - started))
    typical = {name: statistics.median(found[3:]) for name, found in times.items()}
    print(f"networks at 256 px, one thread, {runs} runs")
    for name, milliseconds in typical.items():
        print(
            f"{milliseconds:>11.1f} ms median, least {min(times[name][3:]):.1f} ms, "
            f"{milliseconds / typical['tint']:.2f} times tint's   {name}"
        )


def photograph(megapixels: float, path: Path, colour: bool) -> None:
    """A JPEG, 4:3, with soft shapes and grain like a scan's; gray or toned in colour."""
    random = np.random.default_rng(0)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    soft = Image.fromarray(random.integers(30, 220, (9, 12), dtype=np.uint8))
    gray = np.asarray(soft.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    gray += random.integers(-6, 7, gray.shape, dtype=np.int16)
    image = Image.fromarray(gray.clip(0, 255).astype(np.uint8))
    if colour:
        image = Image.merge("RGB", [image.point(lambda v, k=k: int(v * k)) for k in (1, 0.9, 0.7)])
    image.save(path, quality=92)


def command(path: Path, out: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of one `tintype colorize`."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tintype", "colorize", path, "-o", out, "--overwrite"]
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"colorize failed on {path}")
    wall = time.perf_counter() - started
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print a line per size, then the networks' times."""
    parser = argparse.ArgumentParser(description="What colouring costs.")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4, 12, 48])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--beside",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="other models whose network takes a photograph alone, e.g. an exported cic.paper.onnx",
    )
    parser.add_argument("--colour", action="store_true", help="sepia JPEGs instead of gray ones")
    options = parser.parse_args()
    kind = "sepia" if options.colour else "gray"
    print(f"whole command, {kind} JPEG, median of {options.runs} runs, {os.cpu_count()} cores")
    print(f"{'megapixels':>11}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}   per further megapixel")
    last: tuple[float, float, float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            path, out = Path(folder, f"{megapixels}.jpg"), Path(folder, "out.jpg")
            photograph(megapixels, path, options.colour)
            runs = [command(path, out) for _ in range(options.runs)]
            wall, cpu, peak = (statistics.median(column) for column in zip(*runs, strict=True))
            further = ""
            if last is not None:
                more = megapixels - last[0]
                further = f"   {(wall - last[1]) / more:.3f} s, {(peak - last[2]) / more:.1f} MB"
            print(f"{megapixels:>11g}{wall:>9.2f}{cpu:>9.2f}{peak:>9.0f}{further}", flush=True)
            last = (megapixels, wall, peak)
    # At the end: a child's largest resident set begins with what its parent holds.
    network(options.beside)


if __name__ == "__main__":
    main()
