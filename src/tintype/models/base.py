"""The interface of every model to the training loop and the exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError, SettingError


class Batch(NamedTuple):
    """A training batch: gray photographs and their true colors.

    Attributes:
        gray: gamma-encoded luma in [0, 1], (N, 1, H, W).
        rgb: true colors as linear-light RGB, (N, 3, H, W). Where augmentation changed the luma,
            they are rescaled to it at constant chromaticity, so values may exceed 1.
        labels: class probabilities of the whole photograph, (N, classes); all zero for an
            unlabelled photograph. None where the run has no labels.
    """

    gray: Tensor
    rgb: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class TrainConfig:
    """The training configuration of a preset; the command line may change any field.

    Raises:
        SettingError: a value is out of range.

    Attributes:
        crop: side of the training squares in pixels.
        batch: photographs per step, over all processes together.
        steps: length of a run, unless the command line gives another.
        learning_rate: peak rate, after warm-up and before decay.
        optimizer: ``"adam"``, ``"adamw"``, ``"adadelta"``, ``"rmsprop"`` or ``"sgd"``.
        betas, eps: parameters of Adam.
        momentum: parameter of SGD.
        warmup: number of steps of linear warm-up; it ends after a tenth of the run at the latest.
        cooldown: share of the run, at its end, in which the rate falls to 1 % along a half cosine;
            1 is a cosine schedule over the whole run, 0 no cooldown.
        milestones: (step, factor on the learning rate from that step on), e.g.
            ``((200_000, 0.316),)``.
        lr_decay: factor by which the rate is multiplied at every step.
        weight_decay: decoupled with ``"adamw"``, else an L2 penalty; on matrices and kernels only.
        grad_clip: maximum norm of the gradient; 0 for no clipping.
        ema: decay of the exponential moving average of the weights, which is exported; 0 exports
            the last weights.
        augment: ``"film"`` (tones, emulsions, grain, fading, sharpness), or ``"none"``: gray is the
            luma of the photograph.
        flip: mirror photographs horizontally with probability 1/2.
        scale: smallest side of the squares that are cut, relative to `crop`; the largest is 1.125.
            They are resized to `crop` (scale augmentation). 1 cuts squares of side `crop` without
            resizing.
        aspect_jitter: largest share by which one side of the squares is shortened before resizing.
        crop_sizes: sides to which squares are resized instead of `crop` (multi-scale training); one
            is drawn for each step. Validation takes the largest.
        faded: share of the photographs whose tonal range is narrowed, as in a faded print.
        short_side: shorter side in pixels to which photographs are reduced when they are loaded;
            None for the largest square that is cut.
        min_color: photographs with less color, not counting a uniform tone, are left out (in Lab
            units; see `tintype.training.files.color_beyond_tone`).
        min_chroma: photographs with a smaller mean of |Cb| + |Cr|, each in [-0.5, 0.5], are left
            out (PixColor's colorness threshold).
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
                "optimizer must be 'adam', 'adamw', 'adadelta', 'rmsprop' or 'sgd', "
                f"not {self.optimizer!r}"
            )
        if self.augment not in ("film", "none"):
            raise SettingError(f"augment must be 'film' or 'none', not {self.augment!r}")
        self._check_ranges()
        # JSON gives lists for tuples.
        object.__setattr__(self, "betas", tuple(self.betas))
        if not all(map(_is_milestone, self.milestones)):
            raise SettingError(
                "milestones must be pairs of a step and a factor, e.g. [[1000, 0.1]], not "
                f"{self.milestones!r}"
            )
        object.__setattr__(self, "milestones", tuple(map(tuple, self.milestones)))
        object.__setattr__(self, "crop_sizes", tuple(self.crop_sizes))
        if not all(type(side) is int and side > 0 for side in self.crop_sizes):
            raise SettingError(
                f"crop_sizes must be whole numbers, e.g. [64, 96]: {self.crop_sizes}"
            )
        if max(self.crop_sizes, default=0) > self.largest_cut:
            # Enlarged crops would teach the network that large objects are blurred.
            raise SettingError(
                f"crop_sizes must be at most {self.largest_cut}, as large as squares are cut; "
                "set a larger crop."
            )
        if self.kept_side < self.largest_cut:
            raise SettingError(
                f"crops of {self.crop} need photographs of a short_side of at least "
                f"{self.largest_cut}"
            )

    @property
    def largest_cut(self) -> int:
        """Return the largest side of the squares that are cut, in pixels."""
        return self.crop if self.scale == 1 else round(1.125 * self.crop)

    @property
    def kept_side(self) -> int:
        """Return the shorter side to which photographs are reduced when they are loaded."""
        return self.largest_cut if self.short_side is None else self.short_side

    def _check_ranges(self) -> None:
        least = {"crop": 1, "batch": 1, "steps": 1, "warmup": 0, "weight_decay": 0.0}
        least |= {"grad_clip": 0.0, "min_color": 0.0, "min_chroma": 0.0}
        for name, smallest in least.items():
            if not getattr(self, name) >= smallest:
                raise SettingError(
                    f"{name} must be at least {smallest:g}, not {getattr(self, name)!r}"
                )
        if not 0 < self.lr_decay <= 1:
            raise SettingError(f"lr_decay must be above 0 and at most 1, not {self.lr_decay!r}")
        if not self.learning_rate > 0:
            raise SettingError(f"learning_rate must be above 0, not {self.learning_rate!r}")
        for name in ("ema", "aspect_jitter", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                value = getattr(self, name)
                raise SettingError(f"{name} must be a number from 0 to below 1, not {value!r}")
        for name in ("cooldown", "faded"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(
                    f"{name} must be a share from 0 to 1, not {getattr(self, name)!r}"
                )
        if not (len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)):
            raise SettingError(f"betas must be two numbers from 0 to below 1, not {self.betas!r}")
        if not self.eps > 0:
            raise SettingError(f"eps must be above 0, not {self.eps!r}")
        if not 0.1 <= self.scale <= 1.125:
            raise SettingError(f"scale must be from 0.1 to 1.125, not {self.scale!r}")


def _is_milestone(pair: Any) -> bool:
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and type(pair[0]) is int):
        return False
    return pair[0] >= 0 and type(pair[1]) in (int, float) and pair[1] > 0


class Graph(NamedTuple):
    """One of the ONNX graphs that a model is exported to.

    Attributes:
        module: the module that is exported; it takes the inputs in the order of `example`.
        example: makes example inputs by name; their sizes grow with the argument, which is at least
            1.
        dynamic: input name -> axis -> (name of the dimension, multiple); sizes along these axes may
            be any multiple of the number.
        outputs: names of the outputs.
    """

    module: nn.Module
    example: Callable[[int], dict[str, Tensor]]
    dynamic: dict[str, dict[int, tuple[str, int]]]
    outputs: tuple[str, ...]


class ColorModel(nn.Module):
    """A colorization network with its loss, its presets and its export to ONNX.

    The loop trains the network in `train` mode; a second one with its averaged weights is validated
    and exported, in `eval` mode. Buffers are not averaged but copied from the trained network, and
    statistics of batch norms are then recomputed for the averaged weights, from the last 32
    batches. A norm that a model keeps in `eval` mode, by its own `train`, stays as it is.

    Class attributes:
        name: name of the system, the first part of the name of a model file.
        paper: authors, year and identifier; empty for a model of our own.
        presets: preset name -> (configuration of the network, configuration of its training).
        training_only: submodules that are not exported, by attribute name.
        may_lack: beginnings of the names of parameters that an exported model to start from may
            lack: at first they change nothing.
        needs_labels: whether the loss uses `Batch.labels`; the configuration then has a field
            ``classes``, the number of classes.
        needs_teacher: whether training needs an ImageNet classifier; see `set_teacher`.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    presets: ClassVar[dict[str, tuple[Any, TrainConfig]]]
    training_only: ClassVar[tuple[str, ...]] = ()
    may_lack: ClassVar[tuple[str, ...]] = ()
    needs_labels: ClassVar[bool] = False
    needs_teacher: bool = False

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def batches_per_step(self, step: int) -> int:
        """Return the number of batches that one `training_step` takes."""
        return 1

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Return the terms of the loss: ``"loss"``, which is minimized, and others to be logged."""
        raise NotImplementedError

    def training_step(self, batches: Sequence[Batch], step: int) -> dict[str, Tensor]:
        """Return the terms of the loss for one training step.

        The loop minimizes ``"loss"``. A model with a second network, such as a critic, takes the
        optimizer steps of that network here.

        Args:
            batches: as many as `batches_per_step`, maybe of different sizes in pixels.
            step: step of the run.
        """
        return self.loss(batches[0], step)

    def validation_metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the metrics of a validation batch: by default the terms of the loss."""
        return self.loss(batch)

    def predict(self, gray: Tensor) -> Tensor:
        """Return ab (N, 2, h, w) in Lab units of luma (N, 1, H, W), at default options.

        The color space of the card does not matter here; `tintype.models.torch_color` converts.
        """
        raise NotImplementedError

    def start_training(self, ab: Tensor) -> None:
        """Prepare training from a sample of the training chroma, (N, 2) in Lab units."""

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Calibrate the decoding on validation batches, after the last step."""

    def warnings(self, values: Mapping[str, float]) -> list[str]:
        """Return warnings about the values logged at a step, e.g. a collapsed generator."""
        return []

    def extra_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimizers that `training_step` uses, by name, for the checkpoint."""
        return {}

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the parameters that the loop's optimizer trains, with learning-rate factors.

        The factors are used for a network that starts from pretrained weights; one that is
        initialized randomly is trained at the full rate. Parameters with the factor 0 are frozen.
        """
        return [(list(self.parameters()), 1.0)]

    def load_backbone(self, path: Path) -> str:
        """Load pretrained weights into the backbone; return a description of them for the card.

        Raises:
            CheckpointError: the file does not fit, or the model has no backbone.
        """
        raise CheckpointError(f"{self.name} has no backbone that is loaded: leave out --init.")

    def load_from(self, system: str, weights: Mapping[str, Tensor]) -> str:
        """Load the matching weights of another system; return a description of them for the card.

        Args:
            system: name of the other system.
            weights: its exported weights, by name.

        Raises:
            CheckpointError: none of them fit.
        """
        raise CheckpointError(
            f"{self.name} cannot start from {system}: give a model that {self.name} exported."
        )

    def load_decoding(self, weights: Mapping[str, Tensor]) -> None:
        """Load the values that decoding needs from the weights of an exported graph ``decode``."""

    def set_teacher(self, teacher: nn.Module) -> None:
        """Set the ImageNet classifier that a model with `needs_teacher` learns from."""
        raise NotImplementedError

    def is_exported(self, name: str) -> bool:
        """Tell whether the parameter of that name is exported."""
        return name.partition(".")[0] not in self.training_only

    def graphs(self) -> dict[str, Graph]:
        """Return the graphs that are exported, by part; ``""`` is the main graph."""
        raise NotImplementedError

    def card(self) -> dict[str, Any]:
        """Return the fields of `tintype.card.Card` that follow from the model.

        They are ``description``, ``space``, ``kind``, ``enlarge``, for a sampler ``states``, and
        ``size``, the fields of `tintype.card.Size`: ``short_side`` and, where it has others than
        the defaults, ``longest`` (1024), ``multiple`` (32), ``shape`` (``"aspect"``) and
        ``resample`` (``"lanczos"``). There may be ``options``, ``normalise``, and ``filter``, the
        fields of `tintype.card.GuidedFilter`. The exporter adds name, paper, licence, files and
        training.
        """
        raise NotImplementedError


def luma_graph(module: nn.Module, multiple: int, *outputs: str) -> Graph:
    """Describe a graph whose one input is ``gray``, (1, 1, H, W).

    Args:
        module: what the graph computes.
        multiple: H and W are multiples of it.
        outputs: names of the outputs.
    """
    least = multiple * -(-32 // multiple)  # large enough for a network without padding

    def example(size: int) -> dict[str, Tensor]:
        coarse = torch.rand(1, 1, 2 + size, 4)
        return {"gray": F.interpolate(coarse, size=((1 + size) * least, 2 * least))}

    return Graph(
        module, example, {"gray": {2: ("rows", multiple), 3: ("columns", multiple)}}, outputs
    )


def named_graph(
    module: nn.Module,
    inputs: str,
    outputs: str,
    example: Callable[[int], dict[str, Tensor]],
    dynamic: dict[str, dict[int, tuple[str, int]]],
) -> Graph:
    """Describe one of several graphs that share their example inputs.

    Args:
        module: what the graph computes.
        inputs, outputs: names of its inputs, in order, and of its outputs, separated by spaces.
        example: as in `Graph`, of all inputs of all the graphs.
        dynamic: as in `Graph`, of all inputs of all the graphs.
    """
    names = inputs.split()

    def own(size: int) -> dict[str, Tensor]:
        tensors = example(size)
        return {name: tensors[name] for name in names}

    axes = {name: sizes for name, sizes in dynamic.items() if name in names}
    return Graph(module, own, axes, tuple(outputs.split()))


def settle_row(
    row: Callable[[Tensor], tuple[Tensor, Tensor]], guess: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the sample of a row and its log-likelihood, both (N, 2, 1, W).

    Args:
        row: a step of the fixed-point iteration, from a guess of the row (N, 2, 1, W): its next
            guess, and the log-likelihood of the one given.
        guess: the first.
    """
    values, logp = row(guess)
    while not torch.equal(values, guess):
        guess = values
        values, logp = row(guess)
    return values, logp


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the labelled photographs in nats, 0 where there are none.

    Args:
        logits: (N, classes).
        labels: probabilities, (N, classes); all zero for an unlabelled photograph.
    """
    nats = -(labels.float() * logits.float().log_softmax(1)).sum(1)
    return nats.sum() / (labels.sum(1) > 0).sum().clamp_min(1)


def scaled_lr_groups(
    part: nn.Module, factor: float, parameters: Iterable[nn.Parameter]
) -> list[tuple[list[nn.Parameter], float]]:
    """Split parameters into those of a part, at a learning-rate factor, and the rest, at 1."""
    slow = list(part.parameters())
    known = {id(p) for p in slow}
    return [(slow, factor), ([p for p in parameters if id(p) not in known], 1.0)]


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average gradients over the processes of a run; do nothing in a run of one process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()
