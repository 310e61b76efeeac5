"""Read published weights from files that the user supplies."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from tintype.errors import DataError


def read_state_dict(path: Path, expected: str) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` or torch (``.pth``, ``.pt``) file, by name.

    Of a torch file only tensors are read; no code in it is run.

    Args:
        path: the file.
        expected: which file is needed and where to get it, for the error.

    Raises:
        DataError: it is missing, damaged, or not a file of tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
    except Exception:  # torch raises almost any error for a damaged file
        reason = "it is damaged, or holds no table of tensors"
    raise DataError(f"{path} cannot be used ({reason}); needed: {expected}.")


def load_state_dict(
    network: nn.Module, weights: dict[str, Tensor], path: Path, expected: str
) -> None:
    """Load weights into a network by name and freeze it; extra tensors are ignored.

    Args:
        network: the network.
        weights: tensors by name.
        path: the file they are from, for the error.
        expected: which file is needed and where to get it, for the error.

    Raises:
        DataError: a tensor is missing or of another shape.
    """
    own = network.state_dict()
    # Files from before torch 0.4.1 lack the counters of batch norms, which nothing here uses.
    missing = [k for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    other = [k for k in own if k in weights and weights[k].shape != own[k].shape]
    if missing or other:
        name = (missing or other)[0]
        reason = "is missing" if missing else f"is {tuple(weights[name].shape)} there"
        raise DataError(f"{path} holds another network ({name} {reason}); needed: {expected}.")
    network.load_state_dict({k: weights[k].float() for k in own if k in weights}, strict=False)
    network.eval().requires_grad_(False)
