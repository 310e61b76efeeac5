"""Color conversions on torch tensors (N, C, H, W), for losses and training targets.

They agree with `tintype.color.spaces` to float32 rounding. ``linear`` is linear-light sRGB,
``srgb`` is gamma-encoded sRGB and ``gray`` is gamma-encoded luma, all in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Linear sRGB (IEC 61966-2-1) to CIE XYZ, divided by the D65 white point of scikit-image (0.95047,
# 1, 1.08883), so that neutral colors give equal X, Y and Z.
_XYZ_OVER_WHITE = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)
_TO_RGB = np.linalg.inv(np.array(_XYZ_OVER_WHITE)).tolist()
_BT601 = (0.299, 0.587, 0.114)
_U_GAIN, _V_GAIN = 0.492, 0.877  # U = 0.492 (B - Y), V = 0.877 (R - Y), BT.601
_CB_GAIN, _CR_GAIN = 1 / 1.772, 1 / 1.402  # full-range JPEG YCbCr
_EPSILON = 0.008856  # CIE's threshold between the cube root and its linear continuation


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Convert gamma-encoded sRGB in [0, 1] to linear light in [0, 1], any shape."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055).pow(2.4))


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Convert linear light in [0, 1] to gamma-encoded sRGB in [0, 1], any shape."""
    curved = 1.055 * linear.clamp_min(0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved)


def srgb_to_gray(srgb: Tensor) -> Tensor:
    """Convert gamma-encoded RGB (N, 3, H, W) to BT.601 luma (N, 1, H, W)."""
    return (srgb * srgb.new_tensor(_BT601).view(1, 3, 1, 1)).sum(1, keepdim=True)


def y_to_f(y: Tensor) -> Tensor:
    """Convert Y relative to white to f(Y) = (L* + 16) / 116 of CIE 1976, any shape."""
    return torch.where(y > _EPSILON, y.clamp_min(_EPSILON).pow(1 / 3), 7.787 * y + 16 / 116)


def f_to_y(f: Tensor) -> Tensor:
    """Convert f(Y) of CIE 1976 to Y relative to white, any shape; the inverse of `y_to_f`."""
    return torch.where(f > _EPSILON ** (1 / 3), f**3, (f - 16 / 116) / 7.787)


def gray_to_f(gray: Tensor) -> Tensor:
    """Convert gamma-encoded gray in [0, 1] to f(Y) of CIE 1976, any shape."""
    return y_to_f(srgb_to_linear(gray))


def gray_to_lightness(gray: Tensor) -> Tensor:
    """Convert gamma-encoded gray in [0, 1] to L* in [0, 100], any shape."""
    return 116 * gray_to_f(gray) - 16


def linear_to_ab(linear: Tensor) -> Tensor:
    """Convert linear-light RGB (N, 3, H, W) to a, b of CIE Lab, D65, (N, 2, H, W)."""
    # a and b are small differences of large numbers; in bfloat16 their errors would be whole units.
    with torch.autocast(linear.device.type, enabled=False):
        matrix = linear.new_tensor(_XYZ_OVER_WHITE)
        fx, fy, fz = y_to_f(torch.einsum("kc,nchw->nkhw", matrix, linear)).unbind(1)
        return torch.stack((500 * (fx - fy), 200 * (fy - fz)), 1)


def lab_to_srgb(lab: Tensor) -> Tensor:
    """Convert CIE Lab (N, 3, H, W), D65, to sRGB, outside [0, 1] for colors out of gamut."""
    with torch.autocast(lab.device.type, enabled=False):
        lightness, a, b = lab.float().unbind(1)
        fy = (lightness + 16) / 116
        xyz = f_to_y(torch.stack((fy + a / 500, fy, fy - b / 200), 1))
        matrix = xyz.new_tensor(_TO_RGB)
        return linear_to_srgb(torch.einsum("kc,nchw->nkhw", matrix, xyz))


def linear_to_uv(linear: Tensor) -> Tensor:
    """Convert linear-light RGB, clipped to [0, 1], to analogue U, V (N, 2, H, W).

    U in [-0.436, 0.436] and V in [-0.615, 0.615], as `tintype.color.spaces.rgb_to_yuv` has them.
    """
    return srgb_to_uv(linear_to_srgb(linear.clamp(0, 1)))


def srgb_to_uv(srgb: Tensor) -> Tensor:
    """Convert sRGB (N, 3, H, W) to analogue U, V (N, 2, H, W)."""
    blue_luma, red_luma = _differences(srgb)
    return torch.stack((_U_GAIN * blue_luma, _V_GAIN * red_luma), 1)


def linear_to_cbcr(linear: Tensor) -> Tensor:
    """Convert linear-light RGB, clipped to [0, 1], to centered full-range Cb, Cr (N, 2, H, W)."""
    blue_luma, red_luma = _differences(linear_to_srgb(linear.clamp(0, 1)))
    return torch.stack((_CB_GAIN * blue_luma, _CR_GAIN * red_luma), 1)


def _differences(srgb: Tensor) -> tuple[Tensor, Tensor]:
    """Return B - Y and R - Y of sRGB (N, 3, H, W), each (N, H, W)."""
    luma = srgb_to_gray(srgb)[:, 0]
    return srgb[:, 2] - luma, srgb[:, 0] - luma


def uv_to_ab(gray: Tensor, uv: Tensor) -> Tensor:
    """Convert luma (N, 1, H, W) and analogue U, V (N, 2, H, W) to a, b of CIE Lab (N, 2, H, W)."""
    return _differences_to_ab(gray, uv[:, 0] / _U_GAIN, uv[:, 1] / _V_GAIN)


def cbcr_to_ab(gray: Tensor, cbcr: Tensor) -> Tensor:
    """Convert luma (N, 1, H, W) and centered Cb, Cr (N, 2, H, W) to a, b of CIE Lab."""
    return _differences_to_ab(gray, cbcr[:, 0] / _CB_GAIN, cbcr[:, 1] / _CR_GAIN)


def _differences_to_ab(gray: Tensor, blue_luma: Tensor, red_luma: Tensor) -> Tensor:
    luma = gray[:, 0]
    blue, red = luma + blue_luma, luma + red_luma
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return linear_to_ab(srgb_to_linear(torch.stack((red, green, blue), 1).clamp(0, 1)))
