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
_EPSILON = 0.008856  # CIE's threshold between the cube root and its linear continuation


def srgb_to_linear(value: Tensor) -> Tensor:
    """Gamma-encoded sRGB in [0, 1] to linear light in [0, 1], any shape."""
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055).pow(2.4))


def _f(t: Tensor) -> Tensor:
    return torch.where(t > _EPSILON, t.clamp_min(_EPSILON).pow(1 / 3), 7.787 * t + 16 / 116)


def f_inverse(f: Tensor) -> Tensor:
    """Y relative to white of (L* + 16) / 116, any shape."""
    return torch.where(f > _EPSILON ** (1 / 3), f**3, (f - 16 / 116) / 7.787)


def f_of_gray(gray: Tensor) -> Tensor:
    """(L* + 16) / 116 of the gamma-encoded gray value, any shape."""
    return _f(srgb_to_linear(gray))


def ab_of_linear(linear: Tensor) -> Tensor:
    """CIE a, b (N, 2, H, W) of linear-light RGB (N, 3, H, W), D65."""
    # a and b are small differences of large numbers: in bfloat16 they would be off by units.
    with torch.autocast(linear.device.type, enabled=False):
        matrix = linear.new_tensor(_XYZ_OVER_WHITE)
        fx, fy, fz = _f(torch.einsum("kc,nchw->nkhw", matrix, linear)).unbind(1)
        return torch.stack((500 * (fx - fy), 200 * (fy - fz)), 1)
