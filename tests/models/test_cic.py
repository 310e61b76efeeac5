from typing import Any

import numpy as np
import pytest
import torch
from noise import batch
from torch import nn

from tintype.color import bins
from tintype.models import build
from tintype.models.base import Batch
from tintype.models.cic import Cic, CicConfig, Decode, Decoding
from tintype.models.torch_color import linear_to_ab


@pytest.fixture
def cic() -> Any:
    torch.manual_seed(0)
    return build("cic", "test")[0]


def test_the_layer_table_and_the_parameters_of_the_paper():
    with torch.device("meta"):
        blocks: Any = Cic(CicConfig(maps=1)).blocks  # in units of the first block's maps
    table = []
    for block in blocks:
        convs = [m for m in block if isinstance(m, nn.Conv2d)]
        # Batch norm once, after the last ReLU of the block.
        assert [type(m) for m in block] == [nn.Conv2d, nn.ReLU] * len(convs) + [nn.BatchNorm2d]
        assert {c.kernel_size for c in convs} == {(3, 3)}
        assert {c.stride for c in convs[:-1]} == {(1, 1)}
        last = convs[-1]
        table.append((len(convs), 64 * last.out_channels, last.stride[0], last.dilation[0]))
    assert table == [
        *[(2, 64, 2, 1), (2, 128, 2, 1), (3, 256, 2, 1), (3, 512, 1, 1)],
        *[(3, 512, 1, 2), (3, 512, 1, 2), (3, 512, 1, 1)],
    ]


@pytest.mark.parametrize(("maps", "parameters"), [(64, 32_235_385), (16, 2_032_585)])
def test_published_and_small_size(maps, parameters, monkeypatch):
    for start in ("kaiming_normal_", "normal_"):
        monkeypatch.setattr(nn.init, start, lambda *args, **options: None)
    model = Cic(CicConfig(maps=maps))
    assert model.enlarge.kernel_size == (4, 4)
    assert [c.out_channels for c in model.fine] == [4 * maps, 4 * maps]
    assert sum(p.numel() for p in model.parameters()) == parameters  # "32.2 M"


def test_the_papers_constants():
    config, training = Cic.presets["paper"]
    assert (config.maps, config.lam, config.max_weight) == (64, 0.5, 0)
    assert (training.crop, training.batch, training.learning_rate) == (176, 40, 3e-5)
    assert (training.optimizer, training.betas, training.augment) == ("adam", (0.9, 0.99), "none")
    assert Cic(CicConfig(maps=1)).shares.shape[-1] == 10  # neighbors, as in the published code


def test_targets_are_every_fourth_pixel_not_the_mean(cic):
    example = batch()
    expected = linear_to_ab(example.rgb)[:, :, ::4, ::4].permute(0, 2, 3, 1)
    torch.testing.assert_close(cic.target(example), expected)


def test_loss_is_the_rebalanced_cross_entropy_written_out(cic):
    cic.eval()
    cic.weights.copy_(torch.linspace(0.5, 2, 313))
    example = batch()
    with torch.no_grad():
        terms = cic.loss(example)
        log_p = cic(example.gray).permute(0, 2, 3, 1).log_softmax(-1).numpy()
    codes, shares = bins.soft_encode(cic.target(example).round().numpy())
    nats = -(np.take_along_axis(log_p, codes, -1) * shares).sum(-1)
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(-1)
    weight = cic.weights.numpy()[codes[..., 0]]
    assert float(terms["loss"]) == pytest.approx((nats * weight).mean(), rel=1e-4)
    assert float(terms["ce"]) == pytest.approx(nats.mean(), rel=1e-4)
    assert float(terms["kl"]) == pytest.approx((nats - entropy).mean(), rel=1e-4)


def test_gray_photographs_do_not_count(cic):
    colored = batch(2)
    rgb = colored.rgb.clone()
    rgb[1] = rgb[1].mean(0)  # the same in all three channels: a and b below 5
    cic.eval()
    with torch.no_grad():
        both = cic.loss(colored._replace(rgb=rgb))["loss"]
        one = cic.loss(Batch(colored.gray[:1], rgb[:1]))["loss"]
    torch.testing.assert_close(2 * both, one, rtol=1e-4, atol=1e-4)


def test_rebalancing_has_a_mean_of_one_and_no_limit(cic):
    ab = torch.randn(5000, 2, generator=torch.Generator().manual_seed(1)) * 8
    cic.start_training(ab)
    prior = bins.smooth_prior(bins.count_bins(*bins.soft_encode(ab.numpy())))
    assert (cic.weights.numpy() * prior).sum() == pytest.approx(1, rel=1e-4)
    assert float(cic.weights.max()) > 3
    limited: Any = build("cic", "test", {"max_weight": 2.0})[0]
    limited.start_training(ab)
    assert float(limited.weights.max()) == 2


def test_calibration_goes_half_the_way_to_every_bin_as_likely_as_it_is_frequent(cic):
    cic.eval()
    cic.weights.copy_(torch.linspace(0.2, 5, 313))
    cic.corrected_weights.copy_(cic.weights)
    held = [batch(4, seed=seed) for seed in range(3)]
    before = cic.weights.clone()
    cic.calibrate(held)
    assert torch.equal(cic.weights, before)  # training's own are left alone
    fitted = cic.corrected_weights.square() / cic.weights

    predicted, true = torch.zeros(313), torch.zeros(313)
    for example in held:
        with torch.no_grad():
            logits = cic(example.gray) - fitted.log()[:, None, None]
        predicted += logits.softmax(1).sum((0, 2, 3))
        codes, shares = cic.soft_encode(cic.target(example))
        true.index_add_(0, codes.flatten(), shares.flatten())
    predicted, true = predicted / predicted.sum(), true / true.sum()
    assert float((predicted - true).abs().sum()) < 0.02


def test_calibration_without_photographs_changes_nothing(cic):
    before = cic.corrected_weights.clone()
    cic.calibrate([])
    assert torch.equal(cic.corrected_weights, before)


@pytest.mark.parametrize("vividness", [0.0, 0.3, 1.0])
def test_the_decode_graph_takes_the_annealed_mean_of_the_corrected_bins(vividness):
    random = np.random.default_rng(0)
    log_p = torch.from_numpy(random.standard_normal((1, 313, 3, 4), dtype=np.float32) * 2)
    weights = random.uniform(0.2, 5, 313).astype(np.float32)
    decode = Decode(torch.from_numpy(weights), Decoding((1.2, -0.1), (1.3, 0.3), 0.8))
    found = decode(log_p.log_softmax(1), torch.tensor(vividness))
    correction = 1.2 + vividness * (-0.1 - 1.2)
    temperature = np.exp(np.log(1.3) + vividness * (np.log(0.3) - np.log(1.3)))
    logits = log_p[0].permute(1, 2, 0).numpy() - correction * np.log(weights)
    p = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    expected = p @ bins.ab_bins() / p.sum(-1, keepdims=True)
    np.testing.assert_allclose(found[0].permute(1, 2, 0).detach().numpy(), expected, atol=1e-3)


def test_the_default_decoding_is_the_papers(cic):
    decoding, vividness = cic.decoding, cic.card()["options"]["vividness"]
    safe, vivid = decoding.prior_correction
    assert (safe + vividness * (vivid - safe), decoding.temperature) == (0, (0.38, 0.38))
    log_p = torch.randn(1, 313, 2, 2, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    cic.corrected_weights.copy_(torch.linspace(0.2, 5, 313))
    graph = cic.decode_graph().module(log_p, torch.tensor(vividness))
    torch.testing.assert_close(graph, cic.annealed_mean(log_p, 0.0, 0.38))
