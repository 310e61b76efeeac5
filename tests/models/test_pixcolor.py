import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tintype.color.spaces import rgb_to_ycbcr
from tintype.errors import SettingError
from tintype.models import build
from tintype.models.base import Batch
from tintype.models.pixcolor import PixColor, PixColorConfig, Refinement
from tintype.models.pixelcnn import LEVELS, PixelCNN, dequantize, gumbel_noise, quantize
from tintype.models.torch_color import linear_to_cbcr, linear_to_srgb


def shaken(network):
    """A network whose weights are all unlike their start, in double precision."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.double().eval()


def tiny(changes=None):
    torch.manual_seed(0)
    model, _ = build("pixcolor", "test", changes)
    assert isinstance(model, PixColor)
    return model


@pytest.fixture
def model():
    return shaken(tiny()).float()


@pytest.fixture
def pixelcnn():
    torch.manual_seed(0)
    return shaken(PixelCNN(features=4, channels=8, blocks=3, hidden=16))


def levels(height, width, count=1):
    random = torch.Generator().manual_seed(0)
    return torch.randint(LEVELS, (count, 2, height, width), generator=random)


def features(height, width, count=1):
    random = torch.Generator().manual_seed(9)
    return torch.randn(count, 4, height, width, generator=random, dtype=torch.float64)


def logits_of(network, given, condition):
    """Logits of Cr and Cb, (N, 2, levels, h, w), of levels."""
    return network(dequantize(given).double(), condition)


def batch(side=64, count=2):
    """Patches of color with edges inside the cells, seen in the luma too."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, side // 16, side // 16, generator=random)
    rgb = F.interpolate(coarse, size=(side, side)).roll((3, 3), (2, 3))
    return Batch(rgb.mean(1, keepdim=True), rgb)


# Levels


def test_levels_are_the_papers():
    k = torch.arange(LEVELS).view(1, 1, 1, -1).expand(1, 2, 1, -1)
    assert np.allclose(dequantize(k)[0, 0, 0] + 0.5, (8 * np.arange(32) + 3.5) / 255)
    every = (torch.arange(256) / 255 - 0.5).view(1, 1, 1, -1).expand(1, 2, 1, -1)
    assert torch.equal(quantize(every)[0, 0, 0], torch.arange(256) // 8)
    assert torch.equal(quantize(dequantize(k)), k)


def test_cr_comes_first_inside_and_cb_outside():
    red = linear_to_cbcr(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
    cr, cb = quantize(red).flatten().tolist()
    assert cr > 28
    assert cb < 16


def test_cells_are_means_of_8_by_8_pixels():
    rgb = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    cells = F.avg_pool2d(linear_to_cbcr(rgb), 8)
    found = quantize(cells).permute(0, 2, 3, 1).numpy()
    srgb = linear_to_srgb(rgb).permute(0, 2, 3, 1).numpy()
    ycbcr = rgb_to_ycbcr(srgb).reshape(2, 4, 8, 6, 8, 3).mean((2, 4))
    expected = np.round(255 * ycbcr[..., [2, 1]]) // 8
    assert (found == expected).mean() > 0.99  # rounding may move one on an edge


# The order of the values


def test_no_value_depends_on_itself_or_on_one_that_comes_later(pixelcnn):
    """At every cell and channel, to the bit; Cb depends on its Cr."""
    height, width = 4, 5
    given, condition = levels(height, width), features(height, width)
    with torch.no_grad():
        before = logits_of(pixelcnn, given, condition)[0]
        for place in range(2 * height * width):
            cell, channel = divmod(place, 2)
            row, column = divmod(cell, width)
            changed = given.clone()
            changed[0, channel, row, column] = (given[0, channel, row, column] + 13) % LEVELS
            after = logits_of(pixelcnn, changed, condition)[0]
            moved = (after != before).any(1).permute(1, 2, 0).flatten()  # raster, Cr before Cb
            assert not moved[: place + 1].any(), place
            if channel == 0:
                assert moved[place + 1], place


def test_there_is_no_blind_spot(pixelcnn):
    height, width = 6, 6
    given, condition = levels(height, width), features(height, width)
    row, column = 5, 3
    with torch.no_grad():
        before = logits_of(pixelcnn, given, condition)[0, :, :, row, column]
        for past in range(row * width + column):
            for channel in range(2):
                changed = given.clone()
                cell = changed[0, channel, past // width]
                cell[past % width] = (cell[past % width] + 11) % LEVELS
                after = logits_of(pixelcnn, changed, condition)[0, :, :, row, column]
                assert (after != before).any(1).all(), (past, channel)


def test_luma_is_seen_everywhere(pixelcnn):
    given, condition = levels(4, 4), features(4, 4)
    with torch.no_grad():
        before = logits_of(pixelcnn, given, condition)
        after = logits_of(pixelcnn, given, condition + 1)
    assert ((before - after).abs().amax((0, 1, 2)) > 1e-6).all()


@torch.no_grad()
def test_marginals_sum_to_one(pixelcnn):
    """p(Cr) and p(Cr, Cb) of one cell, whose Cb is seen through all of its Cr."""
    pairs = torch.cartesian_prod(torch.arange(LEVELS), torch.arange(LEVELS)).view(-1, 2, 1, 1)
    logp = logits_of(pixelcnn, pairs, features(1, 1)).log_softmax(2)
    chosen = logp.gather(2, pairs[:, :, None])[:, :, 0, 0, 0]
    assert float(chosen[::LEVELS, 0].exp().sum()) == pytest.approx(1, abs=1e-9)
    assert float(chosen.sum(1).exp().sum()) == pytest.approx(1, abs=1e-9)


# Sampling


def naive_sample(model, gray, noise, temperature):
    """A pass of the whole network for every value."""
    features = model.conditioning(gray)
    noise = noise.unflatten(1, (2, LEVELS))
    drawn = torch.zeros(len(noise), 2, *features.shape[2:], dtype=torch.long)
    for y, x, k in np.ndindex(*features.shape[2:], 2):
        logits = model.pixelcnn(dequantize(drawn), features)[:, k, :, y, x]
        drawn[:, k, y, x] = (logits / temperature + noise[:, k, :, y, x]).argmax(1)
    return dequantize(drawn)


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_cached_and_naive_samples_are_the_same_and_so_is_their_likelihood(model, temperature):
    gray = torch.rand(1, 1, 32, 40)
    noise = torch.stack([gumbel_noise(5, k, 4, 5) for k in range(2)])
    sampled, logp = model.sample(gray, noise, temperature)
    assert torch.equal(sampled, naive_sample(model, gray, noise, temperature))
    assert not torch.equal(sampled[0], sampled[1])
    own = quantize(sampled)
    whole = model(gray.expand(2, -1, -1, -1), dequantize(own)).log_softmax(2)
    whole = whole.gather(2, own[:, :, None])[:, :, 0].flip(1)
    torch.testing.assert_close(logp, whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_row_scores_the_nearest_levels_of_what_it_is_given(model):
    """What `score` does: one call of ``row`` with the true means of the cells as guess."""
    gray, means = torch.rand(1, 1, 8, 40), torch.rand(1, 2, 1, 5) - 0.5
    above, row = (model.graphs()[part].module for part in ("above", "row"))
    states = torch.zeros(1, 2, 3, 5), torch.zeros(2, 1, 8, 2, 5)
    context, *_ = above(model.conditioning(gray), *states)
    _, logp = row(context, means, torch.zeros(1, 64, 1, 5), torch.tensor(0.5))
    own = quantize(means)
    whole = model(gray, dequantize(own)).log_softmax(2)
    torch.testing.assert_close(logp, whole.gather(2, own[:, :, None])[:, :, 0].flip(1))


def test_noise_is_that_of_the_protocol():
    expected = np.random.default_rng((3, 1)).gumbel(size=(64, 2, 5)).astype(np.float32)
    assert np.array_equal(gumbel_noise(3, 1, 2, 5), expected)


@torch.no_grad()
def test_sampling_follows_the_distribution(model):
    gray = torch.rand(1, 1, 8, 8)
    expected = model(gray, torch.zeros(1, 2, 1, 1))[0, 0, :, 0, 0].softmax(0).numpy()
    noise = torch.stack([gumbel_noise(0, k, 1, 1) for k in range(2000)])
    drawn = quantize(model.sample(gray, noise)[0])[:, 0].flatten().numpy()
    assert np.abs(np.bincount(drawn, minlength=LEVELS) / len(drawn) - expected).max() < 0.03


# The published network


def test_the_papers_networks_have_the_sizes_of_table_2():
    config, training = PixColor.presets["paper"]
    assert config == PixColorConfig()
    assert (training.crop, training.batch, training.steps) == (224, 64, 360_000)
    assert (training.optimizer, training.learning_rate) == ("adam", 3e-4)
    assert (training.warmup, training.cooldown, training.grad_clip) == (0, 0.0, 0.0)
    assert (training.augment, training.min_chroma, training.weight_decay) == ("none", 0.05, 0.0)
    with torch.device("meta"):
        model = PixColor(config).eval()
        gray = torch.rand(1, 1, 224, 224)
        assert model.conditioning.backbone(gray).shape == (1, 1024, 28, 28)
        assert model.conditioning(gray).shape == (1, 64, 28, 28)
        assert model(gray, torch.rand(1, 2, 28, 28)).shape == (1, 2, 32, 28, 28)

    def count(part):
        return sum(parameter.numel() for parameter in part.parameters())

    # ResNet-101 less its last group and classifier: 44,549,160 - 14,964,736 - 2,049,000.
    assert count(model.conditioning.backbone) == 27_535_424
    assert count(model.conditioning.adaptation) == 9 * 64 * (1025 + 64 + 64) + 3 * 64
    # 3x5, 1x3, down (of 128), two conditions; out.
    block = 64 * 128 * (15 + 3 + 2 + 1 + 1) + 5 * 128 + 64 * 64 + 64
    first = 2 * 64 * (21 + 4) + 2 * 64
    last = 64 * 128 + 128  # the vertical condition that nothing would use
    ends = 64 * 1024 + 1024 + 1024 * 64 + 64
    assert count(model.pixelcnn) == first + 10 * block - last + ends


def test_the_refinements_maps_have_the_sizes_of_table_2():
    with torch.device("meta"):
        network = Refinement(64)
        low = network.low(torch.rand(2, 3, 224, 224))
        assert low.shape == (2, 512, 28, 28)
        assert network.middle(low).shape == (2, 256, 28, 28)
        assert network.glob[0](low).shape == (2, 512, 7, 7)
        assert network.glob[:2](low).shape == (2, 1024, 3, 3)
        assert network.glob(low).shape == (2, 512, 1, 1)
        refined = network(torch.rand(2, 1, 224, 224), torch.rand(2, 2, 28, 28))
        assert refined.shape == (2, 2, 112, 112)


@torch.no_grad()
def test_at_224_pixels_the_global_branch_sees_the_picture(model):
    x, chroma = torch.rand(1, 1, 224, 224), torch.rand(1, 2, 28, 28) - 0.5
    model.refinement.train()  # where it takes its own copy
    for norm in model.refinement.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.eval()
    own = model.refinement(x, chroma)
    torch.testing.assert_close(model.refinement.eval()(x, chroma), own)


def test_settings_that_make_no_network_are_refused():
    for changes in ({"backbone": "resnet50"}, {"channels": 7}, {"hidden": 3}):
        with pytest.raises(SettingError):
            build("pixcolor", "test", changes)


# Training


@torch.no_grad()
def test_the_loss_is_the_likelihood_and_the_squared_error(model):
    example = batch()
    terms = model.loss(example)
    truth = linear_to_cbcr(example.rgb)
    own = quantize(F.avg_pool2d(truth, 8))
    given = dequantize(own)
    logp = model(example.gray, given).log_softmax(2).gather(2, own[:, :, None])
    bits = -logp.mean((0, 2, 3, 4)) / math.log(2)
    assert torch.allclose(bits, torch.stack((terms["bits_cr"], terms["bits_cb"])), rtol=1e-4)
    refined = F.interpolate(model.refinement(example.gray, given), size=(64, 64), mode="bilinear")
    mse = (refined - truth).square().mean()
    assert torch.allclose(terms["refined_mse"], mse)
    assert torch.allclose(terms["loss"], bits.mean() * math.log(2) + mse, rtol=1e-4)


def descend(network, loss, steps, rate=1e-2):
    optimizer = torch.optim.Adam(network.parameters(), rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


@pytest.mark.slow
def test_chroma_refined_is_better_than_enlarged():
    """Of one batch learnt by heart."""
    torch.manual_seed(0)
    network, example = Refinement(8), batch()
    truth = linear_to_cbcr(example.rgb)
    given = dequantize(quantize(F.avg_pool2d(truth, 8)))

    def error(chroma):
        return F.mse_loss(F.interpolate(chroma, size=(64, 64), mode="bilinear"), truth)

    descend(network, lambda: error(network(example.gray, given)), 80, 3e-3)
    with torch.no_grad():
        refined, enlarged = error(network(example.gray, given)), error(given)
    assert refined < 0.85 * enlarged


def test_the_stages_share_no_parameter():
    """So that one run trains each as if alone."""
    model = tiny()
    names = [{id(p) for p in part.parameters()} for part in model.children()]
    assert sum(map(len, names)) == len(set().union(*names)) == len(list(model.parameters()))
