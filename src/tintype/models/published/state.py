"""Published state dicts: fold their norms, and load them completely."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tintype.errors import UnimportableError

State: TypeAlias = dict[str, Tensor]

_COUNTER = "num_batches_tracked"
_FOLDED = {"u": "orig", "v": "orig", "g": "v"}  # part of a norm -> the part it is folded into
_NAMED = 3  # keys named in an error message


def fold_norms(state: State) -> State:
    """Return a state dict with spectral and weight norms folded into the weights.

    Spectral norm (Miyato et al. 2018, arXiv 1802.05957) as torch stores it: W / (u . W v), W
    flattened to (outputs, -1). Weight norm (Salimans and Kingma 2016, arXiv 1602.07868): g v / |v|
    per output.

    Raises:
        UnimportableError: a norm is 0, not finite, or its vectors do not fit.
    """
    folded = {}
    for key, value in state.items():
        name, _, part = key.rpartition(".weight_")
        own = f"{name}.weight"
        if part == "orig":
            folded[own] = value / _sigma(state, own, value)
        elif part == "v" and f"{own}_g" in state:
            length = value.flatten(1).norm(dim=1).reshape(-1, *[1] * (value.ndim - 1))
            if not (length > 0).all():
                raise UnimportableError(f"its weight norm {own} has a length of 0: get it again")
            folded[own] = value / length * state[f"{own}_g"].reshape(length.shape)
        elif f"{own}_{_FOLDED.get(part)}" not in state:
            folded[key] = value
    return folded


def _sigma(state: State, own: str, weight: Tensor) -> Tensor:
    u, v = state.get(f"{own}_u"), state.get(f"{own}_v")
    matrix = weight.flatten(1)
    if u is None or v is None or (u.numel(), v.numel()) != matrix.shape:
        raise UnimportableError(f"the spectral norm of {own} lacks its vectors: get it again")
    sigma = torch.dot(u.flatten(), matrix @ v.flatten())
    if not (sigma.isfinite() and sigma != 0):
        raise UnimportableError(f"the spectral norm of {own} is {float(sigma):g}: get it again")
    return sigma


def differences(given: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return descriptions of the keys in which two state dicts differ, without batch counters."""
    mine, theirs = (
        {key for key in keys if not key.endswith(_COUNTER)} for keys in (given, expected)
    )
    return [f"lacks {key}" for key in sorted(theirs - mine)] + [
        f"has {key}" for key in sorted(mine - theirs)
    ]


def load_state(
    model: nn.Module, state: State, published: Callable[[str], str] = lambda own: own
) -> None:
    """Load a state dict into a network; keys and shapes must match exactly.

    Args:
        model: the network; it may be on the device "meta".
        state: tensors by published key; batch counters may be missing.
        published: returns the published key for a key of the network.

    Raises:
        UnimportableError: keys are missing or left over, or a shape differs.
    """
    own = model.state_dict()
    if wrong := differences(state, map(published, own)):
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise UnimportableError(f"it {', '.join(wrong[:_NAMED])}{more}")
    loaded = {}
    for key, value in own.items():
        if key.endswith(_COUNTER):
            loaded[key] = torch.zeros((), dtype=torch.int64)
            continue
        found = state[published(key)]
        if found.shape != value.shape:
            shapes = f"{tuple(found.shape)}, not {tuple(value.shape)}"
            raise UnimportableError(f"its {published(key)} has the shape {shapes}")
        loaded[key] = found
    model.load_state_dict(loaded, strict=False, assign=True)
    model.eval().requires_grad_(False)


def sizes(state: State, key: str, rank: int) -> tuple[int, ...]:
    """Return the shape of a tensor, from which the sizes of a network are read.

    Raises:
        UnimportableError: it is missing, empty, or of another rank.
    """
    if key not in state:
        raise UnimportableError(f"it lacks {key}")
    shape = tuple(state[key].shape)
    if len(shape) != rank or 0 in shape:
        raise UnimportableError(f"its {key} has the shape {shape}, not one of rank {rank}")
    return shape
