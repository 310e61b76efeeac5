import pytest
import torch

from tintype.systems import build
from tintype.systems.pixcolor import CHROMA_NEUTRAL_32
from tintype.systems.refinement import Refinement
from tintype.systems.system import Batch


def batch(seed=0, side=64):
    """Patches of colour with edges inside the cells, seen in the luminance too."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(4, 3, side // 16, side // 16, generator=random)
    linear = torch.nn.functional.interpolate(coarse, size=(side, side)).roll((3, 3), (2, 3))
    return Batch(linear.mean(1, keepdim=True).clamp(0, 1), linear)


@pytest.fixture
def refinement():
    torch.manual_seed(0)
    return build("refinement", "test")[0]


def test_the_papers_maps_are_of_the_sizes_of_table_2():
    config, recipe = Refinement.presets["paper"]
    assert (config.width, config.pooled, config.residual) == (64, False, False)
    assert (recipe.crop, recipe.learning_rate) == (224, 3e-4)
    with torch.device("meta"):
        network = Refinement(config)
        x = torch.rand(2, 3, 224, 224)
        low = network.low(x)
        assert low.shape == (2, 512, 28, 28)
        assert network.middle(low).shape == (2, 256, 28, 28)
        assert network.whole(low).shape == (2, 512, 7, 7)
        assert network.vector[0](network.whole(low)).shape == (2, 1024, 3, 3)
        assert network.vector(network.whole(low)).shape == (2, 512, 1, 1)
        found = network(torch.rand(2, 1, 224, 224), torch.rand(2, 2, 28, 28))
        assert found.shape == (2, 2, 112, 112)


@pytest.mark.parametrize("preset", ["paper", "test"])
@pytest.mark.parametrize("size", [(64, 96), (32, 32), (8, 24)])
def test_any_size_of_picture(preset, size):
    network, _ = build("refinement", preset, {"width": 4})
    height, width = size
    found = network.eval()(torch.rand(1, 1, *size), torch.rand(1, 2, height // 8, width // 8))
    assert found.shape == (1, 2, height // 2, width // 2)


def test_it_is_given_what_the_first_stage_can_say(refinement):
    given = refinement.given(batch().linear)
    step = 0.01875
    assert torch.allclose(given / step, (given / step).round(), atol=1e-3)
    gray = torch.rand(1, 1, 32, 32).expand(1, 3, 32, 32)
    assert float(refinement.given(gray).abs().max()) < 1e-6
    assert CHROMA_NEUTRAL_32.count == 32


def test_begins_with_the_chroma_it_is_given(refinement):
    with torch.no_grad():
        terms = refinement.loss(batch())
    # But for the detour over half the size.
    assert float(terms["loss"]) == pytest.approx(float(terms["raw"]), rel=0.05)


def test_learns_to_follow_the_edges_of_the_luminance(refinement):
    optimiser = torch.optim.Adam(refinement.parameters(), 1e-2)
    example = batch()
    for _ in range(150):
        refinement.loss(example)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        terms = refinement.loss(example)
    assert float(terms["loss"]) < 0.6 * float(terms["raw"])


def test_every_parameter_gets_a_gradient():
    network, _ = build("refinement", "test", {"residual": False})
    network.loss(batch())["loss"].backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_the_contact_sheet_gets_chroma_of_half_the_size(refinement):
    with torch.no_grad():
        assert refinement.eval().chroma(torch.rand(2, 1, 64, 32)).shape == (2, 2, 32, 16)
