"""Parallel processes of a run, signals that end it, and support of bfloat16."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import torch
import torch.distributed as dist

from tintype.errors import SettingError


class Processes:
    """The processes of a run that ``torchrun`` started, or this process alone.

    Args:
        device: a torch device, e.g. ``"cpu"`` or ``"cuda"``; None for CUDA if it is available, else
            the CPU. With several processes, ``"cuda"`` is the device of the local rank.

    Raises:
        SettingError: torch does not know the device, or cannot use it.

    Attributes:
        rank, world_size: index of this process, and number of processes.
        device: device of this process.
    """

    def __init__(self, device: str | None) -> None:
        name = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.world_size > 1 and name == "cuda":
            name = f"cuda:{os.environ['LOCAL_RANK']}"
        try:
            self.device = torch.device(name)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise SettingError(
                f"the device {name!r} cannot be used here ({reason}): give another."
            ) from error
        if self.world_size > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            # The others wait while the first decodes and labels the photographs.
            dist.init_process_group(backend, timeout=timedelta(days=1))

    def max_over_ranks(self, *values: float) -> list[float]:
        """Return the maximum of each value over all processes, e.g. of clocks, which differ."""
        if self.world_size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return shared.tolist()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process do something before the others, which then find it done."""
        if self.rank > 0:
            dist.barrier()
        yield
        if self.rank == 0 and self.world_size > 1:
            dist.barrier()

    def close(self) -> None:
        """Wait for the other processes, then destroy the process group."""
        if self.world_size > 1:
            dist.barrier()
            dist.destroy_process_group()


def processes_here() -> int:
    """Return how many processes of the run are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class Interruption:
    """Record SIGINT, SIGTERM and SIGHUP, so that the loop can stop after the current step.

    A context manager that restores the previous handlers. Signals that are ignored stay ignored
    (``nohup``).
    """

    def __init__(self) -> None:
        self._number: int | None = None

    @property
    def requested(self) -> bool:
        """Tell whether a signal was received."""
        return self._number is not None

    def reraise(self) -> None:
        """Raise the recorded signal again, for the previous handler."""
        if self._number is not None:
            signal.raise_signal(self._number)

    def __enter__(self) -> Interruption:
        self._before = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # SIGHUP does not exist on Windows
            try:
                number = getattr(signal, name)
                if signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._record)
            except AttributeError:
                continue
            except ValueError:  # only the main thread can set handlers
                break
        return self

    def __exit__(self, *error: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._number = number


def bfloat16_pays(device: torch.device) -> bool:
    """Tell whether bfloat16 is faster than float32; without AVX-512 it is ten times slower."""
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
