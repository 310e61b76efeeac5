"""Deep patch-wise colorization (Liang, Su, Xiao, Guo, Luo, SIGGRAPH Asia 2016 Technical Briefs).

Two networks of one architecture, one for U and one for V, look at 64x64 patches of luminance and
give the chroma of their centre, 56x56:

    64x64 -> 11x11 -> 54x54 -> 4x4 -> 51x51 -> 3x3 -> 49x49 -> 1x1 -> 49x49 -> 8x8 full -> 56x56

Each output pixel sees 23x23 pixels and no more. The sizes of the maps are the paper's (Figure 2).
The last layer is inferred: nothing but a full convolution leads from 49 to 56, and the code that
the paper builds on (VCNN: Ren and Xu, AAAI 2015, arXiv 1501.07338) ends in one. Normalisation of
input and output, ReLU, batch, rates and lengths are not stated and our choice.

The paper refines the chroma with a guided filter: `tintype.runtime.engine` does, by the card.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import SettingError
from tintype.systems.colorspace import ab_of_uv, uv_of_linear
from tintype.systems.system import Batch, Recipe, System

PATCH = 64  #: side of the patches, in pixels
FRAME = 4  #: pixels on every side of a patch whose chroma is not predicted
FRINGE = 7  #: outermost pixels of the prediction, where the full convolution has fewer terms
_KERNELS = (11, 4, 3, 1)
_FULL = 8
_SHORT_SIDE = 144  # of the photographs, in training and as the engine shows them to the network
_RANGES = (0.872, 1.230)  # of U and of V: from minus to plus 0.436 and 0.615


@dataclass(frozen=True)
class PatchwiseConfig:
    """Sizes and choices of one of the two networks.

    Attributes:
        maps: feature maps of the four hidden layers.
        convolution: ``"library"``, or ``"vectorised"`` for the paper's way, `VectorisedConv2d`.
        log_loss: ``"completed"``, or ``"printed"`` for the formula as it stands, which is
            degenerate: see `Patchwise.loss`.
        period: iterations after which the two losses take turns.
    """

    maps: tuple[int, int, int, int] = (512, 512, 512, 256)
    convolution: str = "library"
    log_loss: str = "completed"
    period: int = 100

    def __post_init__(self) -> None:
        if self.convolution not in ("library", "vectorised"):
            raise SettingError(
                f"convolution is 'library' or 'vectorised', not {self.convolution!r}"
            )
        if self.log_loss not in ("completed", "printed"):
            raise SettingError(f"log_loss is 'completed' or 'printed', not {self.log_loss!r}")
        if len(self.maps) != len(_KERNELS):
            raise SettingError(f"maps are {len(_KERNELS)} numbers, not {len(self.maps)}")
        if self.period < 1:
            raise SettingError(f"period is a number of iterations from 1, not {self.period}")


class VectorisedConv2d(nn.Conv2d):
    """A convolution as one matrix product, y = W phi(x) + b (VCNN; section 2 of the paper).

    phi unrolls the window around every output pixel into a column, so that x (N, C, H, W) becomes
    (N, C * k * k, H' * W'). Values and gradients are those of the library's convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0) -> None:
        super().__init__(inputs, outputs, kernel, padding=padding)

    def forward(self, input: Tensor) -> Tensor:
        (kernel, _), pad = self.kernel_size, int(self.padding[0])
        columns = F.unfold(input, kernel, padding=pad)
        values = self.weight.flatten(1) @ columns
        assert self.bias is not None
        values = values + self.bias[:, None]
        height, width = (side + 2 * pad - kernel + 1 for side in input.shape[2:])
        return values.view(len(input), -1, height, width)


class PatchNetwork(nn.Module):
    """Luminance in, the logit of one channel's chroma out, eight pixels less each way."""

    def __init__(self, config: PatchwiseConfig) -> None:
        super().__init__()
        conv = VectorisedConv2d if config.convolution == "vectorised" else nn.Conv2d
        inputs = (1, *config.maps[:-1])
        self.hidden = nn.ModuleList(
            conv(*layer) for layer in zip(inputs, config.maps, _KERNELS, strict=True)
        )
        # A full convolution: every place where kernel and map overlap at all.
        self.full = conv(config.maps[-1], 1, _FULL, padding=_FULL - 1)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.startswith("hidden"):
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        # Begins near neutral chroma, which is near the mean of photographs.
        nn.init.normal_(self.full.weight, std=0.1 / (_FULL * config.maps[-1] ** 0.5))

    def forward(self, gray: Tensor) -> Tensor:
        """Luminance in [0, 1], (N, 1, H, W), to logits (N, 1, H - 8, W - 8)."""
        x = 2 * gray - 1
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.full(x)


_RECIPE = Recipe(
    crop=PATCH, learning_rate=0.1, optimiser="sgd", weight_decay=0.0, short_side=_SHORT_SIDE
)


class Patchwise(System):
    """The two networks, their alternating loss, and how they are exported."""

    name: ClassVar[str] = "patchwise"
    presets: ClassVar[dict[str, tuple[Any, Recipe]]] = {
        "paper": (PatchwiseConfig(), _RECIPE),
        "small": (PatchwiseConfig(maps=(32, 48, 48, 32)), _RECIPE),
        "test": (
            PatchwiseConfig(maps=(4, 4, 4, 4), period=7),
            replace(_RECIPE, batch=8, warmup=5, ema=0.9),
        ),
    }

    def __init__(self, config: PatchwiseConfig) -> None:
        super().__init__(config)
        self.u = PatchNetwork(config)
        self.v = PatchNetwork(config)
        self.ranges: Tensor
        self.register_buffer("ranges", torch.tensor(_RANGES).view(2, 1, 1), persistent=False)

    def logits(self, gray: Tensor) -> Tensor:
        """Logits of scaled U and V, (N, 2, H - 8, W - 8), for luminance (N, 1, H, W) in [0, 1]."""
        return torch.cat((self.u(gray), self.v(gray)), 1)

    def forward(self, gray: Tensor) -> Tensor:
        """Chroma.

        Args:
            gray: luminance in [0, 1], (N, 1, H, W), H and W at least 16.

        Returns:
            U in [-0.436, 0.436] and V in [-0.615, 0.615], (N, 2, H - 8, W - 8): of all but the
            outermost 4 pixels. In its own outermost 7 pixels the full convolution had fewer terms.
        """
        return (self.logits(gray).sigmoid() - 0.5) * self.ranges

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Mean squared error and log loss in alternation (the paper's A and B).

        The first ``config.period`` steps descend on A, as many on B, and so on (100 in the
        paper); ``phase`` says 0 or 1. U and V are
        scaled to [0, 1] and clamped to [1e-6, 1 - 1e-6], the losses are means over pixels, and the
        two networks' losses are added up, so that each learns as if alone.

        The paper prints B as the minimum of sum U log Uhat, whose smallest value is reached where
        Uhat is constant and not where it is right (with either sign). The completed form adds the
        complementary term: -mean(U log Uhat + (1 - U) log(1 - Uhat)), whose minimum is the
        conditional mean, as that of A.
        """
        logits = self.logits(batch.gray).float()
        target = F.pad(uv_of_linear(batch.linear), (-FRAME,) * 4) / self.ranges + 0.5
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

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Both losses: a photograph held back has no step to choose one by."""
        terms = self.loss(batch)
        return {name: terms[name] for name in ("mse", "log")}

    def chroma(self, gray: Tensor) -> Tensor:
        """Chroma before the guided filter, as ab, (N, 2, H, W), for H and W above 11."""
        border = FRAME + FRINGE
        uv = self(F.pad(gray, (border,) * 4, mode="reflect"))
        return ab_of_uv(gray, F.pad(uv, (-FRINGE,) * 4).float())

    def card(self) -> dict[str, Any]:
        """Input rule, output, patches and refinement, as `tintype.runtime.card.Card` has them."""
        return {
            "description": "Liang et al. 2016: U and V of 64x64 patches, then a guided filter.",
            "space": "yuv",
            "output": "chroma",
            "stride": 1,
            "size": {"short_side": _SHORT_SIDE, "multiple": 1, "longest": 1024},
            "patches": {"side": PATCH, "frame": FRAME, "fringe": FRINGE},
            "refinement": {"radius": 40, "eps": 1e-4},
            "upsampling": "guided",
        }
