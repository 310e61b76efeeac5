"""ONNX Runtime, which from 1.29 writes a device id into the home folder and looks up its maker."""

from __future__ import annotations

import importlib
import os
from typing import Any


def load_onnxruntime() -> Any:
    """Import ONNX Runtime with its reports to its maker switched off.

    It reads the variables once, when it is loaded: nothing here imports it another way.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("ORT_TELEMETRY_DISABLED", "1")  # the older name
    return importlib.import_module("onnxruntime")
