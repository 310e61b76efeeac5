"""The network of Zhang et al. 2017, with hints and without."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published_states import photograph, siggraph17_state

from tintype import Colorizer, Hint
from tintype.errors import CheckpointError, UnimportableError
from tintype.imports.importer import import_model
from tintype.models import build
from tintype.models.published import siggraph17
from tintype.models.torch_color import gray_to_lightness
from tintype.training.start import load_exported


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siggraph17")
    torch.save(siggraph17_state(), folder / "colorizer.pth")
    return import_model(folder / "colorizer.pth", folder / "models")


def published(state, lightness, ab, mask):
    """What the published code computes, from its tables: ab of ab and a mask of full size."""

    def conv(x, name, dilation=1, padding=1):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv2d(x, weight, bias, 1, padding * dilation, dilation)

    def norm(x, name):
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{part}"] for part in parts))

    def block(x, number, count, dilation=1):
        for k in range(count):
            x = F.relu(conv(x, f"model{number}.{2 * k}", dilation))
        return norm(x, f"model{number}.{2 * count}")

    def up(x, number, short):
        weight, bias = state[f"model{number}up.0.weight"], state[f"model{number}up.0.bias"]
        return F.relu(F.conv_transpose2d(x, weight, bias, 2, 1) + short)

    one = block(torch.cat(((lightness - 50) / 100, ab / 110, mask), 1), 1, 2)
    two = block(one[:, :, ::2, ::2], 2, 2)
    three = block(two[:, :, ::2, ::2], 3, 3)
    x = block(three[:, :, ::2, ::2], 4, 3)
    x = block(block(block(x, 5, 3, 2), 6, 3, 2), 7, 3)
    x = up(x, 8, conv(three, "model3short8.0"))
    x = norm(F.relu(conv(F.relu(conv(x, "model8.1")), "model8.3")), "model8.5")
    x = norm(F.relu(conv(up(x, 9, conv(two, "model2short9.0")), "model9.1")), "model9.3")
    x = F.leaky_relu(conv(up(x, 10, conv(one, "model1short10.0")), "model10.1"), 0.2)
    return 110 * torch.tanh(conv(x, "model_out.0", padding=0))


@torch.no_grad()
@pytest.mark.parametrize("hinted", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (96, 40)])
def test_it_computes_what_the_published_code_does(size, hinted):
    gray = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    hints = torch.zeros(1, 3, size[0] // 4, size[1] // 4)
    if hinted:
        hints[0, :, 3:5, 2] = torch.tensor([0.4, -0.2, 1.0])[:, None]
    full = hints.repeat_interleave(4, 2).repeat_interleave(4, 3)
    state = siggraph17_state()
    expected = published(state, gray_to_lightness(gray), 110 * full[:, :2], full[:, 2:])
    found = siggraph17.from_state(state)(gray, hints)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.std()), rtol=0)


def test_hints_reach_it(imported):
    colorizer = Colorizer(imported.path)
    plain = colorizer.chroma(photograph())
    hinted = colorizer.chroma(photograph(), hints=[Hint(20, 20, "#b03020")])
    assert plain.shape == (2, 256, 256)
    assert np.abs(plain - hinted).max() > 0.1


def test_the_card_says_whose_it_is(imported):
    assert (imported.name, imported.takes_hints) == ("siggraph17.published", True)
    size = imported.size
    assert (size.short_side, size.shape, size.multiple) == (256, "square", 8)
    assert imported.training["paper"] == "1705.02999"


def test_it_is_no_start_for_training(imported):
    with pytest.raises(CheckpointError, match="cannot start from siggraph17"):
        load_exported(build("cic", "test")[0], imported.path)


def test_what_is_left_over_is_named():
    with pytest.raises(UnimportableError, match=r"has model10\.3\.weight"):
        siggraph17.from_state({**siggraph17_state(), "model10.3.weight": torch.ones(1)})
