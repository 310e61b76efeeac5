"""Tell whether the photographs of a run fit where they are to be held."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import torch

from tintype.errors import SettingError
from tintype.training.files import decode, is_shard, members, sources
from tintype.training.parallel import processes_here

_SAMPLED = 64  # photographs from which the size of all is estimated
_IN_TAR = 768  # bytes a member takes in a shard beside its content: header and, on average, padding
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def decoded_bytes(paths: Sequence[Path], short_side: int, limit: int | None) -> float:
    """Estimate how many bytes photographs take decoded, from some of them.

    Args:
        paths, short_side, limit: see `tintype.training.data.load_photos`.

    Raises:
        DataError: a path is no training data, or cannot be read.
    """
    files = [file for path in paths for _, file in sources(Path(path))]
    stored = sum(file.stat().st_size for file in files if file.exists())
    chosen = files[:: max(1, -(-len(files) // _SAMPLED))]
    count, read, decoded = 0, 0, 0
    for file in chosen:
        for _, data in islice(members(file), max(1, _SAMPLED // len(chosen))):
            photo = decode(data, short_side)
            count += 1
            read += len(data) + (_IN_TAR if file.suffix == ".tar" and is_shard(file) else 0)
            decoded += 0 if isinstance(photo, str) else 3 * photo.width * photo.height
    if not read:
        return 0.0
    return decoded / count * min(stored / read * count, math.inf if limit is None else limit)


def room(memory: int | None, store: Path | None, device: torch.device) -> float:
    """Return how many bytes of decoded photographs this process may hold.

    Args:
        memory: bytes of memory for all processes of the run on this machine; None for two thirds
            of what is free.
        store: file for them, instead of memory.
        device: on a GPU they are held in its memory too, of which two thirds are for them.
    """
    rooms = [math.inf]
    if store is None:
        rooms.append((2 / 3 * free_memory() if memory is None else memory) / processes_here())
    elif not store.exists() and store.parent.is_dir():
        rooms.append(shutil.disk_usage(store.parent).free)
    if device.type == "cuda":
        rooms.append(2 / 3 * torch.cuda.mem_get_info(device)[0])
    return min(rooms)


def free_memory() -> float:
    """Return the bytes of memory that are free or can be freed; infinity where nothing tells."""
    found = [math.inf]
    try:
        text = Path("/proc/meminfo").read_text()
        found.append(1024.0 * int(text.partition("MemAvailable:")[2].split()[0]))
    except (OSError, ValueError, IndexError):  # not Linux: half of all
        if hasattr(os, "sysconf"):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2)
    with suppress(OSError, ValueError):  # a container may have less
        found.append(float(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found)


def read_size(text: str) -> int:
    """Parse ``"800M"``, ``"12G"`` or ``"1.5T"`` to bytes, in powers of 1024.

    Raises:
        SettingError: it is no size above 0.
    """
    number = text.upper().removesuffix("B").rstrip("KMGT")
    unit = text.upper().removesuffix("B")[len(number) :]
    try:
        size = float(number) * 2 ** _UNITS[unit]
    except (ValueError, KeyError):
        size = 0.0
    if not 0 < size < math.inf:
        raise SettingError(f"{text!r} is not a size of memory: write e.g. 800M or 12G")
    return int(size)
