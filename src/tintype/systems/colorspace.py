"""Colour conversions on torch tensors, (N, C, H, W): what losses and targets need of `color`.

They follow `tintype.color.spaces` to float32 rounding; the tests compare the two.
"""

from __future__ import annotations

import torch
from torch import Tensor

# IEC 61966-2-1 primaries to CIE XYZ divided by the D65 white of scikit-image (0.95047, 1, 1.08883),
# so that neutral colours give equal X, Y, Z.
_XYZ_OVER_WHITE = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)
_U_GAIN, _V_GAIN = 0.492, 0.877  # U = 0.492 (B - Y), V = 0.877 (R - Y), BT.601
_EPSILON = 0.008856  # CIE's threshold between the cube root and its linear continuation


def srgb_to_linear(value: Tensor) -> Tensor:
    """Gamma-encoded sRGB in [0, 1] to linear light in [0, 1], any shape."""
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055).pow(2.4))


def linear_to_srgb(value: Tensor) -> Tensor:
    """Linear light in [0, 1] to gamma-encoded sRGB in [0, 1], any shape."""
    curved = 1.055 * value.clamp_min(0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(value <= 0.0031308, 12.92 * value, curved)


def _f(t: Tensor) -> Tensor:
    return torch.where(t > _EPSILON, t.clamp_min(_EPSILON).pow(1 / 3), 7.787 * t + 16 / 116)


def f_inverse(f: Tensor) -> Tensor:
    """Y relative to white of (L* + 16) / 116, any shape."""
    return torch.where(f > _EPSILON ** (1 / 3), f**3, (f - 16 / 116) / 7.787)


def f_of_gray(gray: Tensor) -> Tensor:
    """(L* + 16) / 116 of the gamma-encoded gray value, any shape."""
    return _f(srgb_to_linear(gray))


def lightness_of_gray(gray: Tensor) -> Tensor:
    """L* from 0 to 100 of the gamma-encoded gray value, any shape."""
    return 116 * f_of_gray(gray) - 16


def ab_of_linear(linear: Tensor) -> Tensor:
    """CIE a, b (N, 2, H, W) of linear-light RGB (N, 3, H, W), D65."""
    # a and b are small differences of large numbers: in bfloat16 they would be off by units.
    with torch.autocast(linear.device.type, enabled=False):
        matrix = linear.new_tensor(_XYZ_OVER_WHITE)
        fx, fy, fz = _f(torch.einsum("kc,nchw->nkhw", matrix, linear)).unbind(1)
        return torch.stack((500 * (fx - fy), 200 * (fy - fz)), 1)


def uv_of_linear(linear: Tensor) -> Tensor:
    """Analogue U, V (N, 2, H, W) of linear-light RGB (N, 3, H, W), taken to [0, 1] first.

    U in [-0.436, 0.436] and V in [-0.615, 0.615], as `tintype.color.spaces.rgb_to_yuv` has them.
    """
    red, green, blue = linear_to_srgb(linear.clamp(0, 1)).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack((_U_GAIN * (blue - luma), _V_GAIN * (red - luma)), 1)


def ab_of_uv(gray: Tensor, uv: Tensor) -> Tensor:
    """CIE a, b (N, 2, H, W) of the colours with this luma (N, 1, H, W) and analogue U, V."""
    luma = gray[:, 0]
    blue, red = luma + uv[:, 0] / _U_GAIN, luma + uv[:, 1] / _V_GAIN
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return ab_of_linear(srgb_to_linear(torch.stack((red, green, blue), 1).clamp(0, 1)))
