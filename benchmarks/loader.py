"""What streaming costs: photographs a second a core beside decoding alone, and memory by number.

    python benchmarks/loader.py SHARD... [--jpeg] [--crop 128] [--steps 100] [--rounds 5]
    python benchmarks/loader.py SHARD... --memory [--photographs 10000 200000] [--batches N]

The first compares, in turns, photographs in memory that are decoded and reduced in this process
(`read_reduced`) with squares as the training loop takes them from the stream: read, decoded, cut,
brought over from the process that decodes. Both are counted in seconds of CPU of all processes
together, so that what else the machine does hardly matters; the time by the clock stands beside. A
round is an epoch; in the first one photographs are also looked at for color, and it stands apart.
Photographs that cannot be used count in both.

The second streams an epoch, or so many batches, of so many photographs, the shards being repeated,
each in a fresh process: the largest memory of that process and of those that decode (Pss, so that
what they share counts once), without what the loop makes of the squares.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tintype.errors import PhotoError
from tintype.models.base import TrainConfig
from tintype.photo import read_reduced
from tintype.training.augment import Batches
from tintype.training.files import members
from tintype.training.stream import PhotoStream, open_stream
from tintype.training.train import keep_large_blocks


def opened(shards: list[Path], config: TrainConfig, unpacked: Path, limit: int) -> PhotoStream:
    """So many photographs of the shards, which are repeated as often as is needed."""
    once = {"short_side": config.kept_side, "min_color": config.min_color, "min_chroma": 0.0}
    found = open_stream(shards, unpacked, limit=None, sampling_weights={}, **once)
    again = shards * -(-limit // len(found))
    return open_stream(again, unpacked, limit=limit, sampling_weights={}, **once)


def cpu() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def speed(stream: PhotoStream, config: TrainConfig, steps: int, rounds: int) -> None:
    """Print photographs a second of a core, decoded alone and streamed, in turns."""
    torch.set_num_threads(1)
    keep_large_blocks()  # as the training loop does
    batches = Batches(stream, config, seed=0)
    rates: dict[str, list[tuple[float, float]]] = {"decoding alone": [], "stream": []}
    for number in range(rounds + 1):
        turn = range(number * steps, (number + 1) * steps)
        data = [stream._read(int(k)) for step in turn for k in batches._photographs(step)]
        for name, found in rates.items():
            clock, before = time.perf_counter(), cpu()
            if name == "stream":
                for _ in stream.ahead(batches._take, turn):
                    pass
            else:
                for photo in data:
                    decoded(photo, config.kept_side)
            count = steps * config.batch
            found.append((count / (cpu() - before), count / (time.perf_counter() - clock)))
    (first, _), (streamed, _) = (found.pop(0) for found in rates.values())
    print(f"first epoch: {streamed:.0f} beside {first:.0f} decoded alone, {streamed / first:.1%}")
    alone = statistics.median(rate for rate, _ in rates["decoding alone"])
    for name, found in rates.items():
        median, clock = (statistics.median(values) for values in zip(*found, strict=True))
        shares = ", ".join(f"{rate / alone:.1%}" for rate, _ in found)
        print(
            f"{median:>7.0f} photographs a second of CPU ({clock:.0f} by the clock), "
            f"{median / alone:.1%} of decoding alone ({shares})   {name}"
        )


def decoded(data: bytes, short_side: int) -> None:
    """Decode a photograph, or find that it cannot be used."""
    with suppress(PhotoError):
        np.asarray(read_reduced(data, short_side))


def as_of_ilsvrc(shard: Path, folder: Path, count: int = 500) -> Path:
    """Write photographs of a shard anew as JPEG of 375 px on the shorter side, as ILSVRC's."""
    path = folder / "jpeg.tar"
    with tarfile.open(path, "w") as tar:
        for number, (_, data) in enumerate(islice(members(shard), count)):
            file = io.BytesIO()
            with Image.open(io.BytesIO(data)) as image:
                factor = 375 / min(image.size)
                size = (round(factor * image.width), round(factor * image.height))
                image.convert("RGB").resize(size).save(file, "JPEG", quality=92)
            member = tarfile.TarInfo(f"{number}.jpg")
            member.size = file.tell()
            file.seek(0)
            tar.addfile(member, file)
    return path


def pss() -> float:
    """MB of this process and of its children."""
    total = 0
    for process in (os.getpid(), *children()):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        total += int(text.partition("\nPss:")[2].split()[0])
    return total / 1024


def children() -> list[int]:
    """The processes that this one has started."""
    me = os.getpid()
    return [int(n) for n in Path(f"/proc/{me}/task/{me}/children").read_text().split()]


def memory(stream: PhotoStream, config: TrainConfig, steps: int | None) -> None:
    """Stream so many batches, or an epoch; print the largest memory on the way."""
    batches, largest = Batches(stream, config, seed=0), 0.0
    if steps is None:
        steps = len(stream) // config.batch + 2  # the next epoch begins: both orders are there
    for done, _ in enumerate(stream.ahead(batches._take, range(steps))):
        if done % 10 == 0:
            largest = max(largest, pss())
    print(
        f"{len(stream):>9,} photographs, {steps:,} batches: {largest:,.0f} MB at most", flush=True
    )


def main() -> None:
    """Print the speed, or with --memory the memory, of streaming."""
    parser = argparse.ArgumentParser(description="What streaming photographs costs.")
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100, help="batches in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jpeg", action="store_true", help="as JPEG of ILSVRC's size")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--photographs", type=int, nargs="+", default=[10_000, 200_000])
    parser.add_argument("--batches", type=int, help="with --memory; an epoch if not given")
    parser.add_argument("--unpacked", type=Path, help="folder for gzipped shards")
    options = parser.parse_args()
    config = TrainConfig(crop=options.crop, batch=options.batch)
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = options.unpacked or Path(temporary)
        if options.memory and len(options.photographs) > 1:
            for count in options.photographs:
                # In a fresh process, whose memory is its own.
                command = [*sys.orig_argv, "--unpacked", str(unpacked), "--photographs", str(count)]
                subprocess.run(command, check=True)
            return
        if options.memory:
            stream = opened(options.shards, config, unpacked, options.photographs[0])
            memory(stream, config, options.batches)
            return
        if options.jpeg:
            options.shards = [as_of_ilsvrc(options.shards[0], Path(temporary))]
        count = (options.rounds + 1) * options.steps * options.batch
        speed(
            opened(options.shards, config, unpacked, count), config, options.steps, options.rounds
        )


if __name__ == "__main__":
    main()
