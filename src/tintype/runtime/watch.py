"""Stop runs of graphs that take too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LONGEST = 300.0  #: seconds of a run; our slowest graph takes one or two on a slow machine

_EVERY = 0.5  # seconds between checks
_running: dict[int, tuple[float, Any]] = {}  # id -> deadline and run options
_lock = threading.Lock()
_watcher: threading.Thread | None = None


@contextmanager
def watched(options: Any) -> Iterator[None]:
    """Stop the run that has these `RunOptions` if the block lasts longer than `LONGEST`.

    One thread watches all runs, because starting a timer takes longer than many of the runs.
    """
    global _watcher
    with _lock:
        _running[id(options)] = time.monotonic() + LONGEST, options
        if _watcher is None or not _watcher.is_alive():  # None, or lost in a fork
            _watcher = threading.Thread(target=_watch, name="tintype-watch", daemon=True)
            _watcher.start()
    try:
        yield
    finally:
        with _lock:
            del _running[id(options)]


def _watch() -> None:
    global _watcher
    while True:
        time.sleep(_EVERY)
        with _lock:
            for end, options in _running.values():
                options.terminate = time.monotonic() > end
            if not _running:
                _watcher = None
                return
