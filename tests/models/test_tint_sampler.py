import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from noise import batch

from tintype.color.spaces import rgb_to_ycbcr
from tintype.errors import CheckpointError
from tintype.models import build
from tintype.models.base import Batch
from tintype.models.tint_sampler import Refinement
from tintype.models.torch_color import linear_to_cbcr, linear_to_srgb


@pytest.fixture
def sampler():
    torch.manual_seed(0)
    return build("tint_sampler", "test")[0].eval()


def gumbel(*shape, seed=0):
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return -(-uniform.clamp_min(1e-20).log()).log()


def edges(seed=0, side=64):
    """Patches of color with edges inside the cells, seen in the luminance too."""
    coarse = torch.rand(4, 3, side // 16, side // 16, generator=torch.Generator().manual_seed(seed))
    rgb = F.interpolate(coarse, size=(side, side)).roll((3, 3), (2, 3))
    return Batch(rgb.mean(1, keepdim=True).clamp(0, 1), rgb)


def test_small_preset_has_the_documented_size():
    with torch.device("meta"):
        sampler = build("tint_sampler", "small")[0]
    assert sum(p.numel() for p in sampler.parameters()) == 6_713_522


def test_chroma_is_averaged_over_cells_and_quantized(sampler):
    rgb = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    srgb = linear_to_srgb(rgb).permute(0, 2, 3, 1).numpy()
    ycbcr = rgb_to_ycbcr(srgb).reshape(2, 4, 8, 6, 8, 3).mean((2, 4))
    expected = np.round((ycbcr[..., [2, 1]] - 0.5) / 0.01875) + 16
    found = sampler.quantize_cells(rgb).permute(0, 2, 3, 1).numpy()
    assert (found == expected).mean() > 0.99  # rounding may move one on an edge
    assert np.abs(found.astype(int) - expected).max() <= 1
    gray = torch.rand(1, 1, 32, 32).expand(1, 3, 32, 32)
    assert (sampler.quantize_cells(gray) == 16).all()


@torch.no_grad()
def test_the_loss_is_nats_a_value_and_the_refinements_squared_error(sampler):
    example = batch()
    terms = sampler.loss(example)
    levels = sampler.quantize_cells(example.rgb)
    logp = sampler(example.gray, levels).log_softmax(2)
    nats = [-float(logp[k].gather(1, levels[:, k, None]).mean()) for k in (0, 1)]
    assert float(terms["bits_cr"]) == pytest.approx(nats[0] / math.log(2), rel=1e-4)
    assert float(terms["bits_cb"]) == pytest.approx(nats[1] / math.log(2), rel=1e-4)
    expected = sum(nats) / 2 + 1000 * float(terms["refined"])
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_fixed_point_sampling_is_exact(sampler):
    gray = batch(2, 32).gray
    noise = gumbel(2, 2, 32, 4, 4)
    sampled = sampler.sample(gray, noise, 0.9)
    naive = torch.zeros(2, 2, 4, 4, dtype=torch.long)
    for row in range(4):
        for column in range(4):
            for channel in range(2):
                logits = sampler(gray, naive)[channel, :, :, row, column]
                scores = logits / 0.9 + noise[channel, :, :, row, column]
                naive[:, channel, row, column] = scores.argmax(1)
    assert torch.equal(sampled, naive)


@torch.no_grad()
def test_samples_differ_by_noise_and_not_otherwise(sampler):
    gray = batch(1).gray
    one, same, other = (sampler.sample(gray, gumbel(2, 1, 32, 8, 8, seed=s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(sampler.predict(gray), sampler.predict(gray))
    assert sampler.predict(gray).shape == (1, 2, 8, 8)


@torch.no_grad()
def test_sampling_follows_the_distribution(sampler):
    """The first cell's Cr, drawn many times, comes as often as its probability says."""
    gray = batch(1, 32).gray
    logits = sampler(gray, torch.zeros(1, 2, 4, 4, dtype=torch.long))[0, 0, :, 0, 0]
    drawn = sampler.sample(gray.expand(400, -1, -1, -1), gumbel(2, 400, 32, 4, 4))[:, 0, 0, 0]
    found = drawn.bincount(minlength=32) / 400
    assert float((found - logits.softmax(0)).abs().max()) < 0.1


def test_takes_over_the_pyramid_of_tint_and_of_no_other(sampler):
    # Their decoders differ by a step; this one goes as far as the other's.
    tint, _ = build("tint", "test", {"blocks": (1, 0)})
    assert "tint" in sampler.load_from("tint", dict(tint.state_dict()))
    for name, tensor in sampler.condition.pyramid.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, tint.pyramid.state_dict()[name])
    with pytest.raises(CheckpointError, match="other sizes"):
        sampler.load_from("tint", {})
    with pytest.raises(CheckpointError, match="cannot start from cic"):
        sampler.load_from("cic", {})


def test_the_pyramid_learns_slower_than_the_rest(sampler):
    slow, rest = sampler.parameter_groups()
    assert (slow[1], rest[1]) == (0.25, 1.0)
    assert len(slow[0]) + len(rest[0]) == len(list(sampler.parameters()))
    assert {id(p) for p in sampler.condition.pyramid.encoder.parameters()} == {
        id(p) for p in slow[0]
    }


# --- refinement


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (8, 24)])
def test_any_size_of_picture_is_refined(size):
    chroma = torch.rand(1, 2, size[0] // 8, size[1] // 8)
    found = Refinement(4).eval()(torch.rand(1, 1, *size), chroma)
    assert found.shape == (1, 2, size[0] // 2, size[1] // 2)


@torch.no_grad()
def test_refinement_begins_with_the_chroma_it_is_given(sampler):
    chroma = torch.rand(1, 2, 4, 6)
    found = sampler.refine(torch.rand(1, 1, 32, 48), chroma)
    torch.testing.assert_close(found, F.interpolate(chroma, scale_factor=4.0, mode="bilinear"))
    terms = sampler.loss(edges())
    # But for the detour over half the size.
    assert float(terms["refined"]) == pytest.approx(float(terms["coarse"]), rel=0.05)


@pytest.mark.slow
def test_refinement_learns_to_follow_the_edges_of_the_luminance():
    torch.manual_seed(0)
    refine, example = Refinement(8), edges()
    truth = linear_to_cbcr(example.rgb)
    given, truth = F.avg_pool2d(truth, 8), F.avg_pool2d(truth, 2)
    optimizer = torch.optim.Adam(refine.parameters(), 1e-2)
    errors = []
    for _ in range(80):
        error = (refine(example.gray, given) - truth).square().mean()
        error.backward()
        errors.append(float(error.detach()))
        optimizer.step()
        optimizer.zero_grad()
    assert errors[-1] < 0.6 * errors[0]
