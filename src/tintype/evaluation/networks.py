"""The interface of feature networks, which `tintype.evaluation.features` implements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]


@dataclass(frozen=True)
class FeatureNetworks:
    """Feature networks as functions of 8-bit RGB (H, W, 3); None for those without weights.

    Attributes:
        classify: returns the top-1 label of a picture.
        lpips: returns the perceptual distance of a picture from the truth.
        inception_features: returns Inception-v3's features of a picture, (D,), for FID.
        notes: metric -> the network and weights that compute it, in words.
    """

    classify: Callable[[RgbImage], int] | None = None
    lpips: Callable[[RgbImage, RgbImage], float] | None = None
    inception_features: Callable[[RgbImage], NDArray[np.float32]] | None = None
    notes: dict[str, str] = field(default_factory=dict)
