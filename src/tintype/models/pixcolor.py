"""PixColor (Guadarrama, Dahl, Bieber, Norouzi, Shlens, Murphy 2017, arXiv 1705.07208).

    gray -> conditioning and adaptation network -> PixelCNN -> 28x28 chroma -> refinement network

Full-range Cr and Cb are averaged over cells of 8x8 pixels (28x28 cells for 224x224 pixels) and
quantized to 32 levels each. The PixelCNN (`pixelcnn.py`) predicts the distributions of Cr, and of
Cb given Cr, of each cell, given the luma of the whole photograph and all cells before it in raster
order:

    p(chroma | gray) = prod_i p(Cr_i | chroma_<i, gray) p(Cb_i | Cr_i, chroma_<i, gray)

The refinement network then upsamples a sample along the edges of the luma. Table 2 of the paper
prints the layers. "Our choice" marks what it leaves open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import SettingError
from tintype.models.backbones import VARIANTS, DilatedBackbone, ResNet
from tintype.models.base import (
    Batch,
    ColorModel,
    Graph,
    TrainConfig,
    luma_graph,
    named_graph,
    scaled_lr_groups,
    settle_row,
)
from tintype.models.layers import conv_bn_relu, enlarge, resize_like
from tintype.models.pixelcnn import (
    BLOCK_ROWS,
    FIRST_ROWS,
    LEVELS,
    ConditionRow,
    PixelCNN,
    SampleRow,
    UpdateCache,
    dequantize,
    gumbel_noise,
    init_truncated_normal,
    quantize,
)
from tintype.models.torch_color import cbcr_to_ab, linear_to_cbcr

CELL = 8  #: pixels per cell, each way
_GLOBAL_SIDE = 224  # side of the copy that the refinement's global branch is given


@dataclass(frozen=True)
class PixColorConfig:
    """Sizes of the networks; the defaults are the paper's.

    Raises:
        SettingError: a value is not valid.

    Attributes:
        backbone: architecture of the conditioning network: ``"resnet101"``, or one of
            `backbones.VARIANTS`, which `DilatedBackbone` cuts and dilates (not the paper's).
        blocks: number of blocks in the ResNet's three groups.
        width: channels of the ResNet's stem.
        adaptation: channels of the features on which the PixelCNN is conditioned.
        channels: channels of the PixelCNN.
        gated_blocks: number of gated blocks of the PixelCNN.
        hidden: channels before the logits of the PixelCNN.
        refinement: channels of the refinement's first layer; those of the others are in proportion.
        freeze_steps: number of first steps in which a pretrained backbone is not trained.
        backbone_rate: factor on the learning rate of a pretrained backbone after these steps.
        input_side: shorter side in pixels of the network's input.
    """

    backbone: str = "resnet101"
    blocks: tuple[int, int, int] = (3, 4, 23)
    width: int = 64
    adaptation: int = 64
    channels: int = 64
    gated_blocks: int = 10
    hidden: int = 1024
    refinement: int = 64
    freeze_steps: int = 100_000  # "gradient multiplier: engaged at 100,000 steps"
    backbone_rate: float = 1.0  # Adam is invariant to the scale of a gradient: of the rate instead
    input_side: int = 224

    def __post_init__(self) -> None:
        if self.backbone != "resnet101" and self.backbone not in VARIANTS:
            names = ", ".join(map(repr, VARIANTS))
            raise SettingError(f"backbone is 'resnet101', {names}, not {self.backbone!r}")
        if self.channels % 2 or self.hidden % 2:
            raise SettingError("channels and hidden must be even: half for Cr, half for Cb")


class Conditioning(nn.Module):
    """ResNet-101 without its last group, and the adaptation network: luma to features.

    The paper starts from a ResNet trained on segmentation of COCO, and multiplies its gradient by 0
    for 100,000 steps, then by 1 (the second value is our choice). While it is frozen, its batch
    norms keep their statistics too. A randomly initialized ResNet is trained from the first step
    (our choice).
    """

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__()
        # Table 2 prints strides 2, 1, 1 in the first group and no pooling. Standard pooling and an
        # unstrided group have the same total stride, and take standard weights (our choice).
        if config.backbone == "resnet101":
            self.backbone = ResNet(config.blocks, config.width)
            channels = self.backbone.channels
        else:
            self.backbone = DilatedBackbone(config.backbone)
            channels = self.backbone.channels[2]
        c = config.adaptation
        self.adaptation = nn.Sequential(  # 3x3, 64, three times; ReLU is our choice
            *(nn.Conv2d(channels + 1, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, c, 3, padding=1), nn.ReLU()),
        )
        init_truncated_normal(self.adaptation)
        self.frozen: Tensor
        self.register_buffer("frozen", torch.tensor(False))  # kept in checkpoints

    def freeze(self, frozen: bool) -> None:
        """Freeze or unfreeze the backbone."""
        self.frozen.fill_(frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Conditioning:
        super().train(mode)
        if mode and self.frozen:
            self.backbone.eval()
        return self

    def forward(self, gray: Tensor) -> Tensor:
        """Return features (N, K, H/8, W/8) of luma in [0, 1], (N, 1, H, W); multiples of 8."""
        if self.training and self.frozen:
            with torch.no_grad():
                x = self.backbone(gray)
        else:
            x = self.backbone(gray)
        return self.adaptation(torch.cat((x, F.avg_pool2d(gray, CELL)), 1))  # 1024 + Y


class Refinement(nn.Module):
    """The refinement network: luma and chroma of cells to chroma at half the size of the luma.

    Table 2 prints one list of layers. We read it as the two-branch network of "Let there be Color!"
    (Iizuka et al. 2016) with bilinear upsampling, as the text says: the sizes agree, and a 5x5 and
    a 3x3 layer without padding reduce the 7x7 map of the global branch to a vector. Batch norm and
    ReLU as there, and a linear output, are our choice.

    Args:
        w: channels of the first layer, 64 in the paper; comments give the paper's channels.
    """

    def __init__(self, w: int) -> None:
        super().__init__()
        # 64 / 2; 128, 128 / 2; 256, 256 / 2; 512: to 28x28 of 224x224
        self.low = conv_bn_relu(
            3, (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1)
        )
        self.middle = conv_bn_relu(8 * w, (8 * w, 1), (4 * w, 1))  # 512, 256
        self.glob = nn.Sequential(
            conv_bn_relu(8 * w, (8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1)),  # 512: to 7x7
            conv_bn_relu(8 * w, (16 * w, 1), kernel=5, padding=0),  # 1024: to 3x3
            conv_bn_relu(16 * w, (8 * w, 1), kernel=3, padding=0),  # 512: to 1x1
        )
        self.fusion = conv_bn_relu(12 * w, (2 * w, 1), (2 * w, 1))  # 128, 128 at 1/8
        self.at4 = conv_bn_relu(2 * w, (w, 1), (w, 1))  # 64, 64 at 1/4
        self.at2 = conv_bn_relu(w, (w // 2, 1), (w // 2, 1))  # 32, 32 at 1/2
        self.output = nn.Conv2d(w // 2, 2, 1)
        init_truncated_normal(self)

    def forward(self, gray: Tensor, chroma: Tensor) -> Tensor:
        """Return centered chroma (N, 2, H/2, W/2).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), multiples of 8.
            chroma: centered chroma of the cells, (N, 2, H/8, W/8).
        """
        x = torch.cat((gray, enlarge(chroma, CELL)), 1)
        low = self.low(x)
        square = low
        # As in "Let there be Color!" the global branch is given a copy of fixed size.
        if not self.training or gray.shape[2:] != (_GLOBAL_SIDE, _GLOBAL_SIDE):
            square = self.low(F.interpolate(x, size=(_GLOBAL_SIDE, _GLOBAL_SIDE), mode="bilinear"))
        vector = self.glob(square)  # (N, 512, 1, 1)
        x = self.middle(low)  # (N, 256, H/8, W/8)
        x = self.fusion(torch.cat((vector.expand(-1, -1, *x.shape[2:]), x), 1))
        x = self.at4(enlarge(x, 2))
        x = self.at2(enlarge(x, 2))
        return self.output(x)


# Table 2: Adam, 0.0003 without schedule, batches of 64, 360,000 steps, colorness threshold 0.05.
# Our choice: beta2 (printed: "beta1 = 0.9, momentum = 0.9"), the definition of colorness, the
# moving average of the weights, random crops of 224 from photographs of 256, and mirroring.
_TRAINING = TrainConfig(
    crop=224, scale=1.0, short_side=256, augment="none", batch=64, steps=360_000,
    optimizer="adam", learning_rate=3e-4, betas=(0.9, 0.999), warmup=0, cooldown=0.0,
    weight_decay=0.0, grad_clip=0.0, ema=0.999, min_color=0.0, min_chroma=0.05,
)  # fmt: skip
# Ours: EfficientNet-Lite0 in place of ResNet-101, all else narrower; squares of the whole shorter
# side; a higher rate, which falls in the second half; near-gray photographs by `min_color`.
_SMALL = PixColorConfig(
    backbone="efficientnet_lite0", adaptation=48, channels=32, hidden=256, refinement=8,
    freeze_steps=3_800, backbone_rate=0.5, input_side=128,
)  # fmt: skip
_SMALL_TRAINING = replace(
    _TRAINING, crop=144, crop_sizes=(128,), short_side=144, steps=4_700, learning_rate=1e-3,
    warmup=200, cooldown=0.5, grad_clip=1.0, min_color=2.0, min_chroma=0.0,
)  # fmt: skip
_TEST = PixColorConfig(
    blocks=(1, 1, 1), width=4, adaptation=8, channels=8, gated_blocks=2, hidden=16, refinement=4,
    freeze_steps=0,
)  # fmt: skip


class PixColor(ColorModel):
    """The networks of Guadarrama et al. 2017, their losses, sampling and export."""

    name: ClassVar[str] = "pixcolor"
    paper: ClassVar[str] = (
        "Guadarrama, Dahl, Bieber, Norouzi, Shlens and Murphy 2017, arXiv 1705.07208"
    )
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (PixColorConfig(), _TRAINING),
        "small": (_SMALL, _SMALL_TRAINING),
        "test": (
            _TEST,
            replace(_TRAINING, crop=64, batch=8, steps=100, ema=0.9, short_side=73),
        ),
    }

    def __init__(self, config: PixColorConfig) -> None:
        super().__init__(config)
        self.conditioning = Conditioning(config)
        self.pixelcnn = PixelCNN(
            config.adaptation, config.channels, config.gated_blocks, config.hidden
        )
        self.refinement = Refinement(config.refinement)

    def forward(self, gray: Tensor, chroma: Tensor) -> Tensor:
        """Return logits of every cell's Cr and Cb given the cells before, (N, 2, 32, H/8, W/8).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), multiples of 8.
            chroma: centered, in the middle of levels, (N, 2, H/8, W/8).
        """
        return self.pixelcnn(chroma, self.conditioning(gray))

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the sum of both stages' losses (``loss``), and its terms.

        The loss is the cross-entropy in nats per value plus the squared error of the refined
        chroma. The paper trains the stages one after the other. They share no parameter, and Adam
        is invariant to the scale of a gradient, so training them together is the same.

        Returns:
            ``loss``; ``bits_cr`` and ``bits_cb`` per value; ``refined_mse`` of the refinement, and
            ``bilinear_mse`` of its bilinearly upsampled input, of chroma in [-0.5, 0.5].
        """
        if self.conditioning.frozen and step >= self.config.freeze_steps:
            self.conditioning.freeze(False)
        truth = linear_to_cbcr(batch.rgb)  # (N, 2, H, W)
        levels = quantize(F.avg_pool2d(truth, CELL))  # means of cells: our choice
        # True chroma is refined, not samples, so that the network learns to keep its input; it is
        # quantized, as samples are (our choice).
        given = dequantize(levels)
        logits = self(batch.gray, given).float().transpose(1, 2)  # (N, 32, 2, h, w)
        nats = F.cross_entropy(logits, levels, reduction="none").mean((0, 2, 3))  # of Cr, of Cb
        refined = resize_like(self.refinement(batch.gray, given).float(), truth)
        refined_mse = F.mse_loss(refined, truth)
        bits = nats.detach() / math.log(2)
        return {
            "loss": nats.mean() + refined_mse,
            "bits_cr": bits[0],
            "bits_cb": bits[1],
            "refined_mse": refined_mse.detach(),
            "bilinear_mse": F.mse_loss(resize_like(given, truth), truth).detach(),
        }

    @torch.no_grad()
    def sample(
        self, gray: Tensor, noise: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Draw chroma row by row, with the exported modules and as the runtime does.

        Args:
            gray: luma in [0, 1], (N or 1, 1, H, W), multiples of 8.
            noise: of each sample, (N, 64, H/8, W/8); see `gumbel_noise`.
            temperature: divides the logits.

        Returns:
            Centered chroma (N, 2, H/8, W/8), and the log-likelihood of each value in nats.
        """
        above, row, cache = ConditionRow(self.pixelcnn), SampleRow(self.pixelcnn), UpdateCache()
        features = self.conditioning(gray)
        n, _, height, width = noise.shape
        blocks, channels = len(self.pixelcnn.blocks), self.pixelcnn.channels
        states = (
            noise.new_zeros(n, 2, FIRST_ROWS, width),
            noise.new_zeros(blocks, n, channels, BLOCK_ROWS, width),
        )
        divisor, values, rows = noise.new_tensor(temperature), noise.new_zeros(n, 2, 1, width), []
        for y in range(height):
            context, *tails = above(features[:, :, y : y + 1], *states)
            own = noise[:, :, y : y + 1]
            step = partial(row, context, noise=own, temperature=divisor)
            values, logp = settle_row(step, values)
            rows.append((values, logp))
            states = cache(values, *tails)
        chroma, logp = (torch.cat(part, 2) for part in zip(*rows, strict=True))
        return chroma, logp

    def predict(self, gray: Tensor) -> Tensor:
        """Return the first sample of seed 0, refined, as ab (N, 2, H/2, W/2) in Lab units."""
        n, _, height, width = gray.shape
        noise = gumbel_noise(0, 0, height // CELL, width // CELL).to(gray.device)
        chroma, _ = self.sample(gray, noise.expand(n, -1, -1, -1))
        return cbcr_to_ab(F.avg_pool2d(gray, 2), self.refinement(gray, chroma))

    def load_backbone(self, path: Path) -> str:
        """Load pretrained weights into the backbone.

        See `ResNet.load_torchvision` and `Backbone.load_imagenet`. It is then frozen for the first
        `PixColorConfig.freeze_steps` steps.

        Raises:
            CheckpointError: the file holds another network.
        """
        backbone = self.conditioning.backbone
        self.conditioning.freeze(self.config.freeze_steps > 0)
        if isinstance(backbone, DilatedBackbone):
            return backbone.load_imagenet(path)
        source = backbone.load_torchvision(path)
        return f"conditioning network started from {source} ({path.name})"

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the backbone at its learning rate, and the rest."""
        own = list(self.parameters())
        return scaled_lr_groups(self.conditioning.backbone, self.config.backbone_rate, own)

    def graphs(self) -> dict[str, Graph]:
        """Return the main graph, ``above``, ``row``, ``cache`` and ``refine``."""
        blocks, c = len(self.pixelcnn.blocks), self.pixelcnn.channels

        def example(size: int) -> dict[str, Tensor]:
            n, w = 1 + size, 4 * size + 1
            coarse = torch.rand(n, 1, 2 + size, 4)
            return {
                "gray": F.interpolate(coarse, size=((1 + size) * 32, 64)),
                "chroma": torch.rand(n, 2, (1 + size) * 4, 8) - 0.5,
                "features": torch.rand(1, self.config.adaptation, 1, w),
                "context": torch.randn(blocks, n, 2 * c, 1, w),
                "guess": torch.rand(n, 2, 1, w) - 0.5,
                "noise": torch.randn(n, 2 * LEVELS, 1, w),
                "temperature": torch.tensor(0.7),
                "values": torch.rand(n, 2, 1, w) - 0.5,
                "chroma_rows": torch.rand(n, 2, FIRST_ROWS, w) - 0.5,
                "chroma_tail": torch.rand(n, 2, FIRST_ROWS - 1, w) - 0.5,
                "stack_rows": torch.randn(blocks, n, c, BLOCK_ROWS, w),
                "stack_tail": torch.randn(blocks, n, c, BLOCK_ROWS - 1, w),
                "vertical": torch.randn(blocks, n, c, 1, w),
            }

        n, width = ("samples", 1), ("width", 1)
        of_row = ("guess", "noise", "values", "chroma_rows", "chroma_tail")
        of_stack = ("context", "stack_rows", "stack_tail", "vertical")
        dynamic = {"features": {3: width}}
        dynamic |= {name: {0: n, 3: width} for name in of_row}
        dynamic |= {name: {1: n, 4: width} for name in of_stack}
        dynamic["gray"] = {0: n, 2: ("rows", CELL), 3: ("columns", CELL)}
        dynamic["chroma"] = {0: n, 2: ("rows", 1), 3: ("columns", 1)}

        def graph(module: nn.Module, inputs: str, outputs: str) -> Graph:
            return named_graph(module, inputs, outputs, example, dynamic)

        above, row, cache = ConditionRow(self.pixelcnn), SampleRow(self.pixelcnn), UpdateCache()
        states, tails = "chroma_rows stack_rows", "chroma_tail stack_tail vertical"
        return {
            "": luma_graph(self.conditioning, CELL, "features"),
            "above": graph(above, f"features {states}", f"context {tails}"),
            "row": graph(row, "context guess noise temperature", "values logp"),
            "cache": graph(cache, f"values {tails}", states),
            "refine": graph(self.refinement, "gray chroma", "refined"),
        }

    def card(self) -> dict[str, Any]:
        """Return the fields of the card that follow from the model."""
        blocks, channels = len(self.pixelcnn.blocks), self.pixelcnn.channels
        states = {
            "chroma_rows": ("samples", 2, FIRST_ROWS, "width"),
            "stack_rows": (blocks, "samples", channels, BLOCK_ROWS, "width"),
        }
        return {
            "description": "PixColor, Guadarrama et al. 2017: many colorings of one photograph.",
            "space": "ycbcr",
            "kind": "sampler",
            "size": {"short_side": self.config.input_side, "multiple": CELL},
            "enlarge": "bilinear",
            "states": states,
            "options": {"temperature": 1.0, "seed": 0, "refine": True},
        }
