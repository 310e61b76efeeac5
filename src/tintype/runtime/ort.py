"""ONNX Runtime, kept from its maker's reports and from all of the machine's memory."""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any

_MOST = 4 << 30  # bytes of all graphs together; the largest of ours take a few hundred megabytes


def load_onnxruntime() -> Any:
    """Import ONNX Runtime with its reports to its maker switched off.

    From 1.29 it writes a device id into the home folder and looks up its maker. It reads the
    variables once, when it is loaded: nothing here imports it another way.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("ORT_TELEMETRY_DISABLED", "1")  # the older name
    return importlib.import_module("onnxruntime")


@cache
def bounded_memory() -> tuple[str, str]:
    """Return the entry of a session's settings by which its tensors take no more than `_MOST`.

    Without it a graph whose inner tensors are large gets whatever the machine has. The limit is on
    what all such sessions of the process hold together.
    """
    ort = load_onnxruntime()
    kind, use = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    arena = ort.OrtArenaCfg({"max_mem": _MOST})
    ort.create_and_register_allocator(ort.OrtMemoryInfo("Cpu", kind, 0, use), arena)
    return "session.use_env_allocators", "1"
