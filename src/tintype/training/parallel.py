"""Processes of one run: their ranks, when they stop, and signals."""

from __future__ import annotations

import os
import signal
from types import FrameType

import torch
import torch.distributed as dist

from tintype.errors import SettingError


class Processes:
    """The processes that ``torchrun`` started, or this one alone.

    Args:
        device: ``"cpu"``, ``"cuda"`` or the like; None for CUDA where there is one. Each process
            takes the CUDA device of its local rank.

    Raises:
        SettingError: torch knows no such device, or cannot use it.

    Attributes:
        rank, world: number of this process, and how many there are.
        device: where this process trains.
    """

    def __init__(self, device: str | None) -> None:
        name = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.world > 1 and name == "cuda":
            name = f"cuda:{os.environ['LOCAL_RANK']}"
        try:
            self.device = torch.device(name)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise SettingError(
                f"there is no training on the device {name!r} here ({reason}): give another."
            ) from error
        if self.world > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    def agree(self, *values: float) -> list[float]:
        """Return the largest of each value over all processes: clocks and signals differ."""
        if self.world == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return shared.tolist()

    def leave(self) -> None:
        """Wait for the other processes, then end the group."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()


class Interruption:
    """Record Ctrl-C, SIGTERM and a closed terminal; the loop stops after the current step.

    A context manager: the handlers from before are put back at its end. A signal that is ignored
    stays so (``nohup``).
    """

    def __init__(self) -> None:
        self._number: int | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self._number is not None

    def pass_on(self) -> None:
        """Raise the signal again for the handler that was there before."""
        if self._number is not None:
            signal.raise_signal(self._number)

    def __enter__(self) -> Interruption:
        self._before = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the last is not on Windows
            try:
                number = getattr(signal, name)
                if signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._record)
            except AttributeError:
                continue
            except ValueError:  # not in the main thread: whoever runs us handles signals
                break
        return self

    def __exit__(self, *error: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._number = number


def bfloat16_pays(device: torch.device) -> bool:
    """Tell whether bfloat16 is quicker than float32; without AVX-512 it takes ten times as long."""
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
