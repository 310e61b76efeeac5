"""Norms of published weights are multiplied in as torch's own hooks would."""

import pytest
import torch
from torch import nn

from tintype.errors import UnimportableError
from tintype.models.published.state import fold_norms, sizes


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@torch.no_grad()
@pytest.mark.parametrize("layer", [nn.Conv2d(5, 7, 3), nn.Conv1d(5, 2, 1), nn.Linear(4, 3)])
def test_spectral_and_weight_norms(layer):
    spectral = nn.utils.spectral_norm(layer)
    shape = {"Conv2d": (1, 5, 6, 6), "Conv1d": (1, 5, 6), "Linear": (1, 4)}[type(layer).__name__]
    x = torch.randn(shape)
    spectral(x)  # finds vectors
    state = {f"a.{key}": value.clone() for key, value in spectral.state_dict().items()}
    folded = fold_norms(state)
    assert folded.keys() == {"a.weight", "a.bias"}
    torch.testing.assert_close(spectral.eval()(x), _applied(layer, folded, x))

    normed = nn.utils.weight_norm(nn.utils.remove_spectral_norm(spectral))
    normed.weight_g.mul_(1.5)
    state = {f"a.{key}": value.clone() for key, value in normed.state_dict().items()}
    torch.testing.assert_close(normed(x), _applied(layer, fold_norms(state), x))


def _applied(layer, state, x):
    weight, bias = state["a.weight"], state["a.bias"]
    kinds = {2: nn.functional.linear, 3: nn.functional.conv1d, 4: nn.functional.conv2d}
    return kinds[weight.ndim](x, weight, bias)


def test_norms_that_are_none():
    state = {"a.weight_orig": torch.ones(2, 3), "a.weight_u": torch.ones(2)}
    with pytest.raises(UnimportableError, match=r"a\.weight lacks its vectors"):
        fold_norms(state)
    with pytest.raises(UnimportableError, match="lacks its vectors"):
        fold_norms({**state, "a.weight_v": torch.ones(4)})
    with pytest.raises(UnimportableError, match="is 0: download it again"):
        fold_norms({**state, "a.weight_v": torch.zeros(3)})
    with pytest.raises(UnimportableError, match="a length of 0"):
        fold_norms({"a.weight_v": torch.zeros(2, 3), "a.weight_g": torch.ones(2, 1)})
    with pytest.raises(UnimportableError, match="not one of rank 4"):
        sizes({"a": torch.ones(2)}, "a", 4)


def test_weights_without_norms_are_left_alone():
    state = {
        "a.weight": torch.ones(2, 3),
        "gru.weight_v": torch.ones(1),
        "b.weight_u": torch.ones(1),
    }
    assert fold_norms(state).keys() == state.keys()
