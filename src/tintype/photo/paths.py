"""Why a file cannot be opened, in words."""

from __future__ import annotations

import os
from pathlib import Path


def open_error_reason(path: Path, error: OSError | ValueError) -> str:
    """Return why a path cannot be opened, in plainer words than the error has if possible."""
    for folder in path.parents:
        if os.path.isfile(folder):
            return f"{folder} is a file, not a folder"
    return getattr(error, "strerror", None) or str(error)
