"""Let there be Color! (Iizuka, Simo-Serra and Ishikawa 2016, ACM Transactions on Graphics 35(4)).

    luma ------------> low-level -> mid-level --+-> fusion -> colorization network -> ab
      |                (same weights)           |
      +-- 224x224 ----> low-level -> global ----+
                                       |
                                classes of the photograph

What the whole photograph shows is one vector, which the fusion layer puts beside the features of
every place; a classifier of the photograph, trained together with the colors, teaches that vector
what to tell. Layers are those of the paper's Table 1, with batch norm and ReLU. "Our choice" marks
what the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.models.base import Batch, ColorModel, Graph, TrainConfig, label_loss, luma_graph
from tintype.models.torch_color import linear_to_ab

_GLOBAL_SIDE = 224  # of the copy that the global branch sees
_LUMA_MEAN = 0.45  # what is subtracted is the data set's mean; the value is our choice
_AB_RANGE = 100.0  # of the sigmoid's output o, as in the authors' code: ab = (2 o - 1) 100


@dataclass(frozen=True)
class LetColorConfig:
    """Sizes and the weight of the second loss.

    Attributes:
        maps: of the first layer, 64 in the paper; the others in proportion.
        classes: of the labels, 205 (Places) in the paper.
        alpha: weight of the classification loss.
        input_side: shorter side in pixels at which a photograph is seen.
    """

    maps: int = 64
    classes: int = 205
    alpha: float = 1 / 300
    input_side: int = 224


def _convs(inputs: int, *layers: tuple[int, int], kernel: int = 3) -> nn.Sequential:
    """Convolutions with batch norm and ReLU; a layer is its maps and its stride."""
    parts: list[nn.Module] = []
    for outputs, stride in layers:
        parts.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
        parts += [nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*parts)


def _linears(inputs: int, *outputs: int) -> nn.Sequential:
    """Fully connected layers with batch norm and ReLU."""
    parts: list[nn.Module] = []
    for units in outputs:
        parts += [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
        inputs = units
    return nn.Sequential(*parts)


# Printed: ADADELTA, batches of 128, 200,000 steps, crops of 224 from 256, mirrored.
_PAPER = TrainConfig(
    crop=224, scale=1.0, short_side=256, augment="none", batch=128, steps=200_000,
    optimizer="adadelta", learning_rate=1.0, warmup=0, cooldown=0.0, weight_decay=0.0,
    grad_clip=0.0, ema=0.0,
)  # fmt: skip


class LetColor(ColorModel):
    """The network, both losses, and how it is exported."""

    name: ClassVar[str] = "letcolor"
    paper: ClassVar[str] = "Iizuka, Simo-Serra and Ishikawa 2016, doi:10.1145/2897824.2925974"
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]] = {
        "paper": (LetColorConfig(), _PAPER),
        # Ours: narrower, on smaller crops, of which the global branch sees an enlarged copy.
        "small": (
            LetColorConfig(maps=14, input_side=128),
            replace(_PAPER, crop=128, batch=64, steps=5_000, ema=0.999, short_side=None),
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
        self.low = _convs(1, (w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1))
        self.middle = _convs(8 * w, (8 * w, 1), (4 * w, 1))  # 512, 256
        self.glob = _convs(8 * w, (8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1))  # to 7x7
        self.glob_fc = _linears(8 * w * (_GLOBAL_SIDE // 32) ** 2, 16 * w, 8 * w)  # 1024, 512
        self.glob_out = _linears(8 * w, 4 * w)  # 256
        self.classifier = nn.Sequential(_linears(8 * w, 4 * w), nn.Linear(4 * w, config.classes))
        self.fusion = _convs(8 * w, (4 * w, 1), kernel=1)  # 256 + 256 to 256
        self.at8 = _convs(4 * w, (2 * w, 1))  # 128
        self.at4 = _convs(2 * w, (w, 1), (w, 1))  # 64, 64
        self.at2 = _convs(w, (w // 2, 1))  # 32
        self.output = nn.Conv2d(w // 2, 2, 3, 1, 1)

    def colors_and_classes(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sigmoid's output (N, 2, H/2, W/2) and 512 features of the whole, (N, 512).

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
        """Return ab (N, 2, H/2, W/2)."""
        return self(gray).float()

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the error of the colors plus the weighted loss of the classes (``loss``).

        ``mse`` is the mean squared error of ab brought to [0, 1], at the size of the output; with
        the printed alpha the two losses are alike in size only if it is a mean and not a sum (our
        choice). ``label`` is the cross-entropy of the labelled photographs in nats.
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
        """Return the squared error, and the root of it over that of gray."""
        truth = F.avg_pool2d(linear_to_ab(batch.rgb), 2)
        error = F.mse_loss(self.predict(batch.gray), truth)
        return {
            "mse": error / (2 * _AB_RANGE) ** 2,
            "rmse_vs_gray": (error / truth.square().mean().clamp_min(1e-6)).sqrt(),
        }

    def warnings(self, values: Mapping[str, float]) -> list[str]:
        """Tell of missing labels."""
        if "mse" in values and "label" not in values and "rmse_vs_gray" not in values:
            return ["the classification loss is off: no photograph has a label; give a --teacher"]
        return []

    def graphs(self) -> dict[str, Graph]:
        """Return the network, luma to ab; the classifier of photographs stays behind."""
        return {"": luma_graph(self, 8, "chroma")}

    def card(self) -> dict[str, Any]:
        """Return input rule and output."""
        return {
            "description": "Let there be Color!, Iizuka et al. 2016: the whole and its places.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": self.config.input_side, "multiple": 8},
            "enlarge": "bilinear",
        }
