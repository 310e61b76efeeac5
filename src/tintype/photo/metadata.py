"""What a file says about its photograph, apart from any format."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tintype.photo import exif, photoshop, xmp


@dataclass(frozen=True)
class Metadata:
    """What a file carries besides its pixels, apart from any format.

    Attributes:
        exif: the EXIF block, from its TIFF header on.
        xmp: the XMP packet.
        photoshop: Photoshop's image resources, IPTC among them.
        dpi: horizontal and vertical dots per inch.
        comments: the comments of a JPEG.
        segments: further JPEG segments, each whole with its marker, for JPEG alone.
        chunks: the text and private chunks of a PNG that any change of pixels leaves true.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    photoshop: bytes | None = None
    dpi: tuple[float, float] | None = None
    comments: tuple[bytes, ...] = ()
    segments: tuple[bytes, ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    def orientation(self) -> int:
        """Return the orientation of the stored pixels by its EXIF number, 1 (upright) to 8."""
        directory = exif.parse(self.exif)
        entry = directory.entries.get(exif.ORIENTATION) if directory else None
        if directory and entry:
            # Only what `exif.normalized` resets.
            whole = entry.type in exif.WHOLE
            found = directory.number(exif.ORIENTATION, 1) if whole else 1
        else:
            found = xmp.orientation(self.xmp) if self.xmp else 1
        return found if found in range(1, 9) else 1

    def normalized(
        self, width: int, height: int, transposed: bool, in_color: bool = True
    ) -> Metadata:
        """Return the metadata of the upright sRGB picture that will be written.

        Args:
            width: its width in pixels.
            height: its height.
            transposed: whether its sides have changed places on the way.
            in_color: whether it has colours.
        """
        # Programs without a resolution write 0, 1 or nothing.
        dpi = tuple(float(value) for value in self.dpi or () if value)
        dpi = dpi[::-1] if transposed else dpi
        return replace(
            self,
            exif=exif.normalized(self.exif, width, height, transposed) if self.exif else None,
            xmp=xmp.normalized(self.xmp, width, height, in_color) if self.xmp else None,
            photoshop=photoshop.normalized(self.photoshop) if self.photoshop else None,
            dpi=(dpi[0], dpi[1]) if len(dpi) == 2 and 1 < min(dpi) <= max(dpi) < 65536 else None,
        )

    def as_color(self) -> Metadata:
        """Return the metadata of the same picture in colour."""
        return replace(
            self,
            exif=exif.as_color(self.exif) if self.exif else None,
            xmp=xmp.as_color(self.xmp) if self.xmp else None,
        )

    def iptc(self) -> bytes | None:
        """Return the IPTC record among Photoshop's resources."""
        return photoshop.iptc(self.photoshop or b"")
