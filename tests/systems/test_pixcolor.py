import math

import numpy as np
import pytest
import torch

from tintype.color.bins import CHROMA_32, level_centers, quantize_chroma
from tintype.color.spaces import rgb_to_ycbcr
from tintype.systems import build
from tintype.systems.colorspace import linear_to_srgb
from tintype.systems.pixcolor import CHROMA_NEUTRAL_32, PixColor, PixColorConfig
from tintype.systems.pixelcnn import PixelCNN
from tintype.systems.rows import RowNetwork
from tintype.systems.system import Batch

LEVELS = 32


def coloring(kind):
    torch.manual_seed(0)
    if kind == "pixelcnn":
        network = PixelCNN(LEVELS, conditioning=4, channels=8, blocks=3, hidden=16)
    else:
        network = RowNetwork(LEVELS, conditioning=4, channels=8, above=2, left=2, heads=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))  # nothing is zero by its start
    return network.double().eval()


@pytest.fixture(params=["pixelcnn", "rows"])
def network(request):
    return coloring(request.param)


def tiny(changes=None):
    system, _ = build("pixcolor", "test", changes)
    assert isinstance(system, PixColor)
    return system


def levels(height, width, seed=0, count=1):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(LEVELS, (count, 2, height, width), generator=random)


def condition(height, width, count=1):
    random = torch.Generator().manual_seed(9)
    return torch.randn(count, 4, height, width, generator=random, dtype=torch.float64)


def test_no_value_depends_on_itself_or_on_one_that_comes_later(network):
    height, width = 4, 5
    given, features = levels(height, width), condition(height, width)
    with torch.no_grad():
        before = torch.stack(network(given, features))[:, 0]  # (2, levels, H, W)
        for place in range(2 * height * width):
            cell, channel = divmod(place, 2)
            row, column = divmod(cell, width)
            changed = given.clone()
            changed[0, channel, row, column] = (given[0, channel, row, column] + 13) % LEVELS
            after = torch.stack(network(changed, features))[:, 0]
            # In order of raster, Cr before Cb: nothing up to and with this value has moved.
            moved = (after != before).any(1).permute(1, 2, 0).flatten()
            assert not moved[: place + 1].any(), place


def test_every_past_value_within_reach_is_seen(network):
    """No blind spot: a change anywhere before moves the last cell's distributions."""
    height, width = 6, 6
    given, features = levels(height, width), condition(height, width)
    row, column = 5, 3
    with torch.no_grad():
        before = torch.stack(network(given, features))[:, 0, :, row, column]
        for past_row in range(height):
            for past_column in range(width):
                if (past_row, past_column) >= (row, column):
                    continue
                for channel in range(2):
                    changed = given.clone()
                    changed[0, channel, past_row, past_column] += 11
                    changed %= LEVELS
                    after = torch.stack(network(changed, features))[:, 0, :, row, column]
                    assert (after != before).any(1).all(), (past_row, past_column, channel)
        changed = given.clone()
        changed[0, 0, row, column] = (changed[0, 0, row, column] + 11) % LEVELS
        after = torch.stack(network(changed, features))[:, 0, :, row, column]
        assert torch.equal(after[0], before[0])
        assert not torch.equal(after[1], before[1])  # Cb sees its own Cr


def test_luminance_is_seen_everywhere(network):
    given, features = levels(4, 4), condition(4, 4)
    with torch.no_grad():
        before = torch.stack(network(given, features))
        after = torch.stack(network(given, features + 1))
    assert ((before - after).abs().amax((0, 1, 2)) > 1e-6).all()


@pytest.mark.parametrize("kind", ["pixelcnn", "rows"])
def test_the_distribution_over_whole_pictures_sums_to_one(kind):
    """All 3 ** 4 pictures of two cells and three levels, each with its likelihood."""
    torch.manual_seed(1)
    if kind == "pixelcnn":
        network = PixelCNN(3, conditioning=4, channels=8, blocks=2, hidden=8)
    else:
        network = RowNetwork(3, conditioning=4, channels=8, above=2, left=2, heads=2)
    network = network.double().eval()
    grid = torch.cartesian_prod(*[torch.arange(3)] * 4).view(-1, 2, 2, 1)  # two rows of one cell
    with torch.no_grad():
        logits = network(grid, condition(2, 1).expand(len(grid), -1, -1, -1))
    nats = sum(
        part.log_softmax(1).gather(1, grid[:, k, None]).sum((1, 2, 3))
        for k, part in enumerate(logits)
    )
    assert float(nats.exp().sum()) == pytest.approx(1, abs=1e-9)


def test_the_papers_sizes():
    config, recipe = PixColor.presets["paper"]
    assert config == PixColorConfig(
        levels="paper",
        conditioning="resnet",
        blocks=(3, 4, 23),
        width=64,
        adaptation=64,
        coloring="pixelcnn",
        channels=64,
        layers=(10,),
        hidden=1024,
        frozen=100_000,
    )
    assert (recipe.crop, recipe.batch, recipe.learning_rate) == (224, 64, 3e-4)
    with torch.device("meta"):
        system = PixColor(config)
    resnet = system.conditioning.resnet
    # ResNet-101 less its last group and classifier: 44,549,160 - 14,964,736 - 2,049,000.
    assert sum(p.numel() for p in resnet.parameters()) == 27_535_424
    gray = torch.rand(1, 1, 224, 224, device="meta")
    assert system.conditioning(gray, engaged=True).shape == (1, 64, 28, 28)
    red, blue = system(gray, torch.zeros(1, 2, 28, 28, dtype=torch.long, device="meta"))
    assert red.shape == blue.shape == (1, 32, 28, 28)


@pytest.mark.parametrize("name", ["paper", "neutral"])
def test_chroma_is_averaged_over_cells_and_quantised(name):
    system = tiny({"levels": name})
    linear = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    rgb = linear_to_srgb(linear).permute(0, 2, 3, 1).numpy()
    ycbcr = rgb_to_ycbcr(rgb).reshape(2, 4, 8, 6, 8, 3).mean((2, 4))
    expected = quantize_chroma(ycbcr[..., [2, 1]], system.quantiser)
    found = system.quantise(linear).permute(0, 2, 3, 1).numpy()
    assert (found == expected).mean() > 0.99  # rounding may move one on an edge
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_neutral_is_a_level_of_ours_and_of_the_papers_is_not():
    assert 0.5 in level_centers(CHROMA_NEUTRAL_32)
    assert 0.5 not in level_centers(CHROMA_32)
    system = tiny()
    gray = torch.rand(1, 1, 32, 32).expand(1, 3, 32, 32)
    assert (system.quantise(gray) == 16).all()


@pytest.fixture
def small():
    torch.manual_seed(0)
    return tiny().eval()


def test_the_loss_is_the_mean_of_both_in_nats_and_reported_in_bits(small):
    example = Batch(torch.rand(2, 1, 64, 64), torch.rand(2, 3, 64, 64))
    with torch.no_grad():
        terms = small.loss(example)
        chroma = small.quantise(example.linear)
        nats = [
            -part.log_softmax(1).gather(1, chroma[:, k, None]).mean()
            for k, part in enumerate(small(example.gray, chroma))
        ]
    assert float(terms["loss"]) == pytest.approx(float(sum(nats)) / 2, rel=1e-4)
    assert float(terms["bits_cr"]) == pytest.approx(float(nats[0]) / math.log(2), rel=1e-4)
    assert float(terms["bits_cb"]) == pytest.approx(float(nats[1]) / math.log(2), rel=1e-4)


def test_no_gradient_reaches_the_conditioning_network_while_it_is_frozen():
    system = tiny({"frozen": 5})
    example = Batch(torch.rand(2, 1, 64, 64), torch.rand(2, 3, 64, 64))
    encoder = dict(system.named_parameters())["conditioning.encoder.stem.weight"]
    system.loss(example, 4)["loss"].backward()
    assert encoder.grad is None
    system.loss(example, 5)["loss"].backward()
    assert encoder.grad is not None


def test_every_parameter_gets_a_gradient(small):
    small.loss(Batch(torch.rand(2, 1, 64, 64), torch.rand(2, 3, 64, 64)))["loss"].backward()
    without = [n for n, p in small.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def naive_sample(system, gray, temperature, seed):
    """One full pass for every value, with the noise that `PixColor.sample` draws."""
    condition = system.conditioning(gray, engaged=True)
    n, _, height, width = condition.shape
    count = system.quantiser.count
    uniform = torch.rand(
        (2, n, count, height, width), generator=torch.Generator().manual_seed(seed)
    )
    noise = -(-uniform.clamp_min(1e-20).log()).log()
    chroma, nats = torch.zeros(n, 2, height, width, dtype=torch.long), 0.0
    for row in range(height):
        for column in range(width):
            for channel in range(2):
                logits = system.coloring(chroma, condition)[channel][:, :, row, column]
                scores = logits / temperature + noise[channel, :, :, row, column]
                chroma[:, channel, row, column] = scores.argmax(1)
                chosen = chroma[:, channel, row, column, None]
                nats += logits.log_softmax(1).gather(1, chosen).sum()
    return chroma, float(nats)


@torch.no_grad()
def test_fixed_point_sampling_is_exact_and_its_likelihood_is_the_one_evaluated(small):
    gray = torch.rand(2, 1, 32, 64)
    generator = torch.Generator().manual_seed(5)
    sampled = small.sample(gray, temperature=0.9, generator=generator)
    naive, nats = naive_sample(small, gray, 0.9, 5)
    assert torch.equal(sampled, naive)
    evaluated = sum(
        part.log_softmax(1).gather(1, naive[:, k, None]).sum()
        for k, part in enumerate(small(gray, naive))
    )
    assert nats == pytest.approx(float(evaluated), abs=1e-3)


@torch.no_grad()
def test_samples_differ_by_seed_and_not_otherwise(small):
    gray = torch.rand(1, 1, 64, 64)
    one, same, other = (
        small.sample(gray, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@torch.no_grad()
def test_sampling_follows_the_distribution(small):
    """The first cell's Cr, drawn many times, comes as often as its probability says."""
    gray = torch.rand(1, 1, 32, 32).expand(2000, 1, 32, 32)[:1]
    logits = small(gray, torch.zeros(1, 2, 4, 4, dtype=torch.long))[0][0, :, 0, 0]
    expected = logits.softmax(0).numpy()
    random = torch.Generator().manual_seed(0)
    drawn = torch.cat([small.sample(gray, generator=random)[:, 0, 0, 0] for _ in range(300)])
    found = np.bincount(drawn.numpy(), minlength=LEVELS) / len(drawn)
    assert np.abs(found - expected).max() < 0.1


def test_chroma_for_the_contact_sheet_has_the_size_of_the_cells(small):
    with torch.no_grad():
        assert small.chroma(torch.rand(2, 1, 64, 32)).shape == (2, 2, 8, 4)


def test_takes_over_the_conditioning_network_of_tint():
    tint, _ = build("tint", "test")
    system = tiny()
    said = system.adopt("tint", dict(tint.state_dict()))
    assert "tint" in said
    assert torch.equal(system.conditioning.encoder.stem.weight, tint.pyramid.encoder.stem.weight)
    assert torch.equal(system.conditioning.fuse8.conv.weight, tint.pyramid.fuse8.conv.weight)
    rates = [rate for _, rate in system.parameter_groups()]
    assert rates == [0.25, 1.0]
