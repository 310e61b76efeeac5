"""Measure the peak memory of colorizing, in a process that does nothing else.

    python -m tintype.evaluation.memory < REQUEST

The benchmark's own process holds every model, so its size tells nothing about one of them. Only
Linux reports the peak of a process (VmHWM in /proc).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tintype.evaluation.protocol import Protocol
from tintype.photo import Photo
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.options import Options

_PROC_STATUS = Path("/proc/self/status")


def peak_memory_mb(
    model: str,
    photos: Sequence[Path],
    options: Options,
    protocol: Protocol,
    threads: int | None,
) -> float | None:
    """Return the peak resident memory of a new process that colorizes photographs.

    Python, the libraries and the model are included.

    Args:
        model: name or path as `Colorizer` takes it.
        photos: the photographs.
        options: of the colorization.
        protocol: size to which photographs are brought.
        threads: as in `Colorizer`.

    Returns:
        Megabytes of 10^6 bytes; None where the system does not report it, or the process failed.
    """
    if not _PROC_STATUS.exists():
        return None
    request = {
        "model": model,
        "photos": [str(path) for path in photos],
        "options": asdict(options),
        "threads": threads,
        "protocol": asdict(protocol),
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return float(done.stdout)
    except ValueError:  # it printed nothing: killed, or out of memory
        return None


def _peak_rss_mb() -> float:
    for line in _PROC_STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"{_PROC_STATUS} has no VmHWM")


def _main() -> None:
    request = json.load(sys.stdin)
    protocol = Protocol(**request["protocol"])
    colorizer = Colorizer(request["model"], threads=request["threads"])
    for path in request["photos"]:
        colorizer.colorize(protocol.apply(Photo.open(path)), Options(**request["options"]))
    print(_peak_rss_mb())


if __name__ == "__main__":
    _main()
