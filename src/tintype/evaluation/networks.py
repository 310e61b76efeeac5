"""What the benchmark asks of feature networks, which `tintype.evaluation.features` answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Networks:
    """Functions of 8-bit RGB pictures (H, W, 3); None where nobody brought the weights.

    Attributes:
        label: the first label of a classifier.
        distance: the perceptual distance (LPIPS) of a picture from the truth.
        features: a picture's Inception features, (D,).
        notes: name of the measure -> which network and weights it is of.
    """

    label: Callable[[Picture], int] | None = None
    distance: Callable[[Picture, Picture], float] | None = None
    features: Callable[[Picture], NDArray[np.float32]] | None = None
    notes: dict[str, str] = field(default_factory=dict)
