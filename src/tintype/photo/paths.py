"""Why a file cannot be opened, in words."""

from __future__ import annotations

import os
from pathlib import Path


def open_error_reason(path: Path, error: OSError | ValueError) -> str:
    """Say what keeps a path from being opened, where the error alone does not say it best."""
    for folder in path.parents:
        if os.path.isfile(folder):
            return f"{folder} is a file, not a folder"
    return getattr(error, "strerror", None) or str(error)
