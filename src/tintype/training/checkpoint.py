"""Save and load checkpoints; a run is one safetensors file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tintype.errors import CheckpointError
from tintype.models.base import ColorModel

FILE = "checkpoint.safetensors"

# Facts that every checkpoint must have, with their types.
_FACTS: dict[str, Any] = {
    **dict.fromkeys(("name", "start"), str),
    **dict.fromkeys(("config", "train_config", "data"), dict),
    **dict.fromkeys(("commands", "lr_factors"), list),
    **dict.fromkeys(("step", "seed"), int),
    "elapsed": (int, float),
}


def save_checkpoint(
    run: Path,
    facts: dict[str, Any],
    parts: dict[str, dict[str, Tensor]],
    optimizers: dict[str, torch.optim.Optimizer],
) -> None:
    """Write ``run/checkpoint.safetensors`` atomically.

    Args:
        run: folder of the run.
        facts: metadata of the run (step, configuration, name, ...) that JSON can hold.
        parts: state dicts by name, e.g. ``{"model": ..., "ema": ...}``.
        optimizers: optimizers by name; their state is saved, not their hyperparameters, which
            follow from the configuration.
    """
    tensors = {f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"{name}.{index}.{key}"] = torch.as_tensor(value)
    # Cloned on the CPU, because safetensors refuses tensors that share memory.
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    # A fixed name, so that the next save replaces what a killed run leaves behind.
    temporary = run / f".{FILE}"
    try:
        text = json.dumps(facts)
        save_file(tensors, temporary, {"facts": text, "sha256": _checksum(tensors, text)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, run / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def read_facts(run: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its run, without its tensors; {} where there is none."""
    try:
        with safe_open(run / FILE, "pt") as file:
            return json.loads(file.metadata()["facts"])
    except (OSError, SafetensorError, LookupError, TypeError, ValueError):
        return {}


def load_checkpoint(run: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read a checkpoint; return its facts, and its state dicts by name.

    The states of optimizers are flat dicts under the names of the optimizers.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
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
            tensors = {f"{p}.{k}": v for p, part in parts.items() for k, v in part.items()}
            if file.metadata()["sha256"] != _checksum(tensors, file.metadata()["facts"]):
                raise ValueError("its checksum does not fit")
        if "ema" not in parts:
            raise ValueError("it holds no averaged weights")
        for name, kind in _FACTS.items():
            if not isinstance(facts.get(name), kind) or isinstance(facts[name], bool):
                raise ValueError(f"it holds no {name}")
    except (SafetensorError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); restore it from a copy or start the run again."
        ) from error
    return facts, parts


def _checksum(tensors: Mapping[str, Tensor], facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Load the flat state of an optimizer, as from `load_checkpoint`, into a new optimizer."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, key = name.split(".", 1)
        like = parameters[int(index)]
        if value.shape == like.shape:
            # Fused optimizers need the same strides in parameter and state.
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[key] = value
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)


def fingerprint(model: ColorModel) -> str:
    """Return the SHA-256 of the weights that are exported, to identify initial weights."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if model.is_exported(name):
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
