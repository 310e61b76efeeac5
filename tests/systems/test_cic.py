import numpy as np
import pytest
import torch
from noise import batch
from torch import nn

from tintype.color import bins
from tintype.systems import build
from tintype.systems.cic import Cic, CicConfig
from tintype.systems.colorspace import ab_of_linear
from tintype.systems.system import Batch


@pytest.fixture
def cic():
    torch.manual_seed(0)
    return build("cic", "test")[0]


def test_the_layer_table_and_the_parameters_of_the_paper():
    system = Cic(CicConfig())
    table = []
    for block in system.blocks:
        assert isinstance(block, nn.Sequential)
        convs = [m for m in block if isinstance(m, nn.Conv2d)]
        # Batch norm once, after the last ReLU of the block.
        assert [type(m) for m in block] == [nn.Conv2d, nn.ReLU] * len(convs) + [nn.BatchNorm2d]
        assert {c.kernel_size for c in convs} == {(3, 3)}
        assert {c.stride for c in convs[:-1]} == {(1, 1)}
        table.append(
            (len(convs), convs[-1].out_channels, convs[-1].stride[0], convs[0].dilation[0])
        )
    assert table == [
        *[(2, 64, 2, 1), (2, 128, 2, 1), (3, 256, 2, 1), (3, 512, 1, 1)],
        *[(3, 512, 1, 2), (3, 512, 1, 2), (3, 512, 1, 1)],
    ]
    assert system.enlarge.kernel_size == (4, 4)
    assert [c.out_channels for c in system.fine] == [256, 256]
    assert sum(p.numel() for p in system.parameters()) == 32_235_385  # "32.2 M"


def test_small_has_the_documented_size():
    assert sum(p.numel() for p in build("cic", "small")[0].parameters()) == 2_032_585


@pytest.mark.parametrize("size", [(256, 256), (40, 56)])
def test_distribution_over_313_bins_at_a_quarter_of_the_size(cic, size):
    cic.eval()
    shape = (size[0] // 4, size[1] // 4)
    assert cic(torch.rand(1, 1, *size)).shape == (1, 313, *shape)
    assert cic.chroma(torch.rand(1, 1, *size)).shape == (1, 2, *shape)


def test_the_papers_constants():
    config, recipe = Cic.presets["paper"]
    assert (config.uniform, config.cap) == (0.5, 0)
    assert (recipe.crop, recipe.batch, recipe.learning_rate) == (176, 40, 3e-5)
    assert Cic(CicConfig(maps=1)).shares.shape[-1] == 10  # neighbours, as in the published code


def test_targets_are_every_fourth_pixel_not_the_mean(cic):
    example = batch()
    expected = ab_of_linear(example.linear)[:, :, ::4, ::4].permute(0, 2, 3, 1)
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
    weight = cic.weights.numpy()[codes[..., 0]]
    assert float(terms["loss"]) == pytest.approx((nats * weight).mean(), rel=1e-4)
    assert float(terms["ce"]) == pytest.approx(nats.mean(), rel=1e-4)


def test_gray_photographs_do_not_count(cic):
    coloured = batch(2)
    linear = coloured.linear.clone()
    linear[1] = linear[1].mean(0)  # the same in all three channels: a and b below 5
    mixed, alone = coloured._replace(linear=linear), Batch(coloured.gray[:1], linear[:1])
    cic.eval()
    with torch.no_grad():
        both, one = cic.loss(mixed)["loss"], cic.loss(alone)["loss"]
    torch.testing.assert_close(2 * both, one, rtol=1e-4, atol=1e-4)


def test_rebalancing_has_a_mean_of_one_and_no_limit(cic):
    ab = torch.randn(5000, 2, generator=torch.Generator().manual_seed(1)) * 8
    cic.prepare(ab)
    codes, shares = bins.soft_encode(ab.numpy())
    prior = bins.smooth_prior(bins.count_bins(codes, shares))
    assert (cic.weights.numpy() * prior).sum() == pytest.approx(1, rel=1e-4)
    assert float(cic.weights.max()) > 3


def test_learns_that_dark_is_red_and_bright_is_blue(cic):
    gray = torch.tensor([0.3, 0.7]).view(2, 1, 1, 1).expand(2, 1, 64, 64)
    linear = torch.tensor([[0.6, 0.1, 0.1], [0.1, 0.2, 0.7]]).view(2, 3, 1, 1).expand(2, 3, 64, 64)
    optimiser = torch.optim.AdamW(cic.parameters(), 3e-3)
    for _ in range(150):
        cic.loss(Batch(gray, linear))["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
    red, blue = cic.chroma(gray).mean((2, 3)).tolist()
    assert red[0] > 20
    assert blue[1] < -20


def test_every_parameter_gets_a_gradient(cic):
    cic.loss(batch())["loss"].backward()
    without = [n for n, p in cic.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_the_default_decoding_is_the_papers(cic):
    decoding = cic.card()["decoding"]
    removed = decoding["safe"] + decoding["vividness"] * (decoding["vivid"] - decoding["safe"])
    assert (removed, decoding["temperature"]) == (0, 0.38)
