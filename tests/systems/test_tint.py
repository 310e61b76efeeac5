from typing import Any

import numpy as np
import pytest
import torch
from noise import batch

from tintype.color import bins
from tintype.errors import CheckpointError, SettingError, UnknownModelError
from tintype.systems import build
from tintype.systems.colorspace import ab_of_linear, linear_to_srgb
from tintype.systems.mobilenet import Classifier
from tintype.systems.pyramid import Pyramid
from tintype.systems.system import Batch


@pytest.fixture
def tint():
    torch.manual_seed(0)
    return build("tint", "test")[0]


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (96, 32)])
def test_distribution_over_313_bins_at_a_quarter_of_the_size(tint, size):
    tint.eval()
    height, width = size
    assert tint(torch.rand(1, 1, *size)).shape == (1, 313, height // 4, width // 4)
    assert tint.chroma(torch.rand(1, 1, *size)).shape == (1, 2, height // 4, width // 4)


def test_small_preset_has_the_documented_size():
    tint, _ = build("tint", "small")
    assert sum(p.numel() for p in tint.parameters()) == 6_062_441


def test_loss_is_the_rebalanced_cross_entropy_written_out(tint):
    tint.eval()
    tint.weights.copy_(torch.linspace(0.5, 2, 313))
    # One colour per quarter-size pixel, so that averaging over 4x4 leaves it as it is.
    colours = torch.rand(1, 3, 16, 16).repeat_interleave(4, 2).repeat_interleave(4, 3)
    example = Batch(torch.rand(1, 1, 64, 64), colours)
    with torch.no_grad():
        terms = tint.loss(example)

    ab = ab_of_linear(colours)[0, :, ::4, ::4].permute(1, 2, 0).round().numpy()
    codes, shares = bins.soft_encode(ab)
    with torch.no_grad():
        log_p = tint(example.gray)[0].log_softmax(0).permute(1, 2, 0).numpy()
    nats = -(np.take_along_axis(log_p, codes, -1) * shares).sum(-1)
    weight = tint.weights.numpy()[codes[..., 0]]
    assert float(terms["loss"]) == pytest.approx((nats * weight).mean(), rel=1e-4)
    assert float(terms["ce"]) == pytest.approx(nats.mean(), rel=1e-4)
    assert 0 < float(terms["kl"]) < float(terms["ce"])


def test_the_error_of_the_mean_is_relative_to_gray():
    torch.manual_seed(0)
    tint, _ = build("tint", "test", {"error": 2.0})
    tint.eval()
    example = batch()
    with torch.no_grad():
        terms = tint.loss(example)
        plain = build("tint", "test")[0]
        plain.load_state_dict(tint.state_dict())
        without = plain.eval().loss(example)
        share = tint(example.gray).softmax(1)
        mean = torch.einsum("nqhw,qc->nchw", share, tint.centres)
        truth = torch.nn.functional.avg_pool2d(ab_of_linear(example.linear), 4)
    expected = float((mean - truth).square().mean() / truth.square().mean())
    assert float(terms["error"]) == pytest.approx(expected, rel=1e-4)
    assert float(terms["loss"] - without["loss"]) == pytest.approx(2 * expected, rel=1e-3)
    assert "error" not in without


def test_learns_one_batch_by_heart(tint):
    # Two scenes, one red and one blue, told apart by their brightness.
    gray = torch.tensor([0.3, 0.7]).view(2, 1, 1, 1).expand(2, 1, 64, 64)
    linear = torch.tensor([[0.6, 0.1, 0.1], [0.1, 0.2, 0.7]]).view(2, 3, 1, 1).expand(2, 3, 64, 64)
    optimiser = torch.optim.AdamW(tint.parameters(), 3e-3)
    history = []
    for _ in range(100):
        terms = tint.loss(Batch(gray, linear))
        terms["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
        history.append(float(terms["kl"]))
    assert history[-1] < 0.1 * history[0]
    red, blue = tint.eval().chroma(gray).mean((2, 3)).tolist()
    assert red[0] > 20
    assert blue[1] < -20


def test_every_parameter_gets_a_gradient(tint):
    tint.loss(batch())["loss"].backward()
    without = [n for n, p in tint.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_prepare_gives_rare_colours_more_weight_within_the_cap(tint):
    gray_world = torch.randn(5000, 2, generator=torch.Generator().manual_seed(1)) * 8
    tint.prepare(gray_world)
    centres = bins.ab_bins()
    common = int(np.abs(centres).sum(1).argmin())
    rare = int(centres[:, 0].argmax())
    assert float(tint.weights[common]) < 1 < float(tint.weights[rare]) <= tint.config.cap


def test_the_encoder_learns_slower_than_the_rest(tint):
    slow, rest = tint.parameter_groups()
    assert (slow[1], rest[1]) == (0.25, 1.0)
    assert {id(p) for p in slow[0]} == {id(p) for p in tint.pyramid.encoder.parameters()}
    assert len(slow[0]) + len(rest[0]) == len(list(tint.parameters()))


def test_dropout_leaves_features_out_in_training_alone():
    torch.manual_seed(0)
    tint, _ = build("tint", "test", {"dropout": 0.5})
    plain, _ = build("tint", "test")
    plain.load_state_dict(tint.state_dict())
    gray = batch().gray
    with torch.no_grad():
        assert torch.equal(tint.eval()(gray), plain.eval()(gray))
        for norm in tint.modules():
            norm.train(not isinstance(norm, torch.nn.BatchNorm2d))
        pyramid = tint.pyramid
        assert isinstance(pyramid, Pyramid)
        whole, levels = pyramid.look(gray)
        assert not torch.equal(whole, pyramid.look(gray)[0])
        climbed = pyramid.climb(whole, levels)
    assert 0.1 < float((climbed.amax((2, 3)) == 0).float().mean()) < 0.6  # whole maps, a quarter


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropouts_that_leave_nothing_are_refused(dropout):
    with pytest.raises(SettingError, match="dropout is a share"):
        build("tint", "test", {"dropout": dropout})


def test_frozen_blocks_are_the_first_and_learn_nothing():
    system, _ = build("tint", "test", {"frozen": 3})
    kept, later, rest = system.parameter_groups()
    encoder = system.pyramid.encoder
    first = {
        id(p)
        for name, p in encoder.named_parameters()
        if name.startswith(("stem", "blocks.0.", "blocks.1.", "blocks.2."))
    }
    assert {id(p) for p in kept[0]} == first
    assert (kept[1], later[1], rest[1]) == (0, 0.25, 1)
    groups = (kept, later, rest)
    assert sum(len(group) for group, _ in groups) == len(list(system.parameters()))
    for blocks in (-1, 18):
        with pytest.raises(SettingError, match="from 0 to 17"):
            build("tint", "test", {"frozen": blocks})


@pytest.fixture(scope="module")
def hinted():
    torch.manual_seed(0)
    system, _ = build("tint", "test", {"hint": 2.0})
    system.watch(Classifier().eval().requires_grad_(False))
    return system.eval()


def test_the_hint_is_what_a_linear_guess_misses_of_the_colour_classifier(hinted):
    example = batch()
    with torch.no_grad():
        torch.nn.init.normal_(hinted.hint[1].weight, std=0.02)
        terms = hinted.loss(example)
        rgb = linear_to_srgb(example.linear.clamp(0, 1))
        rgb = torch.nn.functional.interpolate(rgb, scale_factor=1.5, mode="bilinear")
        seen = hinted.teacher[0].features(rgb)  # (N, 1280, 3, 3), student: (2, 2)
        seen = torch.nn.functional.adaptive_avg_pool2d(seen, 2).permute(0, 2, 3, 1)
        whole, _ = hinted.pyramid.look(example.gray)
        guess = hinted.hint(whole.permute(0, 2, 3, 1))
        spread = (seen - seen.mean((0, 1, 2))).square().sum()
        expected = float((guess - seen).square().sum() / spread)
        alone = build("tint", "test")[0].eval()
        alone.load_state_dict(hinted.state_dict(), strict=False)
        without = alone.loss(example)
    assert float(terms["hint"]) == pytest.approx(expected, rel=1e-3)
    assert float(terms["loss"] - without["loss"]) == pytest.approx(2 * expected, rel=1e-3)
    assert "hint" not in without


def test_a_teacher_is_no_part_of_the_network(hinted):
    assert not [name for name in hinted.state_dict() if "teacher" in name]
    assert not any(p.requires_grad for p in hinted.teacher[0].parameters())
    hinted.loss(batch())["loss"].backward()
    assert all(p.grad is None for p in hinted.teacher[0].parameters())


def test_a_hint_begins_without_pulling_at_the_network():
    system: Any = build("tint", "test", {"hint": 1.0})[0]
    whole = torch.randn(2, 32, 2, 2, requires_grad=True)
    system.watch(Classifier().eval().requires_grad_(False))
    system._unseen(whole, torch.rand(2, 3, 64, 64)).backward()
    assert float(whole.grad.abs().max()) == 0
    assert float(system.hint[1].weight.grad.abs().max()) > 0


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_start_from_a_file_that_is_none_says_what_to_give(tint, tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="--init"):
        tint.initialise(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="--init"):
        tint.initialise(tmp_path / "missing.safetensors")


def test_unknown_names_get_a_hint():
    with pytest.raises(UnknownModelError, match="tint"):
        build("tnit")
    with pytest.raises(UnknownModelError, match="small"):
        build("tint", "huge")


def test_calibration_goes_half_the_way_to_every_bin_as_likely_as_it_is_frequent(tint):
    tint.eval()
    tint.weights.copy_(torch.linspace(0.2, 5, 313))
    tint.effective.copy_(tint.weights)
    held_back = [batch(4, seed=seed) for seed in range(3)]
    before = tint.weights.clone()
    tint.calibrate(held_back)
    assert torch.equal(tint.weights, before)  # training's own are left alone
    fitted = tint.effective.square() / tint.weights

    predicted, true = torch.zeros(313), torch.zeros(313)
    for example in held_back:
        with torch.no_grad():
            logits = tint(example.gray) - fitted.log()[:, None, None]
        predicted += logits.softmax(1).sum((0, 2, 3))
        codes, shares = tint.encode(tint.target(example))
        true.index_add_(0, codes.flatten(), shares.flatten())
    predicted, true = predicted / predicted.sum(), true / true.sum()
    assert float((predicted - true).abs().sum()) < 0.02


def test_calibration_without_photographs_changes_nothing(tint):
    before = tint.effective.clone()
    tint.calibrate([])
    assert torch.equal(tint.effective, before)


def test_the_coarsest_features_cannot_be_drowned_by_their_mean(tint):
    """A large common offset of the encoder's top once hid everything else in bfloat16."""
    pyramid = tint.eval().pyramid
    noise = torch.Generator().manual_seed(0)
    top = torch.rand(1, 4, pyramid.encoder.channels[-1], generator=noise)
    with torch.no_grad():
        near = pyramid.gather(pyramid.level(top))
        with torch.autocast("cpu", torch.bfloat16):
            far = pyramid.gather(pyramid.level(top + 100))
    assert torch.nn.functional.cosine_similarity(near, far.float(), dim=-1).min() > 0.99
