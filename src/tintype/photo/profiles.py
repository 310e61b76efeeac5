"""ICC profiles: into sRGB on the way in, and the sRGB profiles embedded on the way out.

The two that are embedded are made by tests/photo/srgb.py, and free of copyright.

8-bit colour goes through Little CMS, which Pillow brings; gray and 16-bit colour are computed here,
in full precision (ICC.1:2010, sections 7.2, 8.3, 8.4 and F.3).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.color.spaces import linear_to_srgb
from tintype.photo.icc import lut_to_xyz, read_tone_curve

if TYPE_CHECKING:
    from PIL import ImageCms

Colorants = tuple[tuple[float, ...], ...]

# The sRGB primaries adapted to the D50 of the profile connection space (Bradford).
_PRIMARIES: Colorants = (
    (0.43607, 0.22249, 0.01392),
    (0.38515, 0.71687, 0.09708),
    (0.14307, 0.06061, 0.71410),
)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# Other primaries of ITU-T H.273, adapted likewise; and its transfer functions that are powers.
_BT2020 = ((0.67348, 0.27904, -0.00193), (0.16567, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686))
_P3 = ((0.51512, 0.24119, -0.00105), (0.29198, 0.69224, 0.04188), (0.15711, 0.06657, 0.78408))
_H273_PRIMARIES: dict[int, tuple[str, Colorants]] = {
    9: ("BT.2020", _BT2020),
    12: ("Display P3", _P3),
}
_H273_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}

# Rows converted at a time: temporaries stay small beside the picture.
_STRIP_PIXELS = 1 << 20
# Where a curve changes no value by more than this, the picture is sRGB already and stays as it is.
_MAX_SRGB_DEVIATION = 0.5 / 255


class ProfileError(Exception):
    """The profile is damaged or of a kind that does not fit the picture."""


@cache
def srgb_profile() -> bytes:
    """Return the sRGB profile written into colour pictures."""
    return Path(__file__).with_name("srgb.icc").read_bytes()


@cache
def srgb_gray_profile() -> bytes:
    """Return the profile of gray pictures in sRGB's curve."""
    return Path(__file__).with_name("srgb_gray.icc").read_bytes()


def gamma_profile(gamma: float) -> bytes:
    """Return a profile of sRGB's primaries and a gamma curve."""
    return _changed_srgb(f"gamma {1 / gamma:.4g}", _PRIMARIES, gamma)


def h273_profile(primaries: int, transfer: int) -> bytes | None:
    """Return a profile for ITU-T H.273 numbers; None for those of sRGB and unknown ones."""
    name, colorants = _H273_PRIMARIES.get(primaries, ("sRGB", _PRIMARIES))
    gamma = _H273_GAMMAS.get(transfer)
    if colorants is _PRIMARIES and gamma is None:
        return None
    return _changed_srgb(name if gamma is None else f"{name}, gamma {gamma}", colorants, gamma)


def _changed_srgb(name: str, colorants: Colorants, gamma: float | None) -> bytes:
    """Return the sRGB profile with another name, other primaries and perhaps another curve."""
    icc = srgb_profile()
    for old, new in zip(_PRIMARIES, colorants, strict=True):
        icc = icc.replace(_s15fixed16(*old), _s15fixed16(*new))
    if gamma is not None:
        icc = icc.replace(_s15fixed16(*_SRGB_CURVE), _s15fixed16(gamma, 1, 0, 0, 0))
    text = name.encode("utf-16-be")
    text = b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(text), 28) + text
    changed = bytearray(icc + text)
    struct.pack_into(">II", changed, changed.index(b"desc") + 4, len(icc), len(text))
    struct.pack_into(">I", changed, 0, len(changed))
    return bytes(changed)


def profile_name(icc: bytes) -> str:
    """Return the description of a profile, or "unnamed"."""
    try:
        data = _read_tags(icc)["desc"]
        if data[:4] == b"desc":
            text = data[12 : 12 + struct.unpack_from(">I", data, 8)[0]].decode("latin-1")
        else:
            length, at = struct.unpack_from(">II", data, 20)
            text = data[at : at + length].decode("utf-16-be")
    except (ProfileError, KeyError, struct.error, UnicodeDecodeError):
        text = ""
    return text.strip("\0 ") or "unnamed"


@lru_cache(maxsize=16)
def is_srgb(icc: bytes) -> bool:
    """Tell whether an RGB profile changes no color by more than 1 of 255.

    Raises:
        ProfileError: it is damaged, or not for RGB.
    """
    values = np.arange(0, 256, 15, dtype=np.uint8)
    colors = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 18, 3)
    converted = np.asarray(_build_transform(icc, "RGB").apply(Image.fromarray(colors)))
    return bool(np.abs(converted.astype(np.int16) - colors).max() <= 1)


def image_to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Convert an 8-bit RGB or CMYK picture to sRGB, an RGB one in place.

    Raises:
        ProfileError: the profile cannot be used for this picture.
    """
    transform = _build_transform(icc, image.mode)
    return transform.apply_in_place(image) if image.mode == "RGB" else transform.apply(image)


def samples_to_srgb(samples: NDArray[np.uint16], icc: bytes) -> None:
    """Convert 16-bit colours (H, W, 3) to sRGB, in place.

    Raises:
        ProfileError: the profile cannot be used for this picture.
    """
    convert = _rgb16_converter(icc)
    rows = max(1, _STRIP_PIXELS // samples.shape[1])
    for top in range(0, len(samples), rows):
        strip = samples[top : top + rows]
        strip[...] = np.rint(convert(strip) * np.float32(65535))


def gray_to_srgb_table(icc: bytes, size: int) -> NDArray[np.uint16] | None:
    """Return the sRGB gray level of each gray level of a profile, gray or RGB.

    Args:
        icc: the profile of a gray picture.
        size: of the table, 256 or 65536.

    Returns:
        (size,) values below ``size``; None where the profile is sRGB's curve already.

    Raises:
        ProfileError: the profile cannot be used for a gray picture.
    """
    ramp = np.linspace(0, 1, 65536, dtype=np.float32)
    if _color_space(icc) == "GRAY":
        tags = _read_tags(icc)
        try:
            curve = read_tone_curve(tags["kTRC"])[0]
        except (KeyError, ValueError, IndexError, struct.error) as error:
            raise ProfileError("its gray curve is damaged or missing") from error
        if icc[20:24] == b"Lab ":
            curve = _lightness_to_luminance(100 * curve)
        gray = linear_to_srgb(curve)
    else:
        neutral = np.repeat(np.arange(65536, dtype=np.uint16)[:, None], 3, axis=1)
        gray = _rgb16_converter(icc)(neutral) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    gray = np.clip(gray, 0, 1)
    if np.abs(gray - ramp).max() <= _MAX_SRGB_DEVIATION:
        return None
    step = 65535 // (size - 1)
    return np.rint(gray[::step] * (size - 1)).astype(np.uint16)


def _build_transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Build Little CMS's transform from a profile to sRGB, for 8-bit pictures."""
    from PIL import ImageCms

    expected = {"RGB": "RGB ", "CMYK": "CMYK"}[mode]
    if _color_space(icc) != expected:
        raise ProfileError(f"it is for {_color_space(icc).strip() or 'no'} pictures, not {mode}")
    try:
        return ImageCms.ImageCmsTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # Black ink on paper is dark gray; without compensation the picture would lack contrast.
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION if mode == "CMYK" else ImageCms.Flags.NONE,
        )
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        raise ProfileError(str(error) or "it cannot be read") from error


def _color_space(icc: bytes) -> str:
    """Return the colour space that a profile is for: ``"RGB "``, ``"GRAY"`` and so on."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        raise ProfileError("it has no ICC header")
    return icc[16:20].decode("latin-1")


def _read_tags(icc: bytes) -> dict[str, bytes]:
    _color_space(icc)
    (count,) = struct.unpack_from(">I", icc, 128)
    tags = {}
    for start in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        tag, offset, size = struct.unpack_from(">4sII", icc, start)
        tags[tag.decode("latin-1")] = icc[offset : offset + size]
    return tags


def _lightness_to_luminance(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert CIE L* to relative luminance."""
    return np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)


def _rgb16_converter(icc: bytes) -> Callable[[NDArray[np.uint16]], NDArray[np.float32]]:
    """Build the conversion of 16-bit RGB colours (..., 3) to sRGB in [0, 1]."""
    if _color_space(icc) != "RGB ":
        raise ProfileError(f"it is for {_color_space(icc).strip() or 'no'} pictures, not RGB")
    tags = _read_tags(icc)
    from_xyz = np.linalg.inv(np.array(_PRIMARIES).T)
    try:
        # Colorimetric tables before perceptual ones, and tables before matrix: as Little CMS.
        if table := tags.get("A2B1") or tags.get("A2B0"):
            to_xyz = lut_to_xyz(table, icc[20:24].decode("latin-1"))
            matrix = from_xyz.astype(np.float32)
        else:
            columns = [struct.unpack_from(">3i", tags[f"{c}XYZ"], 8) for c in "rgb"]
            matrix = (from_xyz @ np.array(columns).T / 65536).astype(np.float32)
            to_xyz = _curves_to_linear([read_tone_curve(tags[f"{c}TRC"])[0] for c in "rgb"])
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise ProfileError("its curves or tables are damaged or missing") from error

    def convert(colors: NDArray[np.uint16]) -> NDArray[np.float32]:
        return linear_to_srgb(np.clip(to_xyz(colors) @ matrix.T, 0, 1))

    return convert


def _curves_to_linear(
    curves: list[NDArray[np.float32]],
) -> Callable[[NDArray[np.uint16]], NDArray[np.float32]]:
    """Return the conversion to linear light per channel, which the matrix then mixes."""

    def convert(colors: NDArray[np.uint16]) -> NDArray[np.float32]:
        return np.stack([curves[c][colors[..., c]] for c in range(3)], axis=-1)

    return convert


def _s15fixed16(*values: float) -> bytes:
    """Return numbers packed as s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
