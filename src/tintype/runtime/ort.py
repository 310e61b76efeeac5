"""Load ONNX Runtime without telemetry, and bound its memory."""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any

_MOST = 4 << 30  # bytes for all graphs together; our largest take a few hundred megabytes


def load_onnxruntime() -> Any:
    """Import ONNX Runtime with its telemetry switched off.

    From 1.29 it writes a device id into the home folder and connects to its maker. It reads these
    variables when it is loaded, so all imports go through this function.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("ORT_TELEMETRY_DISABLED", "1")  # the older name
    return importlib.import_module("onnxruntime")


@cache
def bounded_memory() -> tuple[str, str]:
    """Register an allocator limited to `_MOST`; return the session setting that uses it.

    Otherwise a graph with large inner tensors could take all memory. The limit is on all such
    sessions of the process together.
    """
    ort = load_onnxruntime()
    kind, use = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    arena = ort.OrtArenaCfg({"max_mem": _MOST})
    ort.create_and_register_allocator(ort.OrtMemoryInfo("Cpu", kind, 0, use), arena)
    return "session.use_env_allocators", "1"
