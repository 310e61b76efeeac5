"""The training loop: batch, forward, backward, step, validate, save."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from tintype.errors import CheckpointError
from tintype.models.base import Batch, ColorModel, TrainConfig, average_gradients
from tintype.training.augment import Batches, to_batch
from tintype.training.checkpoint import restore_optimizer, save_checkpoint
from tintype.training.contact_sheet import contact_sheet, fixed_photos
from tintype.training.data import PhotoStore
from tintype.training.log import Log
from tintype.training.parallel import Interruption, Processes, bfloat16_pays
from tintype.training.run import Run, load_data, prepare
from tintype.training.stream import PhotoStream

_EXTRA_STREAM = 1 << 40  # first step number for the batches of a second network
_UPDATE_BN_BATCHES = 32
_VALIDATED = 512  # photographs in a validation, at most
_LONGEST_WARMUP = 0.1  # of a run, so that a short one learns too
_LEAST_WORK = 0.4  # share of the time that threads work; below it a note advises fewer


def train(run: Run, on_line: Callable[[str], None] | None = None) -> ColorModel:
    """Train a model for the run's minutes or steps, or until a signal stops it.

    The run's folder gets ``checkpoint.safetensors``, ``log.jsonl`` and ``contact.png``. On Ctrl-C,
    SIGTERM or a closed terminal a checkpoint is saved; then the signal has its usual effect. A run
    whose length is given in steps ends with the same weights however often it was interrupted, even
    by SIGKILL; a run in minutes depends on the clock.

    Args:
        run: options of the run.
        on_line: called with every line of the log, e.g. to print it.

    Returns:
        The model with averaged weights, in evaluation mode.

    Raises:
        CheckpointError: there is nothing to resume, the folder holds a run already, the run does
            not fit the data or this version, initial weights or a teacher do not fit, or the run
            diverged.
        DataError: the data cannot be used.
        UnknownModelError: there is no such model or preset.
        SettingError: a setting does not exist or is out of range.
    """
    processes = Processes(run.device)
    facts, config, saved = prepare(run)
    store, val_store = load_data(run, facts, config, processes)
    keep_large_blocks()
    trainer = Trainer(run, facts, config, saved, store, val_store, processes)
    log = Log(run.out, trainer.step, on_line) if processes.rank == 0 else None
    if log is not None and "labels" in facts and not run.resume:
        log.note(0, f"labels: {facts['labels']}")
    if log is not None and trainer.crops is None:
        log.note(
            trainer.step,
            "no photograph is held back: no validation and no contact sheet; "
            "--val-size 1 holds one back",
        )
    if log is not None and isinstance(store, PhotoStream):
        log.note(trainer.step, store.said())
    with Interruption() as interruption, closing(trainer.coming):
        trainer.fit(log, lambda: interruption.requested)
    if log is not None:
        log.close()
    processes.close()
    interruption.reraise()
    return trainer.averaged_model


class Trainer:
    """The state of a run: network, averaged weights, optimizer and step.

    Args:
        run: options of the run.
        facts, config, saved: from `prepare`.
        store, val_store: photographs for training and for validation.
        processes: processes that share the run.
    """

    def __init__(
        self,
        run: Run,
        facts: dict[str, Any],
        config: TrainConfig,
        saved: Mapping[str, dict[str, Tensor]],
        store: PhotoStore | PhotoStream,
        val_store: PhotoStore | PhotoStream,
        processes: Processes,
    ) -> None:
        self.run, self.facts, self.config, self.processes = run, facts, config, processes
        self.model = run.build_model(facts, config, store)
        self.model.to(processes.device)
        for parameter in self.model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.averaged = AveragedModel(self.model, multi_avg_fn=_ema_update(config.ema))
        self.averaged.eval().requires_grad_(False)
        self.optimizer = _optimizer(self.model, config, facts["lr_factors"])
        if saved:
            self._restore(saved)
        self.model.train()
        self.step = int(facts["step"])
        self.bfloat16 = bfloat16_pays(processes.device)
        self.batches = Batches(store, config, facts["seed"], processes.rank, processes.world_size)
        self.coming = self.batches.follow(self._coming_steps())
        count = min(_VALIDATED, len(val_store))
        middle = torch.full((count,), 0.5)
        self.crops = None
        if count:
            crops = val_store.crops(torch.arange(count), middle, middle, config.crop)
            self.crops = _resized(crops, max(config.crop_sizes, default=config.crop))
        self.started, self.spent = time.monotonic(), float(facts["elapsed"])
        self.cpu_started = time.process_time()
        self.first_step, self.warned = self.step, set()

    def fit(self, log: Log | None, stop_requested: Callable[[], bool]) -> None:
        """Take steps until the run's length is reached or a stop is requested."""
        saved_step, saved_at = -1, time.monotonic()
        while True:
            done = self.step / self.run.length(self.config)
            if self.run.minutes is not None:
                done = self.elapsed / 60 / self.run.minutes
            late = time.monotonic() - saved_at >= 60 * self.run.eval_minutes
            done, stop, late = self.processes.max_over_ranks(done, stop_requested(), late)
            if done >= 1 or stop:
                break
            if late and self.step > self.first_step:
                self.validate(log)
                saved_step, saved_at = self.step, time.monotonic()
            terms, norm, rate = self.take_step(done)
            early = self.step in (self.first_step + 1, 2, 5, 10)
            if log is not None and (early or self.step % 20 == 0):
                self.report(log, terms, norm, rate)
            if log is not None and self.step == self.first_step + 10:
                self.note_waiting(log)
        if saved_step != self.step:
            self.validate(log, last=True)

    @property
    def averaged_model(self) -> ColorModel:
        """Return the model with averaged weights."""
        return cast(ColorModel, self.averaged.module)

    @property
    def elapsed(self) -> float:
        """Return the seconds of training, including those before a resume."""
        return self.spent + time.monotonic() - self.started

    def take_step(self, done: float) -> tuple[dict[str, Tensor], float, float]:
        """Take one step at a share of the run; return loss terms, gradient norm and rate factor."""
        rate = lr_factor(self.step, done, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * group["factor"] * rate
        # Random choices in the network, such as dropout, depend on step and rank only.
        rank, world_size = self.processes.rank, self.processes.world_size
        torch.manual_seed(self.facts["seed"] + 7_919 * (self.step * world_size + rank))
        batches = self._next_batches()
        try:
            with torch.autocast(batches[0].gray.device.type, torch.bfloat16, enabled=self.bfloat16):
                terms = self.model.training_step(batches, self.step)
            terms["loss"].backward()
        except torch.OutOfMemoryError as error:
            raise CheckpointError(
                f"The GPU's memory is too small for batches of {self.config.batch}: give a smaller "
                "--batch, with --resume if the run was saved before."
            ) from error
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        average_gradients(trained)
        norm = float(nn.utils.clip_grad_norm_(trained, self.config.grad_clip or math.inf))
        if not math.isfinite(norm):
            raise CheckpointError(
                f"The gradient is {norm} at step {self.step}: the run diverged. Go on from its "
                "last checkpoint with --resume and a lower --learning-rate."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.model)
        self.step += 1
        return terms, norm, rate

    def _coming_steps(self) -> Iterator[int]:
        """Yield the numbers of the batches that the run needs from its step on."""
        step = self.step
        while True:
            count = self.model.batches_per_step(step)
            # The batches of a second network have step numbers far beyond those of the run.
            yield from (step, *(_EXTRA_STREAM + step * count + k for k in range(1, count)))
            step += 1

    def _next_batches(self) -> list[Batch]:
        drawn = [next(self.coming) for _ in range(self.model.batches_per_step(self.step))]
        layout = torch.channels_last
        return [b._replace(gray=b.gray.contiguous(memory_format=layout)) for b in drawn]

    def report(self, log: Log, terms: Mapping[str, Tensor], norm: float, rate: float) -> None:
        """Log a step, and the model's warnings when they appear first."""
        seconds = time.monotonic() - self.started
        speed = (self.step - self.first_step) * self.config.batch / seconds
        values = {name: float(value.detach()) for name, value in terms.items()}
        elapsed = self.elapsed
        log.write("train", self.step, elapsed=elapsed, rate=rate, norm=norm, speed=speed, **values)
        warnings = self.model.warnings(values)
        for warning in warnings:
            if warning.partition(":")[0] not in self.warned:
                log.note(self.step, warning)
        self.warned = {warning.partition(":")[0] for warning in warnings}

    def note_waiting(self, log: Log) -> None:
        """Log advice if the threads of this process mostly waited so far, on a CPU."""
        threads, seconds = torch.get_num_threads(), time.monotonic() - self.started
        share = (time.process_time() - self.cpu_started) / (threads * seconds)
        if share < _LEAST_WORK and threads > 1 and self.processes.device.type == "cpu":
            log.note(
                self.step,
                f"this run's {threads} threads worked {share:.0%} of the time. If other programs "
                "use this computer, one thread may be faster: stop the run, and go on with "
                "OMP_NUM_THREADS=1 and --resume",
            )

    def validate(self, log: Log | None, last: bool = False) -> None:
        """Validate the averaged model, and save the run; at the last call calibrate it too."""
        facts, averaged = self.facts, self.averaged_model
        facts |= {"step": self.step, "elapsed": self.elapsed}
        facts["photographs"] = self.step * self.config.batch
        if log is None and not last:
            return
        update_bn(averaged, self._recent_batches())
        if last and self.crops is not None:
            averaged.calibrate(to_batch(part.float() / 255) for part in self.crops.split(64))
        if log is None:
            return
        if self.crops is not None:
            facts["validation"] = _validation_metrics(averaged, self.crops)
        parts = {"model": self.model.state_dict(), "ema": averaged.state_dict()}
        optimizers = {"optimizer": self.optimizer, **self.model.extra_optimizers()}
        save_checkpoint(self.run.out, facts, parts, optimizers)  # before anything that may fail
        if self.crops is not None:
            log.write("validation", self.step, elapsed=facts["elapsed"], **facts["validation"])
            contact_sheet(averaged, fixed_photos(self.crops), self.run.out / "contact.png")

    def _recent_batches(self) -> Iterator[Batch]:
        return self.batches.follow(max(0, self.step - 1 - k) for k in range(_UPDATE_BN_BATCHES))

    def _restore(self, saved: Mapping[str, dict[str, Tensor]]) -> None:
        try:
            self.model.load_state_dict(saved["model"])
            self.averaged.module.load_state_dict(saved["ema"])
            cast(Tensor, self.averaged.n_averaged).fill_(self.facts["step"])
            restore_optimizer(self.optimizer, saved["optimizer"])
            for name, optimizer in self.model.extra_optimizers().items():
                restore_optimizer(optimizer, saved.get(name, {}))
        except (RuntimeError, KeyError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"{self.run.out} was trained with another version of {self.facts['name']} "
                f"({error}); go on with that version, or start another run."
            ) from error


@torch.no_grad()
def update_bn(model: ColorModel, batches: Iterator[Batch]) -> None:
    """Recompute the statistics of batch norms for averaged weights.

    Like torch's `update_bn`, but frozen norms do not change.
    """
    model.train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    for batch in batches if norms else ():
        model.loss(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _ema_update(ema: float) -> Callable[..., None]:
    """Return the update of an EMA whose decay is smaller in the first steps."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Any) -> None:
        decay = min(ema, (1 + int(count)) / (10 + int(count)))
        for mine, other in zip(averaged, current, strict=True):
            mine.lerp_(other, 1 - decay)

    return update


def _optimizer(
    model: ColorModel, config: TrainConfig, factors: list[float]
) -> torch.optim.Optimizer:
    """Return the configured optimizer, with weight decay on matrices and kernels only."""
    groups = []
    for (parameters, _), factor in zip(model.parameter_groups(), factors, strict=True):
        for parameter in parameters:
            parameter.requires_grad_(factor > 0)
        for decayed in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decayed]
            decay = config.weight_decay if decayed else 0.0
            if chosen:
                groups.append({"params": chosen, "factor": factor, "weight_decay": decay})
    rate, betas, eps = config.learning_rate, config.betas, config.eps
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adam": lambda: torch.optim.Adam(groups, rate, betas, eps, fused=True),
        "adamw": lambda: torch.optim.AdamW(groups, rate, betas, eps, fused=True),
        "adadelta": lambda: torch.optim.Adadelta(groups, rate),
        "rmsprop": lambda: torch.optim.RMSprop(groups, rate),
        "sgd": lambda: torch.optim.SGD(groups, rate, config.momentum),
    }
    return makers[config.optimizer]()


def lr_factor(step: int, done: float, config: TrainConfig) -> float:
    """Return the factor on the learning rate: warm-up, milestones, decay and cosine cooldown.

    Args:
        step: step of the run.
        done: completed share of the run, from 0 to 1.
        config: configuration with warmup, milestones, lr_decay and cooldown.
    """
    warm = max((step + 1) / max(1, config.warmup), done / _LONGEST_WARMUP)
    factor = min(1.0, warm) * config.lr_decay**step
    for milestone, scale in config.milestones:
        if step >= milestone:
            factor = scale * config.lr_decay**step
    if config.cooldown and done > 1 - config.cooldown:
        fall = min(1.0, (done - 1 + config.cooldown) / config.cooldown)
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall))
    return factor


def _resized(crops: Tensor, side: int) -> Tensor:
    """Return crops, uint8 (N, 3, S, S), of another side."""
    if crops.shape[-1] == side:
        return crops
    resized = F.interpolate(crops.float(), size=(side, side), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def _validation_metrics(model: ColorModel, crops: Tensor, batch: int = 64) -> dict[str, float]:
    """Return the mean of `ColorModel.validation_metrics` over validation crops.

    In float32, in which exported models run.
    """
    total: dict[str, float] = {}
    for part in crops.split(batch):
        for key, value in model.validation_metrics(to_batch(part.float() / 255)).items():
            total[key] = total.get(key, 0.0) + float(value) * len(part) / len(crops)
    return total


def keep_large_blocks() -> None:
    """Make glibc keep freed memory; without glibc do nothing.

    Every step allocates and frees the same large blocks. By default glibc returns them to the
    system, and page faults take half of the time of a step on a CPU.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, -1)
    except (OSError, AttributeError):
        pass
