"""Conversions between sRGB, linear light, CIE Lab, analogue YUV and full-range YCbCr.

RGB is gamma-encoded sRGB in [0, 1], colors are arrays (..., 3), and results are float32. Nothing is
clipped: values outside [0, 1] survive each conversion and its inverse; negative ones follow the
linear segment of the sRGB curve.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Plane = NDArray[np.float32]

# Linear sRGB to CIE XYZ (ITU-R BT.709 primaries), and the white point D65 of the 2 degree observer.
# Matrix, white point and curve are those of scikit-image, rounded as there; with them grays have a
# b of up to 0.005.
RGB_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
D65 = np.array([0.95047, 1.0, 1.08883])

# f of CIE 1976: the cube root, and linear for dark colors; constants rounded as in scikit-image.
LAB_EPSILON = 0.008856
LAB_F_EPSILON = 0.2068966
LAB_SLOPE = 7.787
LAB_OFFSET = 16 / 116

# BT.601 luma, and the gains of the analogue color differences: U = 0.492 (B - Y) and so on.
_LUMA_RED, _LUMA_GREEN, _LUMA_BLUE = 0.299, 0.587, 0.114
_U_GAIN, _V_GAIN = 0.492, 0.877
# JPEG (JFIF 1.02): the same differences scaled to [-0.5, 0.5], with 0.5 added.
_CB_GAIN, _CR_GAIN = 1 / 1.772, 1 / 1.402


def srgb_to_linear(srgb: ArrayLike) -> Plane:
    """Decode sRGB values in [0, 1] to linear light in [0, 1] (IEC 61966-2-1), of any shape."""
    return _srgb_to_linear(np.asarray(srgb, dtype=np.float32))


def linear_to_srgb(linear: ArrayLike) -> Plane:
    """Encode linear light in [0, 1] to sRGB values in [0, 1] (IEC 61966-2-1), of any shape."""
    return _linear_to_srgb(np.asarray(linear, dtype=np.float32))


def rgb_to_lab(rgb: ArrayLike) -> NDArray[np.float32]:
    """Convert sRGB to CIE Lab (D65, 2 degree observer).

    Computed in float64: a = 500 (f(X) - f(Y)) would magnify the rounding of float32 to 1e-4.

    Args:
        rgb: sRGB in [0, 1], (..., 3).

    Returns:
        L in [0, 100], a in about [-86, 98], b in about [-108, 94] for colors in gamut, (..., 3).
    """
    linear = _srgb_to_linear(np.asarray(rgb, dtype=np.float64))
    f = _lab_f(linear @ (RGB_TO_XYZ / D65[:, None]).T)
    fx, fy, fz = f[..., 0], f[..., 1], f[..., 2]
    lab = np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)
    return lab.astype(np.float32)


def lab_to_rgb(lab: ArrayLike) -> NDArray[np.float32]:
    """Convert CIE Lab (D65, 2 degree observer) to sRGB, the inverse of `rgb_to_lab`.

    Args:
        lab: L in [0, 100], a and b, (..., 3).

    Returns:
        sRGB, (..., 3), outside [0, 1] for colors out of gamut; `tintype.color.gamut` maps these.
    """
    values = np.asarray(lab, dtype=np.float64)
    fy = (values[..., 0] + 16) / 116
    f = np.stack([fy + values[..., 1] / 500, fy, fy - values[..., 2] / 200], axis=-1)
    linear = _lab_f_inverse(f) @ np.linalg.inv(RGB_TO_XYZ / D65[:, None]).T
    return _linear_to_srgb(linear).astype(np.float32)


def gray_to_lightness(gray: ArrayLike) -> Plane:
    """Return L* in [0, 100] of the sRGB colors (g, g, g) for g in [0, 1], of any shape."""
    y = _srgb_to_linear(np.asarray(gray, dtype=np.float64))
    return (116 * _lab_f(y) - 16).astype(np.float32)


def rgb_to_luma(rgb: ArrayLike) -> Plane:
    """Return the BT.601 luma of sRGB, (..., 3) to (...). That of (g, g, g) is g, exactly."""
    colors = np.asarray(rgb, dtype=np.float32)
    red, green, blue = colors[..., 0], colors[..., 1], colors[..., 2]
    y = np.multiply(red - green, _LUMA_RED, dtype=np.float32)
    y += np.multiply(blue - green, _LUMA_BLUE, dtype=np.float32)
    return y + green


def rgb_to_yuv(rgb: ArrayLike) -> NDArray[np.float32]:
    """Convert sRGB to analogue BT.601 YUV.

    Args:
        rgb: sRGB in [0, 1], (..., 3).

    Returns:
        Y in [0, 1], U in [-0.436, 0.436] and V in [-0.615, 0.615], (..., 3).
    """
    return _rgb_to_luma_chroma(rgb, _U_GAIN, _V_GAIN)


def rgb_to_ycbcr(rgb: ArrayLike) -> NDArray[np.float32]:
    """Convert sRGB to the full-range YCbCr of JPEG (not the studio range of television).

    Args:
        rgb: sRGB in [0, 1], (..., 3).

    Returns:
        Y, Cb and Cr in [0, 1], neutral chroma at 0.5, (..., 3).
    """
    ycbcr = _rgb_to_luma_chroma(rgb, _CB_GAIN, _CR_GAIN)
    ycbcr[..., 1:] += 0.5
    return ycbcr


def chroma_to_rgb_matrix(space: str) -> NDArray[np.float32]:
    """Return the (3, 2) matrix D with sRGB = Y + D @ chroma, for chroma that is neutral at 0.

    Args:
        space: ``"yuv"`` (U, V) or ``"ycbcr"`` (Cb, Cr).

    Raises:
        ValueError: the space is neither.
    """
    if space not in ("yuv", "ycbcr"):
        raise ValueError(f"space must be 'yuv' or 'ycbcr', not {space!r}")
    cb_gain, cr_gain = (_U_GAIN, _V_GAIN) if space == "yuv" else (_CB_GAIN, _CR_GAIN)
    blue, red = 1 / np.array([cb_gain, cr_gain], np.float32)  # of B - Y and R - Y
    green = np.array([-_LUMA_BLUE / _LUMA_GREEN, -_LUMA_RED / _LUMA_GREEN], np.float32)
    return np.array([[0, red], green * (blue, red), [blue, 0]], dtype=np.float32)


def _srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    curved = ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.where(srgb > 0.04045, curved, srgb / 12.92)


def _linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    curved = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, curved, linear * 12.92)


def _lab_f(t: np.ndarray) -> np.ndarray:
    return np.where(t > LAB_EPSILON, np.cbrt(t), LAB_SLOPE * t + LAB_OFFSET)


def _lab_f_inverse(f: np.ndarray) -> np.ndarray:
    return np.where(f > LAB_F_EPSILON, f**3, (f - LAB_OFFSET) / LAB_SLOPE)


def _rgb_to_luma_chroma(rgb: ArrayLike, cb_gain: float, cr_gain: float) -> NDArray[np.float32]:
    colors = np.asarray(rgb, dtype=np.float32)
    y = rgb_to_luma(colors)
    cb = np.float32(cb_gain) * (colors[..., 2] - y)
    cr = np.float32(cr_gain) * (colors[..., 0] - y)
    return np.stack([y, cb, cr], axis=-1)
