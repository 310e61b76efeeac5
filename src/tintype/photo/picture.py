"""The contents of a photograph: its pixels, and the metadata of its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tintype.photo.encoding import Encoding, Format
from tintype.photo.metadata import Metadata
from tintype.photo.planes import Pixels
from tintype.photo.toning import Kind


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """The contents of a photograph, upright and in sRGB.

    Attributes:
        gray: the luminance (H, W), 8 or 16 bits: the pixels themselves of a gray picture, BT.601
            luma of any other. A coloured version keeps that of its original.
        colors: (H, W, 3), of 8 or 16 bits; None for a picture without colour.
        alpha: (H, W), 0 transparent; None where the picture has no transparency.
        kind: ``"gray"``, ``"toned"`` (gray with a uniform cast) or ``"color"``.
        format: the file's format; of a GIF or HEIC the format of its results; None for a picture
            made in memory.
        encoding: how the file stored the picture.
        metadata: EXIF, XMP and other metadata, corrected for the upright picture.
        profile: name of the profile that it was converted from; None if it was sRGB.
        path: the file; None for bytes, open files and pipes.
        notes: sentences on what could not be read or done as the file demands.
        left_out: those of the notes on contents of the file that are not kept, such as layers or
            further pictures: replacing the file would lose them.
    """

    gray: Pixels
    colors: Pixels | None = None
    alpha: Pixels | None = None
    kind: Kind = "gray"
    format: Format | None = None
    encoding: Encoding = field(default_factory=Encoding)
    metadata: Metadata = field(default_factory=Metadata)
    profile: str | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return self.gray.shape[1]

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return self.gray.shape[0]

    @property
    def bit_depth(self) -> int:
        """Return the bits per channel, 8 or 16."""
        return 8 * (self.gray if self.colors is None else self.colors).itemsize
