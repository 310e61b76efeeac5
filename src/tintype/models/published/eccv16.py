"""The released network of Zhang, Isola and Efros 2016 (arXiv 1603.08511) as a `Cic`.

`models/cic.py` is the same network, so that training can go on from it. There are two releases: the
one for PyTorch takes the mean of the predicted distribution, the one for Caffe its annealed mean at
a temperature of 0.38. Both decodings are fixed, so neither model takes a vividness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tintype.color.bins import ab_bins
from tintype.errors import UnimportableError
from tintype.models.cic import Cic, CicConfig, Decoding
from tintype.models.published.state import State, load_state, sizes

_CAFFE_SCALE = 2.606  # factor on the logits before the softmax
_BINS_TOLERANCE = 1e-3  # of the weights that hold the bins, in units of 110
_BLOCK_8 = {"enlarge": "0", "fine.0": "2", "fine.1": "4", "classify": "6"}
_CONVS = (2, 2, 3, 3, 3, 3, 3)  # of blocks 1 to 7


class Eccv16(Cic):
    """The network with the decoding it was published with.

    Args:
        config: sizes of the network.
        temperature: temperature of the annealed mean; 1 is the mean.
        resample: how its authors resize a photograph to the network's size.
    """

    def __init__(self, config: CicConfig, temperature: float, resample: str) -> None:
        super().__init__(config)
        self.decoding = Decoding((0.0, 0.0), (temperature, temperature))
        self.resample = resample

    def card(self) -> dict[str, Any]:
        """Return the input rule of the published code; nothing is left to choose."""
        fields = super().card()
        size = {**fields["size"], "shape": "square", "resample": self.resample}
        said = "Zhang et al. 2016, as published: a classifier of colors."
        return {**fields, "description": said, "size": size, "enlarge": "guided", "options": {}}


def from_pytorch(state: State) -> Eccv16:
    """Return the network of the state dict published for PyTorch.

    Raises:
        UnimportableError: it is of another network, or has other bins.
    """
    state = dict(state)
    out = state.pop("model_out.weight", torch.zeros(0))
    bins = torch.from_numpy(ab_bins().copy()).T / 110
    if (
        out.numel() != bins.numel()
        or not (out.flatten() - bins.flatten()).abs().max() <= _BINS_TOLERANCE
    ):
        raise UnimportableError("its model_out.weight does not hold the 313 bins of the paper")
    return _loaded(state, 1.0, 256, "bicubic")


def from_caffe(layers: Mapping[str, Sequence[Tensor]]) -> Eccv16:
    """Return the network of the file published for Caffe.

    Args:
        layers: blobs by the name of the layer; layers that the network does not have are ignored.

    Raises:
        UnimportableError: a layer is missing or has another shape.
    """
    names = {"conv8_1": "model8.0", "conv8_2": "model8.2", "conv8_3": "model8.4"}
    names["conv8_313"] = "model8.6"
    norms = {}
    for block, count in enumerate(_CONVS, start=1):
        for k in range(count):
            first = "bw_" if (block, k) == (1, 0) else ""
            names[f"{first}conv{block}_{k + 1}"] = f"model{block}.{2 * k}"
        norms[f"conv{block}_{count}norm"] = f"model{block}.{2 * count}"
    state = {}
    for layer, own in (*names.items(), *norms.items()):
        blobs, count = layers.get(layer, ()), 3 if layer in norms else 2
        if len(blobs) != count:
            raise UnimportableError(f"its layer {layer} has {len(blobs)} of {count} blobs")
        if layer in names:
            state[f"{own}.weight"], state[f"{own}.bias"] = blobs[0], blobs[1].flatten()
            continue
        mean, variance, factor = (blob.flatten() for blob in blobs)
        scale = 1 / factor[0] if factor.numel() == 1 and factor[0] != 0 else 0.0
        state |= {f"{own}.running_mean": mean * scale, f"{own}.running_var": variance * scale}
        state |= {f"{own}.weight": torch.ones_like(mean), f"{own}.bias": torch.zeros_like(mean)}
    # Caffe's input is L - 50, ours (L - 50) / 100.
    state["model1.0.weight"] = 100 * state["model1.0.weight"]
    return _loaded(state, 1 / _CAFFE_SCALE, 224, "bilinear")


def published_keys() -> list[str]:
    """Return the keys of the file published for PyTorch."""
    with torch.device("meta"):
        own = Cic(CicConfig(maps=1)).state_dict()
    buffers = ("weights", "corrected_weights")
    return ["model_out.weight", *(_published(key) for key in own if key not in buffers)]


def _published(own: str) -> str:
    """Return the published key of a key of `Cic`."""
    for name, key in _BLOCK_8.items():
        if own.startswith(f"{name}."):
            return f"model8.{key}.{own.removeprefix(f'{name}.')}"
    if own.startswith("blocks."):
        block, _, rest = own.removeprefix("blocks.").partition(".")
        return f"model{int(block) + 1}.{rest}"
    return own


def _loaded(state: State, temperature: float, side: int, resample: str) -> Eccv16:
    maps = sizes(state, "model1.0.weight", 4)[0]
    with torch.device("meta"):
        model = Eccv16(CicConfig(maps=maps, input_side=side), temperature, resample)
    ones = torch.ones(len(ab_bins()))
    weights = {"weights": ones, "corrected_weights": ones.clone()}
    load_state(model, {**state, **weights}, _published)
    return model
