"""DeOldify's two networks against what its tables say, written out on three channels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published_states import NARROW_DEOLDIFY, deoldify_state, photograph

from tintype import Colorizer
from tintype.color.spaces import rgb_to_yuv
from tintype.errors import UnimportableError
from tintype.imports.importer import ImportOptions, import_model
from tintype.imports.kinds import KINDS, kind_of
from tintype.models.published import deoldify
from tintype.models.published.state import fold_norms

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def published(state, gray, config):
    """What the published code computes of gray given as RGB: RGB (1, 3, H, W)."""

    def conv(x, name, stride=1, padding=0):
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding)

    def norm(x, name):
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (state[f"{name}.{part}"] for part in parts)
        return F.batch_norm(x, mean, var, weight, bias)

    def three(x, name):
        return norm(F.relu(conv(x, f"{name}.0", padding=1)), f"{name}.2")

    def shuffled(x):
        x = F.pixel_shuffle(F.relu(x), 2)
        return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, 1)

    def attention(x, name):
        flat = x.flatten(2)
        q, k, v = (F.conv1d(flat, state[f"{name}.{p}.weight"]) for p in ("query", "key", "value"))
        beta = torch.softmax(torch.bmm(q.permute(0, 2, 1), k), dim=1)
        return (state[f"{name}.gamma"] * torch.bmm(v, beta) + flat).view_as(x)

    given = (gray.expand(-1, 3, -1, -1) - MEAN) / STD
    x = F.relu(norm(conv(given, "layers.0.0", 2, 3), "layers.0.1"))
    skips = [x]
    x = F.max_pool2d(x, 3, 2, 1)
    for group, count in enumerate(config.blocks):
        for k in range(count):
            name, stride = f"layers.0.{4 + group}.{k}", 2 if group and k == 0 else 1
            y = x
            if f"{name}.downsample.0.weight" in state:
                y = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            if config.deep:
                x = F.relu(norm(conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
                x = norm(conv(x, f"{name}.conv2", 1, 1), f"{name}.bn2")
            else:
                x = F.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
                x = F.relu(norm(conv(x, f"{name}.conv2", stride, 1), f"{name}.bn2"))
                x = norm(conv(x, f"{name}.conv3"), f"{name}.bn3")
            x = F.relu(x + y)
        skips.append(x)
    x = three(three(F.relu(norm(skips.pop(), "layers.1")), "layers.3.0"), "layers.3.1")
    for k in range(4, 8):
        name, skip = f"layers.{k}", skips.pop()
        x = shuffled(norm(conv(x, f"{name}.shuf.conv.0"), f"{name}.shuf.conv.1"))
        if x.shape[2:] != skip.shape[2:]:
            x = F.interpolate(x, skip.shape[2:], mode="nearest")
        x = F.relu(torch.cat((x, norm(skip, f"{name}.bn")), 1))
        for part in ("conv1", "conv2") if config.deep else ("conv",):
            x = three(x, f"{name}.{part}")
        if k == 5:
            x = attention(x, f"{name}.{'conv2' if config.deep else 'conv'}.3")
    x = torch.cat((shuffled(conv(x, "layers.8.conv.0")), given), 1)
    y = F.relu(conv(x, "layers.10.layers.0.0", padding=1))
    x = x + F.relu(conv(y, "layers.10.layers.1.0", padding=1))
    x = 6 * torch.sigmoid(conv(x, "layers.11.0")) - 3
    return (x * STD + MEAN).clamp(0, 1)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["artistic", "wide"])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_it_computes_what_the_published_code_does(kind, size):
    gray = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    state = fold_norms(deoldify_state(kind))
    rgb = published(state, gray, NARROW_DEOLDIFY[kind])
    expected = rgb_to_yuv(rgb[0].permute(1, 2, 0).numpy())[..., 1:]
    found = deoldify.from_state(state)(gray)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.std())


@pytest.mark.slow
def test_a_photograph_is_colored(tmp_path):
    state = {"model": deoldify_state(), "opt": {"hyper": [slice(0, 3)]}}
    path = tmp_path / "Some_gen.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    card = import_model(path, tmp_path, ImportOptions(size=80))  # 5/2 of 32
    assert (card.name, card.space, card.size.multiple) == ("deoldify.artistic", "yuv", 16)
    assert (card.size.resample, card.size.shape) == ("triangle", "square")
    chroma = Colorizer(card.path).chroma(photograph())
    assert chroma.shape == (2, 80, 80)
    assert np.ptp(chroma) > 0.01


def test_which_weights_they_are():
    for kind, tags in (("artistic", ("artistic",)), ("wide", ("wide", "stable", "video"))):
        state = fold_norms(deoldify_state(kind))
        assert kind_of(state) == "deoldify"
        assert KINDS["deoldify"].tags(deoldify.from_state(state)) == tags
    assert KINDS["deoldify"].sides == {"video": 336}
    with torch.device("meta"):
        sizes = [
            sum(value.numel() for value in deoldify.DeOldify(config).parameters())
            for config in (deoldify.DeOldifyConfig(), deoldify.WIDE)
        ]
    assert sizes[0] > 63e6
    assert sizes[1] > 217e6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("layers.5.conv2.3.gamma"), r"lacks layers\.5\.conv2\.3\.gamma"),
        (lambda s: s.update({"layers.0.0.weight": torch.ones(4, 1, 7, 7)}), "three channels"),
        (lambda s: s.pop("layers.7.conv2.0.weight"), r"lacks layers\.7\.conv2\.0\.weight"),
    ],
)
def test_what_is_not_it(change, said):
    state = fold_norms(deoldify_state())
    change(state)
    with pytest.raises(UnimportableError, match=said):
        deoldify.from_state(state)
