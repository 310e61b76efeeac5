"""What a photograph consists of: its pixels, and everything its file carries."""

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
        kind: whether the file was gray, gray with a cast (``"toned"``) or in colour.
        format: the file's format, of a GIF or HEIC the one it is written in; None for a picture
            made in memory.
        encoding: how the file stored it.
        metadata: EXIF, XMP and the rest, true of the upright picture.
        profile: the name of the profile it was converted from; None where it was sRGB already.
        path: the file; None for bytes, open files and pipes.
        notes: what could not be read or done as the file asks, in words.
        left_out: those of the notes that tell of something in the file that is not in here, like
            layers or more pictures: replacing the file would lose it.
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
        """Columns of pixels."""
        return self.gray.shape[1]

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.gray.shape[0]

    @property
    def bit_depth(self) -> int:
        """Bits a channel, 8 or 16."""
        return 8 * (self.gray if self.colors is None else self.colors).itemsize
