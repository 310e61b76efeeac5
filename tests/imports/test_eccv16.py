"""The network of Zhang et al. 2016, from both of its published files."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from published_states import caffe_layers, eccv16_state, photograph, write_caffemodel

from tintype import Colorizer
from tintype.errors import SettingError, UnimportableError
from tintype.imports.caffe import read_layers
from tintype.imports.importer import import_model
from tintype.models import build
from tintype.models.published import eccv16
from tintype.training.start import load_exported


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eccv16")
    torch.save(eccv16_state(), folder / "eccv.pth")
    return import_model(folder / "eccv.pth", folder / "models")


def published(state, lightness):
    """What the published code computes, written from its tables: ab in CIE units."""
    x = (lightness - 50) / 100
    strides, dilations = (2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 1, 2, 2, 1)
    for block, (count, stride, dilation) in enumerate(
        zip((2, 2, 3, 3, 3, 3, 3), strides, dilations, strict=True), start=1
    ):
        for k in range(count):
            weight, bias = (state[f"model{block}.{2 * k}.{p}"] for p in ("weight", "bias"))
            step = stride if k == count - 1 else 1
            x = F.relu(F.conv2d(x, weight, bias, step, dilation, dilation))
        norm = {p: state[f"model{block}.{2 * count}.{p}"] for p in ("weight", "bias")}
        mean, var = (state[f"model{block}.{2 * count}.running_{p}"] for p in ("mean", "var"))
        x = F.batch_norm(x, mean, var, norm["weight"], norm["bias"])
    x = F.relu(F.conv_transpose2d(x, state["model8.0.weight"], state["model8.0.bias"], 2, 1))
    for k in (2, 4):
        x = F.relu(F.conv2d(x, state[f"model8.{k}.weight"], state[f"model8.{k}.bias"], padding=1))
    logits = F.conv2d(x, state["model8.6.weight"], state["model8.6.bias"])
    return 110 * F.conv2d(logits.softmax(1), state["model_out.weight"])


def lightness_of(gray):
    linear = torch.where(gray <= 0.04045, gray / 12.92, ((gray + 0.055) / 1.055) ** 2.4)
    return torch.where(linear > 0.008856, 116 * linear ** (1 / 3) - 16, 903.3 * linear)


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (96, 40), (32, 128)])
def test_it_computes_what_the_published_code_does(size):
    gray = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    expected = published(eccv16_state(), lightness_of(gray))
    found = eccv16.from_pytorch(eccv16_state()).predict(gray)
    torch.testing.assert_close(found, expected, atol=2e-3 * float(expected.std()), rtol=0)


def test_a_photograph_is_colored_and_nothing_is_left_to_choose(imported):
    colorizer = Colorizer(imported.path)
    assert colorizer.chroma(photograph()).shape == (2, 64, 64)
    assert colorizer.options().vividness is None
    with pytest.raises(SettingError, match="takes no vividness"):
        colorizer.options(vividness=0.5)
    assert len(colorizer.suggest(photograph(), 3, 4)) > 0


def test_the_card_says_whose_it_is(imported):
    size = imported.size
    assert (imported.name, size.short_side, size.shape) == ("cic.eccv16", 256, "square")
    assert (size.resample, imported.enlarge, imported.scores) == ("bicubic", "guided", {})
    assert "BSD-2-Clause" in imported.licence
    assert "neither ships it nor vouches" in imported.licence
    assert imported.training["imported"] == "eccv16"
    assert "step" not in imported.training


def test_training_goes_on_from_it(imported):
    model: Any = build("cic", "paper", {"maps": 4})[0]
    assert load_exported(model, imported.path) == "cic.eccv16, imported from eccv.pth"
    state = eccv16_state()
    assert torch.equal(model.classify.weight, state["model8.6.weight"])
    assert torch.equal(model.blocks[0][4].running_var, state["model1.4.running_var"])


@torch.no_grad()
@pytest.mark.parametrize("old", [False, True])
def test_caffes_file_is_the_same_network_at_another_temperature(tmp_path, old):
    state = eccv16_state()
    for key in state:  # a norm of Caffe's has neither
        norm, _, part = key.rpartition(".")
        if f"{norm}.running_var" in state and part in ("weight", "bias"):
            state[key] = torch.full_like(state[key], float(part == "weight"))
    path = write_caffemodel(tmp_path / "release.caffemodel", caffe_layers(state), old)
    model = eccv16.from_caffe(read_layers(path))
    size = model.card()["size"]
    assert (size["short_side"], size["resample"]) == (224, "bilinear")
    for part in ("weight", "bias"):
        state[f"model8.6.{part}"] = 2.606 * state[f"model8.6.{part}"]
    gray = torch.rand(1, 1, 64, 48, generator=torch.Generator().manual_seed(1))
    expected = published(state, lightness_of(gray))
    torch.testing.assert_close(
        model.predict(gray), expected, atol=5e-3 * float(expected.std()), rtol=0
    )


def test_other_bins_are_refused():
    state = eccv16_state()
    state["model_out.weight"] = state["model_out.weight"].flip(1)
    with pytest.raises(UnimportableError, match="313 bins"):
        eccv16.from_pytorch(state)
