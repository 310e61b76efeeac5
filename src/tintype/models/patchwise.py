"""Deep patch-wise colorization (Liang, Su, Xiao, Guo, Luo, SIGGRAPH Asia 2016 Technical Briefs).

Two networks of one architecture, one for U and one for V, map 64x64 patches of luminance to the
chroma of their central 56x56 pixels:

    64x64 -> 11x11 -> 54x54 -> 4x4 -> 51x51 -> 3x3 -> 49x49 -> 1x1 -> 49x49 -> 8x8 full -> 56x56

The receptive field of an output pixel is 23x23 pixels. A guided filter of size 40, guided by the
luminance, then refines the color image; the runtime applies it, as the card says.

The sizes of the feature maps (Figure 2), YUV, the two alternating losses, SGD and the filter are
the paper's. The last layer is inferred: only a full convolution leads from 49 to 56, and the code
that the paper builds on (VCNN: Ren and Xu, AAAI 2015, arXiv 1501.07338) ends in one. What the paper
does not say is marked "our choice".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import SettingError
from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, luma_graph
from tintype.models.torch_color import linear_to_uv, uv_to_ab

PATCH = 64  #: side of the patches, in pixels
FRAME = 4  #: pixels on each side of a patch whose chroma is not predicted
FRINGE = 7  #: outermost pixels of the prediction, where the full convolution has fewer terms
_RANGES = (0.872, 1.230)  # widths of the ranges of U and V, +-0.436 and +-0.615


@dataclass(frozen=True)
class PatchwiseConfig:
    """Sizes of each of the two networks and variants of the loss.

    Raises:
        SettingError: a value is out of range.

    Attributes:
        maps: channels of the four hidden layers.
        convolution: ``"library"``, or ``"vectorized"`` for the paper's `VectorizedConv2d`.
        log_loss: ``"completed"``, or ``"printed"`` for the printed formula, which is degenerate;
            see `Patchwise.loss`.
        period: number of iterations after which the two losses alternate.
        input_side: shorter side in pixels of the network's input.
    """

    maps: tuple[int, int, int, int] = (512, 512, 512, 256)
    convolution: str = "library"
    log_loss: str = "completed"
    period: int = 100
    # Our choice: in a full-size photograph a receptive field of 23 pixels shows texture only; here
    # it is a tenth of the side, and the radius of 40 of the guided filter makes sense.
    input_side: int = 256

    def __post_init__(self) -> None:
        if self.convolution not in ("library", "vectorized"):
            raise SettingError(
                f"convolution is 'library' or 'vectorized', not {self.convolution!r}"
            )
        if self.log_loss not in ("completed", "printed"):
            raise SettingError(f"log_loss is 'completed' or 'printed', not {self.log_loss!r}")
        if len(self.maps) != 4:
            raise SettingError(f"maps must be 4 numbers, not {len(self.maps)}")
        if self.period < 1:
            raise SettingError(f"period must be a number of iterations from 1, not {self.period}")


class VectorizedConv2d(nn.Conv2d):
    """A convolution as one matrix product, y = W phi(x) + b (VCNN; section 2 of the paper).

    phi (im2col) unrolls the window of every output pixel into a column. Values and gradients equal
    those of the library's convolution.
    """

    def forward(self, input: Tensor) -> Tensor:
        (kernel, _), (pad, _) = self.kernel_size, self.padding
        assert self.bias is not None
        columns = F.unfold(input, kernel, padding=int(pad))  # (N, C k k, H' W')
        values = self.weight.flatten(1) @ columns + self.bias[:, None]
        height, width = (side + 2 * int(pad) - kernel + 1 for side in input.shape[2:])
        return values.view(len(input), -1, height, width)


class PatchNetwork(nn.Module):
    """One of the two networks: luminance to logits of one chroma channel."""

    def __init__(self, config: PatchwiseConfig) -> None:
        super().__init__()
        conv = VectorizedConv2d if config.convolution == "vectorized" else nn.Conv2d
        a, b, c, d = config.maps
        self.conv1 = conv(1, a, 11)
        self.conv2 = conv(a, b, 4)
        self.conv3 = conv(b, c, 3)
        self.conv4 = conv(c, d, 1)
        # A full convolution: all positions at which kernel and map overlap.
        self.full = conv(d, 1, 8, padding=7)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.full):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        # Initial predictions are near neutral, which is near the mean chroma of photographs.
        nn.init.normal_(self.full.weight, std=0.1 / (8 * d**0.5))

    def forward(self, gray: Tensor) -> Tensor:
        """Map luminance (N, 1, H, W) in [0, 1] to logits (N, 1, H - 8, W - 8)."""
        x = 2 * gray - 1  # our choice, as are the ReLUs
        x = F.relu(self.conv1(x))  # for a patch: (N, 512, 54, 54)
        x = F.relu(self.conv2(x))  # (N, 512, 51, 51)
        x = F.relu(self.conv3(x))  # (N, 512, 49, 49)
        x = F.relu(self.conv4(x))  # (N, 256, 49, 49)
        return self.full(x)  # (N, 1, 56, 56)


# SGD and patches of 64x64 are the paper's. The rest is our choice: positions of patches, mirroring,
# momentum, learning rate and its schedule, batch size, and number of steps.
_PAPER = TrainConfig(
    crop=PATCH,
    scale=1.0,
    short_side=PatchwiseConfig.input_side,
    augment="none",
    optimizer="sgd",
    momentum=0.9,
    learning_rate=1e-2,
    warmup=0,
    weight_decay=0.0,
    grad_clip=0.0,
    ema=0.0,
    batch=64,
    steps=100_000,
)


class Patchwise(ColorModel):
    """The two networks of Liang et al. 2016, their alternating losses and their export."""

    name: ClassVar[str] = "patchwise"
    paper: ClassVar[str] = "Liang et al. 2016, doi:10.1145/3005358.3005375"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (PatchwiseConfig(), _PAPER),
        # Ours: smaller photographs, of which 23 pixels show more, and a higher learning rate, kept
        # in bounds by warm-up and clipping.
        "small": (
            PatchwiseConfig(maps=(32, 48, 48, 32), input_side=144),
            replace(
                _PAPER,
                short_side=144,
                learning_rate=0.5,
                steps=4_000,
                warmup=100,
                grad_clip=1.0,
                ema=0.999,
            ),
        ),
        "test": (
            PatchwiseConfig(maps=(4, 4, 4, 4), period=7, input_side=72),
            replace(_PAPER, short_side=72, learning_rate=0.1, batch=8, steps=40),
        ),
    }
    ranges: Tensor

    def __init__(self, config: PatchwiseConfig) -> None:
        super().__init__(config)
        self.u = PatchNetwork(config)
        self.v = PatchNetwork(config)
        # A vector, because the export rounds matrices to float16.
        self.register_buffer("ranges", torch.tensor(_RANGES), persistent=False)

    def logits(self, gray: Tensor) -> Tensor:
        """Return logits of scaled U and V, (N, 2, H - 8, W - 8), of luminance (N, 1, H, W)."""
        return torch.cat((self.u(gray), self.v(gray)), 1)

    def forward(self, gray: Tensor) -> Tensor:
        """Predict the chroma of whole photographs, mirrored at their borders.

        This is fully convolutional: unlike overlapping patches it computes nothing twice, and every
        pixel is predicted as by a patch around it.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), of any size.

        Returns:
            U in [-0.436, 0.436] and V in [-0.615, 0.615], (N, 2, H, W).
        """
        chroma = self.colorize_patch(_mirrored(gray, FRAME + FRINGE))
        return chroma[..., FRINGE:-FRINGE, FRINGE:-FRINGE]

    def colorize_patch(self, gray: Tensor) -> Tensor:
        """Predict U and V of patches (N, 1, H, W) without their frame, (N, 2, H - 8, W - 8).

        The outermost 7 pixels are less accurate, because the full convolution has fewer terms
        there.
        """
        return (self.logits(gray).sigmoid() - 0.5) * self.ranges[:, None, None]

    def colorize_patches(self, gray: Tensor, stride: int = 28) -> Tensor:
        """Predict U and V of photographs patch by patch, averaged where patches overlap.

        The result equals `forward` at pixels that one patch alone covers, its outermost 7 excepted.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), of any size.
            stride: distance between patches in pixels, 1 to 56; the last patch of a row or column
                ends with the photograph. VCNN's demo has a stride of 28.

        Returns:
            U and V as in `forward`, (N, 2, H, W).

        Raises:
            SettingError: the stride leaves pixels between the patches uncovered.
        """
        span = PATCH - 2 * FRAME
        if not 1 <= stride <= span:
            raise SettingError(f"stride must be from 1 to {span}, not {stride}")
        height, width = gray.shape[2:]
        framed = _mirrored(gray, FRAME, max(0, span - height), max(0, span - width))
        total = framed.new_zeros(len(gray), 2, max(height, span), max(width, span))
        count = torch.zeros_like(total)
        for top in _starts(height - span, stride):
            for left in _starts(width - span, stride):
                place = (..., slice(top, top + span), slice(left, left + span))
                total[place] += self.colorize_patch(
                    framed[..., top : top + PATCH, left : left + PATCH]
                )
                count[place] += 1
        return (total / count)[..., :height, :width]

    def predict(self, gray: Tensor) -> Tensor:
        """Return ab (N, 2, H, W) in Lab units, before the guided filter."""
        return uv_to_ab(gray, self(gray).float())

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the alternating loss (``loss``), its two terms ``mse`` and ``log``, and ``phase``.

        The loss is the mean squared error for ``config.period`` steps (phase 0), then the log loss
        for as many (phase 1), and so on. U and V are scaled to [0, 1] (our choice); losses are
        means over pixels, and those of the two networks are added, so that each is trained as if
        alone.

        The paper prints the log loss as the minimum of sum U log Uhat, which is reached by a
        constant Uhat (with either sign). The completed form adds the complementary term:
        -mean(U log Uhat + (1 - U) log(1 - Uhat)); its minimum is the conditional mean, as that of
        the squared error.
        """
        logits = self.logits(batch.gray).float()
        target = F.pad(linear_to_uv(batch.rgb), (-FRAME,) * 4) / self.ranges[:, None, None] + 0.5
        target = target.clamp(1e-6, 1 - 1e-6)
        mse = (logits.sigmoid() - target).square().mean((0, 2, 3)).sum()
        if self.config.log_loss == "completed":
            log = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        else:
            log = target * F.logsigmoid(logits)
        log = log.mean((0, 2, 3)).sum()
        phase = step // self.config.period % 2
        return {
            "loss": log if phase else mse,
            "mse": mse.detach(),
            "log": log.detach(),
            "phase": torch.tensor(float(phase)),
        }

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return both losses, because there is no step that selects one."""
        terms = self.loss(batch)
        return {name: terms[name] for name in ("mse", "log")}

    def graphs(self) -> dict[str, Graph]:
        """Return the graph of whole photographs, luma to U and V."""
        return {"": luma_graph(self, 1, "chroma")}

    def card(self) -> dict[str, Any]:
        """Return the fields of the card, with the paper's guided filter.

        "Filter size 40" is read as the radius (our choice).
        """
        return {
            "description": "Liang et al. 2016: U and V of 64x64 patches, then a guided filter.",
            "space": "yuv",
            "kind": "chroma",
            "size": {"short_side": self.config.input_side, "multiple": 1},
            "enlarge": "bilinear",
            "filter": {"radius": 40, "eps": 1e-4},
            "options": {"filter": "image"},
        }


def _starts(last: int, stride: int) -> list[int]:
    return [*range(0, last, stride), max(0, last)]


def _mirrored(gray: Tensor, border: int, more_rows: int = 0, more_columns: int = 0) -> Tensor:
    """Pad images (N, 1, H, W) by their mirror image, with more of it below and to the right."""
    # By indices, because torch's padding refuses images narrower than the border.
    for axis, more in ((2, more_rows), (3, more_columns)):
        last = gray.shape[axis] - 1
        place = torch.arange(-border, last + 1 + border + more, device=gray.device).abs()
        gray = gray.index_select(axis, (last - (last - place).abs()).clamp_min(0))
    return gray
