"""SIGTERM and SIGHUP end a command as Ctrl-C does: by an exception, after which all is tidied."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

# A terminal that closes, or a machine that shuts down, sends several signals within this time.
_ONE_AFTER_ANOTHER = 1.0  # seconds


class Terminated(KeyboardInterrupt):
    """A signal asked the command to end.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__({"SIGTERM": "terminated"}.get(signal.Signals(number).name, "hung up"))
        self.number = number


@contextlib.contextmanager
def terminations_raised() -> Iterator[None]:
    """Raise `Terminated` in this block on SIGTERM and SIGHUP.

    A signal that is ignored stays so (``nohup``), and whoever takes over a signal in the block,
    like the training loop, has it. The handlers from before are put back.
    """
    owner = os.getpid()
    before: dict[int, signal.Handlers] = {}
    last = float("-inf")

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a fork of ours: it has nothing to tidy
            os._exit(128 + number)
        nonlocal last
        first, last = time.monotonic() - last > _ONE_AFTER_ANOTHER, time.monotonic()
        if first:  # tidying up is not to be interrupted in its turn
            raise Terminated(number)

    names = ("SIGTERM", "SIGHUP")  # Windows has no hangup
    try:
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if signal.getsignal(number) is signal.SIG_DFL:
                with contextlib.suppress(ValueError):  # not the main thread: signals are not ours
                    signal.signal(number, end)
                    before[number] = signal.SIG_DFL
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
