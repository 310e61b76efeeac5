"""PIC: the order of its values, its mixtures, and sampling that agrees with the likelihood."""

import numpy as np
import pytest
import torch
from exported import untrained

from tintype.models import build
from tintype.models.base import Batch
from tintype.models.logistics import NOISES, PARAMETERS, Mixture, dequantize, quantize
from tintype.models.pic import Pic
from tintype.models.weight_norm import WeightNormConv2d
from tintype.runtime.sampler import Sampler


@pytest.fixture(scope="module")
def model():
    return untrained("pic")


@pytest.fixture
def gray():
    return torch.rand((1, 1, 24, 32), generator=torch.Generator().manual_seed(0))


def _noise(n, height, width):
    random = np.random.default_rng(3)
    noise = random.gumbel(size=(n, NOISES, height, width)).astype(np.float32)
    return torch.from_numpy(noise)


def _ab(height, width):
    generator = torch.Generator().manual_seed(1)
    return 60 * torch.rand((1, 2, height, width), generator=generator) - 30


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("place", [(0, 0), (0, 7), (2, 3), (5, 7)])
def test_a_value_changes_the_mixtures_of_cells_after_it_alone(model, gray, place, channel):
    ab = _ab(6, 8)
    other = ab.clone()
    other[0, channel, place[0], place[1]] += 40
    changed = (model(gray, ab) - model(gray, other)).abs().amax(1)[0].flatten() > 0
    own = place[0] * 8 + place[1]
    assert not changed[: own + 1].any()
    assert changed[own + 1 :].any() or own == 47


def test_cells_in_reach_before_the_last_change_its_mixture(model, gray):
    ab = _ab(6, 8)
    base = model(gray, ab)[0, :, -1, -1]
    for k in (31, 38, 45, 46):
        other = ab.clone()
        other[0, 0].view(-1)[k] += 50
        assert (model(gray, other)[0, :, -1, -1] - base).abs().max() > 0


def test_both_channels_of_256_levels_sum_to_one():
    torch.manual_seed(0)
    mixture = Mixture.of(3 * torch.randn(1, PARAMETERS, 1, 1), torch.full((1, 1, 1, 1), 0.4))
    mixture = Mixture(*[part.expand(256, -1, -1, -1) for part in mixture])
    levels = torch.linspace(-1, 1, 256)
    for a in levels[::51]:
        values = torch.stack((a.expand(256), levels), 1)[:, :, None, None]
        of_b = mixture.log_likelihood(values)[:, 1].exp().sum()
        assert of_b.item() == pytest.approx(1, abs=1e-4)
    values = torch.stack((levels, levels), 1)[:, :, None, None]
    assert mixture.log_likelihood(values)[:, 0].exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_samples_of_a_mixture_are_as_frequent_as_likely():
    torch.manual_seed(0)
    n = 40_000
    mixture = Mixture.of(torch.randn(1, PARAMETERS, 1, 1) / 2, torch.zeros(1, 1, 1, 1))
    mixture = Mixture(*[part.expand(n, -1, -1, -1) for part in mixture])
    noise = -(-torch.rand(n, NOISES, 1, 1).log()).log()
    drawn = mixture.sample(noise, torch.tensor(1.0))
    # The mean of -log p over samples is the entropy; two halves of them agree.
    nats = -mixture.log_likelihood(drawn).sum(1).flatten()
    low, high = ((drawn[:, 0] < -0.999).float().mean(), (drawn[:, 0] > 0.999).float().mean())
    edges = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])[:, :, None, None]
    expected = Mixture(*[part[:2] for part in mixture]).log_likelihood(edges)[:, 0].exp().flatten()
    torch.testing.assert_close(torch.stack((low, high)), expected, atol=0.01, rtol=0)
    assert nats[: n // 2].mean().item() == pytest.approx(nats[n // 2 :].mean().item(), abs=0.05)


def test_levels_are_whole_numbers_of_lab():
    ab = torch.tensor([[-127.0, -128.0], [0.0, 0.0], [128.0, 127.0], [3.4, -7.6]]).T
    ab = ab.reshape(1, 2, 1, 4)
    torch.testing.assert_close(dequantize(quantize(ab)), ab.round())


def test_likelihood_while_sampling_is_the_evaluated_one(model, gray):
    ab, logp = model.sample(gray, _noise(2, 6, 8))
    parameters = model(gray.expand(2, -1, -1, -1), ab)
    lightness = model.features(gray)[:, -1:]
    evaluated = Mixture.of(parameters, lightness).log_likelihood(quantize(ab))
    torch.testing.assert_close(logp, evaluated, atol=1e-3, rtol=1e-4)
    assert not torch.equal(ab[0], ab[1])


def test_runtime_samples_are_as_likely_as_the_network_says(model, gray, exported):
    sampler = Sampler(exported("pic"))
    features = sampler.features(gray[0, 0].numpy())
    found = sampler.sample(features, 1, seed=5)
    scored = sampler.score(features, found.chroma)
    assert scored.sum() == pytest.approx(found.nats[0], rel=1e-5)
    ab = torch.from_numpy(found.chroma)
    mixture = Mixture.of(model(gray, ab), model.features(gray)[:, -1:])
    nats = mixture.log_likelihood(quantize(ab)).sum().item()
    assert nats == pytest.approx(found.nats[0], rel=1e-2)  # exported weights are float16


def test_first_batch_sets_outputs_to_mean_0_and_deviation_1():
    torch.manual_seed(0)
    model = build("pic", "test")[0].train()
    assert isinstance(model, Pic)
    seen = {}
    first = model.embedding.convs[0]
    assert isinstance(first, WeightNormConv2d)
    first.register_forward_hook(lambda _m, _i, out: seen.update(out=out.detach()))
    batch = Batch(torch.rand(4, 1, 32, 32), torch.rand(4, 3, 32, 32))
    model.loss(batch)
    std, mean = torch.std_mean(seen["out"], (0, 2, 3))
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
    torch.testing.assert_close(std, torch.ones_like(std), atol=1e-3, rtol=0)
    before = first.length.clone()
    model.loss(batch)
    assert torch.equal(first.length, before)


def test_training_goes_on_from_weights_without_their_flag():
    # So an exported model has them.
    model, config = build("pic", "test")
    model.load_state_dict(dict(model.named_parameters()), strict=False)
    before = {name: value.clone() for name, value in model.named_parameters()}
    rgb = torch.rand(2, 3, config.crop, config.crop)
    model.train().loss(Batch(rgb.mean(1, keepdim=True), rgb))  # sets nothing anew
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
