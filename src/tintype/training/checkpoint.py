"""Checkpoints: one safetensors file that holds a whole run, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tintype.errors import CheckpointError

FILE = "checkpoint.safetensors"


def save_checkpoint(
    run: Path,
    facts: dict[str, Any],
    parts: dict[str, dict[str, Tensor]],
    optimisers: dict[str, torch.optim.Optimizer],
) -> None:
    """Write ``run/checkpoint.safetensors`` atomically.

    Args:
        run: folder of the run.
        facts: everything that is no tensor (step, recipe, system...), as JSON can hold it.
        parts: state dicts by name, e.g. ``{"model": ..., "ema": ...}``.
        optimisers: by name; their per-parameter tensors are saved, and their settings follow from
            the recipe and the system.
    """
    tensors = {f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"{name}.{index}.{key}"] = torch.as_tensor(value)
    # Saved from the CPU and unshared: safetensors refuses memory that two tensors share.
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    # One name for all: what a kill leaves behind, the next save replaces.
    temporary = run / f".{FILE}"
    try:
        save_file(tensors, temporary, {"facts": json.dumps(facts)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, run / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(run: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """The facts and the state dicts of a run; those of optimisers under their names, flat.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = run / FILE
    if not path.exists():
        raise CheckpointError(
            f"{run} holds no {FILE}: nothing to resume or export; "
            "start a run there without --resume."
        )
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["facts"])
            parts: dict[str, dict[str, Tensor]] = {}
            for name in file.keys():  # noqa: SIM118 (not a dict)
                part, key = name.split(".", 1)
                parts.setdefault(part, {})[key] = file.get_tensor(name)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); restore it from a copy or start the run again."
        ) from error
    return facts, parts


def restore_optimiser(optimiser: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Put tensors saved by `save_checkpoint` back into a freshly made optimiser."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, key = name.split(".", 1)
        like = parameters[int(index)]
        if value.shape == like.shape:
            # The fused kernels walk parameter and state in memory order: strides must agree.
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[key] = value
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)
