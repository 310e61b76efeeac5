"""LPIPS 0.1 with AlexNet (Zhang et al. 2018, arXiv 1801.03924).

AlexNet's convolutions under torchvision's parameter names (``features.0.weight``), the linear
heads under those of the authors' repository (``lin0.model.1.weight``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Smallest side in pixels: below it the last layer has no output.
MIN_SIDE = 63

_CHANNELS = (64, 192, 384, 256, 256)


class Head(nn.Module):
    """One non-negative weight per channel; the published names count a dropout before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class LPIPS(nn.Module):
    """Perceptual distance of two batches of RGB in [0, 1], (N, 3, H, W), to (N,): 0 if equal."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )
        for k, channels in enumerate(_CHANNELS):
            setattr(self, f"lin{k}", Head(channels))
        shift, scale = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of RGB in [-1, 1]
        self.register_buffer("shift", torch.tensor(shift).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).view(3, 1, 1), persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        total = torch.zeros(len(first), device=first.device)
        for k, (x, y) in enumerate(
            zip(self._unit_features(first), self._unit_features(second), strict=True)
        ):
            total = total + getattr(self, f"lin{k}")((x - y).square()).mean((1, 2, 3))
        return total

    def _unit_features(self, rgb: Tensor) -> list[Tensor]:
        """Return the outputs of the five ReLUs, normalised to unit length over channels."""
        x, outputs = (2 * rgb - 1 - self.shift) / self.scale, []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                outputs.append(F.normalize(x, dim=1, eps=1e-10))
        return outputs
