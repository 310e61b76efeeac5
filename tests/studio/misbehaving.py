"""The studio's engine, with a decoder that does to its process what a hostile file might."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from tintype.photo import Photo
from tintype.studio.engine import Engine, engine

ENDS, HANGS, ALLOCATES = b"END the process", b"HANG for ever", b"ALLOCATE without end"


def misbehaving() -> Engine:
    """Set up a worker."""
    reading = Photo.open

    def open(path: Any, **how: Any) -> Photo:
        content = path.read_bytes()
        if content == ENDS:
            os._exit(1)
        if content == HANGS:
            time.sleep(600)
        hoard = []
        while content == ALLOCATES:
            hoard.append(np.zeros(1 << 24, np.uint8))
        return reading(path, **how)

    Photo.open = open  # type: ignore[method-assign,assignment]
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (800 << 20, 800 << 20))
    except ImportError:
        pass
    return engine()
