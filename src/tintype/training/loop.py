"""The visible training loop: batch, forward, backward, step, measure, save."""

from __future__ import annotations

import copy
import ctypes
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tintype.errors import CheckpointError, DataError, SettingError
from tintype.systems import build, changed, rebuild
from tintype.systems.mobilenet import IMAGENET, Classifier
from tintype.systems.system import Batch, Recipe, System
from tintype.training import teacher as labels
from tintype.training.batches import Batches, plain
from tintype.training.checkpoint import FILE, load_checkpoint, restore_optimiser, save_checkpoint
from tintype.training.contact import contact_sheet, fixed_photos
from tintype.training.data import PhotoStore, load_photos
from tintype.training.journal import Journal
from tintype.training.parallel import Interruption, Processes


def keep_large_blocks() -> None:
    """Tell glibc to keep freed memory: otherwise half of a CPU step goes into page faults.

    Every step frees and asks for the same large blocks; by default each goes back to the system
    and comes again zeroed, page by page. Without glibc this does nothing.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, -1)
    except (OSError, AttributeError):
        pass


class _Loss(nn.Module):
    """The system's loss as a forward pass, which is what DistributedDataParallel hooks into."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return self.system.loss(batch, step)


class _CriticLoss(nn.Module):
    """The critic's loss as a forward pass of the critic alone."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.critic = system.critic
        self.loss = system.critic_loss  # a bound method: the system's parameters stay out of ours

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.loss(batch)


class _Opponent:
    """The critic's side of the game: its batches, its optimiser, its steps.

    Args:
        system: that has a critic.
        batches: of its own, so that it never learns from those of the system.
        processes: that share the run.
    """

    def __init__(self, system: System, batches: Batches, processes: Processes) -> None:
        assert system.critic is not None
        self.system, self.critic, self.batches = system, system.critic, batches
        self.optimiser = system.critic_optimiser()
        self._model: nn.Module = _CriticLoss(system)
        if processes.world > 1:
            self._model = nn.parallel.DistributedDataParallel(self._model)
        # Of the system's own loss no gradient goes to the critic.
        self.critic.requires_grad_(False)

    def play(self, step: int, half: bool) -> dict[str, Tensor]:
        """As many steps as the system asks for before its own step; the terms of the last."""
        count = self.system.critic_steps()
        terms: dict[str, Tensor] = {}
        self.critic.requires_grad_(True)
        for turn in range(count):
            batch = _shown(self.batches(count * step + turn))
            with torch.autocast(batch.gray.device.type, torch.bfloat16, enabled=half):
                terms = self._model(batch)
            terms["loss"].backward()
            norm = float(nn.utils.clip_grad_norm_(self.critic.parameters(), math.inf))
            if not math.isfinite(norm):
                raise CheckpointError(
                    f"The critic's gradient is {norm} at step {step}: the run diverged. Its last "
                    "checkpoint is whole; start another run with a lower critic_rate."
                )
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self.system.constrain_critic()
        self.critic.requires_grad_(False)
        return {name: value for name, value in terms.items() if name != "loss"}


def _shown(batch: Batch) -> Batch:
    """The batch as networks take it quickest."""
    return batch._replace(gray=batch.gray.contiguous(memory_format=torch.channels_last))


def train(
    system_name: str,
    data: Sequence[Path],
    run: Path,
    *,
    preset: str = "small",
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    init: Path | None = None,
    seed: int = 0,
    held_back: int | None = None,
    decoded: Path | None = None,
    limit: int | None = None,
    emphasis: Mapping[str, float] | None = None,
    report_minutes: float = 5.0,
    device: str | None = None,
    teacher: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> System:
    """Train a system until the minutes or the steps are used up, or it is told to stop.

    The run's folder gets ``checkpoint.safetensors``, ``log.jsonl`` and ``contact.png``. Ctrl-C,
    SIGTERM and a closed terminal save a checkpoint, end the run and then do what they would have
    done without it: Ctrl-C raises KeyboardInterrupt, the others end the process unless it handles
    them. ``resume`` goes on from the last checkpoint. A run by steps ends with the same weights
    however often it was interrupted, even by kill -9; a run by minutes follows the clock, so it
    does not.

    Args:
        system_name: e.g. ``"tint"``.
        data: tar shards, folders or manifests of colour photographs.
        run: folder for the checkpoint, the log and the contact sheet.
        preset: the system's preset.
        minutes, steps: how long; exactly one of them. The cosine schedule ends there.
        resume: go on from the run's checkpoint; system, preset, recipe, seed, limit, emphasis and
            the photographs held back are the run's own.
        init: weights to start from: an exported model (.onnx) of the same system and preset, the
            folder of another run of it, or what else the system knows how to start from.
        seed: of every random choice.
        held_back: photographs at the end of the data that are measured on and never trained on;
            by default a twentieth, at most 1,000.
        decoded: file in which the decoded photographs are kept, and found again by later runs; it
            is mapped into memory, not read.
        limit: use this many photographs only.
        emphasis: folder inside the data -> how often its photographs are drawn, relative to the
            others, so that a small set that matters is not drowned by a large one.
        report_minutes: how often to measure, draw the contact sheet and save.
        device: ``"cpu"``, ``"cuda"``...; by default CUDA where there is one.
        teacher: weights of an ImageNet classifier. Of a system that takes hints (`System.hinted`)
            it is what to learn from, and a resumed run is given it again. For systems that learn
            labels (`System.labelled`) what it says of the training photographs is kept in the
            run's ``labels.safetensors``; that file of another run on the same photographs serves
            as well.
        on_line: told every line of the log, e.g. to print it.
        changes: other values for fields of the recipe or, in a new run, of the system's
            configuration, e.g. ``{"batch": 32}``.

    Returns:
        The averaged network, in evaluation mode.

    Raises:
        CheckpointError: nothing to resume, the folder holds a run already, the run does not fit
            the data or this version, a teacher is missing or not wanted, or the run diverged.
        DataError: the data cannot be used.
        UnknownModelError: no such system or preset.
        SettingError: there is no such setting to change, it does not take that value, or the
            length, the batch, the device or the photographs held back make no sense.
    """
    length = steps if minutes is None else minutes
    if length is None or (minutes is not None and steps is not None) or not length > 0:
        raise SettingError("say how long to train: either minutes or steps, above 0")
    if held_back is not None and held_back < 0:
        raise SettingError("held_back is a number of photographs, from 0")
    processes = Processes(device)
    run.mkdir(parents=True, exist_ok=True)

    # What the run is: its facts, its network, its photographs.
    saved: dict[str, dict[str, Tensor]] = {}
    if resume:
        if init is not None:
            raise CheckpointError("A resumed run has its start behind it: leave out --init.")
        facts, saved = load_checkpoint(run)
        seed, limit, held_back = facts["seed"], facts["limit"], facts["data"]["held_back"]
        emphasis = facts["data"].get("emphasis")
        system = rebuild(facts["system"], facts["config"])
        if fixed := set(facts["config"]) & set(changes or {}):
            raise SettingError(
                f"{', '.join(sorted(fixed))} belongs to the network and stays as the run began; "
                "start another run to change it."
            )
        (recipe,) = changed([_recipe(facts, run)], changes or {})
    else:
        if (run / FILE).exists():
            raise CheckpointError(
                f"{run} holds a run already: add --resume to go on with it, or name another folder."
            )
        torch.manual_seed(seed)
        system, recipe = build(system_name, preset, changes)
        facts = {"step": 0, "elapsed": 0.0, "photographs": 0, "start": "from nothing"}
        facts |= {"system": system_name, "preset": preset, "seed": seed, "limit": limit}
        facts |= {"config": asdict(system.config)}
        if init is not None:
            facts["start"] = _start(system, init)
        facts["begun"] = _fingerprint(system)
    if recipe.batch % processes.world:
        raise SettingError(
            f"a batch of {recipe.batch} cannot be shared by {processes.world} processes alike"
        )
    _try_sides(system, recipe)
    if system.hinted and teacher is None:
        raise CheckpointError(
            f"This {system.name} learns from what a classifier sees: give its weights with "
            "--teacher."
        )
    if teacher is not None and not (system.hinted or system.labelled):
        raise CheckpointError(
            f"This {system.name} learns neither labels nor hints: leave --teacher out, or give "
            "their loss a weight with --set."
        )
    facts |= {"recipe": asdict(recipe), "torch": torch.__version__}

    store = load_photos(data, short_side=recipe.kept, limit=limit, emphasis=emphasis, kept=decoded)
    keep_large_blocks()
    if held_back is None:
        held_back = min(1000, len(store) // 20)
    if len(store) - held_back < 1:
        raise DataError("No photograph is left to train on: give more, or hold back fewer.")
    if resume and len(store) - held_back != facts["data"]["photographs"]:
        raise CheckpointError(
            f"{run} was trained on {facts['data']['photographs']} photographs, and here are "
            f"{len(store) - held_back}: give the same --data, or start another run."
        )
    facts["data"] = {
        "photographs": len(store) - held_back,
        "held_back": held_back,
        "dropped": store.dropped,
        "sources": [Path(p).name for p in data],
    }
    if emphasis:
        facts["data"]["emphasis"] = dict(emphasis)
    half = _bfloat16_pays(processes.device)
    store, test_store = store.to(processes.device).split(held_back)
    if resume and "teacher" in facts and teacher is None:
        teacher = run / labels.FILE
    if system.hinted and teacher is not None:
        facts["teacher"] = f"features of {IMAGENET}"
        system.watch(Classifier.read(teacher).to(processes.device))
    elif teacher is not None:
        facts["teacher"] = f"soft labels of {IMAGENET}"
        store.labels = labels.soft_labels(store, teacher, half=half)
        if processes.rank == 0 and teacher != run / labels.FILE:
            labels.keep_labels(run, store, store.labels)
        store.labels = store.labels.to(processes.device)

    # The network in training, its running average, and the optimiser.
    if not resume:
        system.prepare(store.sample_ab(min(200_000, 50 * len(store)), seed))
        # What starts from nothing has nothing to keep by learning slowly.
        facts["factors"] = [1.0 if init is None else rate for _, rate in system.parameter_groups()]
    system.to(processes.device)
    for parameter in system.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    averaged = copy.deepcopy(system).eval().requires_grad_(False)
    for (parameters, _), factor in zip(system.parameter_groups(), facts["factors"], strict=True):
        for parameter in parameters:
            parameter.requires_grad_(factor > 0)
    optimiser = _optimiser(system, recipe, facts["factors"])
    opponent = None
    if system.critic is not None:
        own = Batches(store, recipe, seed + 1, processes.rank, processes.world)
        opponent = _Opponent(system, own, processes)
    if resume:
        try:
            system.load_state_dict(saved["model"])
            averaged.load_state_dict(saved["ema"])
            restore_optimiser(optimiser, saved["optimiser"])
            if opponent is not None:
                restore_optimiser(opponent.optimiser, saved.get("critic", {}))
        except (RuntimeError, KeyError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"{run} was trained with another version of {facts['system']} ({error}); "
                "go on with that version, or start another run."
            ) from error
    model: nn.Module = _Loss(system)
    if processes.world > 1:
        # In the stages of a run a loss may leave out parts of the network.
        model = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)

    batches = Batches(store, recipe, seed, processes.rank, processes.world)
    test = _test_crops(test_store, recipe.crop)
    journal = Journal(run, facts["step"], on_line) if processes.rank == 0 else None
    first_step = step = int(facts["step"])
    spent, started, seen = float(facts["elapsed"]), time.monotonic(), int(facts["photographs"])
    reported_step, last_report = -1, started
    remarked: set[str] = set()  # once each time it begins, not every time it is still so

    def elapsed() -> float:
        return spent + time.monotonic() - started

    def report(last: bool = False) -> None:
        nonlocal reported_step, last_report
        reported_step, last_report = step, time.monotonic()
        shown = seen + (step - first_step) * recipe.batch
        facts.update(step=step, elapsed=elapsed(), photographs=shown)
        if journal is None and not last:
            return
        _settle(averaged, batches, step)
        if last and len(test):
            averaged.calibrate(plain(part.float() / 255) for part in test.split(64))
        if journal is None:
            return
        if len(test):
            facts["test"] = _measure(averaged, test)
        parts = {"model": system.state_dict(), "ema": averaged.state_dict()}
        optimisers = {"optimiser": optimiser}
        if opponent is not None:
            optimisers["critic"] = opponent.optimiser
        save_checkpoint(run, facts, parts, optimisers)  # before whatever else could fail
        if len(test):
            journal.write("test", step, elapsed=facts["elapsed"], **facts["test"])
            contact_sheet(averaged, fixed_photos(test), run / "contact.png")

    with Interruption() as interruption:
        while True:
            progress = (step if minutes is None else elapsed() / 60) / length
            late = time.monotonic() - last_report >= 60 * report_minutes
            progress, stop, due = processes.agree(progress, interruption.asked, late)
            if progress >= 1 or stop:
                break
            if due and step > first_step:
                report()
            rate = _schedule(step, progress, recipe)
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * group["factor"] * rate

            # Dropout and the like depend on the step and the process alone.
            torch.manual_seed(seed + 7_919 * (step * processes.world + processes.rank))
            system.progress = progress
            played = opponent.play(step, half) if opponent is not None else {}
            batch = _shown(batches(step))
            with torch.autocast(processes.device.type, torch.bfloat16, enabled=half):
                terms = model(batch, step)
            terms["loss"].backward()
            norm = float(nn.utils.clip_grad_norm_(system.parameters(), recipe.clip))
            if not math.isfinite(norm):
                raise CheckpointError(
                    f"The gradient is {norm} at step {step}: the run diverged. Its last checkpoint "
                    "is whole; go on from it with --resume and a lower --learning-rate."
                )
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
            _average(averaged, system, min(recipe.ema, (1 + step) / (10 + step)))

            if journal is not None and (step % 20 == 0 or step == first_step + 1):
                speed = (step - first_step) * recipe.batch / (time.monotonic() - started)
                values = {k: float(v.detach()) for k, v in {**terms, **played}.items()}
                journal.write(
                    "step", step, elapsed=elapsed(), rate=rate, norm=norm, speed=speed, **values
                )
                remarks = system.remarks(values)
                for remark in remarks:
                    if remark.partition(":")[0] not in remarked:
                        journal.note(step, remark)
                remarked = {remark.partition(":")[0] for remark in remarks}
        if reported_step != step:
            report(last=True)
    if journal is not None:
        journal.close()
    processes.leave()
    interruption.pass_on()
    return averaged


def _start(system: System, init: Path) -> str:
    if init.is_dir():
        return _start_from_run(system, init)
    if init.suffix == ".onnx":
        # The runtime's packages are needed for this alone.
        from tintype.training.export import start_from_exported

        return start_from_exported(system, init)
    return system.initialise(init)


def _fingerprint(system: System) -> str:
    """Tells networks apart by the weights that would be exported."""
    digest = hashlib.sha256()
    for name, parameter in system.named_parameters():
        if system.exports(name):
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _recipe(facts: Mapping[str, Any], run: Path) -> Recipe:
    """The recipe that a checkpoint keeps."""
    try:
        return Recipe(**facts["recipe"])
    except TypeError as error:
        raise CheckpointError(
            f"{run} was trained with another version of tintype ({error}): go on with that one, or "
            "start another run."
        ) from error


def _start_from_run(system: System, run: Path) -> str:
    """Take another run's averaged weights, with what of them is never exported."""
    facts, parts = load_checkpoint(run)
    try:
        if facts["system"] != system.name:
            raise RuntimeError(f"it trained {facts['system']}")
        # A part that serves training alone may be missing on either side.
        known = system.state_dict()
        found = system.load_state_dict(parts["ema"], strict=False)
        own, its = ({k.partition(".")[0] for k in state} for state in (known, parts["ema"]))
        for name in (*found.missing_keys, *found.unexpected_keys):
            if system.exports(name) or name.partition(".")[0] in own & its:
                raise RuntimeError(f"not both have {name}")
    except RuntimeError as error:
        raise CheckpointError(
            f"{run} does not hold this {system.name} ({error}); give a run of the same preset."
        ) from error
    return f"{run.name} after {facts['step']} steps ({facts['start']})"


@torch.no_grad()
def _try_sides(system: System, recipe: Recipe) -> None:
    """Show the network squares of every side it will meet: not each of them fits every network."""
    system.eval()
    for side in {recipe.crop, *recipe.sides}:
        try:
            system.measure(plain(torch.full((1, 3, side, side), 0.5)))
        except RuntimeError as error:
            raise SettingError(
                f"{system.name} cannot be trained on squares of {side} pixels ({error}): "
                "set another crop, or other sides."
            ) from error
    system.train()


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether bfloat16 is quicker than float32; a CPU without AVX-512 takes ten times as long."""
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _optimiser(system: System, recipe: Recipe, factors: Sequence[float]) -> torch.optim.Optimizer:
    """AdamW, RMSProp or SGD; weight decay on matrices and kernels only."""
    groups = []
    for (parameters, _), factor in zip(system.parameter_groups(), factors, strict=True):
        for decayed in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decayed]
            decay = recipe.weight_decay if decayed else 0.0
            if chosen:
                groups.append({"params": chosen, "factor": factor, "weight_decay": decay})
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9)
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(groups, lr=recipe.learning_rate)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def _schedule(step: int, progress: float, recipe: Recipe) -> float:
    """Linear warm-up, the peak, and at the end half a cosine down to 1 % of it."""
    warm = min(1.0, (step + 1) / max(1, recipe.warmup))
    fall = 1.0 if progress >= 1 else max(0.0, progress - 1 + recipe.cooldown) / recipe.cooldown
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


@torch.no_grad()
def _average(averaged: System, system: System, decay: float) -> None:
    """Exponential moving average of the weights."""
    for mine, other in zip(averaged.parameters(), system.parameters(), strict=True):
        mine.lerp_(other, 1 - decay)


@torch.no_grad()
def _settle(averaged: System, batches: Batches, step: int, count: int = 32) -> None:
    """Measure the batch norms' statistics anew: the averaged weights have others than the last.

    Without it a network at a high learning rate scores far below what it knows.
    """
    norms = [m for m in averaged.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momentum = norms[0].momentum
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for k in range(count):
        batch = batches(max(0, step - 1 - k))
        averaged.loss(_shown(batch), step)
    for norm in norms:
        norm.momentum = momentum
    averaged.eval()


def _test_crops(store: PhotoStore, crop: int, most: int = 512) -> Tensor:
    """Central squares of the photographs held back, uint8 (N, 3, crop, crop)."""
    count = min(most, len(store))
    if count == 0:
        return torch.empty((0, 3, crop, crop), dtype=torch.uint8)
    middle = torch.full((count,), 0.5)
    return store.crops(torch.arange(count), middle, middle, crop)


@torch.no_grad()
def _measure(system: System, crops: Tensor, batch: int = 64) -> dict[str, float]:
    """Means of `System.measure` over the photographs held back, without augmentation.

    In float32, in which the network will be used: bfloat16 can hide that it is broken there.
    """
    total: dict[str, float] = {}
    for part in crops.split(batch):
        terms = system.measure(plain(part.float() / 255))
        for key, value in terms.items():
            total[key] = total.get(key, 0.0) + float(value) * len(part) / len(crops)
    return total
