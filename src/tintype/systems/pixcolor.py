"""PixColor, first stage (Guadarrama et al. 2017, arXiv 1705.07208): sample chroma, cell by cell.

    luminance -> conditioning network -> adaptation network -> autoregressive coloring network

Full-range Cr and Cb are averaged over cells of 8x8 pixels (28x28 cells of 224x224 pixels) and
quantised to 32 levels each. The network gives every cell's distribution of Cr, and of Cb given Cr,
given the luminance of the whole picture and the chroma of all cells before it in raster order:

    p(chroma | gray) = prod_i p(Cr_i | chroma_<i, gray) p(Cb_i | Cr_i, chroma_<i, gray)

Sampling it gives a different colouring each time. Presets:

- ``paper``: ResNet-101 and a gated PixelCNN with the sizes of Table 2, and the table's training;
- ``small``: ours, to be used: the encoder, attention and decoder of `tint` down to 1/8, and
  `rows.RowNetwork`, whose rows look back at all rows above. Levels are those of -0.30 to 0.28 in
  steps of 0.01875, so that neutral is one of them and gray stays gray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.color.bins import CHROMA_32, ChromaLevels, level_centers
from tintype.errors import CheckpointError, SettingError
from tintype.systems.colorspace import ab_of_uv, uv_of_linear
from tintype.systems.pixelcnn import PixelCNN
from tintype.systems.pyramid import Pyramid
from tintype.systems.resnet import ResNet
from tintype.systems.rows import RowNetwork, row_graphs
from tintype.systems.system import Batch, Graph, Recipe, System, slowed

CELL = 8  #: pixels of luminance to a cell of chroma, each way

#: A level at neutral, and no levels spent on colours that hardly occur.
CHROMA_NEUTRAL_32 = ChromaLevels(32, 0.5 - 16 * 0.01875, 0.5 + 15 * 0.01875)
LEVELS = {"paper": CHROMA_32, "neutral": CHROMA_NEUTRAL_32}

# Of samples, unless a user says otherwise: calmer than the model itself, chosen by eye.
_TEMPERATURE = 0.9
_CONDITIONING_RATE = 0.25  # of the learning rate, where it starts from something

# U = 0.492 (B - Y) and Cb - 0.5 = (B - Y) / 1.772, V and Cr likewise.
_CB_OF_U, _CR_OF_V = 1 / (0.492 * 1.772), 1 / (0.877 * 1.402)


def chrominance(linear: Tensor) -> Tensor:
    """Full-range Cr and Cb in [0, 1], neutral at 0.5, (N, 2, H, W), of linear-light RGB."""
    u, v = uv_of_linear(linear).unbind(1)
    return torch.stack((_CR_OF_V * v, _CB_OF_U * u), 1) + 0.5


def uv_of_chrominance(chroma: Tensor) -> Tensor:
    """Analogue U and V of Cr and Cb counted from neutral, both (N, 2, H, W)."""
    cr, cb = chroma.unbind(1)
    return torch.stack((cb / _CB_OF_U, cr / _CR_OF_V), 1)


def quantised(chroma: Tensor, levels: ChromaLevels) -> Tensor:
    """The nearest level of Cr and Cb in [0, 1], int64 of any shape."""
    position = (chroma - levels.low) * ((levels.count - 1) / (levels.high - levels.low))
    return (position + 0.5).floor().clamp(0, levels.count - 1).long()


@dataclass(frozen=True)
class PixColorConfig:
    """Sizes.

    Attributes:
        levels: ``"paper"`` or ``"neutral"``.
        conditioning: ``"resnet"`` or ``"mobilenet"``.
        blocks: bottlenecks of the ResNet's groups, or transformer blocks of the other (one number).
        width: of the ResNet's stem; of the MobileNet relative to 1.0.
        attention: channels of the transformer blocks.
        decoder: channels at 1/16 and 1/8 after them.
        adaptation: channels of the conditioning features.
        coloring: ``"pixelcnn"`` or ``"rows"``.
        channels: of the coloring network.
        layers: gated blocks, or layers of the vertical and of the horizontal stack.
        hidden: channels before the PixelCNN's logits.
        heads: of all attention.
        frozen: steps during which no gradient reaches the conditioning network ("gradient
            multiplier engaged at 100,000 steps").
    """

    levels: str = "neutral"
    conditioning: str = "mobilenet"
    blocks: tuple[int, ...] = (1,)
    width: float = 1.0
    attention: int = 384
    decoder: tuple[int, int] = (256, 128)
    adaptation: int = 64
    coloring: str = "rows"
    channels: int = 64
    layers: tuple[int, ...] = (4, 4)
    hidden: int = 1024
    heads: int = 8
    frozen: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("levels", tuple(LEVELS)),
            ("conditioning", ("resnet", "mobilenet")),
            ("coloring", ("pixelcnn", "rows")),
        ):
            if getattr(self, name) not in choices:
                raise SettingError(f"{name} is one of {', '.join(choices)}")


class ResNetConditioning(nn.Module):
    """The paper's: block 3 of a ResNet-101 beside the luminance at 1/8, then three convolutions.

    Args:
        config: sizes.
    """

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__()
        first, second, third = config.blocks
        self.resnet = ResNet((first, second, third), round(config.width))
        self.adapt = nn.ModuleList(
            nn.Conv2d(inputs, config.adaptation, 3, padding=1)
            for inputs in (self.resnet.channels + 1, config.adaptation, config.adaptation)
        )

    def forward(self, gray: Tensor, engaged: bool) -> Tensor:
        """Luminance (N, 1, H, W) to features (N, C, H/8, W/8).

        Args:
            gray: in [0, 1].
            engaged: let gradients through to the ResNet.
        """
        with torch.set_grad_enabled(engaged and torch.is_grad_enabled()):
            features = self.resnet(gray)
        x = torch.cat((features, F.avg_pool2d(gray, CELL)), 1)
        for conv in self.adapt:
            x = F.relu(conv(x))
        return x


class MobileNetConditioning(Pyramid):
    """Ours: `tint`'s network down to 1/8, then one convolution."""

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__(
            config.width, config.attention, config.heads, config.blocks[0], config.decoder
        )
        self.adapt = nn.Conv2d(self.channels + 1, config.adaptation, 3, padding=1)

    def forward(self, gray: Tensor, engaged: bool = True) -> Tensor:
        """As `ResNetConditioning.forward`; H and W multiples of 32."""
        with torch.set_grad_enabled(engaged and torch.is_grad_enabled()):
            x = super().forward(gray)
        return F.relu(self.adapt(torch.cat((x, F.avg_pool2d(gray, CELL)), 1)))


class _Condition(nn.Module):
    def __init__(self, conditioning: nn.Module) -> None:
        super().__init__()
        self.conditioning = conditioning

    def forward(self, gray: Tensor) -> Tensor:
        return self.conditioning(gray, engaged=True)


class PixColor(System):
    """Conditioning and coloring network, their likelihood, and exact sampling without a cache."""

    name: ClassVar[str] = "pixcolor"
    presets: ClassVar[dict[str, tuple[Any, Recipe]]] = {
        "paper": (
            PixColorConfig(
                levels="paper",
                conditioning="resnet",
                blocks=(3, 4, 23),
                width=64,
                adaptation=64,
                coloring="pixelcnn",
                channels=64,
                layers=(10,),
                frozen=100_000,
            ),
            Recipe(crop=224, learning_rate=3e-4, warmup=0, weight_decay=0.0, short_side=256),
        ),
        "small": (PixColorConfig(), Recipe()),
        "test": (
            PixColorConfig(
                width=0.25,
                attention=32,
                decoder=(16, 16),
                adaptation=16,
                channels=16,
                layers=(2, 2),
                heads=2,
            ),
            Recipe(crop=64, batch=8, warmup=5, ema=0.9),
        ),
    }

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__(config)
        self.quantiser = LEVELS[config.levels]
        conditioning = {"resnet": ResNetConditioning, "mobilenet": MobileNetConditioning}
        self.conditioning = conditioning[config.conditioning](config)
        count = self.quantiser.count
        if config.coloring == "pixelcnn":
            self.coloring: nn.Module = PixelCNN(
                count, config.adaptation, config.channels, config.layers[0], config.hidden
            )
        else:
            above, left = config.layers
            self.coloring = RowNetwork(
                count, config.adaptation, config.channels, above, left, config.heads
            )
        self.centres: Tensor
        centres = torch.from_numpy(level_centers(self.quantiser).copy())
        self.register_buffer("centres", centres, persistent=False)

    def quantise(self, linear: Tensor) -> Tensor:
        """Levels of Cr and Cb, int64 (N, 2, H/8, W/8), of linear-light RGB (N, 3, H, W)."""
        return quantised(F.avg_pool2d(chrominance(linear), CELL), self.quantiser)

    def forward(self, gray: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of Cr and of Cb.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W multiples of 32 (``paper``: of 8).
            chroma: levels of Cr and Cb, (N, 2, H/8, W/8); every cell's logits depend on those
                before it alone, and those of Cb on its Cr.

        Returns:
            Each (N, 32, H/8, W/8).
        """
        return self.coloring(chroma, self.conditioning(gray, engaged=True))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Cross-entropy of both (``loss``, nats per value) and bits per value of each.

        Teacher forcing: all cells at once, each with the true chroma before it.
        """
        chroma = self.quantise(batch.linear)
        condition = self.conditioning(batch.gray, engaged=step >= self.config.frozen)
        red, blue = self.coloring(chroma, condition)
        nats = [
            F.cross_entropy(logits.float(), levels)
            for logits, levels in zip((red, blue), chroma.unbind(1), strict=True)
        ]
        bits = [value.detach() / math.log(2) for value in nats]
        return {"loss": (nats[0] + nats[1]) / 2, "bits_cr": bits[0], "bits_cb": bits[1]}

    @torch.no_grad()
    def sample(
        self, gray: Tensor, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """A colouring of each luminance: levels, int64 (N, 2, H/8, W/8).

        Exact, by iterating to a fixed point (Song et al. 2021, arXiv 2002.03629): with the noise
        drawn beforehand every value is a function of those before it, so a guess that reproduces
        itself is the sample, and after n passes the first n values are right.

        Args:
            gray: (N, 1, H, W) in [0, 1].
            temperature: divides the logits; below 1 likelier and calmer.
            generator: of the noise, on the CPU.
        """
        condition = self.conditioning(gray, engaged=True)
        n, _, height, width = condition.shape
        shape = (2, n, self.quantiser.count, height, width)
        uniform = torch.rand(shape, generator=generator).clamp_min(1e-20)
        noise = -(-uniform.log()).log().to(gray.device)  # Gumbel: the argmax is then a sample
        chroma = torch.full((n, 2, height, width), self.quantiser.count // 2, device=gray.device)
        for _ in range(2 * height * width + 1):
            red, blue = self.coloring(chroma, condition)
            scores = torch.stack((red, blue)).float() / temperature + noise
            found = scores.argmax(2).transpose(0, 1)
            if torch.equal(found, chroma):
                break
            chroma = found
        return chroma

    def chroma(self, gray: Tensor) -> Tensor:
        """A sample as ab (N, 2, H/8, W/8), with the same noise every time."""
        noise = torch.Generator().manual_seed(0)
        levels = self.sample(gray, temperature=_TEMPERATURE, generator=noise)
        uv = uv_of_chrominance(self.centres[levels] - 0.5)
        return ab_of_uv(F.avg_pool2d(gray, CELL), uv)

    def initialise(self, path: Path) -> str:
        """Start the encoder of ``small`` from MobileNetV2's ImageNet weights, as `tint` does.

        Raises:
            CheckpointError: the file is not one, or this preset has another encoder.
        """
        if not isinstance(self.conditioning, MobileNetConditioning):
            raise CheckpointError("This preset has no MobileNetV2: leave out --init.")
        return self.conditioning.encoder.start(path)

    def adopt(self, system: str, weights: dict[str, Tensor]) -> str:
        """Take over the conditioning network of an exported `tint`.

        Raises:
            CheckpointError: it is another system's, or of other sizes.
        """
        if system != "tint" or not isinstance(self.conditioning, MobileNetConditioning):
            return super().adopt(system, weights)
        self.conditioning.adopt(weights)
        return "conditioning network from tint"

    def graphs(self) -> dict[str, Graph]:
        """The conditioning network, and the three graphs of `rows.row_graphs`.

        Raises:
            CheckpointError: the coloring network is not the one the runtime can sample.
        """
        if not isinstance(self.coloring, RowNetwork):
            raise CheckpointError(
                "Only a pixcolor whose coloring network is 'rows' can be exported; sample this one "
                "in torch with PixColor.sample."
            )
        whole = super().graphs()[""]._replace(module=_Condition(self.conditioning))
        return {"": whole, **row_graphs(self.coloring)}

    def card(self) -> dict[str, Any]:
        """Input rule, output and sampling, as `tintype.runtime.card.Card` has them."""
        levels = self.quantiser
        return {
            "description": "PixColor, Guadarrama et al. 2017: many colourings of one photograph.",
            "space": "ycbcr",
            "output": "sampler",
            "stride": CELL,
            "size": {"short_side": 224, "multiple": 32, "longest": 896},
            "sampling": {
                "levels": levels.count,
                "low": levels.low,
                "high": levels.high,
                "temperature": _TEMPERATURE,
                "second_stage": "refinement",
            },
            "upsampling": "guided",
        }

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The conditioning network starts from something: it learns at a quarter of the rate."""
        return slowed(self.conditioning, _CONDITIONING_RATE, self.parameters())
