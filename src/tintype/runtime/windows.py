"""Long photographs seen in overlapping windows, and what a graph gives of them blended.

A network that saw a panorama whole would see it small: what is a face in a photograph would be a
pixel. In windows of twice their height it sees what it was trained on, at any length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tensors: TypeAlias = Mapping[str, NDArray[Any]]  # by name, each (1, K, h, w)

#: Times its shorter side, from which on a photograph is seen in windows.
LONG = 2.5
_WINDOW = 2  # times the shorter side


def is_long(plane: NDArray[Any]) -> bool:
    """Tell whether a picture (H, W) is seen in windows."""
    return max(plane.shape) > LONG * min(plane.shape)


def in_windows(run: Callable[[Tensors], Tensors], tensors: Tensors) -> Tensors:
    """Return what a graph gives of its inputs: of long ones window by window, blended.

    Windows overlap by half, and in the middle of each it is alone: there it counts most.

    Args:
        run: the graph.
        tensors: ``gray`` and others, (1, K, h, w), that cover the same picture.
    """
    height, width = tensors["gray"].shape[2:]
    length, window = max(height, width), _WINDOW * min(height, width)
    if not is_long(tensors["gray"][0, 0]):
        return run(tensors)
    axis = 2 if height > width else 3
    step = window // 2
    starts = [*range(0, length - window, step), length - window]
    sums: dict[str, NDArray[np.float32]] = {}
    weights: dict[str, NDArray[np.float32]] = {}
    for start in starts:
        given = run({n: _part(t, axis, start, window, length) for n, t in tensors.items()})
        for name, tensor in given.items():
            cells = tensor.shape[axis]
            total = round(length * cells / window)
            if name not in sums:
                shape = [total if k == axis else n for k, n in enumerate(tensor.shape)]
                sums[name] = np.zeros(shape, np.float32)
                weights[name] = np.zeros(
                    [n if k == axis else 1 for k, n in enumerate(shape)], np.float32
                )
            weight = np.sin(np.pi * (np.arange(cells) + 0.5) / cells) ** 2
            weight = weight.astype(np.float32).reshape([-1 if k == axis else 1 for k in range(4)])
            first = min(round(start * cells / window), total - cells)
            part = tuple(
                slice(first, first + cells) if k == axis else slice(None) for k in range(4)
            )
            sums[name][part] += tensor * weight
            weights[name][part] += weight
    return {name: total / weights[name] for name, total in sums.items()}


def _part(tensor: NDArray[Any], axis: int, start: int, window: int, length: int) -> NDArray[Any]:
    """What lies in a window of a tensor that covers the picture in cells of its own."""
    cells = tensor.shape[axis] / length
    part = slice(round(start * cells), round((start + window) * cells))
    return tensor[:, :, part] if axis == 2 else tensor[..., part]
