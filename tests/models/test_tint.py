from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from noise import batch
from PIL import Image

from tintype.color import bins
from tintype.errors import SettingError
from tintype.export.onnx import write_graph
from tintype.models import build
from tintype.models.backbones import Classifier
from tintype.models.base import Batch
from tintype.models.cic import LogProbabilities
from tintype.models.tint import TwoScaleLogProbabilities, resize
from tintype.models.torch_color import linear_to_ab, linear_to_srgb


@pytest.fixture
def tint() -> Any:
    torch.manual_seed(0)
    return build("tint", "test")[0]


def test_small_preset_has_the_documented_size():
    with torch.device("meta"):
        tint = build("tint", "small")[0]
    assert sum(p.numel() for p in tint.parameters()) == 6_182_517


def test_loss_is_the_rebalanced_cross_entropy_written_out(tint):
    tint.eval()
    tint.weights.copy_(torch.linspace(0.5, 2, 313))
    # One color per quarter-size pixel, so that averaging over 4x4 leaves it as it is.
    colors = torch.rand(1, 3, 16, 16).repeat_interleave(4, 2).repeat_interleave(4, 3)
    example = Batch(torch.rand(1, 1, 64, 64), colors)
    with torch.no_grad():
        terms = tint.loss(example)
        log_p = tint(example.gray)[0].log_softmax(0).permute(1, 2, 0).numpy()
    ab = linear_to_ab(colors)[0, :, ::4, ::4].permute(1, 2, 0).round().numpy()
    codes, shares = bins.soft_encode(ab)
    nats = -(np.take_along_axis(log_p, codes, -1) * shares).sum(-1)
    weight = tint.weights.numpy()[codes[..., 0]]
    assert float(terms["loss"]) == pytest.approx((nats * weight).mean(), rel=1e-4)
    assert float(terms["ce"]) == pytest.approx(nats.mean(), rel=1e-4)
    assert 0 < float(terms["kl"]) < float(terms["ce"])


def test_the_error_of_the_mean_is_relative_to_gray(tint):
    plain, (tint, _) = tint.eval(), build("tint", "test", {"error": 2.0})
    tint.eval().load_state_dict(plain.state_dict())
    example = batch()
    with torch.no_grad():
        terms, without = tint.loss(example), plain.loss(example)
        share = tint(example.gray).softmax(1)
    mean = torch.einsum("nqhw,qc->nchw", share, tint.centers)
    truth = F.avg_pool2d(linear_to_ab(example.rgb), 4)
    expected = float((mean - truth).square().mean() / truth.square().mean())
    assert float(terms["error"]) == pytest.approx(expected, rel=1e-4)
    assert float(terms["loss"] - without["loss"]) == pytest.approx(2 * expected, rel=1e-3)
    assert "error" not in without


def test_rare_colors_get_more_weight_up_to_a_limit(tint):
    gray_world = torch.randn(5000, 2, generator=torch.Generator().manual_seed(1)) * 8
    tint.start_training(gray_world)
    centers = bins.ab_bins()
    common, rare = int(np.abs(centers).sum(1).argmin()), int(centers[:, 0].argmax())
    weights = tint.weights
    assert float(weights[common]) < 1 < float(weights[rare]) <= tint.config.max_weight
    assert torch.equal(tint.corrected_weights, weights)


# --- what is trained


def test_the_encoder_learns_slower_than_the_rest_and_its_first_blocks_not_at_all(tint):
    encoder = tint.pyramid.encoder
    kept, later, rest = tint.parameter_groups()
    assert (kept[1], later[1], rest[1]) == (0, 0.25, 1)
    first = ("stem", *(f"blocks.{k}." for k in range(tint.config.freeze_blocks)))
    named = list(encoder.named_parameters())
    assert {id(p) for p in kept[0]} == {id(p) for n, p in named if n.startswith(first)}
    assert {id(p) for p in kept[0] + later[0]} == {id(p) for _, p in named}
    assert len(kept[0] + later[0] + rest[0]) == len(list(tint.parameters()))
    slow, rest = build("tint", "test", {"freeze_blocks": 0})[0].parameter_groups()
    assert (slow[1], rest[1]) == (0.25, 1)


@pytest.mark.parametrize("blocks", [-1, 6])
def test_blocks_that_do_not_exist_are_not_frozen(blocks):
    with pytest.raises(SettingError, match="freeze_blocks must be a number from 0 to 5"):
        build("tint", "test", {"freeze_blocks": blocks})[0].parameter_groups()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dropout": -0.1}, "dropout must be a probability"),
        ({"dropout": 1.0}, "dropout must be a probability"),
        ({"heads": 3}, "divide attention"),
        ({"heads": 0}, "divide attention"),
        ({"encoder": "resnet"}, "encoder must be one of"),
        ({"hints_only": True, "hints": False}, "leave out hints=false"),
    ],
)
def test_networks_that_cannot_be_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        build("tint", "test", changes)


def test_dropout_leaves_features_out_in_training_alone(tint):
    dropping: Any = build("tint", "test", {"dropout": 0.5})[0]
    dropping.load_state_dict(tint.state_dict())
    gray = batch().gray
    with torch.no_grad():
        assert torch.equal(tint.eval()(gray), dropping.eval()(gray))
        for part in dropping.modules():
            part.train(not isinstance(part, torch.nn.BatchNorm2d))
        pyramid = dropping.pyramid
        whole, levels = pyramid.encode(gray)
        assert not torch.equal(whole, pyramid.encode(gray)[0])
        decoded = pyramid.decode(whole, levels, gray)
    assert 0.1 < float((decoded.amax((2, 3)) == 0).float().mean()) < 0.6  # whole maps, a quarter


def test_the_coarsest_features_cannot_be_drowned_by_their_mean(tint):
    """A large common offset of the encoder's top once hid everything else in bfloat16."""
    pyramid = tint.eval().pyramid
    top = torch.rand(1, 4, pyramid.encoder.channels[-1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        near = pyramid.project(pyramid.norm(top))
        with torch.autocast("cpu", torch.bfloat16):
            far = pyramid.project(pyramid.norm(top + 100))
    assert F.cosine_similarity(near, far.float(), dim=-1).min() > 0.99


# --- distillation


@pytest.fixture(scope="module")
def student() -> Any:
    torch.manual_seed(0)
    model: Any = build("tint", "test", {"distill": 2.0})[0]
    model.set_teacher(Classifier().eval().requires_grad_(False))
    return model.eval()


def test_distillation_is_what_a_linear_guess_misses_of_the_teacher(student):
    example = batch()
    with torch.no_grad():
        torch.nn.init.normal_(student.distill[1].weight, std=0.02)
        terms = student.loss(example)
        srgb = F.interpolate(linear_to_srgb(example.rgb), scale_factor=1.5, mode="bilinear")
        seen = student.teacher[0].features(srgb)  # (N, 1280, 3, 3), student: (2, 2)
        seen = F.adaptive_avg_pool2d(seen, 2).permute(0, 2, 3, 1)
        whole, _ = student.pyramid.encode(example.gray)
        guess = student.distill(whole.permute(0, 2, 3, 1))
        spread = (seen - seen.mean((0, 1, 2))).square().sum()
        expected = float((guess - seen).square().sum() / spread)
        alone = build("tint", "test")[0].eval()
        alone.load_state_dict(student.state_dict(), strict=False)
        without = alone.loss(example)
    assert float(terms["distill"]) == pytest.approx(expected, rel=1e-3)
    assert float(terms["loss"] - without["loss"]) == pytest.approx(2 * expected, rel=1e-3)
    assert "distill" not in without


def test_a_teacher_is_no_part_of_the_network(student):
    assert student.needs_teacher
    assert not [name for name in student.state_dict() if "teacher" in name]
    student.loss(batch())["loss"].backward()
    assert all(p.grad is None for p in student.teacher[0].parameters())


def test_distillation_begins_without_pulling_at_the_network(student):
    fresh: Any = build("tint", "test", {"distill": 1.0})[0]
    fresh.set_teacher(student.teacher[0])
    whole = torch.randn(2, 32, 2, 2, requires_grad=True)
    fresh._distillation(whole, torch.rand(2, 3, 64, 64)).backward()
    assert float(whole.grad.abs().max()) == 0
    assert float(fresh.distill[1].weight.grad.abs().max()) > 0
    assert not fresh.is_exported("distill.1.weight")
    assert fresh.is_exported("classify.weight")


# --- two looks


@pytest.mark.parametrize(("height", "width"), [(160, 224), (32, 96), (96, 640)])
def test_two_looks_are_the_mean_of_the_distributions_at_both_sizes(tint, height, width):
    tint.eval()
    gray = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))
    coarse = [max(32, (side * 3 // 5 + 16) // 32 * 32) for side in (height, width)]
    with torch.no_grad():
        found = TwoScaleLogProbabilities(tint)(gray)
        first, second = tint(gray).softmax(1), tint(resize(gray, *coarse)).softmax(1)
    second = F.interpolate(second, size=first.shape[2:], mode="bilinear")
    torch.testing.assert_close(found.exp(), 0.6 * first + 0.4 * second, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(first[:, 0].shape))
    with torch.no_grad():
        torch.testing.assert_close(LogProbabilities(tint)(gray), first.log(), atol=1e-4, rtol=1e-3)


class Quarter(torch.nn.Module):
    """In the place of a network: something of luminance and hints at a quarter of the size."""

    def __init__(self):
        super().__init__()
        self.gray, self.hints = torch.nn.Conv2d(1, 5, 4, 4), torch.nn.Conv2d(3, 5, 1)

    def forward(self, gray, hints):
        return self.gray(gray) + self.hints(hints)


@pytest.mark.slow
@torch.no_grad()
def test_two_looks_are_exported_for_any_size(tint, tmp_path):
    looks = TwoScaleLogProbabilities(Quarter())
    write_graph(tint.graphs()[""]._replace(module=looks), tmp_path / "looks.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "looks.onnx")
    for size in ((32, 32), (64, 160), (224, 32)):
        gray, hints = torch.rand(1, 1, *size), torch.rand(1, 3, size[0] // 4, size[1] // 4)
        (found,) = session.run(["bins"], {"gray": gray.numpy(), "hints": hints.numpy()})
        np.testing.assert_allclose(np.asarray(found), looks(gray, hints).numpy(), atol=5e-3)


def test_the_second_scale_is_reduced_as_pillow_does():
    plane = np.random.default_rng(0).random((70, 90), dtype=np.float32)
    expected = Image.fromarray(plane).resize((50, 40), Image.Resampling.BILINEAR)
    found = resize(torch.from_numpy(plane)[None, None], 40, 50)[0, 0]
    np.testing.assert_allclose(found.numpy(), np.asarray(expected), atol=2e-3)


def test_validation_reports_the_error_that_is_left_of_grays(tint):
    example = batch()
    with torch.no_grad():
        values = tint.eval().validation_metrics(example)
        target = tint.target(example)
        miss = tint.annealed_mean(tint(example.gray), 1.0, 1.0).permute(0, 2, 3, 1) - target
    expected = float((miss.square().sum() / target.square().sum()).sqrt())
    assert float(values["safe"]) == pytest.approx(expected, rel=1e-5)
    assert {"loss", "ce", "kl", "safe_hinted"} <= set(values)
    without = build("tint", "test", {"hints": False})[0].eval()
    assert "safe_hinted" not in without.validation_metrics(example)
