from typing import cast

import noise
import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from tintype.color.spaces import rgb_to_yuv
from tintype.errors import SettingError
from tintype.models import build
from tintype.models.patchwise import (
    FRAME,
    FRINGE,
    PATCH,
    PatchNetwork,
    Patchwise,
    PatchwiseConfig,
    VectorizedConv2d,
)
from tintype.models.torch_color import linear_to_srgb
from tintype.training.start import load_exported

SPAN = PATCH - 2 * FRAME


def batch(count=2):
    return noise.batch(count)


@pytest.fixture
def patchwise() -> Patchwise:
    torch.manual_seed(0)
    model, _ = build("patchwise", "test")
    assert isinstance(model, Patchwise)
    return model


def test_the_paper_preset_has_the_published_maps_and_training():
    config, training = Patchwise.presets["paper"]
    network = PatchNetwork(config)
    assert sum(p.numel() for p in network.parameters()) == 6_764_801
    sizes = []
    for layer in network.children():
        layer.register_forward_hook(lambda _, __, y: sizes.append(tuple(y.shape[1:])))
    with torch.no_grad():
        network(torch.rand(1, 1, 64, 64))
    assert sizes == [(512, 54, 54), (512, 51, 51), (512, 49, 49), (256, 49, 49), (1, 56, 56)]
    assert (training.crop, training.optimizer, config.period) == (64, "sgd", 100)
    assert (training.augment, training.grad_clip) == ("none", 0)


def test_an_output_pixel_sees_23_by_23_pixels_around_it(patchwise):
    gray = torch.rand(1, 1, 64, 64, requires_grad=True)
    patchwise(gray)[0, 0, 24, 30].backward()
    assert gray.grad is not None
    seen = gray.grad[0, 0].nonzero()
    (top, left), (bottom, right) = seen.min(0).values.tolist(), seen.max(0).values.tolist()
    assert (top, bottom, left, right) == (24 - 11, 24 + 11, 30 - 11, 30 + 11)


def test_the_networks_of_u_and_v_share_nothing(patchwise):
    patchwise.u(batch().gray).sum().backward()
    assert all(p.grad is not None for p in patchwise.u.parameters())
    assert all(p.grad is None for p in patchwise.v.parameters())


@pytest.mark.parametrize(("channels", "kernel", "padding"), [(1, 11, 0), (5, 4, 0), (6, 8, 7)])
def test_a_vectorized_convolution_has_the_librarys_values_and_gradients(channels, kernel, padding):
    torch.manual_seed(kernel)
    vectorized = VectorizedConv2d(channels, 3, kernel, padding=padding)
    image = torch.rand(2, channels, 17, 20)
    results = []
    for convolve in (
        vectorized,
        lambda x: F.conv2d(x, vectorized.weight, vectorized.bias, padding=padding),
    ):
        x = image.clone().requires_grad_()
        y = convolve(x)
        wanted = (x, vectorized.weight, cast(torch.Tensor, vectorized.bias))
        results.append(
            [y, *torch.autograd.grad(y, wanted, torch.linspace(-1, 1, y.numel()).view_as(y))]
        )
    for mine, library in zip(*results, strict=True):
        assert (mine - library).abs().max() <= 1e-5 * library.abs().max()


def test_a_vectorized_network_computes_what_the_librarys_does(patchwise):
    vectorized, _ = build("patchwise", "test", {"convolution": "vectorized"})
    vectorized.load_state_dict(patchwise.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(vectorized(batch().gray), patchwise(batch().gray))


# --- the losses


def test_both_losses_written_out(patchwise):
    example = batch()
    with torch.no_grad():
        terms = patchwise.loss(example)
        share = patchwise.logits(example.gray).sigmoid().permute(0, 2, 3, 1).double().numpy()
    rgb = linear_to_srgb(example.rgb).permute(0, 2, 3, 1).numpy()
    target = rgb_to_yuv(rgb)[:, 4:-4, 4:-4, 1:] / np.array([0.872, 1.23]) + 0.5
    mse = np.square(share - target).mean((0, 1, 2)).sum()
    log = -(target * np.log(share) + (1 - target) * np.log(1 - share)).mean((0, 1, 2)).sum()
    assert float(terms["mse"]) == pytest.approx(mse, rel=1e-4)
    assert float(terms["log"]) == pytest.approx(log, rel=1e-4)


def test_the_losses_take_turns():
    model, _ = build("patchwise", "small", {"maps": (1, 1, 1, 1)})
    example = batch(1)
    for step, phase in ((0, 0), (99, 0), (100, 1), (199, 1), (200, 0), (300, 1)):
        terms = model.training_step([example], step)
        assert int(terms["phase"]) == phase
        assert torch.equal(terms["loss"].detach(), terms[("mse", "log")[phase]])
        assert terms["loss"].requires_grad


@pytest.mark.slow
def test_the_printed_log_loss_rewards_being_wrong_and_the_completed_does_not():
    """Descending on the formula as printed leads away from the truth, whatever that is."""
    example = batch(1)
    error = {}
    for form in ("printed", "completed"):
        torch.manual_seed(0)
        model, _ = build("patchwise", "test", {"log_loss": form, "period": 1})
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(60):
            optimizer.zero_grad()
            model.loss(example, 1)["loss"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        error[form] = float(model.loss(example)["mse"])
    assert error["completed"] < 0.1 < 0.2 < error["printed"]


# --- whole photographs


@pytest.fixture
def fringed(patchwise) -> Patchwise:
    """A network whose full convolution weighs enough for missing terms to make a difference."""
    with torch.no_grad():
        patchwise.u.full.weight *= 30
        patchwise.v.full.weight *= 30
    return patchwise.eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (5, 7), (16, 16), (57, 130)])
def test_chroma_has_the_size_of_the_luminance(fringed, size):
    gray = torch.rand(2, 1, *size)
    for chroma in (fringed(gray), fringed.colorize_patches(gray), fringed.predict(gray)):
        assert chroma.shape == (2, 2, *size)
        assert chroma.isfinite().all()


def test_a_photograph_is_mirrored_at_its_borders(fringed):
    gray = torch.rand(1, 1, 30, 41)
    mirrored = F.pad(gray, (FRAME + FRINGE,) * 4, mode="reflect")
    expected = F.pad(fringed.colorize_patch(mirrored), (-FRINGE,) * 4)
    assert torch.equal(fringed(gray), expected)


def single_and_inner(length, stride):
    """Pixels that one patch alone covers, and not with its fringe."""
    cover, fringe = torch.zeros(length), torch.zeros(length, dtype=torch.bool)
    for start in [*range(0, length - SPAN, stride), length - SPAN]:
        cover[start : start + SPAN] += 1
        fringe[start : start + FRINGE] = fringe[start + SPAN - FRINGE : start + SPAN] = True
    return (cover == 1) & ~fringe


@pytest.mark.parametrize("stride", [28, 42, SPAN - FRINGE, SPAN])
def test_patches_agree_with_the_whole_where_one_alone_covers_a_pixel(fringed, stride):
    gray = torch.rand(1, 1, 130, 170)
    together, apart = fringed(gray), fringed.colorize_patches(gray, stride)
    alone = single_and_inner(130, stride)[:, None] & single_and_inner(170, stride)
    assert alone.any()
    torch.testing.assert_close(apart[..., alone], together[..., alone], atol=1e-5, rtol=0)
    assert (apart - together).abs().max() > 1e-3  # elsewhere averaging hides missing terms


def test_overlaps_are_averaged(patchwise, monkeypatch):
    asked = iter(range(100))

    def count(patch):
        assert patch.shape == (1, 1, PATCH, PATCH)
        return torch.full((1, 2, SPAN, SPAN), float(next(asked)))

    monkeypatch.setattr(patchwise, "colorize_patch", count)
    found = patchwise.colorize_patches(torch.rand(1, 1, SPAN, SPAN + 28 + 5), 28)[0, 0]
    # Patches 0, 1 and 2 begin at columns 0, 28 and 33: the last one ends with the photograph.
    means = {0: 0, 27: 0, 28: 0.5, 32: 0.5, 33: 1, 55: 1, 56: 1.5, 83: 1.5, 84: 2, 88: 2}
    assert {column: float(found[3, column]) for column in means} == means


def test_the_exported_graph_gives_the_chroma_of_strips_and_small_pictures(exported):
    card, model = exported("patchwise"), build("patchwise", "test")[0].eval()
    load_exported(model, card.path)  # rounded to half precision
    session = onnxruntime.InferenceSession(card.file())
    for size in ((16, 16), (1, 90), (61, 45)):
        gray = torch.rand(1, 1, *size)
        chroma = np.asarray(session.run(["chroma"], {"gray": gray.numpy()})[0])
        with torch.no_grad():
            np.testing.assert_allclose(chroma, model(gray).numpy(), atol=1e-5)


@pytest.mark.parametrize("stride", [0, -3, SPAN + 1])
def test_strides_that_leave_gaps_are_refused(patchwise, stride):
    with pytest.raises(SettingError, match="from 1 to 56"):
        patchwise.colorize_patches(torch.rand(1, 1, 80, 80), stride)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"convolution": "fast"}, "'vectorized'"),
        ({"log_loss": "l2"}, "'printed'"),
        ({"period": 0}, "from 1"),
        ({"maps": (8, 8)}, "4 numbers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        PatchwiseConfig(**changes)
