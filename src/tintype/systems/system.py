"""What the training loop and the exporter may ask of every system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import CheckpointError, SettingError


class Batch(NamedTuple):
    """A training batch: what the system sees and the colours it should find.

    Attributes:
        gray: gamma-encoded luminance in [0, 1], (N, 1, H, W).
        linear: the true colours as linear-light RGB, (N, 3, H, W). Where augmentation changed the
            luminance these are rescaled to it at constant chromaticity, so values may exceed 1.
        labels: what a classifier says the whole photograph shows, probabilities (N, classes); None
            where the run has no teacher.
    """

    gray: Tensor
    linear: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class Recipe:
    """How a preset is trained, unless the command line says otherwise.

    Raises a SettingError where a value makes no sense.

    Attributes:
        crop: side of the training squares in pixels.
        batch: photographs per step, over all processes together.
        learning_rate: peak rate, after the warm-up and before the cosine decay.
        optimiser: ``"adamw"``, ``"rmsprop"`` or ``"sgd"`` (with a momentum of 0.9).
        warmup: steps of linear warm-up.
        weight_decay: on matrices and kernels only: AdamW's decoupled decay, or with the others an
            L2 penalty.
        clip: largest gradient norm.
        ema: decay of the averaged weights that are exported.
        zoom: smallest side of the cut squares relative to `crop`. They are cut at sides from
            `zoom` * `crop` to `largest` and brought to `crop`, so that the network meets objects
            at more than one scale.
        stretch: how much narrower or lower the cut squares may be on one side, relative to it; what
            is left is stretched to a square, for photographs are stretched to a network's multiple.
        sides: sides the squares of a step are brought to instead of `crop`, one of them drawn for
            each step, so that the network meets pictures of several sizes. What is held back is
            measured at `crop` all the same.
        faded: share of the photographs whose tonal range is narrowed, as in a faded print.
        cooldown: share of the run, at its end, in which the rate falls to 1 % by half a cosine; it
            is constant before.
        short_side: shorter side in pixels at which photographs are kept; None keeps them at
            `largest`, so that a crop may hold all of one.
    """

    crop: int = 128
    batch: int = 64
    learning_rate: float = 1e-3
    optimiser: str = "adamw"
    warmup: int = 200
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.999
    zoom: float = 0.75
    stretch: float = 0.0
    sides: tuple[int, ...] = ()
    faded: float = 0.0
    cooldown: float = 1.0
    short_side: int | None = None

    def __post_init__(self) -> None:
        if self.optimiser not in ("adamw", "rmsprop", "sgd"):
            raise SettingError(
                f"the optimiser is 'adamw', 'rmsprop' or 'sgd', not {self.optimiser!r}"
            )
        self._check_ranges()
        object.__setattr__(self, "sides", tuple(self.sides))  # a checkpoint gives back a list
        if not all(type(side) is int and side > 0 for side in self.sides):
            raise SettingError(f"sides are whole numbers of pixels, e.g. [64, 96]: {self.sides}")
        if max(self.sides, default=0) > self.largest:
            # Enlarged they would teach that what is large is blurred.
            raise SettingError(
                f"sides are at most {self.largest}, as large as squares are cut; set a larger crop."
            )
        if self.kept < self.largest:
            raise SettingError(
                f"crops of {self.crop} need photographs of a short_side of at least {self.largest}"
            )

    @property
    def largest(self) -> int:
        """Largest side of the cut squares."""
        return round(1.125 * self.crop)

    @property
    def kept(self) -> int:
        """Shorter side at which photographs are kept in memory."""
        return self.largest if self.short_side is None else self.short_side

    def _check_ranges(self) -> None:
        least = {"crop": 1, "batch": 1, "warmup": 0, "weight_decay": 0.0, "zoom": 0.1}
        for name, smallest in least.items():
            if not getattr(self, name) >= smallest:
                raise SettingError(f"{name} is at least {smallest:g}, not {getattr(self, name)!r}")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} is above 0, not {getattr(self, name)!r}")
        for name in ("ema", "stretch"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingError(f"{name} is from 0 up to, but not, 1")
        if self.zoom * self.crop > self.largest:
            raise SettingError(
                f"zoom is at most {self.largest / self.crop:g}: the largest squares'"
            )


def slowed(
    part: nn.Module, factor: float, parameters: Iterable[nn.Parameter]
) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters in two groups: those of a part at a factor of the rate, and the rest at 1."""
    slow = list(part.parameters())
    known = {id(p) for p in slow}
    return [(slow, factor), ([p for p in parameters if id(p) not in known], 1.0)]


class Graph(NamedTuple):
    """One of the files a system is exported to.

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


class System(nn.Module):
    """A colorization network with its loss and its way out to ONNX.

    Class attributes:
        name: the system's name, the first half of a model's.
        presets: preset name -> (hyper-parameters, training recipe).
        unexported: parts that serve training alone, by the first word of their parameters' names:
            no exported file holds them, and one that lacks them is a start all the same.

    Attributes:
        progress: how far the run is, from 0 to 1, whether it goes by steps or by the clock; the
            loop sets it, for systems that are trained in stages.
        critic: a network that is trained against this one; None in most systems. See `critic_loss`.
    """

    name: ClassVar[str]
    presets: ClassVar[dict[str, tuple[Any, Recipe]]]
    unexported: ClassVar[tuple[str, ...]] = ()
    config: Any
    critic: nn.Module | None
    progress: float

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.critic = None
        self.progress = 0.0

    def exports(self, name: str) -> bool:
        """Whether a tensor of that name is of what ships, not of what serves training alone."""
        return name.partition(".")[0] not in self.unexported

    def loss(self, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """The terms of the loss; the loop descends on ``"loss"`` and logs the others.

        Args:
            batch: what to learn from.
            step: how many steps the run has taken, for losses that change as it goes.
        """
        raise NotImplementedError

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """What to report of photographs held back: by default the terms of the loss."""
        return self.loss(batch)

    def chroma(self, gray: Tensor) -> Tensor:
        """Predicted ab (N, 2, h, w) in Lab units for luminance (N, 1, H, W), at default decoding.

        It is what contact sheets show; shipped inference decodes in `tintype.runtime`.
        """
        raise NotImplementedError

    def adopt(self, system: str, weights: dict[str, Tensor]) -> str:
        """Take over what fits from another system's exported weights; returns what to say of it.

        Raises:
            CheckpointError: nothing of it fits.
        """
        raise CheckpointError(f"{self.name} cannot start from {system}: give a model of its own.")

    @property
    def labelled(self) -> bool:
        """Whether its loss has a use for `Batch.labels`."""
        return False

    @property
    def hinted(self) -> bool:
        """Whether it learns from what a classifier sees in the colours; see `watch`."""
        return False

    def watch(self, teacher: nn.Module) -> None:
        """Take the classifier to learn from (`tintype.systems.mobilenet.Classifier`)."""
        raise NotImplementedError

    def initialise(self, path: Path) -> str:
        """Start from weights in a safetensors file; returns what to write on the card about it.

        Raises:
            CheckpointError: the file does not fit, or the system always starts from nothing.
        """
        raise CheckpointError(f"{self.name} starts from nothing: leave out --init.")

    def prepare(self, ab: Tensor) -> None:
        """Look at a sample of the training chroma, (N, 2) in Lab units, before the first step."""

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Look at photographs held back, after the last step."""

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters with the factor on the recipe's learning rate; a critic's are not of them.

        The factors hold for a network that starts from something worth keeping; what has the factor
        0 is not trained. One that starts from nothing learns at the full rate everywhere.
        """
        return [(list(self.parameters()), 1.0)]

    def critic_optimiser(self) -> torch.optim.Optimizer:
        """The critic's own, over all of its parameters; its rate is not scheduled."""
        raise NotImplementedError

    def critic_steps(self) -> int:
        """How many steps the critic takes before the next of the system's own."""
        return 0

    def critic_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What the critic descends on (``"loss"``), and what else to log; of a batch of its own."""
        raise NotImplementedError

    def constrain_critic(self) -> None:
        """Bring the critic back into what is allowed, after each of its steps."""

    def remarks(self, values: Mapping[str, float]) -> list[str]:
        """What somebody who watches the run should be told, of the values that are logged."""
        return []

    def graphs(self) -> dict[str, Graph]:
        """What is exported: by the name of the part, one without a name in most systems.

        By default the system itself, from luminance to its output, at sizes that are multiples of
        what the card says.
        """
        multiple = self.card()["size"]["multiple"]
        least = multiple * -(-32 // multiple)  # a network without padding needs some pixels

        def example(size: int) -> dict[str, Tensor]:
            coarse = torch.rand(1, 1, 2 + size, 4)
            return {"gray": F.interpolate(coarse, size=((1 + size) * least, 2 * least))}

        dynamic = {"gray": {2: ("rows", multiple), 3: ("columns", multiple)}}
        return {"": Graph(self, example, dynamic, ("output",))}

    def card(self) -> dict[str, Any]:
        """The fields of the model card that follow from the system: space, output, input rule."""
        raise NotImplementedError
