"""Run a graph on long photographs in overlapping windows, and blend its outputs.

A whole panorama would be reduced so much that a face is a pixel. Windows have an aspect ratio of 2,
which is like the photographs in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tensors: TypeAlias = Mapping[str, NDArray[Any]]  # by name, each (1, K, h, w)

#: Aspect ratio above which a photograph is processed in windows.
LONG = 2.5
_WINDOW = 2  # aspect ratio of a window


def is_long(plane: NDArray[Any]) -> bool:
    """Tell whether an image (H, W) is processed in windows."""
    return max(plane.shape) > LONG * min(plane.shape)


def in_windows(run: Callable[[Tensors], Tensors], tensors: Tensors) -> Tensors:
    """Return the outputs of a graph, for long inputs blended from windows.

    Windows overlap by half, with weights that are largest in their middle.

    Args:
        run: runs the graph on tensors by name.
        tensors: ``gray`` and other inputs, (1, K, h, w), that cover the same image.
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
    """Return the part of a tensor, which has cells of its own size, in a window of the image."""
    cells = tensor.shape[axis] / length
    part = slice(round(start * cells), round((start + window) * cells))
    return tensor[:, :, part] if axis == 2 else tensor[..., part]
