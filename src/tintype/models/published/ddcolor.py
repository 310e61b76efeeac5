"""DDColor: Towards Photo-Realistic Image Colorization via Dual Decoders (Kang et al. 2023).

arXiv 2212.11613: a ConvNeXt encoder, a U-Net decoder for the pixels, and a transformer decoder
whose queries become colours by attention to the pixel decoder's maps. Parameters have their
published names. It computes the same function in fewer steps: the normalization of the input is
folded into the first kernel, spectral norms into the weights, and the last layer is applied to the
colours before these are multiplied with the pixels, so that no map of all queries is made at full
size.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tintype.errors import UnimportableError
from tintype.models.base import ColorModel, Graph, luma_graph
from tintype.models.layers import LayerNorm2d
from tintype.models.published.shuffle import Shuffle, blur
from tintype.models.published.state import State, count_parts, load_state, sizes

_HEADS = 8
_LEVELS = 3  # of the pixel decoder; the transformer's layers attend to them in turn
_EPS = 1e-6  # of ConvNeXt's layer norms
_UNUSED = ("encoder.arch.norm.", "encoder.arch.head_cls.")


@dataclass(frozen=True)
class DDColorConfig:
    """Sizes of the network; by default those of the tiny one.

    Attributes:
        channels, depths: channels and blocks of the encoder's four stages.
        decoder: channels of the pixel decoder's three levels.
        width: channels of queries and colours.
        feedforward: hidden channels of the transformer's feed-forward layers.
        queries: number of queries, each of which becomes a colour.
        layers: number of the transformer's layers.
    """

    channels: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (3, 3, 9, 3)
    decoder: tuple[int, ...] = (512, 512, 256)
    width: int = 256
    feedforward: int = 2048
    queries: int = 100
    layers: int = 9


class ConvNeXtBlock(nn.Module):
    """A ConvNeXt block (Liu et al. 2022, arXiv 2201.03545)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, _EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """The encoder: gray to normalized maps at 1/4, 1/8, 1/16 and 1/32 of its size."""

    def __init__(self, channels: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(1, channels[0], 4, 4), LayerNorm2d(channels[0], _EPS))
        self.downsample_layers = nn.ModuleList([stem])
        for before, after in itertools.pairwise(channels):
            step = nn.Sequential(LayerNorm2d(before, _EPS), nn.Conv2d(before, after, 2, 2))
            self.downsample_layers.append(step)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width) for _ in range(depth)))
            for width, depth in zip(channels, depths, strict=True)
        )
        for k, width in enumerate(channels):
            setattr(self, f"norm{k}", LayerNorm2d(width, _EPS))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for k, (step, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(step(x))
            maps.append(getattr(self, f"norm{k}")(x))
        return maps


class UnetBlock(nn.Module):
    """A level of the pixel decoder: the level below, enlarged, joined with the encoder's map."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.shuf = Shuffle(inputs, outputs)
        self.bn = nn.BatchNorm2d(skip)
        conv = nn.Conv2d(outputs + skip, outputs, 3, padding=1, bias=False)
        self.conv = nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(F.relu(torch.cat((self.shuf(x), self.bn(skip)), 1)))


class Attention(nn.Module):
    """Multi-head attention with its three projections in one matrix, as in torch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return attention of queries (N, q, width) to keys and values (N, k, width)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(2, (_HEADS, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )  # (N, heads, q or k, width / heads)
        share = (q / math.sqrt(q.shape[-1]) @ k.transpose(2, 3)).softmax(-1)
        return self.out_proj((share @ v).transpose(1, 2).flatten(2))


class SelfAttention(nn.Module):
    """Self-attention between queries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn, self.norm = Attention(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        return self.norm(x + self.self_attn(x + place, x + place, x))


class CrossAttention(nn.Module):
    """Cross-attention from queries to a map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.multihead_attn, self.norm = Attention(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, place: Tensor, memory: Tensor, positions: Tensor) -> Tensor:
        return self.norm(x + self.multihead_attn(x + place, memory + positions, memory))


class FeedForward(nn.Module):
    """The feed-forward layer, on each query."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


def positions(height: int, width: int, channels: int) -> Tensor:
    """Return a sinusoidal position encoding, y before x, (height x width, channels)."""
    half = channels // 2
    rates = 10000 ** (2 * (torch.arange(half) // 2) / half)

    def waves(length: int) -> Tensor:
        place = torch.arange(1, length + 1, dtype=torch.float32) / (length + 1e-6) * 2 * math.pi
        angle = place[:, None] / rates  # (length, half)
        return torch.stack((angle[:, ::2].sin(), angle[:, 1::2].cos()), 2).flatten(1)

    down = waves(height)[:, None].expand(-1, width, -1)
    across = waves(width)[None].expand(height, -1, -1)
    return torch.cat((down, across), 2).flatten(0, 1)


class ColorDecoder(nn.Module):
    """The transformer decoder: maps of three levels to the embedding of a colour for each query."""

    def __init__(self, config: DDColorConfig) -> None:
        super().__init__()
        width, count = config.width, range(config.layers)
        self.query_feat = nn.Embedding(config.queries, width)
        self.query_embed = nn.Embedding(config.queries, width)
        self.level_embed = nn.Embedding(_LEVELS, width)
        self.input_proj = nn.ModuleList(nn.Conv2d(maps, width, 1) for maps in config.decoder)
        self.transformer_cross_attention_layers = nn.ModuleList(
            CrossAttention(width) for _ in count
        )
        self.transformer_self_attention_layers = nn.ModuleList(SelfAttention(width) for _ in count)
        self.transformer_ffn_layers = nn.ModuleList(
            FeedForward(width, config.feedforward) for _ in count
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.color_embed = nn.ModuleDict(
            {"layers": nn.ModuleList(nn.Linear(width, width) for _ in range(3))}
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return the embeddings of colours, (N, queries, width)."""
        memories, places = [], []
        for level, (project, x) in enumerate(zip(self.input_proj, maps, strict=True)):
            memory = project(x).flatten(2).transpose(1, 2)  # (N, height x width, width)
            memories.append(memory + self.level_embed.weight[level])
            places.append(positions(x.shape[2], x.shape[3], memory.shape[2]))
        x = self.query_feat.weight.expand(len(maps[0]), -1, -1)
        place = self.query_embed.weight
        layers = zip(
            self.transformer_cross_attention_layers,
            self.transformer_self_attention_layers,
            self.transformer_ffn_layers,
            strict=True,
        )
        for k, (cross, own, feed) in enumerate(layers):
            x = cross(x, place, memories[k % _LEVELS], places[k % _LEVELS])
            x = feed(own(x, place))
        x = self.decoder_norm(x)
        first, second, last = self.color_embed["layers"]  # type: ignore[misc]
        return last(F.relu(second(F.relu(first(x)))))


class Decoder(nn.Module):
    """Both decoders, of pixels and of colours."""

    def __init__(self, config: DDColorConfig) -> None:
        super().__init__()
        skips = config.channels[-2::-1]
        inputs = (config.channels[-1], *config.decoder[:-1])
        self.layers = nn.ModuleList(map(UnetBlock, inputs, skips, config.decoder))
        last = nn.Conv2d(config.decoder[-1], 16 * config.width, 1)
        self.last_shuf = nn.ModuleDict({"conv": nn.Sequential(last, nn.ReLU())})
        self.color_decoder = ColorDecoder(config)

    def forward(self, skips: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return pixels before their shuffle by 4, (N, 16 width, h, w), and the colours."""
        x, maps = skips[-1], []
        for layer, skip in zip(self.layers, skips[-2::-1], strict=True):
            x = layer(x, skip)
            maps.append(x)
        return self.last_shuf["conv"](x), self.color_decoder(maps)


class DDColor(ColorModel):
    """The network, from gray to ab at its own size."""

    name: ClassVar[str] = "ddcolor"
    paper: ClassVar[str] = "Kang et al. 2023, arXiv 2212.11613"

    def __init__(self, config: DDColorConfig) -> None:
        super().__init__(config)
        self.encoder = nn.ModuleDict({"arch": ConvNeXt(config.channels, config.depths)})
        self.decoder = Decoder(config)
        self.refine_net = nn.Sequential(nn.Sequential(nn.Conv2d(config.queries + 1, 2, 1)))

    def forward(self, gray: Tensor) -> Tensor:
        """Return ab in CIE units, (N, 2, H, W).

        Args:
            gray: luma in [0, 1], (N, 1, H, W), H and W multiples of 32.
        """
        pixels, colors = self.decoder(self.encoder["arch"](gray))
        weight, bias = (value for _, value in self.refine_net.named_parameters())
        weight = weight.flatten(1)  # (2, queries + 1)
        mix = weight[:, :-1] @ colors  # (N, 2, width)
        height, width = pixels.shape[2:]
        ab = mix @ pixels.unflatten(1, (mix.shape[2], -1)).flatten(2)  # (N, 2, 16 x h x w)
        ab = F.pixel_shuffle(ab.reshape(len(ab), 32, height, width), 4)
        return blur(ab) + weight[:, -1, None, None] * gray + bias[:, None, None]

    def graphs(self) -> dict[str, Graph]:
        """Return the network's only graph."""
        return {"": luma_graph(self, 32, "chroma")}

    def card(self) -> dict[str, Any]:
        """Return the input rule of the published code."""
        return {
            "description": "DDColor (Kang et al. 2023), as published.",
            "space": "lab",
            "kind": "chroma",
            "size": {"short_side": 512, "multiple": 32, "shape": "square", "resample": "bilinear"},
            "enlarge": "guided",
        }


def from_state(state: State) -> DDColor:
    """Return the network of a published state dict, its norms folded.

    Raises:
        UnimportableError: it is of another network.
    """
    state = {key: value for key, value in state.items() if not key.startswith(_UNUSED)}
    if not {"mean", "std"} <= state.keys():
        raise UnimportableError("it lacks mean and std")
    mean, std = (state.pop(key).flatten() for key in ("mean", "std"))
    config = _config(state)
    if len(mean) != 3 or len(std) != 3 or not (std > 0).all():
        raise UnimportableError("its mean and std are not those of three channels")
    # The three channels are all gray: kernels are summed over them, and the means go into the bias.
    stem = "encoder.arch.downsample_layers.0.0"
    refine = "refine_net.0.0"
    for name, channels in ((stem, slice(0, 3)), (refine, slice(config.queries, None))):
        weight = state[f"{name}.weight"]
        if weight.shape[1] - (channels.start or 0) != 3:
            raise UnimportableError(f"its {name}.weight does not take three channels of a picture")
        own = weight[:, channels] / std[:, None, None]
        moved = (own * mean[:, None, None]).sum((1, 2, 3))
        kept = weight[:, : channels.start]
        state[f"{name}.weight"] = torch.cat((kept, own.sum(1, keepdim=True)), 1)
        state[f"{name}.bias"] = state[f"{name}.bias"] - moved
    with torch.device("meta"):
        model = DDColor(config)
    load_state(model, state)
    return model


def _config(state: State) -> DDColorConfig:
    """Return the sizes of a network, read from the shapes of its weights."""
    arch, decoder = "encoder.arch.", "decoder."
    stem = sizes(state, f"{arch}downsample_layers.0.0.weight", 4)[0]
    rest = (sizes(state, f"{arch}downsample_layers.{k}.1.weight", 4)[0] for k in (1, 2, 3))
    queries, width = sizes(state, f"{decoder}color_decoder.query_feat.weight", 2)
    if width % (2 * _HEADS):
        raise UnimportableError(f"its width of {width} is no multiple of {2 * _HEADS}")
    transformer = f"{decoder}color_decoder.transformer_ffn_layers."
    for name in ("refine_net.0.0", f"{arch}downsample_layers.0.0"):
        sizes(state, f"{name}.weight", 4)
        sizes(state, f"{name}.bias", 1)
    return DDColorConfig(
        channels=(stem, *rest),
        depths=tuple(count_parts(state, f"{arch}stages.{k}.") for k in range(4)),
        decoder=tuple(sizes(state, f"{decoder}layers.{k}.conv.0.weight", 4)[0] for k in range(3)),
        width=width,
        feedforward=sizes(state, f"{transformer}0.linear1.weight", 2)[0],
        queries=queries,
        layers=count_parts(state, transformer),
    )


def published_keys() -> list[str]:
    """Return the keys of a published state dict, its norms folded."""
    with torch.device("meta"):
        own = DDColor(DDColorConfig()).state_dict()
    return ["mean", "std", *own]
