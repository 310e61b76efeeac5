"""The protocol of a benchmark: the size at which photographs are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.photo import Photo


@dataclass(frozen=True)
class Protocol:
    """The size at which photographs are colorized and compared.

    Scores under different protocols cannot be compared, FID least of all.

    Attributes:
        side: side in pixels of the squares photographs are resized to; None keeps their sizes.
        crop: crop to the largest centre square first; otherwise photographs are distorted.
    """

    side: int | None = None
    crop: bool = False

    @property
    def name(self) -> str:
        """Return ``native``, ``256-crop`` (centre crop) or ``256-plain`` (the whole photograph)."""
        if self.side is None:
            return "native"
        return f"{self.side}-{'crop' if self.crop else 'plain'}"

    def description(self) -> str:
        """Return the protocol in sentences."""
        if self.side is None:
            size = "Each photograph at its own size"
        else:
            cut = "central square of each photograph" if self.crop else "whole of each photograph"
            size = f"The {cut}, brought to {self.side}x{self.side} pixels (Lanczos)"
        return (
            f"{size}; its BT.601 luma is given to the model, and the 8-bit result compared with "
            "the photograph. Gray photographs are left out. CIE Lab: D65, 2 degrees, of sRGB. "
            "Each photograph counts alike."
        )

    def apply(self, photo: Photo) -> Photo:
        """Return the photograph at the protocol's size."""
        if self.side is None:
            return photo
        picture = Image.fromarray(to_uint8(photo.rgb()))
        box = None
        if self.crop:
            short = min(picture.size)
            left, top = ((side - short) // 2 for side in picture.size)
            box = (left, top, left + short, top + short)
        size = (self.side, self.side)
        return Photo.from_pil(picture.resize(size, Image.Resampling.LANCZOS, box))


def to_uint8(image: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    """Round a 16-bit image of any shape to 8 bits; return an 8-bit one as it is."""
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    return (image / np.float32(257) + np.float32(0.5)).astype(np.uint8)
