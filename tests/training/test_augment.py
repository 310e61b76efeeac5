from dataclasses import replace

import numpy as np
import pytest
import torch

from tintype.color.spaces import rgb_to_luma
from tintype.models.base import TrainConfig
from tintype.models.torch_color import gray_to_f, linear_to_ab, linear_to_srgb
from tintype.training.augment import Batches, augment, to_batch
from tintype.training.data import load_photos

CONFIG = TrainConfig(crop=64, batch=8)


@pytest.fixture(scope="module")
def store(shard):
    return load_photos([shard], short_side=CONFIG.largest_cut)


def test_a_step_always_gives_the_same_batch_and_no_other_step_does(store):
    first, again = Batches(store, CONFIG, seed=1), Batches(store, CONFIG, seed=1)
    first(0)
    for one, other in zip(first(3)[:2], again(3)[:2], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first(3).gray, first(4).gray)
    assert not torch.equal(first(3).gray, Batches(store, CONFIG, seed=2)(3).gray)


def test_every_pass_takes_every_photograph_once(store):
    batches = Batches(store, CONFIG, seed=0)
    passes = [
        torch.cat([batches._photographs(step) for step in (k, k + 1)]).tolist() for k in (0, 2)
    ]
    assert [sorted(p) for p in passes] == [list(range(16))] * 2
    assert passes[0] != passes[1]


def test_a_pass_takes_photographs_as_often_as_their_weights_say(shard):
    store = load_photos([shard], short_side=CONFIG.largest_cut)
    store.frequency = torch.tensor([4.0, 1.5] + 14 * [0.75], dtype=torch.float64)  # of 16
    batches = Batches(store, CONFIG, seed=0)
    drawn = torch.stack(
        [
            torch.cat([batches._photographs(step) for step in (k, k + 1)]).bincount(minlength=16)
            for k in range(0, 80, 2)
        ]
    )
    assert (drawn.sum(1) == 16).all()
    assert (drawn[:, 0] == 4).all()
    assert set(drawn[:, 1].tolist()) == {1, 2}
    assert set(drawn[:, 2:].flatten().tolist()) == {0, 1}
    assert float(drawn[:, 2:].double().mean()) == pytest.approx(0.75, abs=0.03)


def test_processes_share_a_batch_between_them(store):
    whole = Batches(store, CONFIG, seed=0)(2)
    halves = [Batches(store, CONFIG, seed=0, rank=rank, world_size=2)(2) for rank in (0, 1)]
    for k in (0, 1):
        assert torch.equal(torch.cat([half[k] for half in halves]), whole[k])


def test_shapes_and_ranges(store):
    gray, rgb, labels = Batches(store, CONFIG, seed=0)(0)
    assert labels is None
    assert gray.shape == (8, 1, 64, 64)
    assert rgb.shape == (8, 3, 64, 64)
    assert float(gray.min()) >= 0
    assert float(gray.max()) <= 1
    assert bool(torch.isfinite(rgb).all())


def test_every_step_draws_one_of_the_crop_sizes_for_all_processes(store):
    config = replace(CONFIG, crop_sizes=(32, 64))
    seen = set()
    for step in range(12):
        halves = [Batches(store, config, seed=0, rank=rank, world_size=2)(step) for rank in (0, 1)]
        ((side, other),) = {half.gray.shape[2:] for half in halves}
        assert side == other
        assert halves[0].rgb.shape == (4, 3, side, side)
        seen.add(side)
    assert seen == {32, 64}


def test_the_crop_size_of_a_step_changes_how_large_a_scene_is_and_not_what_it_shows(store):
    large, small = (
        Batches(store, replace(CONFIG, crop_sizes=(side,)), seed=0)(1) for side in (64, 32)
    )
    reduced = torch.nn.functional.avg_pool2d(large.rgb, 2)
    assert float((reduced - small.rgb).abs().mean()) < 0.01


def test_aspect_jitter_shows_less_of_the_scene_on_one_side(store):
    # A gray ramp from left to right: cut narrower it spans fewer levels, from as far left.
    store = replace(store, pixels=torch.zeros_like(store.pixels))
    for photo in range(len(store)):
        height, width = int(store.height[photo]), int(store.width[photo])
        ramp = torch.arange(width, dtype=torch.uint8).expand(height, width)
        part = slice(int(store.start[photo]), int(store.start[photo]) + height * width)
        store.pixels[part] = ramp.reshape(-1, 1)

    def spans(jitter):
        config = replace(CONFIG, scale=1.125, aspect_jitter=jitter, augment="none")
        found = []
        for step in range(24):
            red = Batches(store, config, seed=0)(step).rgb[:, 0]
            found.append(float((red.amax(2) - red.amin(2)).median() / red.amax(2).median()))
        return found

    plain, narrow = spans(0.0), spans(0.5)
    less = [b < 0.98 * a for a, b in zip(plain, narrow, strict=True)]
    assert 4 < sum(less) < 20  # the other steps are cut lower, not narrower


def draws(first):
    """Numbers for `augment`: the first given, sharpness as it is, nothing faded."""
    rest = torch.tensor([0.5, 1.0, 0.0, 0.0]).expand(len(first), 4)
    return torch.cat((first, rest), 1)


@torch.no_grad()
def test_what_is_neutral_stays_neutral():
    rgb = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(64, 3, 8, 8)
    draw = torch.rand(64, 13, generator=torch.Generator().manual_seed(1))
    found = linear_to_ab(augment(rgb, draw, range(64), faded=0.5).rgb)
    assert float(found.abs().max()) < 0.01


def test_faded_prints_keep_a_part_of_their_range_and_all_of_their_color():
    rgb = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    draw = torch.rand(200, 13, generator=torch.Generator().manual_seed(1))
    draw[:, 0] = 1  # none on film
    draw[:, 9] = 0.5
    whole, faded = (augment(rgb, draw, range(200), share) for share in (0.0, 0.5))
    assert torch.equal(whole.rgb, faded.rgb)
    before, after = (b.gray.flatten(1).amax(1) - b.gray.flatten(1).amin(1) for b in (whole, faded))
    share = after / before
    narrowed = share < 0.9999
    assert torch.equal(narrowed, draw[:, 10] < 0.5)
    torch.testing.assert_close(share[narrowed], 1 - 0.85 * draw[narrowed, 11], atol=1e-3, rtol=0)
    assert float(faded.gray.min()) >= 0
    assert float(faded.gray.max()) <= 1


def test_a_config_without_augmentation_gives_squares_of_the_photographs(store):
    config = replace(CONFIG, crop=72, scale=1.0, augment="none", flip=False)
    batch = Batches(store, config, seed=0)(0)
    assert batch.rgb.shape == (8, 3, 72, 72)  # nothing is enlarged: photographs are 72 high
    known = {tuple(row) for row in store.pixels.tolist()}
    pixels = (linear_to_srgb(batch.rgb) * 255).round().int().permute(0, 2, 3, 1)[:, ::9, ::9]
    assert {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist()} <= known
    torch.testing.assert_close(batch.gray, to_batch(linear_to_srgb(batch.rgb)).gray)


def test_labels_go_with_their_photographs(store):
    store = replace(store, labels=torch.eye(16, dtype=torch.float16))
    batches = Batches(store, CONFIG, seed=0, rank=1, world_size=2)
    labels = batches(1).labels
    assert labels.dtype == torch.float32
    assert labels.argmax(1).tolist() == batches._photographs(1)[4:].tolist()


# Near black Lab is linear in light, not its cube root: there the rule holds roughly.
@pytest.mark.parametrize(("lowest", "tolerance"), [(0.3, 0.05), (0.02, 2.0)])
def test_targets_keep_their_hue_and_follow_the_new_lightness(lowest, tolerance):
    random = torch.Generator().manual_seed(0)
    # Scenes of one color each, so that blur and crops do not matter.
    rgb = (lowest + 0.6 * torch.rand(64, 3, 1, 1, generator=random)).expand(64, 3, 8, 8)
    draw = draws(torch.rand(64, 9, generator=random))
    draw[:, 8] = 0  # no grain
    batch = augment(rgb, draw, range(64))
    true = to_batch(rgb)
    ratio = gray_to_f(batch.gray) / gray_to_f(true.gray)
    inside = ((ratio > 0.6) & (ratio < 1.6)).flatten(1).all(1)
    assert int(inside.sum()) > 50
    expected = linear_to_ab(true.rgb) * ratio
    torch.testing.assert_close(
        linear_to_ab(batch.rgb)[inside], expected[inside], atol=tolerance, rtol=1e-3
    )


def test_a_share_of_photographs_looks_like_old_film_and_the_rest_keeps_its_order_of_tones():
    rgb = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    draw = draws(torch.rand(200, 9, generator=torch.Generator().manual_seed(2)))
    gray = augment(rgb, draw, range(200)).gray.flatten(1)
    before = to_batch(rgb).gray.flatten(1)
    # A gamma keeps the order of the pixels; another response, blur and grain do not.
    kept = (gray.argsort(1) == before.argsort(1)).all(1)
    assert 0.7 < float(kept.float().mean()) < 0.9


def test_photographs_come_softer_and_sharper_of_the_same_mean():
    rgb = 0.3 + 0.4 * torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    draw = torch.full((3, 13), 0.5)  # no film, no change of tone
    draw[:, 9] = torch.tensor([0.0, 0.5, 1.0])
    gray = augment(rgb, draw, range(3)).gray
    before = to_batch(rgb).gray
    torch.testing.assert_close(gray[1], before[1])
    detail = gray.flatten(1).std(1) / before.flatten(1).std(1)
    assert float(detail[0]) < 0.6
    assert float(detail[2]) > 1.4
    torch.testing.assert_close(gray.mean((1, 2, 3)), before.mean((1, 2, 3)), atol=0.01, rtol=0)


def test_measuring_sees_plain_luma():
    rgb = torch.rand(1, 3, 5, 7)
    expected = rgb_to_luma(rgb[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(to_batch(rgb).gray[0, 0].numpy(), expected, atol=1e-6)
