"""What a training run is: its options, its facts, its photographs, and its network at the start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tintype.errors import CheckpointError, DataError, SettingError
from tintype.models import changed, model_class, preset_of, rebuild
from tintype.models.backbones import Classifier
from tintype.models.base import ColorModel, TrainConfig
from tintype.training import labels
from tintype.training.checkpoint import FILE, fingerprint, load_checkpoint
from tintype.training.data import PhotoStore, load_photos
from tintype.training.start import load_init


@dataclass(frozen=True)
class Run:
    """Options of a training run, as the command line has them.

    Attributes:
        name: of the system, e.g. ``"tint"``.
        data: tar shards, folders or manifests of color photographs.
        out: folder for the checkpoint, the log and the contact sheet.
        preset: of the system.
        minutes, steps: how long; by default the preset's steps. The schedule ends there.
        resume: go on from the run's checkpoint; network, seed, limit, sampling weights and the
            photographs held back are the run's own.
        init: weights to start from: an exported model (.onnx), the folder of another run, or a
            backbone's weights (.safetensors or .pth).
        seed: of every random choice.
        val_size: photographs at the end of the data that are validated on and never trained on; by
            default a twentieth, at most 1,000.
        limit: use this many photographs only.
        sampling_weights: folder inside the data -> how often its photographs are drawn.
        eval_minutes: how often to validate, draw the contact sheet and save.
        device: ``"cpu"``, ``"cuda"``...; by default CUDA where there is one.
        teacher: weights of an ImageNet classifier, for models that learn its labels or features; or
            the ``labels.safetensors`` of a run on the same photographs.
        store: file for the decoded photographs, kept for later runs and mapped into memory.
        changes: other values for fields of the preset's configurations.
        command: the command line, for the card.

    Raises a SettingError where a value makes no sense.
    """

    name: str
    data: Sequence[Path]
    out: Path
    preset: str = "small"
    minutes: float | None = None
    steps: int | None = None
    resume: bool = False
    init: Path | None = None
    seed: int = 0
    val_size: int | None = None
    limit: int | None = None
    sampling_weights: Mapping[str, float] = field(default_factory=dict)
    eval_minutes: float = 5.0
    device: str | None = None
    teacher: Path | None = None
    store: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""

    def __post_init__(self) -> None:
        lengths = [n for n in (self.minutes, self.steps) if n is not None]
        if len(lengths) == 2 or not all(n > 0 for n in lengths):
            raise SettingError("say how long to train: either minutes or steps, above 0")
        if self.val_size is not None and self.val_size < 0:
            raise SettingError("val_size is a number of photographs, from 0")
        if self.resume and self.init is not None:
            raise CheckpointError("A resumed run has its start behind it: leave out --init.")

    def length(self, config: TrainConfig) -> int:
        """Return the number of steps of a run that does not go by minutes."""
        return self.steps or config.steps

    def build_model(
        self, facts: dict[str, Any], config: TrainConfig, store: PhotoStore
    ) -> ColorModel:
        """Build the network as the run begins, and write down what it began with."""
        torch.manual_seed(facts["seed"])
        model = rebuild(facts["name"], facts["config"])
        if not self.resume:
            facts["start"] = "from nothing" if self.init is None else load_init(model, self.init)
            facts["started_with"] = fingerprint(model)
            sample = store.sample_ab(min(200_000, 50 * len(store)), facts["seed"])
            model.start_training(sample.cpu())
            # What starts from nothing has nothing to keep by learning slowly.
            groups = model.parameter_groups()
            facts["lr_factors"] = [1.0 if self.init is None else rate for _, rate in groups]
            _try_crop_sizes(model, config)
        if model.needs_teacher:
            if self.teacher is None:
                raise CheckpointError(
                    f"This {model.name} learns from what a classifier sees: give its weights with "
                    "--teacher."
                )
            facts["teacher"] = f"features of {Classifier.ORIGIN}"
            model.set_teacher(Classifier.load(self.teacher).to(store.pixels.device))
        elif self.teacher is not None and not model.needs_labels:
            raise CheckpointError(f"This {model.name} learns no labels: leave --teacher out.")
        return model


def prepare(run: Run) -> tuple[dict[str, Any], TrainConfig, dict[str, dict[str, Tensor]]]:
    """Return the run's facts, its training configuration, and what a checkpoint holds of it.

    Raises:
        CheckpointError: nothing to resume, or the folder holds a run already.
        UnknownModelError, SettingError: no such model, preset or setting.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    if run.resume:
        facts, saved = load_checkpoint(run.out)
        if fixed := set(facts["config"]) & set(run.changes):
            raise SettingError(
                f"{', '.join(sorted(fixed))} belongs to the network: start another run to change it"
            )
        try:
            config = TrainConfig(**facts["train_config"])
        except TypeError as error:
            raise CheckpointError(
                f"{run.out} was trained with another version of tintype ({error}): go on with that "
                "one, or start another run."
            ) from error
        (config,) = changed([config], run.changes)
    else:
        if (run.out / FILE).exists():
            raise CheckpointError(
                f"{run.out} holds a run already: go on with --resume, or name another folder."
            )
        network, config = changed(preset_of(run.name, run.preset), run.changes)
        facts = {"name": run.name, "preset": run.preset, "seed": run.seed, "limit": run.limit}
        facts |= {"config": asdict(network), "step": 0, "elapsed": 0.0, "commands": []}
        saved = {}
    if run.command:
        facts["commands"] = [*facts["commands"], run.command]
    facts |= {"train_config": asdict(config), "torch": torch.__version__}
    return facts, config, saved


def load_data(
    run: Run, facts: dict[str, Any], config: TrainConfig, device: torch.device
) -> tuple[PhotoStore, PhotoStore]:
    """Return the photographs to train on, with labels where the model learns them, and the others.

    Raises:
        DataError: the data cannot be used.
        CheckpointError: a resumed run had other data.
    """
    known = facts.get("data", {})
    weights = dict(known.get("sampling_weights", run.sampling_weights))
    store = load_photos(
        run.data,
        short_side=config.kept_side,
        min_color=config.min_color,
        min_chroma=config.min_chroma,
        limit=facts["limit"],
        sampling_weights=weights,
        store=run.store,
    )
    val_size = known.get("val_size", run.val_size)
    if val_size is None:
        val_size = min(1000, len(store) // 20)
    photographs = len(store) - val_size
    if photographs < 1:
        raise DataError("No photograph is left to train on: give more, or hold back fewer.")
    if known and photographs != known["photographs"]:
        raise CheckpointError(
            f"{run.out} was trained on {known['photographs']} photographs, and here are "
            f"{photographs}: give the same --data, or start another run."
        )
    data = {"photographs": photographs, "val_size": val_size, "dropped": store.dropped}
    data["sources"] = [Path(p).name for p in run.data]
    facts["data"] = data | ({"sampling_weights": weights} if weights else {})
    facts["device"] = str(device)
    if model_class(facts["name"]).needs_labels:
        _add_labels(run, facts, store)
    return store.to(device).split(val_size)


def _add_labels(run: Run, facts: dict[str, Any], store: PhotoStore) -> None:
    """Give photographs labels of a teacher, or of their folders, and say how many have one."""
    teacher = run.teacher
    if run.resume and teacher is None and (run.out / labels.FILE).exists():
        teacher = run.out / labels.FILE
    if teacher is not None:
        store.labels = labels.soft_labels(store, teacher)
        facts["labels"] = f"soft labels of {Classifier.ORIGIN}"
        if teacher != run.out / labels.FILE:
            labels.keep_labels(run.out, store, store.labels)
    else:
        store.labels, classes = labels.folder_labels(store)
        share = float((store.labels.sum(1) > 0).double().mean())
        facts["labels"] = f"{len(classes)} folders; {share:.0%} of the photographs have a label"
    if not run.resume:
        facts["config"]["classes"] = max(1, store.labels.shape[1])


@torch.no_grad()
def _try_crop_sizes(model: ColorModel, config: TrainConfig) -> None:
    """Show the network squares of every side it will meet: not each of them fits every network."""
    from tintype.training.augment import to_batch

    model.eval()
    for side in {config.crop, *config.crop_sizes}:
        try:
            model.validation_metrics(to_batch(torch.full((1, 3, side, side), 0.5)))
        except RuntimeError as error:
            raise SettingError(
                f"{model.name} cannot be trained on squares of {side} pixels ({error}): "
                "set another crop, or other crop_sizes."
            ) from error
    model.train()


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """Parse ``["period=50", "maps=[8, 8]", "log_loss=printed"]`` to Python values.

    A value is read as JSON (a list becomes a tuple), and as plain text where it is none.

    Raises:
        SettingError: a word has no ``=``.
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise SettingError(f"{word!r} is no setting: write NAME=VALUE, e.g. crop=96")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        settings[name] = tuple(value) if isinstance(value, list) else value
    return settings


def read_sampling_weights(words: Sequence[str]) -> dict[str, float]:
    """Parse ``["cats=4", "cats/black=0.5"]`` to weights by folder.

    Raises:
        SettingError: a word is not a folder, ``=`` and a number, or a folder is named twice.
    """
    weights: dict[str, float] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        folder = Path(name).as_posix()
        try:
            weight = float(number)
        except ValueError:
            weight = None
        if not name or weight is None:
            raise SettingError(f"{word!r} is no sampling weight: write FOLDER=WEIGHT, e.g. cats=4")
        if folder in weights:
            raise SettingError(f"there are two sampling weights for {folder}: give one")
        weights[folder] = weight
    return weights
