"""The photograph: its pixels, and everything its file carries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from tintype.errors import PhotoError, UnreadablePhotoError
from tintype.photo import write
from tintype.photo.decode import Decoded, ReadRequest, jpeg_encoding, plain_metadata
from tintype.photo.encoding import Encoding, Format
from tintype.photo.metadata import Metadata
from tintype.photo.orientation import turn_upright
from tintype.photo.picture import Picture
from tintype.photo.planes import Pixels, image_to_planes, samples_to_planes
from tintype.photo.read import errors_translated, read
from tintype.photo.source import Source, open_source
from tintype.photo.toning import UNEVEN

#: Pixels of the largest picture that is opened unless a caller says otherwise.
DEFAULT_MAX_PIXELS = 250_000_000


@dataclass(frozen=True, eq=False, repr=False)
class Photo(Picture):
    """One photograph, upright and in sRGB; open it with `Photo.open`.

    Arrays are read-only and shared between a photograph and its colorized version. `Picture`
    documents the attributes.
    """

    @classmethod
    def open(
        cls,
        source: Source,
        *,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        keep_colors: bool = True,
        strict: bool = False,
        page: int | None = None,
    ) -> Photo:
        """Open a photograph in JPEG, PNG, WebP, TIFF, AVIF, BMP, JPEG 2000 or GIF; or HEIC.

            photo = Photo.open("grandmother.jpg")

        Args:
            source: a path, a file's bytes, or a file open for reading bytes.
            max_pixels: refuse larger pictures, before decoding; None for no limit.
            keep_colors: False discards a color picture's own colors once its luminance is known,
                which saves three bytes per pixel, or six at 16 bits; saved without new colors it is
                gray.
            strict: raise an error for a damaged file, even if a part of it can be read; otherwise
                that part is read, and `left_out` says so.
            page: which page of a TIFF, from 1; None for the first, with a note if there are more.

        Raises:
            UnreadablePhotoError: it is missing, empty, damaged, animated or no photograph.
            PhotoTooLargeError: it has more pixels than the limit.
        """
        notes: list[str] = []
        left_out: list[str] = []
        with open_source(source) as (file, name, path):
            request = ReadRequest(file, name, max_pixels, notes, left_out, strict, page)
            with errors_translated(request):
                format, decoded = read(request)
                return _build_photo(decoded, format, path, keep_colors, notes, left_out)

    @classmethod
    def from_array(cls, pixels: ArrayLike) -> Photo:
        """Return a photograph with the pixels of an array in sRGB.

        Args:
            pixels: (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB or (H, W, 4)
                RGB and alpha; uint8, uint16, bool, or floats in [0, 1], which become 16 bits.

        Raises:
            UnreadablePhotoError: it has another shape or type, or values that are not finite.
        """
        try:
            array: NDArray[Any] = np.array(pixels)
        except (ValueError, TypeError) as error:
            raise UnreadablePhotoError(
                f"this is no array of pixels ({error}): give rows of one length"
            ) from error
        shape = array.shape
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in shape:
            raise UnreadablePhotoError(
                f"an array of shape {shape} is no photograph: "
                "give (H, W) or (H, W, channels) with 1 to 4 channels"
            )
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.dtype == np.bool_:
            array = array * np.uint8(255)
        elif array.dtype.kind == "f":
            if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
                raise UnreadablePhotoError("an array of floats must hold values from 0 to 1")
            # The largest number of half precision is 65504.
            array = array.astype(np.result_type(array, np.float32), copy=False)
            array = np.rint(array * 65535).astype(np.uint16)
        if array.dtype == np.uint16:
            return _build_photo(_decoded_pixels(array), None, None, True, [])
        if array.dtype != np.uint8:
            raise UnreadablePhotoError(
                f"an array of {array.dtype} is no photograph: give uint8, uint16 or floats"
            )
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
        return _build_photo(_decoded_pixels(image), None, None, True, [])

    @classmethod
    def from_pil(cls, image: Image.Image) -> Photo:
        """Return a photograph from a Pillow image, with the metadata in its ``info``.

        EXIF orientation is applied. Pillow keeps less than a file can hold, above all no 16-bit
        color: open the file itself to lose nothing.

        Raises:
            UnreadablePhotoError: it cannot be loaded, has no pixels, or values that are none of 8
                or 16 bits.
        """
        try:
            image.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise UnreadablePhotoError(f"the image cannot be loaded ({error})") from error
        if 0 in image.size:
            width, height = image.size
            raise UnreadablePhotoError(f"an image of {width} × {height} pixels: nothing to see")
        if image.mode in ("I", "F", "LAB", "HSV"):
            raise UnreadablePhotoError(
                f"an image of mode {image.mode} is no photograph: convert it to L or RGB first"
            )
        deep = image.mode.startswith("I;16")
        decoded = _decoded_pixels(
            np.asarray(image).astype(np.uint16)[..., None] if deep else image.copy()
        )
        decoded = decoded._replace(
            icc=image.info.get("icc_profile"),
            metadata=plain_metadata(image),
            encoding=jpeg_encoding(image),
        )
        return _build_photo(decoded, None, None, True, [])

    def luminance(self) -> NDArray[np.float32]:
        """Return the gray value of every pixel in [0, 1], gamma-encoded as in sRGB, (H, W)."""
        white = np.float32(np.iinfo(self.gray.dtype).max)
        return np.divide(self.gray, white, dtype=np.float32)

    def rgb(self) -> Pixels:
        """Return the photograph's own colors in sRGB, (H, W, 3), 8 or 16 bits; gray thrice if none.

        Raises:
            PhotoError: it was in colour, and opened without keeping them.
        """
        if self.colors is not None:
            return self.colors
        if self.kind != "gray":
            raise PhotoError("the photograph's colours were not kept: open it with keep_colors")
        return np.repeat(self.gray[..., None], 3, axis=2)

    def to_pil(self) -> Image.Image:
        """Return the colors as a Pillow image of mode ``RGB``, 8 bits, without metadata.

        Raises:
            PhotoError: its own colours were not kept.
        """
        rgb = self.rgb()
        return Image.fromarray(rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8))

    def with_rgb(self, rgb: Pixels) -> Photo:
        """Return the same photograph in other colors, with all its metadata.

        Args:
            rgb: (H, W, 3) in sRGB, uint8 or uint16. 8 bits for a 16-bit photograph, and 16 for one
                of 8, give a 16-bit photograph.

        Raises:
            ValueError: the shape or type does not fit.
        """
        if rgb.shape != (*self.gray.shape, 3) or rgb.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"colours for this photograph are {(*self.gray.shape, 3)} of uint8 or uint16, "
                f"not {rgb.shape} of {rgb.dtype}"
            )
        deep = rgb.itemsize == 2 or self.gray.itemsize == 2
        colors = _to_16_bit(rgb) if deep else rgb.view()
        alpha = _to_16_bit(self.alpha) if deep and self.alpha is not None else self.alpha
        return replace(
            self,
            colors=_read_only(colors),
            alpha=_read_only(alpha),
            kind="color",
            metadata=self.metadata.as_color(),
        )

    def save(
        self,
        target: str | os.PathLike[str] | BinaryIO | None = None,
        *,
        format: str | None = None,
        overwrite: bool = False,
        in_place: bool = False,
    ) -> tuple[str, ...]:
        """Write the photograph, whole or not at all.

        Pixels are written in sRGB with its profile embedded, upright, with EXIF, XMP, IPTC and
        resolution, as far as the format has a place for them; at the bit depth of the photograph
        in PNG and TIFF, at 8 bits elsewhere; a JPEG with the quantization tables of its file.

        A link stays, and the file it leads to is written. A device, a named pipe or an open
        file's name as /dev/stdout is written to as it is: nothing there is replaced.

        Args:
            target: a path, or a file open for writing bytes; None with ``in_place`` alone.
            format: ``"JPEG"``, ``"PNG"``, ``"WebP"``, ``"TIFF"``, ``"AVIF"``, ``"BMP"`` or
                ``"JPEG2000"``; None goes by the path's extension, and without one takes the format
                the photograph came in.
            overwrite: replace a file that exists.
            in_place: replace the photograph's own file.

        Returns:
            Sentences on what the format could not keep; none if nothing was lost.

        Raises:
            UnwritablePhotoError: the target exists, or is the photograph itself, and replacing it
                was not asked for; it cannot be written; or the format is unknown or too small.
        """
        return write.save(self, target, format, overwrite, in_place)

    def __repr__(self) -> str:
        what = f"{self.width} × {self.height}, {self.bit_depth}-bit {self.kind}"
        where = f", {str(self.path)!r}" if self.path else ""
        return f"Photo({what}, {self.format or 'in memory'}{where})"


def _build_photo(
    decoded: Decoded,
    format: Format | None,
    path: Path | None,
    keep: bool,
    notes: list[str],
    left_out: Sequence[str] = (),
) -> Photo:
    """Return the photograph of a file's contents: turned upright, in sRGB, metadata corrected."""
    orientation = decoded.metadata.orientation()
    pixels = decoded.pixels if decoded.upright else turn_upright(decoded.pixels, orientation)
    if isinstance(pixels, Image.Image):
        planes = image_to_planes(pixels, decoded.icc, keep, notes)
    else:
        planes = samples_to_planes(pixels, decoded.icc, keep, notes)
    unsure = (UNEVEN,) if planes.uneven else ()
    height, width = planes.gray.shape
    return Photo(
        gray=_read_only(planes.gray),
        colors=_read_only(planes.colors),
        alpha=_read_only(planes.alpha),
        kind=planes.kind,
        format=format,
        encoding=decoded.encoding,
        metadata=decoded.metadata.normalized(
            width, height, orientation > 4, planes.colors is not None
        ),
        profile=planes.profile,
        path=path,
        notes=(*notes, *unsure),
        left_out=(*left_out, *unsure),
    )


def _decoded_pixels(pixels: Image.Image | NDArray[np.uint16]) -> Decoded:
    return Decoded(pixels, False, None, Metadata(), Encoding())


def _to_16_bit(values: Pixels) -> Pixels:
    """Return values at 16 bits; 8-bit ones are multiplied by 257."""
    return values * np.uint16(257) if values.dtype == np.uint8 else values.view()


_Array = TypeVar("_Array", bound="NDArray[np.generic] | None")


def _read_only(array: _Array) -> _Array:
    if array is not None:
        array.flags.writeable = False
    return array
