"""Published state dicts: fold their norms, compare their keys, load them completely."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tintype.errors import UnimportableError

State: TypeAlias = dict[str, Tensor]

_COUNTER = "num_batches_tracked"
_FOLDED = {"u": "orig", "v": "orig", "g": "v"}  # part of a norm -> the part it is folded with
_NAMED = 3  # number of keys that an error names


def fold_norms(state: State) -> State:
    """Return a state dict whose spectral and weight norms are multiplied into the weights.

    Spectral norm (Miyato et al. 2018) as torch stores it: w / (u . W v), with W flattened to
    (outputs, -1) and the stored u and v. Weight norm: g v / |v|, for each output.

    Raises:
        UnimportableError: a norm is 0 or not finite, or its vectors do not fit.
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
                raise UnimportableError(
                    f"its weight norm {own} has a length of 0: download it again"
                )
            folded[own] = value / length * state[f"{own}_g"].reshape(length.shape)
        elif f"{own}_{_FOLDED.get(part)}" not in state:
            folded[key] = value
    return folded


def _sigma(state: State, own: str, weight: Tensor) -> Tensor:
    """Return the spectral norm of a weight."""
    u, v = state.get(f"{own}_u"), state.get(f"{own}_v")
    matrix = weight.flatten(1)
    if u is None or v is None or (u.numel(), v.numel()) != matrix.shape:
        raise UnimportableError(f"the spectral norm of {own} lacks its vectors: download it again")
    sigma = torch.dot(u.flatten(), matrix @ v.flatten())
    if not (sigma.isfinite() and sigma != 0):
        raise UnimportableError(
            f"the spectral norm of {own} is {float(sigma):g}: download it again"
        )
    return sigma


def differences(given: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return the differences of two sets of keys in words, counters of batches ignored."""
    mine, theirs = (
        {key for key in keys if not key.endswith(_COUNTER)} for keys in (given, expected)
    )
    return [f"lacks {key}" for key in sorted(theirs - mine)] + [
        f"has {key}" for key in sorted(mine - theirs)
    ]


def load_state(
    model: nn.Module, state: State, published: Callable[[str], str] = lambda own: own
) -> None:
    """Load a state dict that must hold every value of a network, and nothing else; freeze it.

    Args:
        model: the network; it may have been built on the device "meta".
        state: values by their published keys; counters of batches may be missing.
        published: returns the published key of one of the network's own.

    Raises:
        UnimportableError: a key is missing or left over, or a shape differs.
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


def count_parts(state: State, prefix: str) -> int:
    """Return how many numbered parts a state dict has after a prefix."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})


def sizes(state: State, key: str, rank: int) -> tuple[int, ...]:
    """Return the shape of a value, which tells sizes of the network.

    Raises:
        UnimportableError: it is missing, or of another rank.
    """
    if key not in state:
        raise UnimportableError(f"it lacks {key}")
    shape = tuple(state[key].shape)
    if len(shape) != rank or 0 in shape:
        raise UnimportableError(f"its {key} has the shape {shape}, not one of rank {rank}")
    return shape
