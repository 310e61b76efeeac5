"""tint_sampler: many colorings of one photograph, by our own autoregressive model.

As PixColor (Guadarrama et al. 2017) it draws full-range Cr and Cb of cells of 8x8 pixels in raster
order, Cr before Cb, 32 levels each, and refines the result along the edges of the luminance. What
ten small convolutions lack is a view of the whole picture: hue drifts across it. So the features
come from the pyramid of `tint`, and the rows attend to all rows above (`rows.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.color.bins import level_centers
from tintype.errors import CheckpointError
from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, luma_graph
from tintype.models.pyramid import Pyramid, PyramidConfig
from tintype.models.row_graphs import row_graphs, row_states
from tintype.models.rows import LEVELS, Rows, quantize
from tintype.models.torch_color import cbcr_to_ab, linear_to_cbcr

CELL = 8  #: pixels of luminance to a cell of chroma, each way

_TEMPERATURE = 0.9  # calmer than the model itself, chosen by eye


@dataclass(frozen=True)
class TintSamplerConfig(PyramidConfig):
    """Sizes of the conditioning network, of the two stacks and of the refinement.

    Attributes:
        features: channels of the conditioning features.
        channels: of both stacks.
        layers: of the vertical and of the horizontal stack.
        refinement: maps of the refinement's first layer.
        encoder_rate: factor on the learning rate of a conditioning network that starts from
            something.
    """

    blocks: tuple[int, int] = (2, 1)
    decoder: tuple[int, ...] = (256, 128)
    hints: bool = False
    features: int = 64
    channels: int = 64
    layers: tuple[int, int] = (4, 4)
    refinement: int = 16
    encoder_rate: float = 0.25


class Condition(nn.Module):
    """The main graph: gray to the features that every row is conditioned on."""

    def __init__(self, config: TintSamplerConfig) -> None:
        super().__init__()
        self.pyramid = Pyramid(config)
        self.adapt = nn.Conv2d(self.pyramid.channels + 1, config.features, 3, padding=1)

    def forward(self, gray: Tensor) -> Tensor:
        """Return features (N, K, H/8, W/8) of luma (N, 1, H, W), H and W multiples of 32."""
        x = torch.cat((self.pyramid(gray), F.avg_pool2d(gray, CELL)), 1)
        return F.relu(self.adapt(x))


def _convs(inputs: int, *layers: tuple[int, int]) -> nn.Sequential:
    """3x3 convolutions with batch norm and ReLU; a layer is its maps and its stride."""
    parts: list[nn.Module] = []
    for outputs, stride in layers:
        parts += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)]
        parts += [nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*parts)


class Refine(nn.Module):
    """The graph ``refine``: what to add to the enlarged chroma of cells, at half the size."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        w = maps
        self.low = _convs(3, (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1))
        self.middle = _convs(8 * w, (8 * w, 1), (4 * w, 1))
        self.whole = _convs(8 * w, (8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1))
        self.vector = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8 * w, 8 * w, 1))
        self.at8 = _convs(12 * w, (2 * w, 1), (2 * w, 1))
        self.at4 = _convs(2 * w, (w, 1), (w, 1))
        self.at2 = _convs(w, (w // 2, 1), (w // 2, 1))
        self.output = nn.Conv2d(w // 2, 2, 1)
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    def forward(self, gray: Tensor, chroma: Tensor) -> Tensor:
        """Return Cb and Cr (N, 2, H/2, W/2), neutral at 0.

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 8.
            chroma: Cb and Cr of cells, neutral at 0, (N, 2, H/8, W/8).
        """
        chroma = chroma.flip(1)  # the network was made for Cr and Cb
        low = self.low(torch.cat((gray, _enlarge(chroma, gray)), 1))
        vector = self.vector(self.whole(low))
        x = self.middle(low)
        x = self.at8(torch.cat((vector.expand(-1, -1, *x.shape[2:]), x), 1))
        x = self.at4(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = self.at2(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = self.output(x)
        return (x + _enlarge(chroma, x)).flip(1)


def _enlarge(chroma: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(chroma, size=like.shape[2:], mode="bilinear")


class TintSampler(ColorModel):
    """Conditioning network, rows and refinement, their losses, and what is exported."""

    name: ClassVar[str] = "tint_sampler"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "small": (TintSamplerConfig(), TrainConfig(steps=20_000, batch=32)),
        "test": (
            TintSamplerConfig(
                encoder="tiny",
                encoder_width=0.25,
                attention=32,
                heads=2,
                blocks=(1, 0),
                decoder=(16, 16),
                features=16,
                channels=16,
                layers=(2, 2),
                refinement=4,
            ),
            TrainConfig(crop=64, batch=8, steps=20, warmup=5, ema=0.9),
        ),
    }

    def __init__(self, config: TintSamplerConfig) -> None:
        super().__init__(config)
        self.condition = Condition(config)
        self.rows = Rows(config.features, config.channels, config.layers, config.heads)
        self.refine = Refine(config.refinement)
        self.levels: Tensor
        levels = torch.from_numpy(level_centers(LEVELS).copy())
        self.register_buffer("levels", levels, persistent=False)

    def quantize_cells(self, rgb: Tensor) -> Tensor:
        """Return levels of Cr and Cb, int64 (N, 2, H/8, W/8), of linear RGB (N, 3, H, W)."""
        return quantize(F.avg_pool2d(linear_to_cbcr(rgb).flip(1), CELL))

    def forward(self, gray: Tensor, levels: Tensor) -> Tensor:
        """Return logits of Cr and of Cb, (2, N, 32, H/8, W/8), teacher forcing.

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 32.
            levels: of Cr and Cb, (N, 2, H/8, W/8); every cell's logits depend on those before it
                alone, and those of Cb on its Cr.
        """
        return self.rows(levels, self.condition(gray))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the cross-entropy in nats per value plus the refinement's squared error.

        The two have no parameter in common. The refinement is given true chroma, reduced and
        quantized, so that it keeps trusting what it is given; ``coarse`` is the squared error of
        that, enlarged, and ``refined`` what the network leaves of it.
        """
        levels = self.quantize_cells(batch.rgb)
        logits = self(batch.gray, levels)
        nats = [F.cross_entropy(logits[k].float(), levels[:, k]) for k in (0, 1)]
        bits = [value.detach() / math.log(2) for value in nats]
        truth = linear_to_cbcr(batch.rgb)
        given = self.levels[levels].flip(1)
        refined = _enlarge(self.refine(batch.gray, given).float(), truth)
        error = (refined - truth).square().mean()
        coarse = (_enlarge(given, truth) - truth).square().mean().detach()
        # Adam does not feel the scale of the second term; 1000 is for the clipping of gradients.
        loss = (nats[0] + nats[1]) / 2 + 1000 * error
        bits_terms = {"bits_cr": bits[0], "bits_cb": bits[1]}
        return {"loss": loss, **bits_terms, "refined": error.detach(), "coarse": coarse}

    @torch.no_grad()
    def sample(self, gray: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Return one coloring of each luma: levels of Cr and Cb, int64 (N, 2, H/8, W/8).

        Exact, by fixed-point iteration (Song et al. 2021, arXiv 2002.03629): with the noise drawn
        beforehand every value is a function of those before it, so a guess that reproduces itself
        is the sample.

        Args:
            gray: (N, 1, H, W) in [0, 1].
            noise: standard Gumbel noise, (2, N, 32, H/8, W/8), that of Cr first.
            temperature: divides the logits; below 1 likelier and calmer.
        """
        features = self.condition(gray)
        n, _, height, width = features.shape
        levels = torch.full((n, 2, height, width), LEVELS.count // 2, device=gray.device)
        for _ in range(2 * height * width + 1):
            logits = self.rows(levels, features).float()
            found = (logits / temperature + noise).argmax(2).transpose(0, 1)
            if torch.equal(found, levels):
                break
            levels = found
        return levels

    def predict(self, gray: Tensor) -> Tensor:
        """Return one sample as ab (N, 2, H/8, W/8), with the same noise every time."""
        cells = [side // CELL for side in gray.shape[2:]]
        random = torch.Generator().manual_seed(0)
        uniform = torch.rand((2, len(gray), LEVELS.count, *cells), generator=random)
        noise = -(-uniform.clamp_min(1e-20).log()).log().to(gray.device)
        levels = self.sample(gray, noise, _TEMPERATURE)
        return cbcr_to_ab(F.avg_pool2d(gray, CELL), self.levels[levels].flip(1))

    def load_backbone(self, path: Path) -> str:
        """Start the encoder from ImageNet weights; see `Backbone.load_imagenet`."""
        return self.condition.pyramid.encoder.load_imagenet(path)

    def load_from(self, system: str, weights: Mapping[str, Tensor]) -> str:
        """Take over the pyramid of an exported `tint`."""
        if system != "tint":
            raise CheckpointError(f"{self.name} starts from a tint, not from {system}.")
        self.condition.pyramid.load_from(weights)
        return "conditioning network from tint"

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the pyramid, which starts from something, at a lower rate, and the rest."""
        pyramid = self.condition.pyramid
        return pyramid.groups(self.config.encoder_rate, 0, list(self.parameters()))

    def graphs(self) -> dict[str, Graph]:
        """Return the five graphs of a sampler; see `row_graphs.py`."""
        return {
            "": luma_graph(self.condition, 32, "features"),
            **row_graphs(self.rows, self.levels),
            "refine": Graph(self.refine, _refine_example, _REFINE_DYNAMIC, ("refined",)),
        }

    def card(self) -> dict[str, Any]:
        """Return input rule, states and options."""
        return {
            "description": "Our sampler: many different colorings of one photograph.",
            "space": "ycbcr",
            "kind": "sampler",
            "size": {"short_side": 224, "multiple": 32, "longest": 896},
            "enlarge": "guided",
            "normalise": True,
            "states": row_states(self.rows),
            "options": {"temperature": _TEMPERATURE, "seed": 0, "refine": True},
        }


def _refine_example(size: int) -> dict[str, Tensor]:
    gray = torch.rand(size, 1, 1 + size, 4)
    return {
        "gray": F.interpolate(gray, size=((1 + size) * 32, 64)),
        "chroma": torch.rand(size, 2, (1 + size) * 4, 8) / 4 - 0.125,
    }


_REFINE_DYNAMIC = {
    "gray": {0: ("samples", 1), 2: ("rows", CELL), 3: ("columns", CELL)},
    "chroma": {0: ("samples", 1), 2: ("rows", 1), 3: ("columns", 1)},
}
