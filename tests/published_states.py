"""State dicts as others publish them, of narrow networks with random weights."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.color.bins import ab_bins
from tintype.models.cic import Cic, CicConfig
from tintype.models.published import eccv16
from tintype.models.published.ddcolor import DDColor, DDColorConfig
from tintype.models.published.deoldify import DeOldify, DeOldifyConfig
from tintype.models.published.siggraph17 import Siggraph17, Siggraph17Config


def randomized(model: nn.Module) -> nn.Module:
    """The network with weights that are no start's, the same each time, exact in float16."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        drawn = torch.randn(value.shape, generator=generator)
        if value.ndim > 1:
            drawn *= (2 / value[0].numel()) ** 0.5
        elif name.endswith(("running_var", "weight", "gamma")):
            drawn = 0.75 + 0.5 * torch.rand(value.shape, generator=generator)
        else:
            drawn *= 0.1
        value.copy_(drawn.half())
    return model.eval()


@functools.cache
def _cic(maps: int) -> nn.Module:
    return randomized(Cic(CicConfig(maps=maps)))


def eccv16_state(maps: int = 4) -> dict[str, Tensor]:
    """The file that Zhang et al. published for PyTorch, narrower."""
    own = {key: value.clone() for key, value in _cic(maps).state_dict().items()}
    state = {
        eccv16._published(key): value
        for key, value in own.items()
        if key not in ("weights", "corrected_weights")
    }
    state["model_out.weight"] = torch.from_numpy(ab_bins().copy()).T.reshape(2, -1, 1, 1) / 110
    return state


def siggraph17_state(maps: int = 4) -> dict[str, Tensor]:
    """The file that Zhang et al. published in 2017, narrower."""
    state = dict(randomized(Siggraph17(Siggraph17Config(maps))).state_dict())
    state["model_class.0.weight"] = torch.randn(529, 4 * maps, 1, 1)
    state["model_class.0.bias"] = torch.randn(529)
    return state


def unfolded(state: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A state dict in which some weights have a spectral norm, as torch kept it until 2.0."""
    generator = torch.Generator().manual_seed(1)
    found = dict(state)
    for name in names:
        weight = found.pop(f"{name}.weight")
        matrix = weight.flatten(1)
        u = F.normalize(torch.randn(len(matrix), generator=generator), dim=0)
        v = F.normalize(matrix.T @ u, dim=0)
        u = F.normalize(matrix @ v, dim=0)
        parts = {"orig": 3 * weight, "u": u, "v": v}
        found |= {f"{name}.weight_{part}": value for part, value in parts.items()}
    return found


NARROW_DDCOLOR = DDColorConfig((8, 16, 24, 32), (1, 1, 2, 1), (32, 32, 16), 16, 32, 10, 3)


def ddcolor_state(config: DDColorConfig = NARROW_DDCOLOR) -> dict[str, Tensor]:
    """A file of DDColor's, narrower."""
    state = dict(randomized(DDColor(config)).state_dict())
    generator = torch.Generator().manual_seed(2)
    stem = (config.channels[0], 3, 4, 4)
    state["encoder.arch.downsample_layers.0.0.weight"] = torch.randn(stem, generator=generator) / 7
    mix = torch.randn((2, config.queries + 3, 1, 1), generator=generator)
    state["refine_net.0.0.weight"] = mix
    state["mean"] = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    state["std"] = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    for part in ("weight", "bias"):
        state[f"encoder.arch.norm.{part}"] = torch.ones(config.channels[-1])
        state[f"encoder.arch.head_cls.{part}"] = torch.ones(3)
    levels = [f"decoder.layers.{k}.{part}.0" for k in range(3) for part in ("shuf.conv", "conv")]
    return unfolded(state, (*levels, "decoder.last_shuf.conv.0", "refine_net.0.0"))


NARROW_DEOLDIFY = {
    "artistic": DeOldifyConfig(4, (1, 2, 1, 1), True, (16, 12, 12, 8), (24, 16, 12, 8)),
    "wide": DeOldifyConfig(4, (1, 1, 2, 1), False, (16, 16, 8, 8), (16, 24, 12, 8)),
}


def deoldify_state(
    kind: str = "artistic", config: DeOldifyConfig | None = None
) -> dict[str, Tensor]:
    """A file of DeOldify's, narrower."""
    config = config or NARROW_DEOLDIFY[kind]
    state = dict(randomized(DeOldify(config)).state_dict())
    generator = torch.Generator().manual_seed(2)
    state["layers.0.0.weight"] = torch.randn((config.stem, 3, 7, 7), generator=generator) / 8
    last = "bn2.weight" if config.deep else "bn3.weight"  # of a block
    for key in state:
        if key.endswith(".gamma"):
            state[key] = torch.tensor([0.7])
        elif key.endswith(last):  # else a hundred layers would make of rounding other colors
            state[key] = state[key] / 10
    normed = [f"layers.{at}" for at in ("3.0.0", "3.1.0", "10.layers.0.0", "10.layers.1.0", "11.0")]
    convs = ("conv1", "conv2") if kind == "artistic" else ("conv",)
    normed += [f"layers.{k}.{conv}.0" for k in range(4, 8) for conv in ("shuf.conv", *convs)]
    normed += [f"layers.5.{convs[-1]}.3.{part}" for part in ("query", "key", "value")]
    weight = state.pop("layers.8.conv.0.weight")
    state["layers.8.conv.0.weight_v"] = weight
    state["layers.8.conv.0.weight_g"] = 0.5 + torch.rand((len(weight), 1, 1, 1))
    return unfolded(state, normed)


# --- Caffe's wire format


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _blob(values: Tensor, old: bool) -> bytes:
    if old:
        four = [1] * (4 - values.ndim) + list(values.shape)
        shape = b"".join(_varint(k << 3) + _varint(size) for k, size in enumerate(four, 1))
    else:
        shape = _field(7, _field(1, b"".join(map(_varint, values.shape))))
    return shape + _field(5, values.numpy().astype("<f4").tobytes())


def write_caffemodel(path: Path, layers: dict[str, list[Tensor]], old: bool = False) -> Path:
    """Write layers and their blobs, among others that have none."""
    content = _field(1, b"a network") + _field(100, _field(1, b"data"))
    for name, blobs in layers.items():
        body = _field(1, name.encode()) + _field(2, b"Convolution")
        body += b"".join(_field(7, _blob(blob, old)) for blob in blobs)
        content += _field(100, body + _varint(10 << 3 | 5) + struct.pack("<f", 1.0))
    path.write_bytes(content)
    return path


def caffe_layers(state: dict[str, Tensor], factor: float = 4.0) -> dict[str, list[Tensor]]:
    """The same network as Caffe keeps it: norms without scale, L - 50 as its input."""
    layers = {}
    for key in state:
        block, _, rest = key.removeprefix("model").partition(".")
        place, _, value = rest.partition(".")
        if value != "bias" or not block.isdigit():
            continue
        number, at = int(block), int(place)
        weight, bias = state[f"model{block}.{place}.weight"], state[key]
        if weight.ndim == 1:
            mean, variance = (state[f"model{block}.{place}.running_{k}"] for k in ("mean", "var"))
            blobs = [factor * mean, factor * variance, torch.tensor([factor])]
            layers[f"conv{block}_{at // 2}norm"] = blobs
        else:
            names = {(1, 0): "bw_conv1_1", (8, 0): "conv8_1", (8, 6): "conv8_313"}
            weight = weight / 100 if (number, at) == (1, 0) else weight
            layers[names.get((number, at), f"conv{block}_{at // 2 + 1}")] = [weight, bias]
    return layers


def photograph(side: int = 48) -> np.ndarray:
    """A gray picture that is not square."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (side, side + 16), dtype=np.uint8)
