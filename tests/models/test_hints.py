from typing import Any

import pytest
import torch

from tintype.errors import CheckpointError
from tintype.models import build
from tintype.models.base import Batch
from tintype.models.hints import HintSpread, draw_hints, halve_hints, hint_map
from tintype.models.tint import TwoScaleLogProbabilities


@pytest.fixture
def tint():
    torch.manual_seed(0)
    return build("tint", "test")[0].eval()


def some_hints(height, width):
    """A tenth of the cells known."""
    torch.manual_seed(1)
    return hint_map(40 * torch.randn(1, height, width, 2), torch.rand(1, height, width) < 0.1)


def test_a_hint_map_is_scaled_ab_and_its_mask():
    ab = torch.tensor([[[[110.0, -55.0], [20.0, 30.0]]]])
    found = hint_map(ab, torch.tensor([[[True, False]]]))
    assert found.tolist() == [[[[1, 0]], [[-0.5, 0]], [[1, 0]]]]


def test_reduced_hints_are_means_of_what_is_known():
    hints = torch.zeros(1, 3, 4, 4)
    hints[0, :, 0, 0] = torch.tensor([0.5, -0.5, 1.0])
    hints[0, :, 1, 1] = torch.tensor([0.1, 0.3, 1.0])
    hints[0, :, 3, 2] = torch.tensor([0.7, 0.2, 1.0])
    hints[0, :2, 0, 3] = 9.0  # not known: the mask is 0
    found = halve_hints(hints)[0]
    expected = torch.zeros(3, 2, 2)
    expected[:, 0, 0] = torch.tensor([0.3, -0.1, 1.0])
    expected[:, 1, 1] = torch.tensor([0.7, 0.2, 1.0])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(12, 16), (6, 8)], ids=["features at 1/4", "features at 1/8"])
@torch.no_grad()
def test_spread_hints_are_zero_at_first_and_always_where_nothing_is_known(size):
    torch.manual_seed(0)
    spread = HintSpread(5, 7, heads=2, width=4)
    seen = torch.rand(2, 5, *size), torch.rand(2, 7, 6, 8), torch.rand(2, 1, 6, 8)
    hints = torch.cat((some_hints(12, 16), torch.zeros(1, 3, 12, 16)))
    assert not spread(*seen, hints).any()
    torch.nn.init.normal_(spread.project.weight)
    some, none = spread(*seen, hints)
    assert some.shape == (5, *size)
    assert some.any()
    assert not none.any()


@torch.no_grad()
def test_a_far_hint_reaches_the_cell_that_looks_like_it():
    spread = HintSpread(1, 2, heads=1, width=4)
    seen = torch.zeros(1, 2, 1, 9)
    seen[0, 0], seen[0, 1] = 1.0, -1.0
    seen[..., 8] *= -1  # unlike all others
    hints = torch.zeros(1, 3, 1, 9)
    hints[0, 0, 0, 0], hints[0, 2, 0, 0] = 0.5, 1.0
    spread.none.fill_(2.0)
    for part in (spread.query, spread.key, spread.value):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    spread.query.weight[:, 0] = spread.key.weight[:, 0] = 3.0
    spread.value.weight[:, 3] = 1.0  # a of the hints
    spread.fall.fill_(-9.0)
    spread.relative_fall.fill_(-9.0)
    found = spread._attend(seen, torch.zeros(1, 1, 1, 9), hints)[0, 0, 0]
    assert found[7] > 1.5  # 4 x 0.5, nearly whole
    assert found[8] < 0.1
    spread.fall.fill_(0.0)
    assert spread._attend(seen, torch.zeros(1, 1, 1, 9), hints)[0, 0, 0, 7] < 0.1


@torch.no_grad()
def test_at_the_start_hints_change_nothing_and_later_no_hint_does(tint):
    gray = torch.rand(1, 1, 64, 96)
    none, some = torch.zeros(1, 3, 16, 24), some_hints(16, 24)
    assert torch.equal(tint(gray), tint(gray, some))
    torch.nn.init.normal_(tint.pyramid.hints.project.weight)
    assert torch.equal(tint(gray), tint(gray, none))
    assert not torch.allclose(tint(gray), tint(gray, some))
    two_scales = TwoScaleLogProbabilities(tint)
    torch.testing.assert_close(two_scales(gray, none), two_scales(gray))
    assert not torch.allclose(two_scales(gray, some), two_scales(gray))


def test_training_of_hints_only_changes_nothing_without_hints():
    torch.manual_seed(0)
    tint: Any = build("tint", "test", {"hints_only": True})[0]
    with pytest.raises(CheckpointError, match="a finished tint"):
        tint.start_training(torch.randn(100, 2))
    tint.corrected_weights.uniform_(0.5, 2)
    before = {name: tensor.clone() for name, tensor in tint.state_dict().items()}
    groups = [group for group, factor in tint.parameter_groups() if factor]
    optimizer = torch.optim.Adam(groups[0], 1e-2)
    gray, rgb = torch.rand(8, 1, 64, 64), torch.rand(8, 3, 64, 64)
    tint.train().start_training(torch.randn(100, 2))
    for _ in range(3):
        tint.loss(Batch(gray, rgb))["loss"].backward()
        optimizer.step()
    tint.calibrate([Batch(gray, rgb)])
    after = tint.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "pyramid.hints.project.weight" in changed
    assert all(name == "weights" or name.startswith("pyramid.hints.") for name in changed)


def test_drawn_hints_are_nothing_points_or_fields_in_their_proportions():
    torch.manual_seed(0)
    target = 30 * torch.randn(600, 16, 24, 2)
    hints = draw_hints(target)
    assert hints.shape == (600, 3, 16, 24)
    ab, mask = hints[:, :2], hints[:, 2]
    assert set(mask.unique().tolist()) == {0, 1}
    assert not (ab * (1 - mask[:, None])).any()  # nothing is told where nothing is known
    assert float(ab.abs().max()) < 2
    known = mask.flatten(1).sum(1)
    # Four of ten have none by design, and some of few points happen to have none.
    assert 0.4 < float((known == 0).double().mean()) < 0.65
    columns = mask.amin(1).sum(1)  # those known from top to bottom
    field = (mask.amax(1).sum(1) == columns) & (columns >= 0.3 * 24)
    assert 0.08 < float(field.double().mean()) < 0.25  # and points that fill the picture
    true = target.permute(0, 3, 1, 2) / 110
    exact = ((ab - true).abs() < 1e-5).all(1) & (mask > 0)
    points = (known > 0) & ~field
    share = exact[points].sum((1, 2)) / known[points]
    assert float((share > 0.99).double().mean()) > 0.5  # single cells are told as they are
    assert float((share < 0.01).double().mean()) > 0.2  # of larger ones the mean


@pytest.mark.slow
def test_hints_bring_the_error_of_a_batch_below_that_without():
    """Scenes that luminance cannot tell apart, half red and half blue: a hint tells which."""
    torch.manual_seed(0)
    tint, _ = build("tint", "test", {"dropout": 0.0})
    gray = torch.full((16, 1, 32, 32), 0.5)
    rgb = torch.tensor([[0.6, 0.1, 0.1], [0.1, 0.1, 0.6]]).repeat(8, 1).view(16, 3, 1, 1)
    example = Batch(gray, rgb.expand(16, 3, 32, 32))
    optimizer = torch.optim.AdamW(tint.parameters(), 3e-3)
    for _ in range(50):
        tint.loss(example)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        values = tint.eval().validation_metrics(example)
    assert float(values["safe_hinted"]) < 0.7 * float(values["safe"])


def test_half_of_the_pointed_photographs_have_hints_where_the_color_stands_out():
    torch.manual_seed(0)
    target = torch.zeros(2000, 8, 8, 2)
    target[:, 2, 3] = 60.0
    mask = draw_hints(target, none=0.0)[:, 2] > 0
    few = mask.sum((1, 2)) == 1
    share = float(mask[few, 2, 3].double().mean())
    assert few.sum() > 100
    assert 0.4 < share < 0.95  # 1/64 if all were drawn evenly
