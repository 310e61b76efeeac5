"""Real-Time User-Guided Image Colorization with Learned Deep Priors (Zhang et al. 2017).

arXiv 1705.02999: a U-Net that takes known colours (hints) as further channels, 0 where unknown.
Parameters have their published names. The branch that predicts a distribution of colours is left
out, since the published code does not use it to colorize.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.base import ColorModel, Graph
from tintype.models.published.state import State, load_state, sizes
from tintype.models.torch_color import gray_to_lightness

CELL = 4  #: pixels a side that one cell of the hints covers
_AB = 110  # ab in CIE units that is 1 in the network's input and output
_UNUSED = ("model_class.0.weight", "model_class.0.bias")


@dataclass(frozen=True)
class Siggraph17Config:
    """Sizes of the network.

    Attributes:
        maps: channels of the first block, 64 as published; the others are in proportion.
    """

    maps: int = 64


def _block(inputs: int, outputs: int, count: int, dilation: int = 1) -> nn.Sequential:
    """Return `count` 3x3 convolutions, each with ReLU, and a batch norm."""
    parts: list[nn.Module] = []
    for k in range(count):
        width = inputs if k == 0 else outputs
        parts += [nn.Conv2d(width, outputs, 3, 1, dilation, dilation), nn.ReLU()]
    return nn.Sequential(*parts, nn.BatchNorm2d(outputs))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1))


def _short(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1))


class Siggraph17(ColorModel):
    """The network, from gray and hints to ab at its own size."""

    name: ClassVar[str] = "siggraph17"
    paper: ClassVar[str] = "Zhang et al. 2017, arXiv 1705.02999"

    def __init__(self, config: Siggraph17Config) -> None:
        super().__init__(config)
        n = config.maps
        self.model1 = _block(4, n, 2)
        self.model2 = _block(n, 2 * n, 2)
        self.model3 = _block(2 * n, 4 * n, 3)
        self.model4 = _block(4 * n, 8 * n, 3)
        self.model5 = _block(8 * n, 8 * n, 3, dilation=2)
        self.model6 = _block(8 * n, 8 * n, 3, dilation=2)
        self.model7 = _block(8 * n, 8 * n, 3)
        self.model8up, self.model3short8 = _up(8 * n, 4 * n), _short(4 * n, 4 * n)
        self.model8 = nn.Sequential(nn.ReLU(), *_block(4 * n, 4 * n, 2))
        self.model9up, self.model2short9 = _up(4 * n, 2 * n), _short(2 * n, 2 * n)
        self.model9 = nn.Sequential(nn.ReLU(), *_block(2 * n, 2 * n, 1))
        self.model10up, self.model1short10 = _up(2 * n, 2 * n), _short(n, 2 * n)
        last = nn.Conv2d(2 * n, 2 * n, 3, 1, 1)
        self.model10 = nn.Sequential(nn.ReLU(), last, nn.LeakyReLU(0.2))
        self.model_out = nn.Sequential(nn.Conv2d(2 * n, 2, 1), nn.Tanh())

    def forward(self, gray: Tensor, hints: Tensor) -> Tensor:
        """Return ab in CIE units, (N, 2, H, W).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 8.
            hints: a / 110, b / 110 and a mask, (N, 3, H / 4, W / 4), 0 where no colour is known.
        """
        lightness = (gray_to_lightness(gray) - 50) / 100
        known = F.interpolate(hints, scale_factor=CELL, mode="nearest")
        one = self.model1(torch.cat((lightness, known), 1))  # (N, maps, H, W)
        two = self.model2(one[..., ::2, ::2])  # (N, 2 maps, H/2, W/2)
        three = self.model3(two[..., ::2, ::2])  # (N, 4 maps, H/4, W/4)
        x = self.model4(three[..., ::2, ::2])  # (N, 8 maps, H/8, W/8)
        x = self.model7(self.model6(self.model5(x)))
        x = self.model8(self.model8up(x) + self.model3short8(three))
        x = self.model9(self.model9up(x) + self.model2short9(two))
        x = self.model10(self.model10up(x) + self.model1short10(one))
        return _AB * self.model_out(x)

    def graphs(self) -> dict[str, Graph]:
        """Return the network's only graph."""

        def example(size: int) -> dict[str, Tensor]:
            gray = F.interpolate(torch.rand(1, 1, 2 + size, 4), size=((1 + size) * 32, 64))
            mask = (torch.rand(1, 1, (1 + size) * 8, 16) < 0.2 * (size - 1)).float()
            ab = torch.rand(1, 2, (1 + size) * 8, 16) - 0.5
            return {"gray": gray, "hints": torch.cat((ab * mask, mask), 1)}

        dynamic = {
            "gray": {2: ("rows", 8), 3: ("columns", 8)},
            "hints": {2: ("rows", 2), 3: ("columns", 2)},
        }
        return {"": Graph(self, example, dynamic, ("chroma",))}

    def card(self) -> dict[str, Any]:
        """Return the input rule of the published code, and that hints are taken."""
        return {
            "description": "Zhang et al. 2017, as published: takes hints.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": 256, "multiple": 8, "shape": "square", "resample": "bicubic"},
            "enlarge": "guided",
            "options": {"hints": []},
        }


def from_state(state: State) -> Siggraph17:
    """Return the network of a published state dict.

    Raises:
        UnimportableError: it is of another network.
    """
    maps = sizes(state, "model1.0.weight", 4)[0]
    with torch.device("meta"):
        model = Siggraph17(Siggraph17Config(maps))
    load_state(model, {key: value for key, value in state.items() if key not in _UNUSED})
    return model


def published_keys() -> list[str]:
    """Return the keys of a published state dict."""
    with torch.device("meta"):
        return [*Siggraph17(Siggraph17Config(1)).state_dict(), *_UNUSED]
