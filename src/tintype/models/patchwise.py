"""Deep patch-wise colorization (Liang, Su, Xiao, Guo, Luo, SIGGRAPH Asia 2016 Technical Briefs).

Two networks of one architecture, one for U and one for V, look at 64x64 patches of luminance and
give the chroma of their centre, 56x56:

    64x64 -> 11x11 -> 54x54 -> 4x4 -> 51x51 -> 3x3 -> 49x49 -> 1x1 -> 49x49 -> 8x8 full -> 56x56

Each output pixel sees 23x23 pixels and no more. A guided filter of size 40 whose guide is the
luminance then refines the color picture; the runtime applies it, as the card says.

The sizes of the maps are the paper's (Figure 2), as are YUV, the two losses and their turns, SGD
and the filter. The last layer is inferred: nothing but a full convolution leads from 49 to 56, and
the code that the paper builds on (VCNN: Ren and Xu, AAAI 2015, arXiv 1501.07338) ends in one. What
the paper does not say is marked "our choice".
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
FRAME = 4  #: pixels on every side of a patch whose chroma is not predicted
FRINGE = 7  #: outermost pixels of the prediction, where the full convolution has fewer terms
_RANGES = (0.872, 1.230)  # of U and of V: from minus to plus 0.436 and 0.615


@dataclass(frozen=True)
class PatchwiseConfig:
    """Sizes and choices of one of the two networks.

    Attributes:
        maps: feature maps of the four hidden layers.
        convolution: ``"library"``, or ``"vectorized"`` for the paper's way, `VectorizedConv2d`.
        log_loss: ``"completed"``, or ``"printed"`` for the formula as it stands, which is
            degenerate: see `Patchwise.loss`.
        period: iterations after which the two losses take turns.
        input_side: shorter side in pixels at which the network sees a photograph.
    """

    maps: tuple[int, int, int, int] = (512, 512, 512, 256)
    convolution: str = "library"
    log_loss: str = "completed"
    period: int = 100
    # Our choice. 23 pixels of a photograph as a camera gives it show no more than texture; of 256
    # they are a tenth of its side. It is also the size of which a filter of radius 40 is a part.
    input_side: int = 256

    def __post_init__(self) -> None:
        if self.convolution not in ("library", "vectorized"):
            raise SettingError(
                f"convolution is 'library' or 'vectorized', not {self.convolution!r}"
            )
        if self.log_loss not in ("completed", "printed"):
            raise SettingError(f"log_loss is 'completed' or 'printed', not {self.log_loss!r}")
        if len(self.maps) != 4:
            raise SettingError(f"maps are 4 numbers, not {len(self.maps)}")
        if self.period < 1:
            raise SettingError(f"period is a number of iterations from 1, not {self.period}")


class VectorizedConv2d(nn.Conv2d):
    """A convolution as one matrix product, y = W phi(x) + b (VCNN; section 2 of the paper).

    phi (im2col) unrolls the window around every output pixel into a column. Values and gradients
    are those of the library's convolution.
    """

    def forward(self, input: Tensor) -> Tensor:
        (kernel, _), (pad, _) = self.kernel_size, self.padding
        assert self.bias is not None
        columns = F.unfold(input, kernel, padding=int(pad))  # (N, C k k, H' W')
        values = self.weight.flatten(1) @ columns + self.bias[:, None]
        height, width = (side + 2 * int(pad) - kernel + 1 for side in input.shape[2:])
        return values.view(len(input), -1, height, width)


class PatchNetwork(nn.Module):
    """Luminance in, the logit of one channel's chroma out, eight pixels less each way."""

    def __init__(self, config: PatchwiseConfig) -> None:
        super().__init__()
        conv = VectorizedConv2d if config.convolution == "vectorized" else nn.Conv2d
        a, b, c, d = config.maps
        self.conv1 = conv(1, a, 11)
        self.conv2 = conv(a, b, 4)
        self.conv3 = conv(b, c, 3)
        self.conv4 = conv(c, d, 1)
        # A full convolution: every place where kernel and map overlap at all.
        self.full = conv(d, 1, 8, padding=7)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.full):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        # Begins near neutral chroma, which is near the mean of photographs.
        nn.init.normal_(self.full.weight, std=0.1 / (8 * d**0.5))

    def forward(self, gray: Tensor) -> Tensor:
        """Map luminance (N, 1, H, W) in [0, 1] to logits (N, 1, H - 8, W - 8)."""
        x = 2 * gray - 1  # our choice, as are the ReLUs
        x = F.relu(self.conv1(x))  # of a patch: (N, 512, 54, 54)
        x = F.relu(self.conv2(x))  # (N, 512, 51, 51)
        x = F.relu(self.conv3(x))  # (N, 512, 49, 49)
        x = F.relu(self.conv4(x))  # (N, 256, 49, 49)
        return self.full(x)  # (N, 1, 56, 56)


# The paper has SGD and patches of 64x64. The rest is our choice: where in a photograph they are
# cut, mirroring, momentum, rate, schedule, batch and length.
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
    """The two networks and their alternating loss."""

    name: ClassVar[str] = "patchwise"
    paper: ClassVar[str] = "Liang et al. 2016, doi:10.1145/3005358.3005375"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (PatchwiseConfig(), _PAPER),
        # Of a smaller picture 23 pixels show more, and narrow networks bear a higher rate.
        "small": (
            PatchwiseConfig(maps=(32, 48, 48, 32), input_side=144),
            replace(_PAPER, short_side=144, learning_rate=0.1, steps=20_000),
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
        # A vector, for those are exported as they are, and matrices rounded to float16.
        self.register_buffer("ranges", torch.tensor(_RANGES), persistent=False)

    def logits(self, gray: Tensor) -> Tensor:
        """Return logits of scaled U and V, (N, 2, H - 8, W - 8), of luminance (N, 1, H, W)."""
        return torch.cat((self.u(gray), self.v(gray)), 1)

    def forward(self, gray: Tensor) -> Tensor:
        """Predict the chroma of whole photographs, mirrored at their borders.

        Patch by patch the same pixels are seen many times; this does no work twice, and every pixel
        is the middle of its patch.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), of any size.

        Returns:
            U in [-0.436, 0.436] and V in [-0.615, 0.615], (N, 2, H, W).
        """
        chroma = self.colorize_patch(_mirrored(gray, FRAME + FRINGE))
        return chroma[..., FRINGE:-FRINGE, FRINGE:-FRINGE]

    def colorize_patch(self, gray: Tensor) -> Tensor:
        """Predict the chroma of patches (N, 1, H, W) but for their frame, (N, 2, H - 8, W - 8).

        The outermost 7 pixels of the prediction are weaker: the full convolution has fewer terms.
        """
        return (self.logits(gray).sigmoid() - 0.5) * self.ranges[:, None, None]

    def colorize_patches(self, gray: Tensor, stride: int = 28) -> Tensor:
        """Predict the chroma of photographs patch by patch, its mean where patches overlap.

        Args:
            gray: as for `forward`, with which the result agrees wherever one patch alone covers a
                pixel, and not with its outermost 7.
            stride: pixels from one patch to the next, at most 56; the last of a row or column is
                moved back so as to end with the photograph. VCNN's demo overlaps by 28.

        Raises:
            SettingError: the stride leaves pixels between the patches uncovered.
        """
        span = PATCH - 2 * FRAME
        if not 1 <= stride <= span:
            raise SettingError(f"the stride of the patches is from 1 to {span}, not {stride}")
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
        """Return ab (N, 2, H, W), before the guided filter."""
        return uv_to_ab(gray, self(gray).float())

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the mean squared error and the log loss, which take turns.

        The first ``config.period`` steps descend on the error, as many on the log loss, and so on;
        ``phase`` says 0 or 1. U and V are scaled to [0, 1] (our choice), the losses are means over
        pixels, and the two networks' losses are added, so that each learns as if alone.

        The paper prints the log loss as the minimum of sum U log Uhat, whose smallest value is
        reached where Uhat is constant and not where it is right (with either sign). The completed
        form adds the complementary term: -mean(U log Uhat + (1 - U) log(1 - Uhat)), whose minimum
        is the conditional mean, as that of the squared error.
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
        """Return both losses: a photograph held back has no step to choose one by."""
        terms = self.loss(batch)
        return {name: terms[name] for name in ("mse", "log")}

    def graphs(self) -> dict[str, Graph]:
        """Return the path of whole photographs, luma to U and V."""
        return {"": luma_graph(self, 1, "chroma")}

    def card(self) -> dict[str, Any]:
        """Return how the network sees a photograph and the paper's guided filter.

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
    """Surround pictures by their mirror image, with some more of it below and to the right."""
    # By indices, for the library's own padding refuses a strip narrower than the border.
    for axis, more in ((2, more_rows), (3, more_columns)):
        last = gray.shape[axis] - 1
        place = torch.arange(-border, last + 1 + border + more, device=gray.device).abs()
        gray = gray.index_select(axis, (last - (last - place).abs()).clamp_min(0))
    return gray
