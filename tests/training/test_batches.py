from dataclasses import replace

import numpy as np
import pytest
import torch

from tintype.color.spaces import rgb_to_luma
from tintype.errors import SettingError
from tintype.systems.colorspace import ab_of_linear, f_of_gray
from tintype.systems.system import Recipe
from tintype.training.batches import Batches, develop, plain
from tintype.training.data import load_photos

RECIPE = Recipe(crop=64, batch=8)


@pytest.fixture(scope="module")
def store(shard):
    return load_photos([shard], short_side=RECIPE.largest)


def test_a_step_always_gives_the_same_batch_and_no_other_step_does(store):
    first, again = Batches(store, RECIPE, seed=1), Batches(store, RECIPE, seed=1)
    first(0)
    for one, other in zip(first(3)[:2], again(3)[:2], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first(3).gray, first(4).gray)
    assert not torch.equal(first(3).gray, Batches(store, RECIPE, seed=2)(3).gray)


def test_every_pass_takes_every_photograph_once(store):
    batches = Batches(store, RECIPE, seed=0)
    passes = [
        torch.cat([batches._photographs(step) for step in range(k, k + 3)]).tolist() for k in (0, 3)
    ]
    assert [sorted(p) for p in passes] == [list(range(24))] * 2
    assert passes[0] != passes[1]


def test_a_pass_takes_photographs_as_often_as_they_are_emphasised(shard):
    store = load_photos([shard], short_side=RECIPE.largest)
    store.frequency = torch.tensor([6.0, 1.5] + 22 * [0.75], dtype=torch.float64)  # of 24 in all
    batches = Batches(store, RECIPE, seed=0)
    drawn = torch.stack(
        [
            torch.cat([batches._photographs(step) for step in range(k, k + 3)]).bincount(
                minlength=24
            )
            for k in range(0, 120, 3)
        ]
    )
    assert (drawn.sum(1) == 24).all()
    assert (drawn[:, 0] == 6).all()
    assert set(drawn[:, 1].tolist()) == {1, 2}
    assert set(drawn[:, 2:].flatten().tolist()) == {0, 1}
    assert float(drawn[:, 2:].double().mean()) == pytest.approx(0.75, abs=0.03)


def test_processes_share_a_batch_between_them(store):
    whole = Batches(store, RECIPE, seed=0)(2)
    halves = [Batches(store, RECIPE, seed=0, rank=rank, world=2)(2) for rank in (0, 1)]
    for k in (0, 1):
        assert torch.equal(torch.cat([half[k] for half in halves]), whole[k])


def test_shapes_and_ranges(store):
    gray, linear, labels = Batches(store, RECIPE, seed=0)(0)
    assert labels is None
    assert gray.shape == (8, 1, 64, 64)
    assert linear.shape == (8, 3, 64, 64)
    assert float(gray.min()) >= 0
    assert float(gray.max()) <= 1
    assert bool(torch.isfinite(linear).all())


def test_every_step_draws_one_of_the_sides_for_all_processes(store):
    recipe = replace(RECIPE, sides=(32, 64))
    seen = set()
    for step in range(12):
        halves = [Batches(store, recipe, seed=0, rank=rank, world=2)(step) for rank in (0, 1)]
        ((side, other),) = {half.gray.shape[2:] for half in halves}
        assert side == other
        assert halves[0].linear.shape == (4, 3, side, side)
        seen.add(side)
    assert seen == {32, 64}


def test_the_side_of_a_step_changes_how_large_a_scene_is_and_not_what_it_shows(store):
    large, small = (Batches(store, replace(RECIPE, sides=(side,)), seed=0)(1) for side in (64, 32))
    reduced = torch.nn.functional.avg_pool2d(large.linear, 2)
    assert float((reduced - small.linear).abs().mean()) < 0.01


def test_stretched_squares_show_less_of_the_scene_on_one_side(store):
    # A gray ramp from left to right: stretched it spans fewer levels, from as far left.
    store = replace(store, pixels=torch.zeros_like(store.pixels))
    for photo in range(len(store)):
        height, width = int(store.height[photo]), int(store.width[photo])
        ramp = torch.arange(width, dtype=torch.uint8).expand(height, width)
        part = slice(int(store.start[photo]), int(store.start[photo]) + height * width)
        store.pixels[part] = ramp.reshape(-1, 1)

    def spans(stretch):
        recipe = replace(RECIPE, zoom=1.125, stretch=stretch)
        found = []
        for step in range(24):
            red = Batches(store, recipe, seed=0)(step).linear[:, 0]
            found.append(float((red.amax(2) - red.amin(2)).median() / red.amax(2).median()))
        return found

    plain, stretched = spans(0.0), spans(0.5)
    less = [b < 0.98 * a for a, b in zip(plain, stretched, strict=True)]
    assert 4 < sum(less) < 20  # the other steps are stretched from top to bottom


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sides": (0,)}, "whole numbers of pixels"),
        ({"sides": (96.0,)}, "whole numbers of pixels"),
        ({"sides": ("96",)}, "whole numbers of pixels"),
        ({"sides": (96, 160)}, "at most 144"),
        ({"stretch": 1.0}, "stretch is from 0"),
        ({"stretch": -0.1}, "stretch is from 0"),
    ],
)
def test_sides_and_stretches_that_are_none_are_refused(changes, message):
    with pytest.raises(SettingError, match=message):
        Recipe(**changes)


# Near black Lab is linear in light, not its cube root: there the rule holds roughly.
@pytest.mark.parametrize(("lowest", "tolerance"), [(0.3, 0.05), (0.02, 2.0)])
def test_targets_keep_their_hue_and_follow_the_new_lightness(lowest, tolerance):
    random = torch.Generator().manual_seed(0)
    # Scenes of one colour each, so that blur and crops do not matter.
    rgb = (lowest + 0.6 * torch.rand(64, 3, 1, 1, generator=random)).expand(64, 3, 8, 8)
    draw = torch.rand(64, 9, generator=random)
    draw[:, 8] = 0  # no grain
    draw = torch.cat((draw, torch.full((64, 1), 0.5)), 1)  # as sharp as they are
    batch = develop(rgb, draw, range(64))
    true = plain(rgb)
    ratio = f_of_gray(batch.gray) / f_of_gray(true.gray)
    inside = ((ratio > 0.6) & (ratio < 1.6)).flatten(1).all(1)
    assert int(inside.sum()) > 50
    expected = ab_of_linear(true.linear) * ratio
    torch.testing.assert_close(
        ab_of_linear(batch.linear)[inside], expected[inside], atol=tolerance, rtol=1e-3
    )


def test_a_share_of_photographs_looks_like_old_film_and_the_rest_keeps_its_order_of_tones():
    rgb = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    draw = torch.rand(200, 10, generator=torch.Generator().manual_seed(2))
    draw[:, 9] = 0.5  # as sharp as they are
    gray = develop(rgb, draw, range(200)).gray.flatten(1)
    before = plain(rgb).gray.flatten(1)
    # A gamma keeps the order of the pixels; another response, blur and grain do not.
    kept = (gray.argsort(1) == before.argsort(1)).all(1)
    assert 0.7 < float(kept.float().mean()) < 0.9


def test_photographs_come_softer_and_sharper_of_the_same_mean():
    rgb = 0.3 + 0.4 * torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    draw = torch.full((3, 10), 0.5)  # no film, no change of tone
    draw[:, 9] = torch.tensor([0.0, 0.5, 1.0])
    gray = develop(rgb, draw, range(3)).gray
    before = plain(rgb).gray
    torch.testing.assert_close(gray[1], before[1])
    detail = gray.flatten(1).std(1) / before.flatten(1).std(1)
    assert float(detail[0]) < 0.6
    assert float(detail[2]) > 1.4
    torch.testing.assert_close(gray.mean((1, 2, 3)), before.mean((1, 2, 3)), atol=0.01, rtol=0)


def test_measuring_sees_plain_luma():
    rgb = torch.rand(1, 3, 5, 7)
    expected = rgb_to_luma(rgb[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(plain(rgb).gray[0, 0].numpy(), expected, atol=1e-6)
