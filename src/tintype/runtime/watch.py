"""An end for graphs that have none: a run that takes too long is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LONGEST = 300.0  #: seconds of one run; the slowest of ours takes one or two on a slow machine

_EVERY = 0.5  # seconds between two looks
_running: dict[int, tuple[float, Any]] = {}  # when each is to end
_lock = threading.Lock()
_watcher: threading.Thread | None = None


@contextmanager
def watched(options: Any) -> Iterator[None]:
    """Stop the run that has these `RunOptions` if this block lasts longer than `LONGEST`.

    One thread watches over all: a timer each would cost more than many of the runs.
    """
    global _watcher
    with _lock:
        _running[id(options)] = time.monotonic() + LONGEST, options
        if _watcher is None or not _watcher.is_alive():  # a fork has none
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
