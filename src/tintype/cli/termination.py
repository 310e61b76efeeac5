"""SIGTERM and SIGHUP end a command as Ctrl-C does: by an exception, so that it can clean up."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

# A terminal that closes, or a machine that shuts down, sends several signals within this time.
_BURST = 1.0  # seconds


class Terminated(KeyboardInterrupt):
    """A signal asked the command to end.

    Args:
        number: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__({"SIGTERM": "terminated"}.get(signal.Signals(number).name, "hung up"))
        self.number = number


def interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the KeyboardInterrupt that an error is or was caused by; None if there is none.

    A compiled module that is interrupted while it loads raises an ImportError.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


@contextlib.contextmanager
def terminations_raised() -> Iterator[None]:
    """Raise `Terminated` in this block on SIGTERM and SIGHUP.

    An ignored signal stays ignored (``nohup``), and code in the block may set handlers of its own,
    as the training loop does. At the end the earlier handlers are restored.
    """
    owner = os.getpid()
    before: dict[int, signal.Handlers] = {}
    last = float("-inf")

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked child, which has nothing to clean up
            os._exit(128 + number)
        nonlocal last
        first, last = time.monotonic() - last > _BURST, time.monotonic()
        if first:  # the clean-up must not be interrupted too
            raise Terminated(number)

    names = ("SIGTERM", "SIGHUP")  # Windows has no hangup
    try:
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if signal.getsignal(number) is signal.SIG_DFL:
                with contextlib.suppress(
                    ValueError
                ):  # not the main thread, which alone may set handlers
                    signal.signal(number, end)
                    before[number] = signal.SIG_DFL
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
