import pytest
import torch

from tintype.models import build
from tintype.models.base import Batch
from tintype.models.hints import draw_hints, hint_map
from tintype.models.pyramid import HintEncoder, reduce_hints
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
    found = reduce_hints(hints, 2)[0]
    expected = torch.zeros(3, 2, 2)
    expected[:, 0, 0] = torch.tensor([0.3, -0.1, 1.0])
    expected[:, 1, 1] = torch.tensor([0.7, 0.2, 1.0])
    torch.testing.assert_close(found, expected)


def test_hint_layers_begin_at_zero_and_are_zero_where_nothing_is_known():
    encoder, hints = HintEncoder(8), some_hints(6, 6)
    assert not encoder(hints).any()
    torch.nn.init.normal_(encoder.project.weight)
    assert encoder(hints).any()
    assert not encoder(torch.zeros(1, 3, 6, 6)).any()


@torch.no_grad()
def test_at_the_start_hints_change_nothing_and_later_no_hint_does(tint):
    gray = torch.rand(1, 1, 64, 96)
    none, some = torch.zeros(1, 3, 16, 24), some_hints(16, 24)
    assert torch.equal(tint(gray), tint(gray, some))
    for part in tint.pyramid.hints:
        torch.nn.init.normal_(part.project.weight)
    assert torch.equal(tint(gray), tint(gray, none))
    assert not torch.allclose(tint(gray), tint(gray, some))
    two_scales = TwoScaleLogProbabilities(tint)
    torch.testing.assert_close(two_scales(gray, none), two_scales(gray))
    assert not torch.allclose(two_scales(gray, some), two_scales(gray))


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
    for _ in range(80):
        tint.loss(example)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        values = tint.eval().validation_metrics(example)
    assert float(values["safe_hinted"]) < 0.7 * float(values["safe"])
