"""State dicts as they are published: what is folded in them, and loading them without a rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tintype.errors import UnimportableError

State: TypeAlias = dict[str, Tensor]

_COUNTER = "num_batches_tracked"
_FOLDED = {"u": "orig", "v": "orig", "g": "v"}  # beside which a part is folded
_NAMED = 3  # keys that an error names


def fold_norms(state: State) -> State:
    """Return a state dict whose spectral and weight norms are multiplied into the weights.

    Spectral norm (Miyato et al. 2018) as torch keeps it: w / (u . W v), W flattened to
    (outputs, -1), u and v as they were stored. Weight norm: g v / |v|, of each output.

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
    """Return what keys two state dicts do not share, as words; counters of batches do not count."""
    mine, theirs = (
        {key for key in keys if not key.endswith(_COUNTER)} for keys in (given, expected)
    )
    return [f"lacks {key}" for key in sorted(theirs - mine)] + [
        f"has {key}" for key in sorted(mine - theirs)
    ]


def load_state(
    model: nn.Module, state: State, published: Callable[[str], str] = lambda own: own
) -> None:
    """Give a network a state dict: every value it has, and nothing else.

    Args:
        model: it may have been built on the device "meta".
        state: under its published keys; counters of batches may be absent.
        published: the published key of one of the network's own.

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
    """Return the shape of a value, from which the widths of a network are read.

    Raises:
        UnimportableError: it is missing, or of another rank.
    """
    if key not in state:
        raise UnimportableError(f"it lacks {key}")
    shape = tuple(state[key].shape)
    if len(shape) != rank or 0 in shape:
        raise UnimportableError(f"its {key} has the shape {shape}, not one of rank {rank}")
    return shape
