"""Photographs: reading, keeping and writing everything a file carries."""

from tintype.photo.photo import DEFAULT_MAX_PIXELS, Photo

__all__ = ["DEFAULT_MAX_PIXELS", "Photo"]
