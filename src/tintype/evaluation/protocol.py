"""At what size photographs are compared, under a name that says it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.photo import Photo


@dataclass(frozen=True)
class Protocol:
    """The size of the photographs that are coloured and compared.

    Figures of different protocols are different measures: FID most of all.

    Attributes:
        side: photographs are brought to ``side`` x ``side`` pixels; None leaves each at its size.
        crop: cut the largest central square out first; otherwise the aspect ratio is not kept.
    """

    side: int | None = None
    crop: bool = False

    @property
    def name(self) -> str:
        """``native``, ``256-crop`` (central square) or ``256-plain`` (the whole)."""
        if self.side is None:
            return "native"
        return f"{self.side}-{'crop' if self.crop else 'plain'}"

    def text(self) -> str:
        """What is done, in sentences."""
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
        """The photograph at the protocol's size."""
        if self.side is None:
            return photo
        picture = Image.fromarray(eight_bits(photo.rgb()))
        box = None
        if self.crop:
            short = min(picture.size)
            left, top = ((side - short) // 2 for side in picture.size)
            box = (left, top, left + short, top + short)
        size = (self.side, self.side)
        return Photo.from_pil(picture.resize(size, Image.Resampling.LANCZOS, box))


def eight_bits(levels: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    """Levels of sixteen bits rounded to eight; those of eight as they are."""
    if levels.dtype == np.uint8:
        return levels.astype(np.uint8, copy=False)
    return (levels / np.float32(257) + np.float32(0.5)).astype(np.uint8)
