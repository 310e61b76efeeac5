"""``tintype train``: train a model; needs the ``train`` extra."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tintype.cli import UsageError
from tintype.cli.console import needs_extra
from tintype.cli.options import Count, Flag, FromZero, Positive, Whole
from tintype.runtime.registry import find_model

if TYPE_CHECKING:
    from tintype.training.run import Run

_Words = Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")]


def train(
    name: str,
    /,
    *,
    data: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    out: Path,
    preset: str = "small",
    minutes: Positive | None = None,
    steps: Annotated[Count | None, Parameter(show_default=lambda _: "the preset's")] = None,
    resume: Flag = False,
    init: str | None = None,
    seed: Whole = 0,
    batch: Count | None = None,
    learning_rate: Positive | None = None,
    val_size: FromZero | None = None,
    limit: Count | None = None,
    sampling_weights: _Words = (),
    eval_minutes: Positive = 5.0,
    device: str | None = None,
    teacher: Path | None = None,
    store: Path | None = None,
    memory: Annotated[
        str | None, Parameter(show_default=lambda _: "two thirds of what is free")
    ] = None,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> int:
    """Train all parts of a model, for a time or for a number of steps.

    Args:
        name: the model, e.g. tint or pixcolor.
        data: folders of colour photographs, tar shards of them, or manifests.
        out: the folder of the run, for its checkpoint, log and contact sheet.
        preset: the sizes of the network and its training: paper, small or test.
        minutes: train for this many minutes, those before a --resume included; start-up and the
            last saving are not counted.
        steps: train for this many steps, those before a --resume included.
        resume: continue the run in --out.
        init: start from a model of the same system and preset, by its name (tint.small) or file
            (.onnx), from the folder of another run of it, or from a backbone's weights
            (.safetensors or .pth).
        seed: seed of every random choice.
        batch: photographs per step, instead of the preset's number.
        learning_rate: learning rate, instead of the preset's.
        val_size: number of photographs to validate on and never train on; a
            twentieth, at most 1,000, if not given.
        limit: use this many photographs only.
        sampling_weights: FOLDER=WEIGHT: draw photographs of a folder inside the data, or inside a
            shard, WEIGHT times as often as the others; a resumed run keeps its own weights.
        eval_minutes: validate, draw the contact sheet and save every so many minutes.
        device: the torch device, e.g. cpu or cuda; if not given, CUDA where there is a GPU.
        teacher: weights of an ImageNet classifier (.safetensors), for models that learn its labels
            instead of those of class folders; or the labels.safetensors of a run on the same
            photographs.
        store: a file for the decoded photographs, made once and mapped into memory by later runs.
        memory: SIZE, e.g. 12G, for decoded photographs; more than fit there, or on the disk of
            --store, are streamed: decoded anew in each epoch, by processes of their own.
        set: NAME=VALUE for another field of the preset, e.g. ema=0.99; may be repeated.
    """
    if minutes is not None and steps is not None:
        raise UsageError("give either --minutes or --steps, not both")
    changes = {"batch": batch, "learning_rate": learning_rate}
    options = {"preset": preset, "minutes": minutes, "steps": steps, "resume": resume}
    options |= {
        "init": None if init is None else _start(init),
        "seed": seed,
        "val_size": val_size,
        "limit": limit,
    }
    options |= {"eval_minutes": eval_minutes, "device": device, "teacher": teacher, "store": store}
    options["memory"] = memory
    _train(name, data, out, options, changes, sampling_weights, set)
    return 0


def _start(name: str) -> Path:
    """Return the path of initial weights; of an installed model that of its card."""
    path = Path(name)
    weights = path.suffix in (".onnx", ".json", ".safetensors", ".pth", ".pt")
    return path if weights or path.exists() or path.name != name else find_model(name).path


def _train(
    name: str,
    data: list[Path],
    out: Path,
    options: dict[str, Any],
    changes: dict[str, Any],
    sampling_weights: tuple[str, ...],
    settings: tuple[str, ...],
) -> None:
    """Parse the options that need torch, and train."""

    def show(line: str) -> None:
        with contextlib.suppress(OSError):  # a closed terminal must not end the run
            print(line, file=sys.stderr)

    changes = {key: value for key, value in changes.items() if value is not None}
    with needs_extra("train", "training", ("torch", "safetensors")):
        from tintype.training.room import read_size
        from tintype.training.run import Run, read_sampling_weights, read_settings
        from tintype.training.train import train as start

        options["memory"] = options["memory"] and read_size(options["memory"])
        run = Run(
            name,
            data,
            out,
            **options,
            sampling_weights=read_sampling_weights(sampling_weights),
            changes={**changes, **read_settings(settings)},
            command=shlex.join(["tintype", *sys.argv[1:]]),
        )
        show("tintype: loading the photographs; then come the first steps and every 20th")
        start(run, show)
    print(_sum_up(run))


def _sum_up(run: Run) -> str:
    """Say what a run has come to, and what comes next."""
    from tintype.models import model_class
    from tintype.training.checkpoint import read_facts

    facts = read_facts(run.out)
    presets = model_class(facts.get("name", run.name)).presets  # a resumed run has its own
    step, usual = facts.get("step", 0), presets[facts.get("preset", run.preset)][1].steps
    done = f"{step:,} steps in {facts.get('elapsed', 0):,.0f} s"
    if step < usual / 10:
        done += f" (of {usual:,} that the preset takes: expect little)"
    export = ["tintype", "export", str(run.out), "--name", f"{run.name}.mine", "--out", "my-models"]
    return f"{done}; wrote {run.out}; next: {shlex.join(export)}"
