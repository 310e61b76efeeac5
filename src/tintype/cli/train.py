"""``tintype train``: train a system; needs the ``train`` extra."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tintype.cli import UsageError
from tintype.cli.console import needs_extra
from tintype.cli.options import Count, Flag, FromZero, Positive, Whole


def train(
    system: str,
    /,
    *,
    data: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    out: Path,
    preset: str = "small",
    minutes: Positive | None = None,
    steps: Count | None = None,
    resume: Flag = False,
    init: Path | None = None,
    seed: Whole = 0,
    batch: Count | None = None,
    learning_rate: Positive | None = None,
    held_back: FromZero | None = None,
    limit: Count | None = None,
    emphasis: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    report_minutes: Positive = 5.0,
    device: str | None = None,
    teacher: Path | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> int:
    """Train a system, for a time or for a number of steps.

    Args:
        system: the system, e.g. tint.
        data: folders of colour photographs, tar shards of them, or manifests.
        out: the folder of the run, for its checkpoint, log and contact sheet.
        preset: the sizes to train: paper, small or test.
        minutes: train for this long.
        steps: train for so many steps.
        resume: go on with the run in --out.
        init: start from an exported model (.onnx) of the same system and preset, from the folder of
            another run of it, or from other weights (safetensors) that the system knows how to
            start from.
        seed: of every random choice.
        batch: photographs per step, instead of the preset's.
        learning_rate: the peak rate, instead of the preset's.
        held_back: photographs to measure on and never train on; a twentieth if not given.
        limit: use so many photographs only.
        emphasis: FOLDER=FACTOR for folders inside the data (of a shard, inside it) whose
            photographs are to be drawn so many times as often as the others; a resumed run keeps
            its own.
        report_minutes: measure, draw the contact sheet and save this often.
        device: cpu, cuda or the like; CUDA if not given, where there is one.
        teacher: weights of an ImageNet classifier (safetensors), whose labels or hints a system
            learns that has a loss for them; or the labels.safetensors of a run on the same
            photographs.
        set: NAME=VALUE for another field of the preset, e.g. ema=0.99; may be repeated.
    """
    if (minutes is None) == (steps is None):
        raise UsageError("say how long to train: either --minutes or --steps")

    def show(line: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be closed: the run is to be saved yet
            print(line, file=sys.stderr)

    changes = {"batch": batch, "learning_rate": learning_rate}
    changes = {name: value for name, value in changes.items() if value is not None}
    with needs_extra("train", "training", ("torch", "safetensors")):
        from tintype.training.loop import train as run
        from tintype.training.settings import read_emphasis, read_settings

        run(
            system,
            data,
            out,
            preset=preset,
            minutes=minutes,
            steps=steps,
            resume=resume,
            init=init,
            seed=seed,
            held_back=held_back,
            limit=limit,
            emphasis=read_emphasis(emphasis),
            report_minutes=report_minutes,
            device=device,
            teacher=teacher,
            on_line=show if sys.stderr.isatty() else None,
            changes={**changes, **read_settings(set)},
        )
    return 0
