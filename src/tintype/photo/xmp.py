"""XMP packets: properties of the picture are corrected, all others are kept."""

from __future__ import annotations

import re

_OF_COLOR = {
    "tiff:PhotometricInterpretation": "2",
    "tiff:SamplesPerPixel": "3",
    "photoshop:ColorMode": "3",
    "photoshop:ICCProfile": "sRGB IEC61966-2.1",
    # Otherwise a raw converter would make it gray again.
    "crs:ConvertToGrayscale": "False",
}
# An element may be empty, and a packet hold several.
_THUMBNAILS = re.compile(rb"<(xmp|xap):Thumbnails\b(?:[^>]*/>|.*?</\1:Thumbnails\s*>)", re.DOTALL)
_ORIENTATION = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)([1-8])")


def orientation(xmp: bytes) -> int:
    """Return the orientation of the stored pixels by its EXIF number, 1 (upright) to 8."""
    match = _ORIENTATION.search(xmp)
    return int(match[1]) if match else 1


def as_color(xmp: bytes) -> bytes:
    """Return a packet that declares a color picture."""
    return _with_values(xmp, _OF_COLOR)


def shrunk(xmp: bytes, max_bytes: int) -> bytes | None:
    """Return an XMP packet of at most a number of bytes, without padding if needed."""
    if len(xmp) > max_bytes:
        end = xmp.rfind(b"<?xpacket end")
        if end >= 0:
            xmp = xmp[:end].rstrip() + b"\n" + xmp[end:]
    return xmp if len(xmp) <= max_bytes else None


def normalized(xmp: bytes, width: int, height: int, in_color: bool = True) -> bytes:
    """Correct an XMP packet for the upright sRGB picture: orientation, sizes, color space.

    Thumbnails, which show the picture as it was, go.
    """
    return _with_values(
        _THUMBNAILS.sub(b"", xmp),
        {
            "tiff:Orientation": "1",
            "tiff:ImageWidth": str(width),
            "tiff:ImageLength": str(height),
            "exif:PixelXDimension": str(width),
            "exif:PixelYDimension": str(height),
            "exif:ColorSpace": "1",
            "photoshop:ColorMode": "3" if in_color else "1",
            "photoshop:ICCProfile": "sRGB IEC61966-2.1" if in_color else "sRGB gray",
        },
    )


def _with_values(xmp: bytes, values: dict[str, str]) -> bytes:
    """Set simple properties that a packet has."""
    for name, value in values.items():
        xmp = re.sub(
            rb"(\b%b\s*=\s*[\"']|<%b\s*>)[^\"'<]*" % (name.encode(), name.encode()),
            lambda match, value=value: match[1] + value.encode(),
            xmp,
        )
    return xmp
