"""Photographs: reading, keeping and writing everything a file carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tintype.photo.photo import DEFAULT_MAX_PIXELS, Photo
    from tintype.photo.reduced import read_reduced

__all__ = ["DEFAULT_MAX_PIXELS", "Photo", "read_reduced"]


def __getattr__(name: str) -> Any:
    # Imported on first use: format names are needed without numpy and Pillow.
    if name not in __all__:
        raise AttributeError(f"module 'tintype.photo' has no attribute {name!r}")
    from tintype.photo import photo, reduced

    return getattr(reduced if name == "read_reduced" else photo, name)
