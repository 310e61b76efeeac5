import numpy as np
import pytest
import torch
import torch.nn.functional as F
from noise import batch

from tintype.color.spaces import rgb_to_yuv
from tintype.errors import SettingError
from tintype.systems import build
from tintype.systems.colorspace import linear_to_srgb
from tintype.systems.patchwise import PatchNetwork, PatchwiseConfig, VectorisedConv2d
from tintype.systems.system import Batch


@pytest.fixture
def patchwise():
    torch.manual_seed(0)
    return build("patchwise", "test")[0]


def test_the_papers_maps_sizes_and_parameters():
    network = PatchNetwork(PatchwiseConfig())
    assert sum(p.numel() for p in network.parameters()) == 6_764_801
    sizes, x = [], torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for layer in network.hidden:
            x = layer(x)
            sizes.append(tuple(x.shape[1:]))
        assert network.full(x).shape == (1, 1, 56, 56)
    assert sizes == [(512, 54, 54), (512, 51, 51), (512, 49, 49), (256, 49, 49)]


def test_the_two_networks_are_alike_and_share_nothing(patchwise):
    u, v = dict(patchwise.u.named_parameters()), dict(patchwise.v.named_parameters())
    assert {k: p.shape for k, p in u.items()} == {k: p.shape for k, p in v.items()}
    assert not any(u[k] is v[k] for k in u)
    patchwise.u(batch().gray).sum().backward()
    assert all(p.grad is None for p in v.values())


def test_an_output_pixel_sees_23_by_23_pixels_around_it(patchwise):
    gray = torch.rand(1, 1, 64, 64, requires_grad=True)
    patchwise(gray)[0, 0, 24, 30].backward()
    assert gray.grad is not None
    seen = gray.grad[0, 0].nonzero()
    (top, left), (bottom, right) = seen.min(0).values.tolist(), seen.max(0).values.tolist()
    # The pixel it colours is the same four rows and columns further in: the frame.
    assert (top, bottom) == (24 + 4 - 11, 24 + 4 + 11)
    assert (left, right) == (30 + 4 - 11, 30 + 4 + 11)


@pytest.mark.parametrize(("channels", "kernel", "padding"), [(1, 11, 0), (5, 4, 0), (6, 8, 7)])
def test_vectorised_convolution_has_the_librarys_values_and_gradients(channels, kernel, padding):
    random = torch.Generator().manual_seed(kernel)
    ours = VectorisedConv2d(channels, 3, kernel, padding=padding)
    results = []
    for convolve in (
        ours,
        lambda x: F.conv2d(x, ours.weight, ours.bias, padding=padding),
    ):
        x = torch.rand(2, channels, 17, 20, generator=random.manual_seed(0)).requires_grad_()
        y = convolve(x)
        ours.zero_grad()
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        results.append([y, x.grad, ours.weight.grad.clone(), ours.bias.grad.clone()])
    for mine, library in zip(*results, strict=True):
        assert (mine - library).abs().max() <= 1e-5 * library.abs().max()


def test_a_vectorised_network_computes_what_the_librarys_does(patchwise):
    vectorised, _ = build("patchwise", "test", {"convolution": "vectorised"})
    vectorised.load_state_dict(patchwise.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(vectorised(batch().gray), patchwise(batch().gray))


def test_both_losses_written_out(patchwise):
    example = batch()
    with torch.no_grad():
        terms = patchwise.loss(example)
        share = patchwise.logits(example.gray).sigmoid().permute(0, 2, 3, 1).double().numpy()
    rgb = linear_to_srgb(example.linear).permute(0, 2, 3, 1).numpy()
    uv = rgb_to_yuv(rgb)[:, 4:-4, 4:-4, 1:]
    target = uv / np.array([0.872, 1.23]) + 0.5
    mse = np.square(share - target).mean((0, 1, 2)).sum()
    log = -(target * np.log(share) + (1 - target) * np.log(1 - share)).mean((0, 1, 2)).sum()
    assert float(terms["mse"]) == pytest.approx(mse, rel=1e-4)
    assert float(terms["log"]) == pytest.approx(log, rel=1e-4)


def test_the_losses_take_turns(patchwise):
    small, _ = build("patchwise", "small", {"maps": (1, 1, 1, 1)})
    example = batch(1)
    phases = [int(small.loss(example, step)["phase"]) for step in (0, 99, 100, 199, 200, 300)]
    assert phases == [0, 0, 1, 1, 0, 1]
    for step, name in ((0, "mse"), (patchwise.config.period, "log")):
        terms = patchwise.loss(example, step)
        assert torch.equal(terms["loss"].detach(), terms[name])
        assert terms["loss"].requires_grad


def test_the_printed_log_loss_rewards_being_wrong_and_the_completed_does_not():
    """Descending on the formula as printed leads away from the truth, whatever that is."""
    example = batch(1)
    truth = {}
    for form in ("printed", "completed"):
        torch.manual_seed(0)
        system, _ = build("patchwise", "test", {"log_loss": form, "period": 1})
        optimiser = torch.optim.SGD(system.parameters(), 0.1)
        for _ in range(60):
            system.loss(example, 1)["loss"].backward()
            torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
        truth[form] = float(system.loss(example)["mse"])
    assert truth["completed"] < 0.1 < 0.2 < truth["printed"]


def test_learns_that_bright_is_blue_and_dark_is_red(patchwise):
    gray = torch.tensor([0.3, 0.7]).view(2, 1, 1, 1).expand(2, 1, 64, 64)
    linear = torch.tensor([[0.5, 0.02, 0.02], [0.3, 0.4, 0.9]])
    linear = linear.view(2, 3, 1, 1).expand(2, 3, 64, 64)
    optimiser = torch.optim.SGD(patchwise.parameters(), 0.3, momentum=0.9)
    for step in range(150):
        patchwise.loss(Batch(gray, linear), step)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
    red, blue = patchwise.chroma(gray)[:, :, 16:48, 16:48].mean((2, 3)).tolist()
    assert red[0] > 20
    assert blue[1] < -5


def test_chroma_has_the_size_of_the_luminance(patchwise):
    assert patchwise.chroma(torch.rand(2, 1, 40, 56)).shape == (2, 2, 40, 56)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"convolution": "fast"}, "'vectorised'"),
        ({"log_loss": "l2"}, "'printed'"),
        ({"period": 0}, "from 1"),
        ({"period": 2.5}, "like 7"),
        ({"maps": (8, 8)}, "4 numbers"),
        ({"perid": 3}, "'period'"),
        ({"crop": "abc"}, "like 64"),
        ({"name": "x"}, "there are: maps"),
    ],
)
def test_settings_that_do_not_exist_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        build("patchwise", "test", changes)
