"""The curves and tables of ICC profiles, evaluated in full precision.

Little CMS through Pillow takes 8 bits a channel. A scanner's raw values are nearly linear, and
there the first of 255 levels is already a dark gray: a 16-bit scan needs 16 bits (ICC.1:2010,
sections 6.3.4, 10.5, 10.8, 10.9, 10.10 and 10.15).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]


class LutStages(NamedTuple):
    """The steps from device values to the connection space, in order; each may be absent."""

    a_curves: list[Values]  # on device values
    clut: Values | None  # (n, n, n, 3)
    m_curves: list[Values]  # between CLUT and matrix
    matrix: Values | None  # (3, 4), the last column added
    b_curves: list[Values]  # on connection values
    lab_scale: Values  # (3, 2): scale and offset from [0, 1] to L*, a*, b*


def read_tone_curve(data: bytes) -> tuple[Values, int]:
    """Read the tone curve at the beginning of some bytes.

    Returns:
        Its values in [0, 1] at 65536 levels, and the number of bytes it takes.

    Raises:
        ValueError, IndexError, struct.error: it is damaged or of another kind.
    """
    x = np.linspace(0, 1, 65536)
    if data[:4] == b"curv":
        (count,) = struct.unpack_from(">I", data, 8)
        length = 12 + 2 * count
        table = np.frombuffer(data, ">u2", count, 12) if count else np.zeros(0)
        if count > 1:
            y = np.interp(x, np.linspace(0, 1, count), table / 65535)
        else:
            y = x ** (table[0] / 256) if count else x
    elif data[:4] == b"para":
        (kind,) = struct.unpack_from(">H", data, 8)
        size = (1, 3, 4, 5, 7)[kind]
        length = 12 + 4 * size
        given = [value / 65536 for value in struct.unpack_from(f">{size}i", data, 12)]
        g, a, b, c, d, e, f = given + [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][size:]
        if kind in (1, 2):
            c, d, e, f = 0.0, -b / a if a else 0.0, c, c
        with np.errstate(all="ignore"):
            y = np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
    else:
        raise ValueError("a tone curve of an unknown kind")
    if not np.isfinite(y).all():
        raise ValueError("a tone curve without end")
    return np.clip(y, 0, 1).astype(np.float32), length


def lut_to_xyz(data: bytes, pcs: str) -> Callable[[NDArray[np.uint16]], Values]:
    """Return the conversion of a profile's AToB tag.

    Args:
        data: the tag: ``mft1``, ``mft2`` or ``mAB``.
        pcs: the connection space, ``"XYZ "`` or ``"Lab "``.

    Returns:
        A function from 16-bit device colours (..., 3) to XYZ under D50, (..., 3).

    Raises:
        ValueError, IndexError, struct.error: the tag is damaged or of another kind.
    """
    kind = data[:4]
    if kind in (b"mft1", b"mft2"):
        stages = _read_mft(data, 1 if kind == b"mft1" else 2)
    elif kind == b"mAB ":
        stages = _read_mab(data)
    else:
        raise ValueError("its tables are of an unknown kind")

    def convert(colors: NDArray[np.uint16]) -> Values:
        values = np.stack([stages.a_curves[c][colors[..., c]] for c in range(3)], axis=-1)
        if stages.clut is not None:
            values = _interpolate_trilinear(stages.clut, values)
        values = _apply_curves(stages.m_curves, values)
        if stages.matrix is not None:
            values = values @ stages.matrix[:, :3].T + stages.matrix[:, 3]
        values = _apply_curves(stages.b_curves, values)
        if pcs == "XYZ ":
            return values * np.float32(65535 / 32768)
        return _lab_to_xyz(values * stages.lab_scale[:, 0] + stages.lab_scale[:, 1])

    return convert


def _read_mft(data: bytes, size: int) -> LutStages:
    """Read a lut8Type or lut16Type tag of three channels in and out."""
    channels_in, channels_out, points = data[8], data[9], data[10]
    if (channels_in, channels_out) != (3, 3) or points < 2:
        raise ValueError("its tables are not for three channels")
    entries_in, entries_out, at = 256, 256, 48
    if size == 2:
        entries_in, entries_out = struct.unpack_from(">HH", data, 48)
        at = 52
    shapes = [(3, entries_in), (points, points, points, 3), (3, entries_out)]
    arrays = []
    for shape in shapes:
        count = int(np.prod(shape))
        raw = np.frombuffer(data, f">u{size}", count, at)
        arrays.append((raw / (256**size - 1)).astype(np.float32).reshape(shape))
        at += count * size
    first, grid, last = arrays
    # 16-bit Lab of this type, as of version 2 profiles, has its full scale at 0xFF00.
    scale = 65535 / 65280 if size == 2 else 1.0
    lab = np.array([[100, 0], [255, -128], [255, -128]], dtype=np.float32) * [[scale, 1]]
    return LutStages(
        [_resample_curve(row) for row in first],
        grid,
        [],
        None,
        [_resample_curve(row) for row in last],
        lab.astype(np.float32),
    )


def _read_mab(data: bytes) -> LutStages:
    """Read a lutAToBType tag of three channels in and out."""
    if data[8] != 3 or data[9] != 3:
        raise ValueError("its tables are not for three channels")
    b_at, matrix_at, m_at, grid_at, a_at = struct.unpack_from(">5I", data, 12)

    def curves(at: int) -> list[Values]:
        found = []
        for _ in range(3 if at else 0):
            values, length = read_tone_curve(data[at:])
            found.append(values)
            at += -(-length // 4) * 4
        return found

    matrix = None
    if matrix_at:
        e = np.array(struct.unpack_from(">12i", data, matrix_at), dtype=np.float32) / 65536
        matrix = np.column_stack([e[:9].reshape(3, 3), e[9:]]).astype(np.float32)
    grid = None
    if grid_at:
        points, size = tuple(data[grid_at : grid_at + 3]), data[grid_at + 16]
        if min(points) < 2 or size not in (1, 2):
            raise ValueError("its tables have no proper size")
        raw = np.frombuffer(data, f">u{size}", int(np.prod(points)) * 3, grid_at + 20)
        grid = (raw / (256**size - 1)).astype(np.float32).reshape(*points, 3)
    identity = np.linspace(0, 1, 65536, dtype=np.float32)
    lab = np.array([[100, 0], [255, -128], [255, -128]], dtype=np.float32)
    first = curves(a_at)
    if not first and grid is None:
        # Without tables the tag has only M curves, matrix and B curves.
        return LutStages(curves(m_at) or [identity] * 3, None, [], matrix, curves(b_at), lab)
    return LutStages(first or [identity] * 3, grid, curves(m_at), matrix, curves(b_at), lab)


def _resample_curve(curve: Values) -> Values:
    """Return a sampled curve interpolated at 65536 points."""
    x = np.linspace(0, len(curve) - 1, 65536)
    return np.interp(x, np.arange(len(curve)), curve).astype(np.float32)


def _apply_curves(curves: list[Values], values: Values) -> Values:
    """Return values mapped through one curve per channel."""
    if not curves:
        return values
    index = np.rint(np.clip(values, 0, 1) * np.float32(65535)).astype(np.uint16)
    return np.stack([curves[c][index[..., c]] for c in range(3)], axis=-1)


def _interpolate_trilinear(grid: Values, values: Values) -> Values:
    """Return values in [0, 1], (..., 3), interpolated in a look-up table (r, g, b, 3)."""
    sizes = np.array(grid.shape[:3])
    position = np.clip(values, 0, 1) * (sizes - 1).astype(np.float32)
    cell = np.minimum(position.astype(np.int32), sizes - 2)
    within = position - cell.astype(np.float32)
    steps = np.array([sizes[1] * sizes[2], sizes[2], 1])
    base = cell @ steps
    flat = grid.reshape(-1, 3)
    result = np.zeros(values.shape, dtype=np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.ones(values.shape[:-1], dtype=np.float32)
        for axis, high in enumerate(corner):
            weight *= within[..., axis] if high else 1 - within[..., axis]
        result += weight[..., None] * flat[base + int(np.dot(corner, steps))]
    return result


def _lab_to_xyz(lab: Values) -> Values:
    """Convert CIE Lab to XYZ under D50, (..., 3)."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, (f - 16 / 116) * (108 / 841))
    return xyz.astype(np.float32) * np.array([0.9642, 1.0, 0.8249], dtype=np.float32)
