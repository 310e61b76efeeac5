"""Photographs: reading, keeping and writing everything a file carries."""

from tintype.photo.photo import DEFAULT_MAX_PIXELS, Photo
from tintype.photo.reduced import read_reduced

__all__ = ["DEFAULT_MAX_PIXELS", "Photo", "read_reduced"]
