"""Running a network that was trained on patches over a whole photograph.

Such a network uses no padding: its output lacks a frame around the input, and it ends in a full
convolution, which has fewer terms in the outermost pixels of the output, the fringe. Two ways to
colour a photograph with it (Liang et al. 2016; VCNN's demo):

- `whole`: once over everything, which does no work twice and has no fringe;
- `overlapping`: patch by patch as in training, averaged where patches overlap.

The two agree wherever one patch alone covers a pixel and no patch's fringe does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tintype.runtime.card import Patches

#: Luminance (H, W) to chroma (C, H - 2 frame, W - 2 frame).
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def whole(network: Network, gray: NDArray[np.float32], patches: Patches) -> NDArray[np.float32]:
    """Chroma of every pixel, the photograph mirrored at its borders.

    Args:
        network: the patch network, for inputs of any size.
        gray: luminance in [0, 1], (H, W).
        patches: the network's geometry.

    Returns:
        The network's output, (C, H, W).
    """
    fringe = patches.fringe
    output = network(_mirrored(gray, patches.frame + fringe))
    return output[:, fringe : fringe + gray.shape[0], fringe : fringe + gray.shape[1]]


def overlapping(
    network: Network, gray: NDArray[np.float32], patches: Patches, stride: int
) -> NDArray[np.float32]:
    """Chroma of every pixel from patches, their mean where they overlap.

    Args:
        network, gray, patches: as for `whole`.
        stride: pixels from one patch to the next. The last patch of a row or column is moved back
            so as to end with the photograph.

    Returns:
        The network's output, (C, H, W).

    Raises:
        ValueError: the stride is below 1, or leaves pixels between the patches uncovered.
    """
    span = check_stride(patches, stride)
    height, width = gray.shape
    # A photograph smaller than a patch is mirrored up to one.
    framed = _mirrored(gray, patches.frame, least=patches.side)
    sums = counts = None
    for top in _starts(height, span, stride):
        for left in _starts(width, span, stride):
            patch = framed[top : top + patches.side, left : left + patches.side]
            output = network(np.ascontiguousarray(patch))
            if sums is None or counts is None:
                shape = (max(height, span), max(width, span))
                sums, counts = np.zeros((len(output), *shape), np.float32), np.zeros(shape, int)
            sums[:, top : top + span, left : left + span] += output
            counts[top : top + span, left : left + span] += 1
    assert sums is not None
    assert counts is not None
    return (sums / counts.astype(np.float32))[:, :height, :width]


def check_stride(patches: Patches, stride: int) -> int:
    """How many pixels the output of a patch spans, which is the largest stride there may be.

    Raises:
        ValueError: the stride is below 1, or leaves pixels between the patches uncovered.
    """
    span = patches.side - 2 * patches.frame
    if not 1 <= stride <= span:
        raise ValueError(f"the stride of the patches is from 1 to {span}, not {stride}")
    return span


def _starts(length: int, span: int, stride: int) -> list[int]:
    last = max(0, length - span)
    return [*range(0, last, stride), last]


def _mirrored(gray: NDArray[np.float32], border: int, least: int = 0) -> NDArray[np.float32]:
    """The plane with its mirror image around it, and further at the ends up to the least side."""
    further = [max(0, least - side - 2 * border) for side in gray.shape]
    return np.pad(gray, [(border, border + more) for more in further], mode="reflect")
