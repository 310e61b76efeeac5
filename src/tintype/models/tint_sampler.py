"""tint_sampler: our autoregressive model, which samples many colorings of a photograph.

Like PixColor (Guadarrama et al. 2017) it draws full-range Cr and Cb of cells of 8x8 pixels in
raster order, Cr before Cb, in 32 levels each, and refines the result along the edges of the
luminance. In PixColor hue drifts across the image, because its convolutions see a small part of it.
Here the features come from the pyramid of `tint`, and rows attend to all rows above (`rows.py`).
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

from tintype.errors import CheckpointError, SettingError
from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, luma_graph
from tintype.models.layers import conv_bn_relu, enlarge, resize_like
from tintype.models.pyramid import Pyramid, PyramidConfig
from tintype.models.row_graphs import row_graphs, row_states
from tintype.models.rows import LEVELS, Rows, level_centers, quantize
from tintype.models.torch_color import cbcr_to_ab, linear_to_cbcr

CELL = 8  #: pixels per cell, each way

_TEMPERATURE = 0.9  # chosen by eye


@dataclass(frozen=True)
class TintSamplerConfig(PyramidConfig):
    """Sizes of the conditioning network, of the two stacks and of the refinement.

    Attributes:
        features: channels of the conditioning features.
        channels: channels of both stacks.
        layers: number of layers of the vertical and of the horizontal stack.
        refinement: channels of the refinement's first layer.
        encoder_rate: factor on the learning rate of a pretrained conditioning network.
    """

    blocks: tuple[int, int] = (1, 0)
    decoder: tuple[int, ...] = (256, 128)
    hints: bool = False
    features: int = 64
    channels: int = 64
    layers: tuple[int, int] = (4, 4)
    refinement: int = 16
    encoder_rate: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.decoder) != 2:
            raise SettingError(f"decoder must be two numbers of channels, not {self.decoder!r}")
        if self.channels % self.heads:
            raise SettingError(f"heads must divide channels, {self.channels}")
        if self.layers[0] < 2:
            raise SettingError("layers must begin with 2 or more: every second one has attention")


class Conditioning(nn.Module):
    """The main graph: gray to conditioning features."""

    def __init__(self, config: TintSamplerConfig) -> None:
        super().__init__()
        self.pyramid = Pyramid(config)
        self.adapt = nn.Conv2d(self.pyramid.channels + 1, config.features, 3, padding=1)

    def forward(self, gray: Tensor) -> Tensor:
        """Return features (N, K, H/8, W/8) of luma (N, 1, H, W), H and W multiples of 32."""
        x = torch.cat((self.pyramid(gray), F.avg_pool2d(gray, CELL)), 1)
        return F.relu(self.adapt(x))


class Refinement(nn.Module):
    """The graph ``refine``: chroma of cells to chroma at half the size of the luma.

    It adds a predicted residual to the bilinearly upsampled chroma.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        w = maps
        self.low = conv_bn_relu(
            3, (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1)
        )
        self.middle = conv_bn_relu(8 * w, (8 * w, 1), (4 * w, 1))
        self.whole = conv_bn_relu(8 * w, (8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1))
        self.vector = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8 * w, 8 * w, 1))
        self.at8 = conv_bn_relu(12 * w, (2 * w, 1), (2 * w, 1))
        self.at4 = conv_bn_relu(2 * w, (w, 1), (w, 1))
        self.at2 = conv_bn_relu(w, (w // 2, 1), (w // 2, 1))
        self.output = nn.Conv2d(w // 2, 2, 1)
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    def forward(self, gray: Tensor, chroma: Tensor) -> Tensor:
        """Return Cb and Cr (N, 2, H/2, W/2), neutral at 0.

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 8.
            chroma: Cb and Cr of cells, neutral at 0, (N, 2, H/8, W/8).
        """
        chroma = chroma.flip(1)  # weights are for the order Cr, Cb
        low = self.low(torch.cat((gray, enlarge(chroma, CELL)), 1))
        vector = self.vector(self.whole(low))
        x = self.middle(low)
        x = self.at8(torch.cat((vector.expand(-1, -1, *x.shape[2:]), x), 1))
        x = self.at4(enlarge(x, 2))
        x = self.at2(enlarge(x, 2))
        x = self.output(x)
        return (x + enlarge(chroma, CELL // 2)).flip(1)


class TintSampler(ColorModel):
    """The three networks of `tint_sampler`, their losses and their export."""

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
        self.condition = Conditioning(config)
        self.rows = Rows(config.features, config.channels, config.layers, config.heads)
        self.refine = Refinement(config.refinement)
        self.levels: Tensor
        self.register_buffer("levels", level_centers(), persistent=False)

    def quantize_cells(self, rgb: Tensor) -> Tensor:
        """Return levels of Cr and Cb, int64 (N, 2, H/8, W/8), of linear RGB (N, 3, H, W)."""
        return quantize(F.avg_pool2d(linear_to_cbcr(rgb).flip(1), CELL))

    def forward(self, gray: Tensor, levels: Tensor) -> Tensor:
        """Return logits of Cr and of Cb, (2, N, 32, H/8, W/8), with teacher forcing.

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 32.
            levels: true levels of Cr and Cb, (N, 2, H/8, W/8); a cell's logits depend on the cells
                before it only, and those of Cb on its Cr too.
        """
        return self.rows(levels, self.condition(gray))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the loss (``loss``) and its terms.

        The loss is the cross-entropy in nats per value plus 1000 times the squared error of the
        refinement; the two share no parameter. The refinement is given true chroma, averaged and
        quantized, so that it learns to keep its input. ``bits_cr`` and ``bits_cb`` are per value;
        ``refined`` is the squared error of the refinement, ``coarse`` of bilinear upsampling.
        """
        levels = self.quantize_cells(batch.rgb)
        logits = self(batch.gray, levels)
        nats = [F.cross_entropy(logits[k].float(), levels[:, k]) for k in (0, 1)]
        bits = [value.detach() / math.log(2) for value in nats]
        truth = linear_to_cbcr(batch.rgb)
        given = self.levels[levels].flip(1)
        refined = resize_like(self.refine(batch.gray, given).float(), truth)
        error = (refined - truth).square().mean()
        coarse = (resize_like(given, truth) - truth).square().mean().detach()
        # Adam is invariant to the factor 1000, but gradient clipping is not.
        loss = (nats[0] + nats[1]) / 2 + 1000 * error
        bits_terms = {"bits_cr": bits[0], "bits_cb": bits[1]}
        return {"loss": loss, **bits_terms, "refined": error.detach(), "coarse": coarse}

    @torch.no_grad()
    def sample(self, gray: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Return a sample for each photograph: levels of Cr and Cb, int64 (N, 2, H/8, W/8).

        Sampling is exact, by fixed-point iteration (Song et al. 2021, arXiv 2002.03629).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 32.
            noise: standard Gumbel noise of Cr and Cb, (2, N, 32, H/8, W/8).
            temperature: divides the logits.
        """
        features = self.condition(gray)
        n, _, height, width = features.shape
        levels = torch.full((n, 2, height, width), LEVELS // 2, device=gray.device)
        for _ in range(2 * height * width + 1):
            logits = self.rows(levels, features).float()
            found = (logits / temperature + noise).argmax(2).transpose(0, 1)
            if torch.equal(found, levels):
                break
            levels = found
        return levels

    def predict(self, gray: Tensor) -> Tensor:
        """Return a sample of fixed noise as ab (N, 2, H/8, W/8) in Lab units."""
        cells = [side // CELL for side in gray.shape[2:]]
        random = torch.Generator().manual_seed(0)
        uniform = torch.rand((2, len(gray), LEVELS, *cells), generator=random)
        noise = -(-uniform.clamp_min(1e-20).log()).log().to(gray.device)
        levels = self.sample(gray, noise, _TEMPERATURE)
        return cbcr_to_ab(F.avg_pool2d(gray, CELL), self.levels[levels].flip(1))

    def load_backbone(self, path: Path) -> str:
        """Load ImageNet weights into the encoder; see `Backbone.load_imagenet`."""
        return self.condition.pyramid.encoder.load_imagenet(path)

    def load_from(self, system: str, weights: Mapping[str, Tensor]) -> str:
        """Load the pyramid of an exported `tint`; see `Pyramid.load_from`."""
        if system != "tint":
            raise CheckpointError(f"{self.name} cannot start from {system}: give a tint.")
        self.condition.pyramid.load_from(weights)
        return "conditioning network from tint"

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the encoder at a lower learning rate, and the rest."""
        pyramid = self.condition.pyramid
        return pyramid.groups(self.config.encoder_rate, 0, list(self.parameters()))

    def graphs(self) -> dict[str, Graph]:
        """Return the main graph, ``above``, ``row``, ``cache`` and ``refine``."""
        return {
            "": luma_graph(self.condition, 32, "features"),
            **row_graphs(self.rows, self.levels),
            "refine": Graph(self.refine, _refine_example, _REFINE_DYNAMIC, ("refined",)),
        }

    def card(self) -> dict[str, Any]:
        """Return the fields of the card."""
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
