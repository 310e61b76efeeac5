"""A training run: its options, metadata, photographs, and initial network."""

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
from tintype.training.parallel import Processes
from tintype.training.room import decoded_bytes, room
from tintype.training.start import load_init
from tintype.training.stream import PhotoStream, open_stream


@dataclass(frozen=True)
class Run:
    """The options of a training run, as on the command line.

    Attributes:
        name: name of the system, e.g. ``"tint"``.
        data: tar shards, folders or manifests of color photographs.
        out: folder for the checkpoint, the log and the contact sheet.
        preset: preset of the system.
        minutes, steps: length of the run, and of the learning-rate schedule; by default the steps
            of the preset.
        resume: go on from the checkpoint in `out`, with its network, seed, limit, sampling weights
            and validation photographs.
        init: initial weights: an exported model (.onnx), the folder of another run, or weights of a
            backbone (.safetensors or .pth).
        seed: seed of every random choice.
        val_size: number of photographs at the end of the data that are used for validation only;
            by default a twentieth, at most 1,000.
        limit: use this many photographs only.
        sampling_weights: folder inside the data -> frequency at which its photographs are drawn.
        eval_minutes: minutes between validations, after each of which the run is saved.
        device: torch device; by default CUDA if it is available, else the CPU.
        teacher: weights of an ImageNet classifier for models that learn its labels or features, or
            ``labels.safetensors`` of a run on the same photographs.
        store: file for the decoded photographs, which later runs can use; see `load_photos`.
        memory: bytes of memory for decoded photographs, by default two thirds of what is free; more
            than fit there, or in `store`, are streamed.
        changes: field name -> value that replaces the preset's.
        command: command line, for the card.

    Raises:
        SettingError: a value is out of range.
        CheckpointError: both `resume` and `init` are given.
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
    memory: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""

    def __post_init__(self) -> None:
        lengths = [n for n in (self.minutes, self.steps) if n is not None]
        if len(lengths) == 2 or not all(n > 0 for n in lengths):
            raise SettingError("give either minutes or steps, above 0")
        if self.val_size is not None and self.val_size < 0:
            raise SettingError(
                f"val_size must be a number of photographs from 0, not {self.val_size}"
            )
        if self.resume and self.init is not None:
            raise CheckpointError("A resumed run goes on from its own weights: leave out --init.")

    def length(self, config: TrainConfig) -> int:
        """Return the number of steps of a run whose length is not given in minutes."""
        return self.steps or config.steps

    def build_model(
        self, facts: dict[str, Any], config: TrainConfig, store: PhotoStore | PhotoStream
    ) -> ColorModel:
        """Build the initial network, and record its origin in `facts`.

        Raises:
            CheckpointError: the initial weights do not fit, or a teacher is missing or not wanted.
            SettingError: the network cannot be trained on the size of the crops.
        """
        torch.manual_seed(facts["seed"])
        model = rebuild(facts["name"], facts["config"])
        if not self.resume:
            facts["start"] = "from nothing" if self.init is None else load_init(model, self.init)
            facts["started_with"] = fingerprint(model)
            sample = store.sample_ab(min(200_000, 50 * len(store)), facts["seed"])
            model.start_training(sample.cpu())
            # Factors on the learning rate are for pretrained weights only.
            groups = model.parameter_groups()
            facts["lr_factors"] = [1.0 if self.init is None else rate for _, rate in groups]
        _try_crop_sizes(model, config)
        if model.needs_teacher:
            if self.teacher is None:
                raise CheckpointError(
                    f"This {model.name} learns the features of a classifier: give its weights with "
                    "--teacher."
                )
            facts["teacher"] = f"features of {Classifier.ORIGIN}"
            model.set_teacher(Classifier.load(self.teacher).to(store.device))
        elif self.teacher is not None and not model.needs_labels:
            raise CheckpointError(f"This {model.name} needs no teacher: leave out --teacher.")
        return model


def prepare(run: Run) -> tuple[dict[str, Any], TrainConfig, dict[str, dict[str, Tensor]]]:
    """Return the facts of a run, its training configuration, and the state dicts to resume from.

    Raises:
        CheckpointError: there is nothing to resume, or the folder holds a run already.
        UnknownModelError: there is no such model or preset.
        SettingError: there is no such setting, or its value is not valid.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    if run.resume:
        facts, saved = load_checkpoint(run.out)
        if facts["name"] != run.name:
            raise CheckpointError(
                f"{run.out} is a run of {facts['name']}, not of {run.name}: go on with "
                f"`tintype train {facts['name']} --resume`, or give another folder."
            )
        if fixed := set(facts["config"]) & set(run.changes):
            raise SettingError(
                f"{', '.join(sorted(fixed))} cannot change in a resumed run: start another run"
            )
        try:
            config = TrainConfig(**facts["train_config"])
        except TypeError as error:
            raise CheckpointError(
                f"{run.out} was trained with another version of tintype ({error}): go on with that "
                "version, or start another run."
            ) from error
        (config,) = changed([config], run.changes)
    else:
        if (run.out / FILE).exists():
            raise CheckpointError(
                f"{run.out} holds a run already: add --resume to go on, or give another folder."
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
    run: Run, facts: dict[str, Any], config: TrainConfig, processes: Processes
) -> tuple[PhotoStore | PhotoStream, PhotoStore | PhotoStream]:
    """Return training and validation photographs, with labels if the model needs them.

    They are held decoded where they fit, else streamed; a resumed run goes on as it began.

    Raises:
        DataError: the data cannot be used.
        CheckpointError: a resumed run had other data, or the teacher cannot be used.
    """
    known = facts.get("data", {})
    weights = dict(known.get("sampling_weights", {}) if known else run.sampling_weights)
    least: dict[str, Any] = {"short_side": config.kept_side, "limit": facts["limit"]}
    least |= {"min_color": config.min_color, "min_chroma": config.min_chroma}
    streamed = known.get("streamed", False) if known else _too_many(run, facts, config, processes)
    with processes.first_alone():  # it writes the file, or unpacks shards
        if streamed:
            store = open_stream(run.data, run.out / "unpacked", sampling_weights=weights, **least)
        else:
            store = load_photos(run.data, sampling_weights=weights, store=run.store, **least)
    val_size = known.get("val_size", run.val_size)
    if val_size is None:
        val_size = min(1000, len(store) // 20)
    photographs = len(store) - val_size
    if photographs < 1:
        raise DataError("No photograph is left to train on: give more, or a smaller --val-size.")
    if known and photographs != known["photographs"]:
        raise CheckpointError(
            f"{run.out} was trained on {known['photographs']} photographs, not on {photographs}: "
            "give the same --data, or start another run."
        )
    data: dict[str, Any] = {"photographs": photographs, "val_size": val_size}
    data |= {"streamed": True} if isinstance(store, PhotoStream) else {"dropped": store.dropped}
    data["sources"] = [Path(p).name for p in run.data]
    facts["data"] = data | ({"sampling_weights": weights} if weights else {})
    facts["device"] = str(processes.device)
    store = store.to(processes.device)
    if model_class(facts["name"]).needs_labels:
        with processes.first_alone():  # it runs the teacher, and writes what it says
            _add_labels(run, facts, store, first=processes.rank == 0)
    return store.split(val_size)


def _too_many(
    run: Run, facts: Mapping[str, Any], config: TrainConfig, processes: Processes
) -> bool:
    """Tell whether the decoded photographs do not fit where they are to be held."""
    if run.store is not None and run.store.exists() and processes.device.type == "cpu":
        return False
    needed = decoded_bytes(run.data, config.kept_side, facts["limit"])
    (late,) = processes.max_over_ranks(needed > room(run.memory, run.store, processes.device))
    return bool(late)


def _add_labels(
    run: Run, facts: dict[str, Any], store: PhotoStore | PhotoStream, *, first: bool
) -> None:
    """Add labels of a teacher or of folders to the photographs, and describe them in `facts`."""
    teacher = run.teacher
    known = (run.resume and teacher is None) or (teacher is not None and not first)
    if known and (run.out / labels.FILE).exists():
        teacher = run.out / labels.FILE
    if teacher is None:
        classes, labelled = labels.label_by_folder(store)
        facts["labels"] = f"{classes} folders; {labelled:.0%} of the photographs have a label"
    elif isinstance(store, PhotoStream):
        raise CheckpointError(
            "A teacher labels photographs that are held, and these are streamed: leave out "
            "--teacher, so that their folders are the labels, or hold them in a --store."
        )
    else:
        store.labels = labels.soft_labels(store, teacher)
        classes = store.labels.shape[1]
        facts["labels"] = f"soft labels of {Classifier.ORIGIN}"
        if teacher != run.out / labels.FILE:
            labels.keep_labels(run.out, store, store.labels)
    if not run.resume:
        facts["config"]["classes"] = max(1, classes)


@torch.no_grad()
def _try_crop_sizes(model: ColorModel, config: TrainConfig) -> None:
    """Refuse crop sizes that do not fit the network, before the first step."""
    from tintype.training.augment import to_batch

    model.eval()
    for side in config.crop_sizes or (config.crop,):
        try:
            model.validation_metrics(to_batch(torch.full((1, 3, side, side), 0.5)))
        except RuntimeError as error:
            raise SettingError(
                f"{model.name} cannot be trained on squares of {side} pixels ({error}): "
                "set another crop, or other crop_sizes."
            ) from error


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """Parse ``["period=50", "maps=[8, 8]", "log_loss=printed"]`` to names and values.

    A value is parsed as JSON (lists become tuples); what is not JSON is a string.

    Raises:
        SettingError: a word has no ``=``.
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise SettingError(f"{word!r} is not a setting: write NAME=VALUE, e.g. crop=96")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        settings[name] = tuple(value) if isinstance(value, list) else value
    return settings


def read_sampling_weights(words: Sequence[str]) -> dict[str, float]:
    """Parse ``["cats=4", "cats/black=0.5"]`` to weights by folder.

    Raises:
        SettingError: a word is not FOLDER=NUMBER, or a folder is given twice.
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
            raise SettingError(f"{word!r} is not a sampling weight: write FOLDER=WEIGHT")
        if folder in weights:
            raise SettingError(f"there are two sampling weights for {folder}: give one")
        weights[folder] = weight
    return weights
