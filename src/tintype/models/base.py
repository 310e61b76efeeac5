"""What the training loop and the exporter ask of every model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError, SettingError


class Batch(NamedTuple):
    """A training batch: what the network sees and the colors it should find.

    Attributes:
        gray: gamma-encoded luma in [0, 1], (N, 1, H, W).
        rgb: the true colors as linear-light RGB, (N, 3, H, W). Where augmentation changed the
            luma they are rescaled to it at constant chromaticity, so values may exceed 1.
        labels: probabilities of the classes that the whole photograph shows, (N, classes); all
            zero for an unlabelled photograph. None where the run has no labels.
    """

    gray: Tensor
    rgb: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class TrainConfig:
    """How a preset is trained; the command line may change any field.

    Raises a SettingError where a value makes no sense.

    Attributes:
        crop: side of the training squares in pixels.
        batch: photographs per step, over all processes together.
        steps: how long a run is if the command line does not say.
        learning_rate: after the warm-up and before the decay.
        optimizer: ``"adam"``, ``"adamw"``, ``"adadelta"``, ``"rmsprop"`` or ``"sgd"``.
        betas, eps: of Adam.
        momentum: of SGD.
        warmup: steps of linear warm-up.
        cooldown: share of the run, at its end, in which the rate falls to 1 % by half a cosine;
            1 is a cosine over the whole run, 0 a constant rate.
        milestones: step and factor of the rate from there on, e.g. ``((200_000, 0.316),)``.
        lr_decay: factor on the rate, every step.
        weight_decay: decoupled with ``"adamw"``, else an L2 penalty; on matrices and kernels only.
        grad_clip: largest norm of the gradient; 0 for no limit.
        ema: decay of the averaged weights that are exported; 0 exports the last weights.
        augment: ``"film"`` (tones, emulsions, grain, fading, sharpness), or ``"none"``: gray is the
            luma of the photograph.
        flip: mirror every second photograph.
        scale: smallest side of the squares that are cut, relative to `crop`; the largest is 1.125.
            They are brought to `crop`, so that objects are met at more than one size. 1 cuts
            squares of `crop` only, and brings nothing to another size.
        aspect_jitter: how much narrower or lower the squares may be on one side, relative to it.
        crop_sizes: sides the squares of a step are brought to instead of `crop`, one drawn for each
            step.
        faded: share of the photographs whose tonal range is narrowed, as in a faded print.
        short_side: shorter side in pixels at which photographs are kept; None for the largest
            square that is cut.
        min_color: photographs with less color beyond a tone (in Lab units) are left out.
        min_chroma: photographs whose mean of |Cb| + |Cr|, each in [-0.5, 0.5], is less are left
            out: PixColor's colorness threshold.
    """

    crop: int = 128
    batch: int = 64
    steps: int = 10_000
    learning_rate: float = 1e-3
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    momentum: float = 0.9
    warmup: int = 200
    cooldown: float = 1.0
    milestones: tuple[tuple[int, float], ...] = ()
    lr_decay: float = 1.0
    weight_decay: float = 0.02
    grad_clip: float = 1.0
    ema: float = 0.999
    augment: str = "film"
    flip: bool = True
    scale: float = 0.75
    aspect_jitter: float = 0.0
    crop_sizes: tuple[int, ...] = ()
    faded: float = 0.0
    short_side: int | None = None
    min_color: float = 2.0
    min_chroma: float = 0.0

    def __post_init__(self) -> None:
        if self.optimizer not in ("adam", "adamw", "adadelta", "rmsprop", "sgd"):
            raise SettingError(
                "the optimizer is 'adam', 'adamw', 'adadelta', 'rmsprop' or 'sgd', "
                f"not {self.optimizer!r}"
            )
        if self.augment not in ("film", "none"):
            raise SettingError(f"augment is 'film' or 'none', not {self.augment!r}")
        self._check_ranges()
        # A checkpoint gives back lists.
        object.__setattr__(self, "betas", tuple(self.betas))
        object.__setattr__(self, "milestones", tuple(map(tuple, self.milestones)))
        object.__setattr__(self, "crop_sizes", tuple(self.crop_sizes))
        if not all(type(side) is int and side > 0 for side in self.crop_sizes):
            raise SettingError(f"crop_sizes are whole numbers, e.g. [64, 96]: {self.crop_sizes}")
        if max(self.crop_sizes, default=0) > self.largest_cut:
            # Enlarged they would teach that what is large is blurred.
            raise SettingError(
                f"crop_sizes are at most {self.largest_cut}, as large as squares are cut; "
                "set a larger crop."
            )
        if self.kept_side < self.largest_cut:
            raise SettingError(
                f"crops of {self.crop} need photographs of a short_side of at least "
                f"{self.largest_cut}"
            )

    @property
    def largest_cut(self) -> int:
        """Largest side of the squares that are cut."""
        return self.crop if self.scale == 1 else round(1.125 * self.crop)

    @property
    def kept_side(self) -> int:
        """Shorter side at which photographs are kept."""
        return self.largest_cut if self.short_side is None else self.short_side

    def _check_ranges(self) -> None:
        least = {"crop": 1, "batch": 1, "steps": 1, "warmup": 0, "weight_decay": 0.0}
        least |= {"grad_clip": 0.0, "min_color": 0.0, "min_chroma": 0.0}
        for name, smallest in least.items():
            if not getattr(self, name) >= smallest:
                raise SettingError(f"{name} is at least {smallest:g}, not {getattr(self, name)!r}")
        if not 0 < self.lr_decay <= 1:
            raise SettingError(f"lr_decay is above 0 and at most 1, not {self.lr_decay!r}")
        if not self.learning_rate > 0:
            raise SettingError(f"learning_rate is above 0, not {self.learning_rate!r}")
        for name in ("ema", "aspect_jitter", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingError(f"{name} is from 0 up to, but not, 1")
        for name in ("cooldown", "faded"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is a share from 0 to 1")
        if not 0.1 <= self.scale <= 1.125:
            raise SettingError(f"scale is from 0.1 to 1.125, not {self.scale!r}")


class Graph(NamedTuple):
    """One of the files a model is exported to.

    Attributes:
        module: what it computes, its inputs in the order of `example`'s.
        example: inputs by name, of sizes that grow with the number given, from 1.
        dynamic: input name -> axis -> (name, multiple) of the sizes that may be any, or any
            multiple of a number.
        outputs: names of the outputs.
    """

    module: nn.Module
    example: Callable[[int], dict[str, Tensor]]
    dynamic: dict[str, dict[int, tuple[str, int]]]
    outputs: tuple[str, ...]


class ColorModel(nn.Module):
    """A colorization network with its loss, its presets and its way out to ONNX.

    Class attributes:
        name: the system's name, the first half of a model file's.
        paper: authors, year and identifier; empty for a model of our own.
        presets: preset name -> (the network's configuration, how it is trained).
        training_only: parts that are never exported, by the first word of their parameters' names.
        needs_labels: whether its loss has a use for `Batch.labels`; its configuration then has
            ``classes``, the number of classes there are.
        needs_teacher: whether it has a ``set_teacher`` that wants an ImageNet classifier.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]]
    training_only: ClassVar[tuple[str, ...]] = ()
    needs_labels: ClassVar[bool] = False
    needs_teacher: bool = False

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def batches_per_step(self, step: int) -> int:
        """Return how many batches `training_step` is given at once, as one; one in most models."""
        return 1

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the terms of the loss: ``"loss"``, which is descended on, and what else to log."""
        raise NotImplementedError

    def training_step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the terms of the loss for one step of training.

        The loop descends on ``"loss"``. A model that trains a second network against this one does
        the steps of that network here.
        """
        return self.loss(batch, step)

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return what to report of photographs held back: by default the terms of the loss."""
        return self.loss(batch)

    def predict(self, gray: Tensor) -> Tensor:
        """Return ab (N, 2, h, w) in Lab units for luma (N, 1, H, W), at the default decoding."""
        raise NotImplementedError

    def start_training(self, ab: Tensor) -> None:
        """Look at a sample of the training chroma, (N, 2) in Lab units, before the first step."""

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Look at photographs held back, after the last step."""

    def warnings(self, values: Mapping[str, float]) -> list[str]:
        """Return what somebody who watches the run should be told of the values logged."""
        return []

    def extra_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimizers that `training_step` uses itself, by name, for the checkpoint."""
        return {}

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return what the loop's optimizer trains, with factors on the learning rate.

        The factors hold for a network that starts from something worth keeping; one that starts
        from nothing learns at the full rate everywhere. What has the factor 0 is not trained.
        """
        return [(list(self.parameters()), 1.0)]

    def load_backbone(self, path: Path) -> str:
        """Start from the weights of a file (.safetensors or .pth); return what the card says of it.

        Raises:
            CheckpointError: the file does not fit, or the model always starts from nothing.
        """
        raise CheckpointError(f"{self.name} starts from nothing: leave out --init.")

    def load_from(self, system: str, weights: Mapping[str, Tensor]) -> str:
        """Take over what fits from another system's exported weights; return what to say of it.

        Raises:
            CheckpointError: nothing of it fits.
        """
        raise CheckpointError(f"{self.name} cannot start from {system}: give a model of its own.")

    def set_teacher(self, teacher: nn.Module) -> None:
        """Learn from an ImageNet classifier; of a model that `needs_teacher`."""
        raise NotImplementedError

    def is_exported(self, name: str) -> bool:
        """Tell whether a parameter of that name ships, or serves training alone."""
        return name.partition(".")[0] not in self.training_only

    def graphs(self) -> dict[str, Graph]:
        """Return what is exported, by part; ``""`` is the main graph, luma to chroma."""
        raise NotImplementedError

    def card(self) -> dict[str, Any]:
        """Return the fields of the card that follow from the model; see `tintype.card.Card`."""
        raise NotImplementedError


def luma_graph(module: nn.Module, multiple: int, *outputs: str) -> Graph:
    """Describe a graph of ``gray`` alone, (1, 1, H, W), both sides multiples of a number."""
    least = multiple * -(-32 // multiple)  # some pixels, also for a network without padding

    def example(size: int) -> dict[str, Tensor]:
        coarse = torch.rand(1, 1, 2 + size, 4)
        return {"gray": F.interpolate(coarse, size=((1 + size) * least, 2 * least))}

    return Graph(
        module, example, {"gray": {2: ("rows", multiple), 3: ("columns", multiple)}}, outputs
    )


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the labelled photographs, 0 where there are none.

    Logits and probabilities are (N, classes); those of an unlabelled photograph are all zero.
    """
    nats = -(labels.float() * logits.float().log_softmax(1)).sum(1)
    return nats.sum() / (labels.sum(1) > 0).sum().clamp_min(1)


def scaled_lr_groups(
    part: nn.Module, factor: float, parameters: Iterable[nn.Parameter]
) -> list[tuple[list[nn.Parameter], float]]:
    """Split parameters in two groups: those of a part at a factor of the rate, the rest at 1."""
    slow = list(part.parameters())
    known = {id(p) for p in slow}
    return [(slow, factor), ([p for p in parameters if id(p) not in known], 1.0)]


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over the processes of a run; with one process do nothing."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()
