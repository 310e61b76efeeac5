"""Formats that are read and never written: GIF, and HEIC with the extra ``heic``."""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np
from PIL import Image

from tintype.errors import UnreadablePhotoError
from tintype.photo.decode import Decoded, ReadRequest, plain_metadata
from tintype.photo.encoding import Encoding
from tintype.photo.pillow import load_partly


def decode_gif(request: ReadRequest) -> Decoded:
    """Read a GIF with a single frame."""
    from PIL.GifImagePlugin import GifImageFile

    picture = GifImageFile(request.file)
    request.check_size(*picture.size)
    request.refuse_frames(picture)
    image, left = picture, list(picture.tile)
    if load_partly(picture):
        request.damaged("its end is missing")
        arguments = left[0].args if left else None
        if isinstance(arguments, tuple) and arguments[1]:  # interlaced
            image = _without_gaps(picture)
    request.leave_out("a GIF is written as PNG")
    carried = plain_metadata(image)
    if image.info.get("comment"):
        request.leave_out("the comment of the GIF is left out")
    return Decoded(image, False, None, carried, Encoding())


def _without_gaps(image: Image.Image) -> Image.Image:
    """Return an interlaced picture with each missing row copied from the row above it."""
    rows = np.array(image)
    for y in range(1, len(rows)):
        if not rows[y].any():
            rows[y] = rows[y - 1]
    whole = image.copy()
    whole.frombytes(rows.tobytes())
    return whole


def reads_heic() -> bool:
    """Tell whether the extra ``heic`` is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def decode_heic(request: ReadRequest) -> Decoded:
    """Read a HEIC photograph; of several pictures in one file the main one."""
    if not reads_heic():
        raise UnreadablePhotoError(
            f"{request.name} is a HEIC photograph, which needs a package that is not installed: "
            "run  pip install 'tintype[heic]', or convert it to JPEG, PNG or TIFF first"
        )
    pillow_heif = importlib.import_module("pillow_heif")

    # The main picture is decoded upright.
    file = pillow_heif.open_heif(request.file)
    request.check_size(*file.size)
    request.leave_out("a HEIC photograph is written as JPEG")
    if len(file) > 1:
        request.leave_out(f"the file holds {len(file)} pictures: the main one is taken")
    image = file.to_pillow()
    return Decoded(image, True, image.info.get("icc_profile"), plain_metadata(image), Encoding())
