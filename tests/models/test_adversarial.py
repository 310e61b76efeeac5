import copy

import noise
import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from exported import untrained

from tintype.color import bins
from tintype.color.spaces import gray_to_lightness
from tintype.errors import SettingError
from tintype.models import build
from tintype.models.adversarial import (
    Adversarial,
    AdversarialConfig,
    Critic,
    Generator,
    LabelHead,
    critic_input,
    gradient_penalty,
    label_loss,
)
from tintype.models.base import Batch
from tintype.training.start import load_exported

PAPER = Adversarial.presets["paper"][0]
BEFORE, CRITIC_ALONE, ALL = 0, 10, 20  # steps of the preset `test` at which each stage begins


def batch(count=2, side=64, seed=0):
    random = torch.Generator().manual_seed(seed)
    labels = torch.rand(count, 10, generator=random).mul(5).softmax(1)
    return noise.batch(count, side, seed)._replace(labels=labels)


def adversarial(**changes) -> Adversarial:
    torch.manual_seed(0)
    model, _ = build("adversarial", "test", changes)
    assert isinstance(model, Adversarial)
    return model


@pytest.fixture
def model():
    return adversarial()


def layers(network, *kinds):
    found = [m for m in network.layers if isinstance(m, kinds)]
    return found, [(m.out_channels, m.stride[0]) for m in found]


def size(network):
    return sum(p.numel() for p in network.parameters())


# --- the networks of the paper


def test_the_generator_has_the_papers_layers_sizes_and_parameters():
    generator = Generator(PAPER.maps)
    convs, listed = layers(generator, torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    assert listed == [
        *[(64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 1), (256, 2)],
        *[(512, 1)] * 12,
        *[(512, 2), (256, 1), (256, 1)],
    ]
    assert isinstance(convs[19], torch.nn.ConvTranspose2d)
    assert isinstance(generator.layers[1], torch.nn.LeakyReLU)  # no norm in the first layer
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in generator.layers) == len(convs) - 1
    assert size(generator) == 34_925_881
    logits, features = Generator(2)(torch.rand(1, 1, 256, 256))
    assert (logits.shape, features.shape) == ((1, 313, 64, 64), (1, 8, 64, 64))


def test_the_critic_has_the_papers_layers_and_goes_from_64_to_4():
    critic = Critic(PAPER)
    _, listed = layers(critic, torch.nn.Conv2d)
    assert listed == [(64, 1), (128, 2), (256, 2), (512, 2), (512, 1), (512, 2), (1, 1)]
    norms = [m for m in critic.layers if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 5  # not in the first layer, nor in the last
    assert size(critic) == 6_277_121
    assert critic.layers(torch.rand(2, 3, 64, 64)).shape == (2, 1, 4, 4)
    assert critic(torch.rand(2, 3, 64, 64)).shape == (2,)


def test_the_label_head_has_the_papers_layers_behind_a_pooling_to_4x4():
    head = LabelHead(256, PAPER)
    assert [m.out_features for m in (head.fc1, head.fc2, head.fc3)] == [4096, 4096, 1000]
    assert head(torch.rand(1, 256, 64, 64)).shape == (1, 1000)
    assert size(head) == 37_659_624


@pytest.mark.slow
def test_what_the_critic_sees_lies_about_minus_one_to_one():
    gray = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    ab = torch.tensor([-86.0, 98.0]).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    seen = critic_input(gray, ab)
    assert seen.shape == (1, 3, 16, 16)
    assert float(seen.abs().max()) <= 1.1
    torch.testing.assert_close(seen[:, 1:], ab / 100)
    light = (gray_to_lightness(gray[0, 0].numpy()) - 50) / 50
    expected = light.reshape(16, 4, 16, 4).mean((1, 3))
    np.testing.assert_allclose(seen[0, 0].numpy(), expected, atol=1e-4)


# --- the losses


def test_the_critic_judges_the_annealed_mean_at_038_without_prior_correction(model):
    model.corrected_weights.copy_(torch.linspace(0.5, 3, 313))
    logits = torch.randn(1, 313, 2, 3, requires_grad=True)
    ab = model.decode(logits)
    p = (logits.detach() / 0.38).softmax(1).permute(0, 2, 3, 1).numpy()
    expected = p @ bins.ab_bins()
    np.testing.assert_allclose(ab.detach().permute(0, 2, 3, 1).numpy(), expected, atol=1e-3)
    ab[:, 0].sum().backward()
    assert logits.grad is not None
    assert (logits.grad.mean((0, 2, 3)) * model.centers[:, 0]).sum() > 0  # towards red


def test_the_color_loss_is_the_rebalanced_cross_entropy_written_out(model):
    model.eval().weights.copy_(torch.linspace(0.5, 2, 313))
    example = batch()
    with torch.no_grad():
        terms, logits = model.loss(example), model(example.gray)
    codes, shares = bins.soft_encode(model.target(example).round().numpy())
    log_p = logits.permute(0, 2, 3, 1).log_softmax(-1).numpy()
    nats = -(np.take_along_axis(log_p, codes, -1) * shares).sum(-1)
    weight = model.weights.numpy()[codes[..., 0]]
    assert float(terms["color"]) == pytest.approx((nats * weight).mean(), rel=1e-4)
    assert float(terms["ce"]) == pytest.approx(nats.mean(), rel=1e-4)


@pytest.mark.slow
def test_unlabelled_photographs_are_left_out_of_the_label_loss():
    logits = torch.randn(3, 10, requires_grad=True)
    labels = torch.zeros(3, 10)
    labels[0, 4] = labels[2, 7] = 1
    expected = F.cross_entropy(logits[[0, 2]], torch.tensor([4, 7]))
    torch.testing.assert_close(label_loss(logits, labels), expected)
    nothing = label_loss(logits, torch.zeros(3, 10))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert not logits.grad.any()


def test_the_three_losses_are_added_in_their_weights(model):
    terms = model.loss(batch(), ALL)
    config = model.config
    total = config.lambda_color * terms["color"] + config.lambda_label * terms["label"]
    total = total + config.lambda_adv * terms["adv"]
    torch.testing.assert_close(terms["loss"].detach(), total)


@pytest.mark.slow
def test_without_labels_or_a_critic_their_losses_are_off():
    plain = adversarial(lambda_adv=0.0, lambda_label=0.0)
    assert plain.batches_per_step(10**9) == 1
    assert not {"label", "adv", "critic"} & set(plain.training_step([batch()], ALL))
    assert plain.warnings({"color": 1.0}) == []
    model = adversarial()
    for labels in (None, torch.zeros(2, 0)):
        given = [batch(2)._replace(labels=labels)] * model.batches_per_step(ALL)
        assert "label" not in model.training_step(given, ALL)
    assert "label loss is off" in model.warnings({"color": 1.0})[0]


@pytest.mark.slow
def test_the_gradients_of_the_losses_at_the_last_layer_are_logged_now_and_then(model):
    names = {"grad_color", "grad_label", "grad_adv"}
    assert not names & set(model.loss(batch(), 198))
    found = []
    for weight in (0.1, 0.2):
        twin = adversarial(lambda_adv=weight)
        terms = twin.loss(batch(), 199)
        assert all(float(terms[name]) > 0 for name in names)
        terms["loss"].backward()  # the graph is still whole
        found.append(float(terms["grad_adv"]))
    assert found[1] == pytest.approx(2 * found[0], rel=0.05)


# --- the game


def test_the_critic_joins_first_and_is_felt_later(model):
    found = []
    for step in (BEFORE, CRITIC_ALONE - 1, CRITIC_ALONE, ALL - 1, ALL, 1000):
        terms = model.training_step([batch(2)] * model.batches_per_step(step), step)
        found.append(("critic" in terms, "adv" in terms))
    assert found == [(False, False)] * 2 + [(True, False)] * 2 + [(True, True)] * 2


def test_each_critic_step_and_the_generators_have_batches_of_their_own(model, monkeypatch):
    seen = []
    monkeypatch.setattr(model, "critic_step", lambda part: seen.append(part) or {})
    monkeypatch.setattr(model, "loss", lambda part, step: seen.insert(0, part) or {})
    given = [batch(2, seed=k) for k in range(model.batches_per_step(ALL))]
    model.training_step(given, ALL)
    assert [id(part) for part in seen] == [id(part) for part in given]


def test_the_batches_of_a_step_may_have_different_sizes(model):
    given = [batch(2, side=side) for side in (64, 32, 48)]
    assert {"critic", "adv"} <= set(model.training_step(given, ALL))


@pytest.mark.slow
@pytest.mark.parametrize("bfloat16", [False, True])
def test_generator_and_label_head_get_every_gradient_and_the_critic_none(model, bfloat16):
    critic = copy.deepcopy(model.critic.state_dict())
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        terms = model.training_step([batch(8)] * 3, ALL)
    assert not all(torch.equal(v, critic[n]) for n, v in model.critic.state_dict().items())
    terms["loss"].backward()
    without = {n.partition(".")[0] for n, p in model.named_parameters() if p.grad is None}
    assert without == {"critic"}
    trained = {id(p) for group, _ in model.parameter_groups() for p in group}
    critics = {id(p) for p in model.critic.parameters()}
    assert trained | critics == {id(p) for p in model.parameters()}
    assert not trained & critics


@pytest.mark.slow
@pytest.mark.parametrize("lipschitz", ["penalty", "clipping"])
def test_the_critic_learns_to_tell_true_from_predicted_and_the_generator_stays(lipschitz):
    model = adversarial(
        lipschitz=lipschitz, critic_learning_rate=2e-3, clip_value=0.1, critic_maps=8
    )
    # True chroma of one hue: red; predicted: near neutral.
    red = torch.tensor([0.5, 0.1, 0.1]).view(1, 3, 1, 1).expand(8, 3, 64, 64)
    example = Batch(torch.rand(8, 1, 64, 64), red)
    before = {n: p.clone() for n, p in model.generator.named_parameters()}
    terms = {}
    for _ in range(60):
        terms = model.critic_step(example)
    with torch.no_grad():
        real = critic_input(example.gray, model.target(example).permute(0, 3, 1, 2))
        fake = critic_input(example.gray, model.decode(model(example.gray)))
        assert model.critic(real).mean() > model.critic(fake).mean() + 0.05
    assert float(terms["critic"]) < 0
    for name, value in model.generator.named_parameters():
        assert torch.equal(value, before[name])
        assert value.grad is None
    if lipschitz == "clipping":
        assert max(float(p.abs().max()) for p in model.critic.parameters()) <= 0.1 + 1e-6


@pytest.mark.slow
def test_the_game_moves_the_generator_towards_what_the_critic_likes():
    model = adversarial(lambda_adv=1.0, lambda_color=0.0, lambda_label=0.0)

    class Reds(torch.nn.Module):
        def forward(self, lab):
            return lab[:, 1].mean((1, 2))

    model.critic = Reds()
    example = batch(4)
    optimizer = torch.optim.Adam(model.generator.parameters(), 3e-3)

    def red():
        with torch.no_grad():
            return float(model.predict(example.gray)[:, 0].mean())

    before = red()
    for _ in range(20):
        optimizer.zero_grad()
        model.loss(example, ALL)["loss"].backward()
        optimizer.step()
    assert red() > before + 5


def test_the_penalty_is_zero_for_a_slope_of_one_and_counts_each_sample_by_itself():
    real, fake = torch.zeros(4, 3, 2, 2), torch.ones(4, 3, 2, 2)

    def critic(slope):
        return lambda x: slope / 12**0.5 * x.sum((1, 2, 3))  # of a sum of 12 values

    assert float(gradient_penalty(critic(1), real, fake)) == pytest.approx(0, abs=1e-10)
    assert float(gradient_penalty(critic(3), real, fake)) == pytest.approx(4, rel=1e-5)


def test_the_penalty_is_taken_between_the_samples():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.square().sum(1)

    gradient_penalty(critic, torch.full((64, 2), 2.0), torch.full((64, 2), -1.0))
    (between,) = seen
    assert -1 <= between.min() < -0.5
    assert 1.5 < between.max() <= 2
    assert torch.equal(between[:, 0], between[:, 1])  # on the line from one to the other


def play(model, optimizer, steps):
    """A few steps as the loop takes them."""
    for step in steps:
        torch.manual_seed(step)
        given = [batch(2, seed=step)] * model.batches_per_step(step)
        model.training_step(given, step)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.slow
@pytest.mark.parametrize("lipschitz", ["penalty", "clipping"])
def test_parameters_buffers_and_optimizers_are_all_there_is_to_resume(lipschitz):
    model = adversarial(lipschitz=lipschitz)

    def optimizer_of(model):
        (parameters, _) = model.parameter_groups()[0]
        return torch.optim.RMSprop(parameters, 1e-3)

    optimizer = optimizer_of(model)
    play(model, optimizer, range(ALL - 2, ALL))
    kept = copy.deepcopy(
        (
            model.state_dict(),
            optimizer.state_dict(),
            {name: o.state_dict() for name, o in model.extra_optimizers().items()},
        )
    )
    play(model, optimizer, range(ALL, ALL + 2))
    resumed = adversarial(lipschitz=lipschitz)
    again = optimizer_of(resumed)
    resumed.load_state_dict(kept[0])
    again.load_state_dict(kept[1])
    for name, extra in resumed.extra_optimizers().items():
        extra.load_state_dict(kept[2][name])
    play(resumed, again, range(ALL, ALL + 2))
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_collapse_and_a_runaway_critic_are_told(model):
    sound = {"label": 1.0, "adv": 0.1, "chroma_ratio": 0.9, "critic": -2.0, "penalty": 0.1}
    assert model.warnings(sound) == []
    for changed, said in (
        ({"chroma_ratio": 0.1}, "collapsed to gray"),
        ({"chroma_ratio": 3.0}, "collapsed to gaudy"),
        ({"critic": -1e4}, "critic diverges"),
        ({"critic": float("nan")}, "critic diverges"),
        ({"penalty": 1e3}, "critic diverges"),
    ):
        (warning,) = model.warnings({**sound, **changed})
        assert said in warning


# --- what comes of it


def test_validation_needs_neither_labels_nor_critic(model):
    with torch.no_grad():
        found = model.eval().validation_metrics(batch()._replace(labels=None))
    assert set(found) == {"ce", "kl", "rmse", "chroma_ratio", "calm"}


def test_the_exported_generator_decodes_as_the_paper_at_vividness_1(exported):
    card, model = exported("adversarial"), untrained("adversarial")
    load_exported(model, card.path)  # rounded to half precision
    network, decode = (onnxruntime.InferenceSession(card.file(part)) for part in ("", "decode"))
    gray = torch.rand(1, 1, 40, 56)
    (log_p,) = network.run(["bins"], {"gray": gray.numpy()})
    vivid, calm = (
        np.asarray(decode.run(["chroma"], {"bins": log_p, "vividness": np.array(v, np.float32)})[0])
        for v in (1, 0)
    )
    with torch.no_grad():
        assert isinstance(model, Adversarial)
        np.testing.assert_allclose(vivid, model.decode(model(gray)).numpy(), atol=1e-2)
        np.testing.assert_allclose(vivid, model.predict(gray).numpy(), atol=1e-2)
    assert np.abs(calm - vivid).max() > 0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lipschitz": "hope"}, "penalty"),
        ({"critic_start": 30_000, "adv_start": 20_000}, "before critic_start"),
        ({"n_critic": 0}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        AdversarialConfig(**changes)


def test_every_preset_trains_all_three_losses_within_its_steps():
    for config, training in Adversarial.presets.values():
        assert config.lambda_color > 0
        assert config.lambda_label > 0
        assert config.lambda_adv > 0
        assert config.adv_start < training.steps
    assert Adversarial.needs_labels
