"""What a cluster costs: python benchmarks/cluster.py [--photos 200] [--megapixels 2] [--runs 3]

Workers of one thread, each on a core of its own, take turns in one run: one worker, two workers,
and the plain command with --threads 1 on one core. Of each: photographs a second from the 16th line
of the results file to the last, so that starting and loading are left out, and the CPU seconds of
client, scheduler and workers. With --names N,M the client is given so many names, of which the
workers find no file, and the largest resident sets of client and scheduler are printed. The last
line of the speeds extrapolates to ten million scans, in core-hours. Linux; needs the extra cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command import write_photograph

CORES = sorted(os.sched_getaffinity(0))
SCANS = 10_000_000
_SETTLED = 16  # lines of the results file
_ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(Path(__file__).parent.parent / "src"),
    "OMP_NUM_THREADS": "1",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
    "DASK_LOGGING__DISTRIBUTED": "critical",
}


def start(words: Sequence[str], cores: Sequence[int], folder: Path) -> subprocess.Popen[bytes]:
    """Start a Python process on some cores; `stop` ends it."""
    log = open(folder / "log", "ab")
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=_ENVIRONMENT, stdout=log, stderr=log
    )
    os.sched_setaffinity(process.pid, cores)
    return process


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """Run a scheduler and workers; yield its address, and the processes by name."""
    at = folder / "scheduler.json"
    at.unlink(missing_ok=True)
    words = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    words += ["--no-dashboard", "--scheduler-file", str(at)]
    processes = {"scheduler": start(words, CORES, folder)}
    try:
        for k in range(workers):
            words = ["-m", "distributed.cli.dask_worker", "--scheduler-file", str(at)]
            words += ["--nthreads", "1", "--no-dashboard", "--no-nanny"]
            own = [CORES[k % len(CORES)]]
            processes[f"worker {k + 1}"] = start(words, own, folder)
        while not at.exists():
            time.sleep(0.1)
        time.sleep(5)  # until all are there
        address = json.loads(at.read_text())["address"]
        yield address, {name: process.pid for name, process in processes.items()}
    finally:
        for process in reversed(processes.values()):  # a worker without scheduler waits for it
            process.kill()
            process.wait()


def cpu(pid: int) -> float:
    """Return the CPU seconds that a running process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(pid: int) -> float:
    """Return the largest resident set of a running process in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def colorize(
    folder: Path, words: Sequence[str], cores: Sequence[int], count: int, pids: dict[str, int]
) -> dict[str, Any]:
    """Run the command on in/; return its rate, and what each process took meanwhile."""
    results = folder / "results.jsonl"
    results.unlink(missing_ok=True)
    shutil.rmtree(folder / "out", ignore_errors=True)
    command = ["-m", "tintype", "colorize", "in", "-o", "out", "--results", results.name, *words]
    process = start(command, cores, folder)
    pids = {**pids, "client": process.pid}
    before, first, last = {name: cpu(pid) for name, pid in pids.items()}, 0.0, 0.0
    found: dict[str, tuple[float, float]] = {}
    done = at_first = 0
    begun: dict[str, float] = {}
    while process.poll() is None:
        now = results.read_bytes().count(b"\n") if results.exists() else 0
        for name, pid in pids.items():
            try:
                found[name] = cpu(pid), peak(pid)
            except (OSError, IndexError):  # it has ended
                continue
        if now > done:
            last, done = time.perf_counter(), now
            if not first and done >= _SETTLED:  # each of two workers has done a handful
                first, at_first, begun = last, now, {name: found[name][0] for name in found}
        time.sleep(0.02)
    done = results.read_bytes().count(b"\n")
    if done != count:
        raise SystemExit(f"{done} of {count} lines: see {folder / 'log'}")
    seconds = max(last - first, 1e-9)
    return {
        "rate": (done - at_first) / seconds,
        "cpu": {name: found[name][0] - begun.get(name, before[name]) for name in found},
        "peak": {name: found[name][1] for name in found},
        "seconds": seconds,
    }


def speed(folder: Path, photos: int, megapixels: float, runs: int) -> float:
    """Print rates, ratios turn by turn, and shares of the CPU; return core-seconds a scan."""
    (folder / "in").mkdir()
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    write_photograph(folder / "one.jpg", (round(height * 4 / 3), height))
    for k in range(photos):
        os.link(folder / "one.jpg", folder / "in" / f"{k:06}.jpg")
    rates: dict[str, list[float]] = {"plain": [], "one worker": [], "two workers": []}
    kept: dict[str, dict[str, Any]] = {}
    for _ in range(runs):
        kept["plain"] = colorize(folder, ["--threads", "1"], CORES[:1], photos, {})
        for count, name in ((1, "one worker"), (2, "two workers")):
            with cluster(count, folder) as (address, pids):
                kept[name] = colorize(folder, ["--cluster", address], CORES, photos, pids)
        for name in rates:
            rates[name].append(kept[name]["rate"])
    for name, found in rates.items():
        shares = kept[name]["cpu"].items()
        took = ", ".join(f"{who} {100 * s / kept[name]['seconds']:.0f} %" for who, s in shares)
        print(f"{name:12} {statistics.median(found):6.2f} a second; of a core: {took}", flush=True)
    for above, below in (("two workers", "one worker"), ("one worker", "plain")):
        ratios = [a / b for a, b in zip(rates[above], rates[below], strict=True)]
        print(f"{above} / {below}: {statistics.median(ratios):.2f}")
    one = kept["one worker"]
    return sum(one["cpu"].values()) / (one["seconds"] * one["rate"])


def memory(folder: Path, names: Sequence[int]) -> None:
    """Print the peak memory of client and scheduler for so many names."""
    for count in names:
        manifest = folder / f"{count}.csv"
        lines = (f"missing/{k:07}.jpg,{k // 1000:04}/{k:07}.jpg\n" for k in range(count))
        manifest.write_text("source,destination\n" + "".join(lines))
        results = folder / "results.jsonl"
        results.unlink(missing_ok=True)
        with cluster(min(2, len(CORES)), folder) as (address, pids):
            words = ["-m", "tintype", "colorize", manifest.name, "-o", "out"]
            words += ["--cluster", address, "--results", results.name]
            process = start(words, CORES, folder)
            held: dict[str, float] = {}
            watched = {"client": process.pid, "scheduler": pids["scheduler"]}
            started = time.perf_counter()
            while process.poll() is None:
                for name, pid in watched.items():
                    try:
                        held[name] = peak(pid)
                    except (OSError, IndexError):  # it has ended
                        continue
                time.sleep(0.1)
            seconds = time.perf_counter() - started
        said = ", ".join(f"{name} {peak_:.0f} MB" for name, peak_ in held.items())
        print(f"{count} names: {said}, {count / seconds:.0f} a second", flush=True)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description="What a cluster costs.")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--names", default="10000,100000", help="memory for so many; 0 for none")
    words = parser.parse_args()
    print(f"{len(CORES)} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        if words.photos:
            each = speed(Path(name), words.photos, words.megapixels, words.runs)
            print(
                f"{each:.3f} core-seconds a scan of {words.megapixels:g} megapixels: "
                f"{SCANS * each / 3600:.0f} core-hours for {SCANS:,} scans"
            )
        memory(Path(name), [int(n) for n in words.names.split(",") if int(n)])


if __name__ == "__main__":
    main()
