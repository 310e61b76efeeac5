"""DDColor against what its paper and tables say, written out on three channels."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published_states import NARROW_DDCOLOR, ddcolor_state, photograph
from torch import nn

from tintype import Colorizer
from tintype.errors import UnimportableError
from tintype.imports.importer import import_model
from tintype.imports.kinds import KINDS, kind_of
from tintype.models.published import ddcolor
from tintype.models.published.state import fold_norms


def published(state, gray):
    """What the published code computes of gray given as RGB, (1, 2, H, W)."""
    rgb = (gray.expand(-1, 3, -1, -1) - state["mean"]) / state["std"]

    def get(name):
        return state[f"{name}.weight"], state.get(f"{name}.bias")

    def layer_norm(x, name, eps):
        x = F.layer_norm(x.movedim(1, -1), x.shape[1:2], *get(name), eps)
        return x.movedim(-1, 1)

    def batch_norm(x, name):
        mean, var = (state[f"{name}.running_{k}"] for k in ("mean", "var"))
        return F.batch_norm(x, mean, var, *get(name))

    def shuffled(x, factor):
        x = F.pixel_shuffle(F.relu(x), factor)
        return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, 1)

    arch, x, skips = "encoder.arch", rgb, []
    for k, depth in enumerate(NARROW_DDCOLOR.depths):
        step = f"{arch}.downsample_layers.{k}"
        if k == 0:
            x = layer_norm(F.conv2d(x, *get(f"{step}.0"), 4), f"{step}.1", 1e-6)
        else:
            x = F.conv2d(layer_norm(x, f"{step}.0", 1e-6), *get(f"{step}.1"), 2)
        for j in range(depth):
            block = f"{arch}.stages.{k}.{j}"
            weight, bias = get(f"{block}.dwconv")
            y = F.conv2d(x, weight, bias, padding=3, groups=x.shape[1])
            y = layer_norm(y, f"{block}.norm", 1e-6)
            y = F.conv2d(
                y, state[f"{block}.pwconv1.weight"][..., None, None], get(f"{block}.pwconv1")[1]
            )
            y = F.gelu(y)
            y = F.conv2d(
                y, state[f"{block}.pwconv2.weight"][..., None, None], get(f"{block}.pwconv2")[1]
            )
            x = x + y * state[f"{block}.gamma"][:, None, None]
        skips.append(layer_norm(x, f"{arch}.norm{k}", 1e-6))
    x, maps = skips.pop(), []
    for k in range(3):
        name = f"decoder.layers.{k}"
        x = shuffled(batch_norm(F.conv2d(x, *get(f"{name}.shuf.conv.0")), f"{name}.shuf.conv.1"), 2)
        x = F.relu(torch.cat((x, batch_norm(skips.pop(), f"{name}.bn")), 1))
        x = batch_norm(F.relu(F.conv2d(x, *get(f"{name}.conv.0"), padding=1)), f"{name}.conv.2")
        maps.append(x)
    features = shuffled(F.conv2d(x, *get("decoder.last_shuf.conv.0")), 4)
    colors = decoded(state, maps)
    found = torch.einsum("nqc,nchw->nqhw", colors, features)
    return F.conv2d(torch.cat((found, rgb), 1), *get("refine_net.0.0"))


def decoded(state, maps):
    """The colors of the queries, by torch's own attention."""
    name, width = "decoder.color_decoder", NARROW_DDCOLOR.width

    def attention(layer, *tensors):
        module = nn.MultiheadAttention(width, 8, batch_first=True)
        keys = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
        module.load_state_dict({key: state[f"{layer}.{key}"] for key in keys})
        return module(*tensors)[0]

    def linear(x, layer):
        return F.linear(x, state[f"{layer}.weight"], state[f"{layer}.bias"])

    def norm(x, layer):
        return F.layer_norm(x, (width,), state[f"{layer}.weight"], state[f"{layer}.bias"])

    memories, places = [], []
    for k, x in enumerate(maps):
        project = f"{name}.input_proj.{k}"
        x = F.conv2d(x, state[f"{project}.weight"], state[f"{project}.bias"])
        height, across = x.shape[2:]
        memories.append(x.flatten(2).mT + state[f"{name}.level_embed.weight"][k])
        place = torch.zeros(height, across, width)
        for c in range(width // 2):
            rate = 10000 ** (2 * (c // 2) / (width // 2))
            wave = math.sin if c % 2 == 0 else math.cos
            for i in range(height):
                place[i, :, c] = wave((i + 1) / (height + 1e-6) * 2 * math.pi / rate)
            for j in range(across):
                place[:, j, width // 2 + c] = wave((j + 1) / (across + 1e-6) * 2 * math.pi / rate)
        places.append(place.flatten(0, 1)[None])
    x, embed = (state[f"{name}.query_{k}.weight"][None] for k in ("feat", "embed"))
    for k in range(NARROW_DDCOLOR.layers):
        cross, own, feed = (
            f"{name}.transformer_{part}_layers.{k}"
            for part in ("cross_attention", "self_attention", "ffn")
        )
        memory, place = memories[k % 3], places[k % 3]
        y = attention(f"{cross}.multihead_attn", x + embed, memory + place, memory)
        x = norm(x + y, f"{cross}.norm")
        x = norm(x + attention(f"{own}.self_attn", x + embed, x + embed, x), f"{own}.norm")
        y = linear(F.relu(linear(x, f"{feed}.linear1")), f"{feed}.linear2")
        x = norm(x + y, f"{feed}.norm")
    x = norm(x, f"{name}.decoder_norm")
    for k in range(3):
        x = linear(x, f"{name}.color_embed.layers.{k}")
        x = F.relu(x) if k < 2 else x
    return x


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_it_computes_what_the_published_code_does(size):
    gray = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    state = fold_norms(ddcolor_state())
    expected = published(state, gray)
    found = ddcolor.from_state(state)(gray)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.std()), rtol=0)


@pytest.mark.slow
def test_a_photograph_is_colored(tmp_path):
    torch.save({"params": ddcolor_state()}, tmp_path / "ddcolor_paper_tiny.pth")
    card = import_model(tmp_path / "ddcolor_paper_tiny.pth", tmp_path)
    assert (card.name, card.size.short_side, card.size.resample) == (
        "ddcolor.tiny",
        512,
        "bilinear",
    )
    assert card.licence.startswith("Apache-2.0")
    chroma = Colorizer(card.path).chroma(photograph())
    assert chroma.shape == (2, 512, 512)
    assert np.ptp(chroma) > 0.1


def test_its_weights_are_told_apart_by_width():
    assert kind_of(fold_norms(ddcolor_state())) == "ddcolor"
    tags = KINDS["ddcolor"].tags
    with torch.device("meta"):
        large = ddcolor.DDColor(
            ddcolor.DDColorConfig(channels=(192, 384, 768, 1536), depths=(3, 3, 27, 3))
        )
    assert tags(large) == ("large", "modelscope", "artistic", "paper")
    assert sum(p.numel() for p in large.parameters()) > 227e6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("mean"), "lacks mean and std"),
        (lambda s: s.update(std=torch.zeros(3)), "not those of three channels"),
        (lambda s: s.pop("decoder.layers.1.bn.bias"), r"lacks decoder\.layers\.1\.bn\.bias"),
        (lambda s: s.update(more=torch.ones(1)), "has more"),
        (lambda s: s.update({"refine_net.0.0.weight": torch.ones(2, 9, 1, 1)}), "three channels"),
    ],
)
def test_what_is_not_it(change, said):
    state = fold_norms(ddcolor_state())
    change(state)
    with pytest.raises(UnimportableError, match=said):
        ddcolor.from_state(state)
