"""Let there be Color! (Iizuka, Simo-Serra and Ishikawa 2016, ACM Transactions on Graphics 35(4)).

    luma ------------> low-level -> mid-level --+-> fusion -> colorization network -> ab
      |                (same weights)           |
      +-- 224x224 ----> low-level -> global ----+
                                       |
                                classes of the photograph

The fusion layer joins local features with one vector of global features of the whole photograph. A
classifier of the photograph, trained jointly, acts on the global features. Layers are those of
Table 1, with batch norm and ReLU. "Our choice" marks what the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, label_loss, luma_graph
from tintype.models.layers import conv_bn_relu
from tintype.models.torch_color import linear_to_ab

_GLOBAL_SIDE = 224  # side of the copy that the global branch is given
_LUMA_MEAN = 0.45  # the paper subtracts the mean of the data set; the value is our choice
_AB_RANGE = 100.0  # ab = (2 o - 1) 100 of the sigmoid's output o, as in the authors' code


@dataclass(frozen=True)
class LetColorConfig:
    """Sizes of the network and weight of the classification loss; the defaults are the paper's.

    Attributes:
        maps: channels of the first layer; those of the others are in proportion.
        classes: number of classes, 205 (Places) in the paper.
        alpha: weight of the classification loss.
        input_side: shorter side in pixels of the network's input.
    """

    maps: int = 64
    classes: int = 205
    alpha: float = 1 / 300
    input_side: int = 224


def _linears(inputs: int, *outputs: int) -> nn.Sequential:
    """Return fully connected layers, each with batch norm and ReLU."""
    parts: list[nn.Module] = []
    for units in outputs:
        parts += [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
        inputs = units
    return nn.Sequential(*parts)


# As printed: ADADELTA, batches of 128, 200,000 steps, mirrored crops of 224 from 256.
_PAPER = TrainConfig(
    crop=224, scale=1.0, short_side=256, augment="none", batch=128, steps=200_000,
    optimizer="adadelta", learning_rate=1.0, warmup=0, cooldown=0.0, weight_decay=0.0,
    grad_clip=0.0, ema=0.0,
)  # fmt: skip


class LetColor(ColorModel):
    """The network of Iizuka et al. 2016, its losses and its export."""

    name: ClassVar[str] = "letcolor"
    paper: ClassVar[str] = "Iizuka, Simo-Serra and Ishikawa 2016, doi:10.1145/2897824.2925974"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (LetColorConfig(), _PAPER),
        # Ours: narrower, crops resized to 96 px, enlarged for the global branch, and a cooldown.
        "small": (
            LetColorConfig(maps=14, input_side=144),
            replace(
                _PAPER,
                crop=128,
                crop_sizes=(96,),
                short_side=144,
                batch=64,
                steps=5_000,
                ema=0.999,
                cooldown=0.3,
            ),
        ),
        "test": (
            LetColorConfig(maps=2, classes=10, input_side=64),
            replace(_PAPER, crop=64, batch=8, steps=20, ema=0.9, short_side=None),
        ),
    }
    training_only: ClassVar[tuple[str, ...]] = ("classifier",)
    needs_labels: ClassVar[bool] = True

    def __init__(self, config: LetColorConfig) -> None:
        super().__init__(config)
        w = config.maps
        # 64 / 2; 128, 128 / 2; 256, 256 / 2; 512: H/8
        self.low = conv_bn_relu(
            1, (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1)
        )
        self.middle = conv_bn_relu(8 * w, (8 * w, 1), (4 * w, 1))  # 512, 256
        self.glob = conv_bn_relu(8 * w, (8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1))  # to 7x7
        self.glob_fc = _linears(8 * w * (_GLOBAL_SIDE // 32) ** 2, 16 * w, 8 * w)  # 1024, 512
        self.glob_out = _linears(8 * w, 4 * w)  # 256
        self.classifier = nn.Sequential(_linears(8 * w, 4 * w), nn.Linear(4 * w, config.classes))
        self.fusion = conv_bn_relu(8 * w, (4 * w, 1), kernel=1)  # 256 + 256 to 256
        self.at8 = conv_bn_relu(4 * w, (2 * w, 1))  # 128
        self.at4 = conv_bn_relu(2 * w, (w, 1), (w, 1))  # 64, 64
        self.at2 = conv_bn_relu(w, (w // 2, 1))  # 32
        self.output = nn.Conv2d(w // 2, 2, 3, 1, 1)

    def colors_and_classes(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sigmoid's output (N, 2, H/2, W/2) and global features (N, 512).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 8.
        """
        x = gray - _LUMA_MEAN
        low = copy = self.low(x)  # (N, 512, H/8, W/8)
        if x.shape[2:] != (_GLOBAL_SIDE, _GLOBAL_SIDE) or not self.training:
            square = F.interpolate(x, size=(_GLOBAL_SIDE, _GLOBAL_SIDE), mode="bilinear")
            copy = self.low(square)
        seen = self.glob_fc(self.glob(copy).flatten(1))  # (N, 512)
        vector = self.glob_out(seen)[:, :, None, None]  # (N, 256, 1, 1)
        x = self.middle(low)  # (N, 256, H/8, W/8)
        x = self.fusion(torch.cat((vector.expand(-1, -1, *x.shape[2:]), x), 1))
        x = F.interpolate(self.at8(x), scale_factor=2.0)
        x = F.interpolate(self.at4(x), scale_factor=2.0)
        return self.output(self.at2(x)).sigmoid(), seen

    def forward(self, gray: Tensor) -> Tensor:
        """Return ab in Lab units, (N, 2, H/2, W/2), of luma (N, 1, H, W), multiples of 8."""
        return (2 * self.colors_and_classes(gray)[0] - 1) * _AB_RANGE

    def predict(self, gray: Tensor) -> Tensor:
        """Return ab (N, 2, H/2, W/2) in Lab units."""
        return self(gray).float()

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the squared error of the colors plus the weighted classification loss (``loss``).

        ``mse`` is the mean squared error of ab, scaled to [0, 1], at the size of the output (our
        choice: with the printed alpha a sum would outweigh the classification). ``label`` is the
        cross-entropy of the labelled photographs in nats.
        """
        colors, seen = self.colors_and_classes(batch.gray)
        truth = F.avg_pool2d(linear_to_ab(batch.rgb), 2) / (2 * _AB_RANGE) + 0.5
        mse = F.mse_loss(colors.float(), truth)
        terms = {"loss": mse, "mse": mse.detach()}
        if self.config.alpha and batch.labels is not None and batch.labels.numel():
            label = label_loss(self.classifier(seen), batch.labels)
            terms |= {"loss": mse + self.config.alpha * label, "label": label.detach()}
        return terms

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean squared error, and the RMSE relative to that of gray."""
        truth = F.avg_pool2d(linear_to_ab(batch.rgb), 2)
        error = F.mse_loss(self.predict(batch.gray), truth)
        return {
            "mse": error / (2 * _AB_RANGE) ** 2,
            "rmse_vs_gray": (error / truth.square().mean().clamp_min(1e-6)).sqrt(),
        }

    def warnings(self, values: Mapping[str, float]) -> list[str]:
        """Return a warning if no photograph has a label."""
        if self.config.alpha and "label" not in values:
            return ["the classification loss is off: no photograph has a label; give a --teacher"]
        return []

    def graphs(self) -> dict[str, Graph]:
        """Return the network without the classifier."""
        return {"": luma_graph(self, 8, "chroma")}

    def card(self) -> dict[str, Any]:
        """Return the fields of the card."""
        return {
            "description": "Let there be Color!, Iizuka et al. 2016: global and local features.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": self.config.input_side, "multiple": 8},
            "enlarge": "bilinear",
        }
