import math
from dataclasses import replace

import noise
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tintype.color import bins
from tintype.color.spaces import gray_to_lightness
from tintype.errors import CheckpointError, SettingError
from tintype.systems import build
from tintype.systems.adversarial import (
    Adversarial,
    Critic,
    Head,
    PrintedGenerator,
    judged,
    label_loss,
)
from tintype.systems.mobilenet import MobileNetV2
from tintype.systems.system import Batch

PAPER = Adversarial.presets["paper"][0]


def batch(count=2, side=64, seed=0, classes=10):
    random = torch.Generator().manual_seed(seed)
    labels = torch.rand(count, classes, generator=random).mul(5).softmax(1)
    return noise.batch(count, side, seed)._replace(labels=labels)


def adversary(preset="test", changes=None) -> Adversarial:
    system, _ = build("adversarial", preset, changes)
    assert isinstance(system, Adversarial)
    return system


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture
def adversarial():
    torch.manual_seed(0)
    return adversary()


def in_game(system):
    """As in the last stage of a run."""
    system.progress = 1.0
    return system


# --- the networks of the paper


def test_the_printed_generator_has_the_papers_layers_sizes_and_parameters():
    generator = PrintedGenerator(PAPER)
    convs = [
        m for m in generator.layers if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
    ]
    listed = [(c.out_channels, c.stride[0]) for c in convs]
    assert listed == [
        *[(64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 1), (256, 2)],
        *[(512, 1)] * 12,
        *[(512, 2), (256, 1), (256, 1)],
    ]
    assert isinstance(convs[19], torch.nn.ConvTranspose2d)
    assert isinstance(generator.layers[1], torch.nn.LeakyReLU)  # no norm in the first layer
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in generator.layers) == len(convs) - 1
    assert count(generator) == 34_925_881
    small = PrintedGenerator(replace(PAPER, maps=2))
    assert small(torch.rand(1, 1, 256, 256)).shape == (1, 8, 64, 64)


def test_the_critic_has_the_papers_layers_and_goes_from_64_to_4():
    critic = Critic(PAPER)
    convs = [m for m in critic.layers if isinstance(m, torch.nn.Conv2d)]
    assert [(c.out_channels, c.stride[0]) for c in convs] == [
        *[(64, 1), (128, 2), (256, 2), (512, 2), (512, 1), (512, 2), (1, 1)]
    ]
    norms = [m for m in critic.layers if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 5  # not in the first layer, nor in the last
    assert count(critic) == 6_277_121
    assert critic.layers(torch.rand(2, 3, 64, 64)).shape == (2, 1, 4, 4)
    assert critic(torch.rand(2, 3, 64, 64)).shape == (2,)


def test_the_head_has_the_papers_layers_behind_a_pooling_to_4x4():
    head = Head(256, PAPER)
    assert head.hidden1.in_features == 256 * 16
    assert [head.hidden1.out_features, head.hidden2.out_features] == [4096, 4096]
    assert head(torch.rand(1, 256, 64, 64)).shape == (1, 1000)
    assert count(head) == 37_659_624


def test_small_is_of_the_documented_size_and_ships_within_16_megabytes():
    small = adversary("small")
    assert count(small.generator) == 6_062_441
    assert 2 * count(small.generator) < 16e6
    assert count(small.critic) == 1_571_841
    assert count(small.head) == 1_431_528


# --- chroma


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (96, 32)])
def test_chroma_at_a_quarter_of_the_size(adversarial, size):
    adversarial.eval()
    ab = adversarial(torch.rand(1, 1, *size))
    assert ab.shape == (1, 2, size[0] // 4, size[1] // 4)
    assert torch.equal(adversarial.chroma(torch.zeros(1, 1, *size)).isfinite(), ab.isfinite())


def test_the_printed_generator_runs_at_multiples_of_8():
    system = adversary("paper", {"maps": 2, "hidden": 4, "critic_maps": 2})
    assert system.eval()(torch.rand(1, 1, 40, 56)).shape == (1, 2, 10, 14)


def test_the_annealed_mean_is_that_of_the_colour_science_and_a_sure_bin_gives_its_centre():
    system = adversary("test", {"removed": 0.0})
    logits = torch.randn(1, 313, 2, 3)
    expected = bins.annealed_mean_of_logits(logits.numpy(), temperature=0.38, axis=1)
    found = system.decode(logits).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)
    sure = torch.zeros(1, 313, 1, 1)
    sure[:, 200] = 50
    found = system.decode(sure).flatten().numpy()
    np.testing.assert_allclose(found, bins.ab_bins()[200], atol=1e-3)


def test_a_gradient_passes_through_the_annealed_mean():
    system = adversary()
    logits = torch.randn(1, 313, 2, 2, requires_grad=True)
    system.decode(logits)[:, 0].sum().backward()
    assert logits.grad is not None
    towards_red = (logits.grad.mean((0, 2, 3)) * system.centres[:, 0]).sum()
    assert towards_red > 0


def test_rebalancing_is_taken_out_in_part(adversarial):
    adversarial.weights.copy_(torch.linspace(0.5, 3, 313))
    logits = torch.randn(1, 313, 2, 2)
    biased = logits - 0.25 * adversarial.weights.log()[:, None, None]
    expected = adversarial.annealed_mean(biased, 0.38)
    torch.testing.assert_close(adversarial.decode(logits), expected)


def test_what_the_critic_sees_lies_about_minus_one_to_one():
    gray = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    ab = torch.tensor([-86.0, 98.0]).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    seen = judged(gray, ab)
    assert seen.shape == (1, 3, 16, 16)
    assert float(seen.abs().max()) <= 1.1
    torch.testing.assert_close(seen[:, 1:], ab / 100)
    light = (gray_to_lightness(gray[0, 0].numpy()) - 50) / 50
    np.testing.assert_allclose(
        seen[0, 0].numpy(), light.reshape(16, 4, 16, 4).mean((1, 3)), atol=1e-4
    )


# --- the losses


def test_colour_loss_is_the_rebalanced_cross_entropy_written_out(adversarial):
    adversarial.eval()
    adversarial.weights.copy_(torch.linspace(0.5, 2, 313))
    example = batch()
    with torch.no_grad():
        terms = adversarial.loss(example)
        logits = adversarial.generator.classify(adversarial.generator(example.gray))
    ab = adversarial.target(example)
    codes, shares = bins.soft_encode(ab.round().numpy())
    log_p = logits.permute(0, 2, 3, 1).log_softmax(-1).numpy()
    nats = -(np.take_along_axis(log_p, codes, -1) * shares).sum(-1)
    weight = adversarial.weights.numpy()[codes[..., 0]]
    assert float(terms["co"]) == pytest.approx((nats * weight).mean(), rel=1e-4)
    assert float(terms["ce"]) == pytest.approx(nats.mean(), rel=1e-4)


def test_an_unsure_label_weighs_less_and_one_that_knows_nothing_nothing():
    logits = torch.randn(1, 10)
    sure = torch.eye(10)[:1]
    expected = F.cross_entropy(logits, torch.tensor([0]))
    torch.testing.assert_close(label_loss(logits, sure), expected)
    assert float(label_loss(logits, torch.full((1, 10), 0.1))) == pytest.approx(0, abs=1e-5)
    two = torch.tensor([[0.5, 0.5, *[0.0] * 8]])
    plain = -(two * logits.log_softmax(1)).sum()
    weight = 1 - math.log(2) / math.log(10)
    torch.testing.assert_close(label_loss(logits, two), weight * plain)


def test_the_three_losses_are_added_in_their_weights(adversarial):
    in_game(adversarial.train())
    torch.manual_seed(1)
    terms = adversarial.loss(batch())
    config = adversarial.config
    total = config.colour * terms["co"] + config.label * terms["cl"] + config.game * terms["g"]
    torch.testing.assert_close(terms["loss"].detach(), total)


def test_the_stages_of_a_run(adversarial):
    adversarial.train()
    critics = []
    for progress in (0.0, 0.29, 0.3, 0.49, 0.5, 1.0):
        adversarial.progress = progress
        critics.append((adversarial.critic_steps(), "g" in adversarial.loss(batch())))
    # First none, then the critic alone, then the generator feels it.
    assert critics == [(0, False), (0, False), (2, False), (2, False), (2, True), (2, True)]


def test_without_labels_or_a_critic_their_losses_are_off(adversarial):
    in_game(adversarial.train())
    assert "cl" not in adversarial.loss(batch()._replace(labels=None))
    assert "label loss is off" in adversarial.remarks({"co": 1.0})[0]
    plain = adversary("test", {"game": 0.0, "label": 0.0})
    terms = in_game(plain.train()).loss(batch())
    assert not {"cl", "g"} & set(terms)
    assert plain.critic_steps() == 0
    assert plain.remarks({"co": 1.0}) == []


def test_each_loss_and_its_gradient_at_the_last_layer_are_shown_now_and_then(adversarial):
    in_game(adversarial.train())
    assert not any(name.startswith("grad") for name in adversarial.loss(batch(), 7))
    terms = adversarial.loss(batch(), 199)
    assert {"grad_co", "grad_cl", "grad_g", "chroma"} <= set(terms)
    for name in ("grad_co", "grad_cl", "grad_g"):
        assert 0 < float(terms[name]) < 1e3
    terms["loss"].backward()  # the graph is still whole
    twice = adversary("test", {"game": 0.2})
    twice.load_state_dict(adversarial.state_dict())
    ratio = in_game(twice.train()).loss(batch(), 199)["grad_g"] / terms["grad_g"]
    assert float(ratio) == pytest.approx(2, rel=0.05)


def test_every_parameter_of_generator_and_head_gets_a_gradient_and_the_critic_none(adversarial):
    in_game(adversarial.train()).critic.requires_grad_(False)
    adversarial.loss(batch(8))["loss"].backward()
    without = {n.partition(".")[0] for n, p in adversarial.named_parameters() if p.grad is None}
    assert without == {"critic"}
    trained = {id(p) for group, _ in adversarial.parameter_groups() for p in group}
    critics = {id(p) for p in adversarial.critic.parameters()}
    assert trained | critics == {id(p) for p in adversarial.parameters()}
    assert not trained & critics


@pytest.mark.parametrize("lipschitz", ["penalty", "clipping"])
def test_the_critic_learns_to_tell_true_from_predicted(lipschitz):
    torch.manual_seed(0)
    changes = {"lipschitz": lipschitz, "critic_rate": 2e-3, "clip_at": 0.1, "critic_maps": 8}
    system = adversary("test", changes)
    # True chroma of one hue: red; predicted: near neutral.
    red = torch.tensor([0.5, 0.1, 0.1]).view(1, 3, 1, 1).expand(8, 3, 64, 64)
    example = Batch(torch.rand(8, 1, 64, 64), red)
    optimiser = system.critic_optimiser()
    terms = {}
    generator = {n: p.clone() for n, p in system.generator.named_parameters()}
    for _ in range(60):
        terms = system.critic_loss(example)
        terms["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
        system.constrain_critic()
    assert system.critic is not None
    with torch.no_grad():
        real = judged(example.gray, system.target(example).permute(0, 3, 1, 2))
        fake = judged(example.gray, system(example.gray))
        assert system.critic(real).mean() > system.critic(fake).mean() + 0.05
    assert float(terms["critic"]) < 0
    for name, value in system.generator.named_parameters():
        assert torch.equal(value, generator[name])
        assert value.grad is None
    if lipschitz == "clipping":
        assert max(float(p.detach().abs().max()) for p in system.critic.parameters()) <= 0.1 + 1e-6


def test_the_game_moves_the_generator_towards_what_the_critic_likes():
    torch.manual_seed(0)
    system = adversary("test", {"game": 1.0, "colour": 0.0, "label": 0.0})
    in_game(system.train())

    class Reds(torch.nn.Module):
        def forward(self, lab):
            return lab[:, 1].mean((1, 2))

    system.critic = Reds()
    example = batch(4)
    optimiser = torch.optim.Adam(system.generator.parameters(), 3e-3)
    before = float(system.chroma(example.gray)[:, 0].detach().mean())
    for _ in range(20):
        system.loss(example)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
    assert float(system.chroma(example.gray)[:, 0].detach().mean()) > before + 5


def test_collapse_and_a_runaway_critic_are_said(adversarial):
    sound = {"cl": 1.0, "g": 0.1, "chroma": 0.9, "critic": -2.0, "penalty": 0.1}
    assert adversarial.remarks(sound) == []
    for changed, said in (
        ({"chroma": 0.1}, "collapsed to gray"),
        ({"chroma": 3.0}, "collapsed to gaudy"),
        ({"critic": -1e4}, "runs away"),
        ({"penalty": 1e3}, "runs away"),
    ):
        (remark,) = adversarial.remarks({**sound, **changed})
        assert said in remark
    assert adversarial.remarks({"cl": 1.0, "chroma": 0.1}) == []  # not yet in the game


def test_measuring_needs_neither_labels_nor_critic(adversarial):
    with torch.no_grad():
        found = adversarial.eval().measure(batch()._replace(labels=None))
    assert set(found) == {"ce", "kl", "rmse", "chroma"}


# --- where it starts


def test_the_network_of_tint_is_a_start():
    torch.manual_seed(1)
    tint, _ = build("tint", "test")
    system = adversary("test", {"removed": 0.0})
    said = system.adopt("tint", dict(tint.state_dict()))
    assert said == "generator from tint"
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        logits = tint.eval()(gray)
        system.eval()
        torch.testing.assert_close(system.generator.classify(system.generator(gray)), logits)
    with pytest.raises(CheckpointError, match="other sizes"):
        adversary("small").adopt("tint", dict(tint.state_dict()))
    with pytest.raises(CheckpointError, match="model of its own"):
        system.adopt("pixcolor", {})


def test_an_imagenet_classifier_is_a_start_of_the_encoder_alone(tmp_path):
    from safetensors.torch import save_file

    system = adversary("test", {"width": 1.0})
    weights = {k: v.clone() for k, v in MobileNetV2().state_dict().items()}
    weights["stem.weight"] = weights["stem.weight"].repeat(1, 3, 1, 1)
    save_file(weights, tmp_path / "classifier.safetensors")
    assert "ImageNet" in system.initialise(tmp_path / "classifier.safetensors")
    printed = adversary("paper", {"maps": 2, "hidden": 4, "critic_maps": 2})
    with pytest.raises(CheckpointError, match="--init"):
        printed.initialise(tmp_path / "classifier.safetensors")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generator": "unet"}, "'pyramid'|pyramid"),
        ({"lipschitz": "hope"}, "penalty"),
        ({"critic_from": 0.8}, "has to learn first"),
        ({"temperature": 0.0}, "above 0"),
        ({"critics": 0}, "from 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        build("adversarial", "test", changes)
