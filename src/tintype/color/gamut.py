"""Join gray and chroma to sRGB, and map colors out of gamut to colors of the same lightness.

Where a color does not exist in sRGB, its chroma is reduced until it does: hue and lightness are
kept, and channels are not clipped one by one. Neutral chroma gives the gray level itself.

An image is processed in blocks that fit the processor's cache. numpy releases the interpreter's
lock meanwhile, so strips of one image can be joined in several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tintype.color.spaces import (
    LAB_F_EPSILON,
    LAB_OFFSET,
    LAB_SLOPE,
    RGB_TO_XYZ,
    chroma_to_rgb_matrix,
    gray_to_lightness,
    linear_to_srgb,
)

# Linear light is in 65,535ths of white, so that it can index a table of encoded values. The scale
# is applied to f = cbrt(light), where it costs nothing per pixel.
_WHITE = 65535.0
_F_SCALE = _WHITE ** (1 / 3)
# Distance from the gamut, in that unit, that counts as inside: an eighth of an encoded 16-bit
# level.
_TOLERANCE = 0.01

# Ten float32 planes of a block nearly fit in a cache of 2 MB. With smaller blocks threads lose more
# time to the interpreter's lock than they gain.
_BLOCK_PIXELS = 1 << 16
_BISECTION_STEPS = 12  # to 1/4,096 of the chroma, finer than an 8-bit level
# Above the chroma of every sRGB color (blue has 133.8).
_MAX_CHROMA = 134.0

# Linear sRGB of XYZ relative to white, with rows that add up to 1: R = Y + dX m0 + dZ m2 where
# dX = X - Y and dZ = Z - Y. Both vanish for neutral colors, so gray stays exactly gray.
_XYZ_TO_RGB = np.linalg.inv(RGB_TO_XYZ / RGB_TO_XYZ.sum(axis=1, keepdims=True))
_XZY_TO_RGB = np.column_stack([_XYZ_TO_RGB[:, 0], _XYZ_TO_RGB[:, 2], np.ones(3)]).astype(np.float32)
# What a and b add to f(Y) to give f(X) and f(Z).
_F_PER_AB = np.array([_F_SCALE / 500, -_F_SCALE / 200], dtype=np.float32)

RgbArray: TypeAlias = NDArray[np.uint8 | np.uint16]


def join_lab(
    gray: NDArray,
    ab: NDArray[np.float32],
    *,
    dtype: DTypeLike = np.uint8,
    out: RgbArray | None = None,
) -> RgbArray:
    """Join gray and Lab chroma to sRGB whose L* is that of the gray.

    Neutral chroma gives exactly r = g = b; the neutral axis of
    `tintype.color.spaces.rgb_to_lab` differs from that by up to 0.005 units of b.

    Args:
        gray: gamma-encoded gray, (H, W): uint8, uint16, or float in [0, 1] (read to 1 / 65535).
        ab: chroma in CIE Lab, (H, W, 2); it may lie out of gamut. Two separate planes in memory
            are read faster than interleaved values.
        dtype: uint8 or uint16, the type of the result; not used with ``out``.
        out: array (H, W, 3) to write to and return.

    Returns:
        sRGB over the full range of the integer type, (H, W, 3).

    Raises:
        ValueError: the shapes do not agree, or the result is not uint8 or uint16.
    """
    result = _output_array(gray, ab, dtype, out)
    f_of_gray = _f_table(256 if gray.dtype == np.uint8 else 65536)
    planes = np.moveaxis(ab, -1, 0)
    width = gray.shape[1]
    out_of_gamut = []
    for rows in _row_blocks(gray.shape):
        fy = f_of_gray.take(_gray_index(gray[rows]), mode="clip")
        light = _lab_to_linear(fy, planes[:, rows])
        for channel, encoded in enumerate(_encode_srgb(light, result.dtype)):
            result[rows, :, channel] = encoded
        outside = np.flatnonzero(~_in_gamut(light))
        if outside.size:
            out_of_gamut.append(outside + rows.start * width)

    # Gathered from the whole image: numpy calls on a few pixels cost more than their arithmetic.
    outside = np.concatenate(out_of_gamut) if out_of_gamut else np.empty(0, dtype=np.intp)
    for start in range(0, len(outside), _BLOCK_PIXELS):
        pixels = np.divmod(outside[start : start + _BLOCK_PIXELS], width)
        fy = f_of_gray.take(_gray_index(gray[pixels]), mode="clip")
        result[pixels] = _encode_srgb(_shrink_into_gamut(fy, ab[pixels].T), result.dtype).T
    return result


def join_luma(
    gray: NDArray,
    chroma: NDArray[np.float32],
    space: str,
    *,
    dtype: DTypeLike = np.uint8,
    out: RgbArray | None = None,
) -> RgbArray:
    """Join gray and YUV or YCbCr chroma to sRGB whose BT.601 luma is the gray.

    RGB is linear in this chroma, so the largest share of it in gamut has a closed form.

    Args:
        gray: gamma-encoded gray, (H, W): uint8, uint16, or float in [0, 1].
        chroma: U and V, or Cb and Cr (neutral at 0.5), (H, W, 2); it may lie out of gamut.
        space: ``"yuv"`` or ``"ycbcr"``.
        dtype: uint8 or uint16, the type of the result; not used with ``out``.
        out: array (H, W, 3) to write to and return.

    Returns:
        sRGB over the full range of the integer type, (H, W, 3).

    Raises:
        ValueError: the shapes do not agree, the result is not uint8 or uint16, or the space is
            neither of the two.
    """
    result = _output_array(gray, chroma, dtype, out)
    matrix = chroma_to_rgb_matrix(space)
    neutral = np.float32(0.5 if space == "ycbcr" else 0.0)
    top = np.float32(np.iinfo(result.dtype).max)
    tiny = np.finfo(np.float32).tiny
    for rows in _row_blocks(gray.shape):
        y = _to_unit_range(gray[rows])
        first = chroma[rows, :, 0] - neutral
        second = chroma[rows, :, 1] - neutral
        offset = [first * toward[0] + second * toward[1] for toward in matrix]
        up = np.maximum(np.maximum(offset[0], offset[1]), offset[2])
        down = np.minimum(np.minimum(offset[0], offset[1]), offset[2])
        share = (1 - y) / np.maximum(up, tiny)
        np.minimum(share, y / np.maximum(-down, tiny), out=share)
        np.minimum(share, 1, out=share)
        for channel in range(3):
            level = (y + share * offset[channel]) * top + np.float32(0.5)
            result[rows, :, channel] = np.clip(level, 0, top).astype(result.dtype)
    return result


def gamut_share(gray: float, ab: ArrayLike) -> float:
    """Return the largest share of a chroma, in [0, 1], that is in the sRGB gamut at a lightness.

    Args:
        gray: gamma-encoded gray of that lightness, in [0, 1].
        ab: chroma in CIE Lab, (2,).
    """
    fy = ((gray_to_lightness(gray) + 16) * (_F_SCALE / 116)).astype(np.float32)[None]
    chroma = np.asarray(ab, np.float32)[:, None]
    if _in_gamut(_lab_to_linear(fy, chroma)).all():
        return 1.0
    return float(_largest_share(fy, chroma)[0])


def _output_array(
    gray: NDArray, chroma: NDArray, dtype: DTypeLike, out: RgbArray | None
) -> RgbArray:
    if gray.ndim != 2 or chroma.shape != (*gray.shape, 2):
        raise ValueError(
            f"gray and chroma must have shapes (H, W) and (H, W, 2), "
            f"not {gray.shape} and {chroma.shape}"
        )
    result = np.empty((*gray.shape, 3), dtype=dtype) if out is None else out
    if result.shape != (*gray.shape, 3) or result.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"the result must be uint8 or uint16 of shape {(*gray.shape, 3)}, "
            f"not {result.dtype} of shape {result.shape}"
        )
    return result


def _row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    height, width = shape
    step = max(1, _BLOCK_PIXELS // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _gray_index(gray: NDArray) -> NDArray:
    if gray.dtype in (np.uint8, np.uint16):
        return gray
    return np.clip(gray * np.float32(_WHITE) + np.float32(0.5), 0, _WHITE).astype(np.int32)


def _to_unit_range(gray: NDArray) -> NDArray[np.float32]:
    if gray.dtype in (np.uint8, np.uint16):
        return np.divide(gray, np.iinfo(gray.dtype).max, dtype=np.float32)
    return np.clip(gray, 0, 1, dtype=np.float32)


@cache
def _f_table(levels: int) -> NDArray[np.float32]:
    """Return f(Y) = (L* + 16) / 116, times `_F_SCALE`, of each gray level."""
    gray = np.linspace(0, 1, levels)
    return ((gray_to_lightness(gray) + 16) * (_F_SCALE / 116)).astype(np.float32)


@cache
def _linear_to_srgb8_table() -> NDArray[np.uint8]:
    """Return the 8-bit sRGB value of each 65,535th of linear light, at the middle of the step."""
    linear = (np.arange(65536) + 0.5) / _WHITE
    return (np.minimum(linear_to_srgb(linear), 1) * 255 + 0.5).astype(np.uint8)


def _encode_srgb(light: NDArray[np.float32], dtype: np.dtype) -> RgbArray:
    # Also called with colors out of gamut, whose result is overwritten after gamut mapping.
    with np.errstate(invalid="ignore"):
        if dtype == np.uint8:
            return _linear_to_srgb8_table().take(light.astype(np.int32), mode="clip")
        unit = np.clip(light * np.float32(1 / _WHITE), 0, 1)
        return (linear_to_srgb(unit) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)


def _lab_to_linear(fy: NDArray[np.float32], ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return linear r, g, b (3, ...), white being 65,535, of scaled f(Y) (...) and ab (2, ...)."""
    f = np.empty((3, *fy.shape), dtype=np.float32)
    scale = _F_PER_AB.reshape(2, *[1] * fy.ndim)
    np.add(np.multiply(ab, scale, out=f[:2]), fy, out=f[:2])
    f[2] = fy
    xzy = _lab_f_inverse(f)
    xzy[:2] -= xzy[2]
    return (_XZY_TO_RGB @ xzy.reshape(3, -1)).reshape(f.shape)


def _lab_f_inverse(f: NDArray[np.float32]) -> NDArray[np.float32]:
    light = f * f
    light *= f
    dark = f < np.float32(LAB_F_EPSILON * _F_SCALE)
    if dark.any():
        slope, offset = _WHITE / (LAB_SLOPE * _F_SCALE), _WHITE * LAB_OFFSET / LAB_SLOPE
        np.copyto(light, f * np.float32(slope) - np.float32(offset), where=dark)
    return light


def _in_gamut(light: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which linear colors (3, ...) exist in sRGB, (...)."""
    inside = light.min(axis=0) >= np.float32(-_TOLERANCE)
    inside &= light.max(axis=0) <= np.float32(_WHITE + _TOLERANCE)
    return inside


def _shrink_into_gamut(fy: NDArray[np.float32], ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return linear r, g, b (3, n) of ab (2, n), reduced into gamut."""
    return _lab_to_linear(fy, ab * _largest_share(fy, ab))


def _largest_share(fy: NDArray[np.float32], ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest share of ab (2, n) in gamut, (n,), by bisection."""
    inside = np.zeros_like(fy)
    outside = np.ones_like(fy)
    np.minimum(outside, _MAX_CHROMA / np.hypot(*ab), out=outside)
    for _ in range(_BISECTION_STEPS):
        share = np.multiply(inside + outside, 0.5, dtype=np.float32)
        fits = _in_gamut(_lab_to_linear(fy, ab * share))
        np.copyto(inside, share, where=fits)
        np.copyto(outside, share, where=~fits)
    return inside
