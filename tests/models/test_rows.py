"""The order of the rows' values, and that row by row is the same as all rows at once."""

from typing import Any

import pytest
import torch

from tintype.models.row_graphs import ConditionRow, SampleRow, UpdateCache, row_states
from tintype.models.rows import LEVELS, Rows, level_centers, quantize

CHROMA = level_centers()


def network(vertical=4, horizontal=3):
    """A network whose weights are all unlike their start, in double precision."""
    torch.manual_seed(0)
    rows = Rows(features=4, channels=8, layers=(vertical, horizontal), heads=2)
    with torch.no_grad():
        for parameter in rows.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return rows.double().eval()


def levels(height, width, count=1):
    random = torch.Generator().manual_seed(0)
    return torch.randint(LEVELS, (count, 2, height, width), generator=random)


def features(height, width, count=1):
    random = torch.Generator().manual_seed(9)
    return torch.randn(count, 4, height, width, generator=random, dtype=torch.float64)


def changed(given, *place):
    """Levels with another value at one place, (channel, row, column)."""
    other = given.clone()
    other[(0, *place)] = (given[(0, *place)] + 13) % LEVELS
    return other


def test_neutral_is_a_level_and_a_level_is_its_own_nearest():
    assert abs(float(CHROMA[16])) < 1e-12
    assert quantize(CHROMA).tolist() == list(range(32))
    step = float(CHROMA[1] - CHROMA[0])
    assert quantize(CHROMA + 0.4 * step).tolist() == list(range(32))
    assert quantize(torch.tensor([-1.0, 1.0])).tolist() == [0, 31]


@torch.no_grad()
def test_no_value_depends_on_itself_or_on_one_that_comes_later():
    height, width = 4, 5
    rows, given, condition = network(2, 2), levels(height, width), features(height, width)
    before = rows(given, condition)[:, 0]  # (2, levels, H, W)
    for place in range(2 * height * width):
        cell, channel = divmod(place, 2)
        after = rows(changed(given, channel, *divmod(cell, width)), condition)[:, 0]
        # In order of raster, Cr before Cb: nothing up to and with this value has moved.
        moved = (after != before).any(1).permute(1, 2, 0).flatten()
        assert not moved[: place + 1].any(), place


@torch.no_grad()
def test_every_past_value_is_seen():
    """No blind spot: a change anywhere before moves the last cell's distributions."""
    rows, given, condition = network(2, 2), levels(6, 6), features(6, 6)
    row, column = 5, 3
    before = rows(given, condition)[:, 0, :, row, column]
    for cell in range(6 * row + column):
        for channel in range(2):
            place = (channel, *divmod(cell, 6))
            after = rows(changed(given, *place), condition)[:, 0, :, row, column]
            assert (after != before).any(1).all(), place
    after = rows(changed(given, 0, row, column), condition)[:, 0, :, row, column]
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])  # Cb sees its own Cr


@torch.no_grad()
def test_luminance_is_seen_everywhere():
    rows, given, condition = network(), levels(4, 4), features(4, 4)
    moved = (rows(given, condition) - rows(given, condition + 1)).abs()
    assert (moved.amax((0, 1, 2)) > 1e-6).all()


@torch.no_grad()
def test_what_is_found_above_does_not_depend_on_the_width():
    """A picture continued to the right gives the same on its left half, but near the seam."""
    rows = network(2, 1)
    wide, condition = levels(4, 24), features(4, 24)
    one: Any = rows.vertical[1].attention
    state, colors = torch.randn(1, 8, 4, 24).double(), rows.embed(wide)
    one.log_slope.fill_(3.0)  # nothing but what lies next to a cell counts
    part = one(state[..., :12], colors[..., :12])
    torch.testing.assert_close(one(state, colors)[..., :11], part[..., :11])
    assert rows(wide, condition).shape == (2, 1, 32, 4, 24)


def row_by_row(rows, condition, count, choose):
    """Run the three graphs over all rows; `choose(row, context)` gives the row's chroma."""
    sizes: dict[Any, Any] = {"samples": count, "width": condition.shape[3]}
    state = {
        name: torch.zeros([sizes.get(size, size) for size in shape]).double()
        for name, shape in row_states(rows).items()
    }
    chosen = []
    for row in range(condition.shape[2]):
        context, *left = ConditionRow(rows)(condition[:, :, row : row + 1], **state)
        chosen.append(choose(row, context))
        state = dict(zip(state, UpdateCache(rows)(chosen[-1], *left, **state), strict=True))
    return torch.cat(chosen, 2)


@torch.no_grad()
def test_likelihood_row_by_row_is_that_of_the_whole():
    rows, given, condition = network(), levels(5, 6, count=2), features(5, 6)
    logp = []

    def choose(row, context):
        own = CHROMA.double()[given[:, :, row : row + 1]].flip(1)  # Cb, Cr
        noise = torch.zeros(2, 64, 1, 6).double()
        logp.append(SampleRow(rows, CHROMA.double())(context, own, noise, torch.tensor(1.0))[1])
        return own

    row_by_row(rows, condition, 2, choose)
    whole = rows(given, condition.expand(2, -1, -1, -1)).log_softmax(2)
    whole = whole.gather(2, given.transpose(0, 1)[:, :, None])[:, :, 0].transpose(0, 1)
    torch.testing.assert_close(torch.cat(logp, 2), whole.flip(1))


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_guess_that_reproduces_itself_is_the_naive_sample(temperature):
    rows, condition = network(2, 2), features(4, 5)
    uniform = torch.rand(2, 64, 4, 5, generator=torch.Generator().manual_seed(3)).double()
    noise = -(-uniform.log()).log()

    def choose(row, context):
        guess = torch.zeros(2, 2, 1, 5).double()
        for _ in range(11):  # each pass settles one more of the row's ten values
            own = noise[:, :, row : row + 1]
            cell = SampleRow(rows, CHROMA.double())
            found, _ = cell(context, guess, own, torch.tensor(temperature))
            if torch.equal(found, guess):
                return guess
            guess = found
        return pytest.fail("the guess did not come back")

    sampled = row_by_row(rows, condition, 2, choose)
    naive = torch.zeros(2, 2, 4, 5, dtype=torch.long)
    for cell in range(20):
        row, column = divmod(cell, 5)
        for channel in range(2):
            logits = rows(naive, condition.expand(2, -1, -1, -1))[channel, :, :, row, column]
            drawn = noise.unflatten(1, (2, 32))[:, channel, :, row, column]
            naive[:, channel, row, column] = (logits / temperature + drawn).argmax(1)
    assert torch.equal(sampled, CHROMA.double()[naive].flip(1))


@torch.no_grad()
def test_the_distribution_over_whole_pictures_sums_to_one(monkeypatch):
    """All 3 ** 4 pictures of two cells and three levels, each with its likelihood."""
    for name, value in (("LEVELS", 3), ("_LOW", -0.3), ("_HIGH", 0.3)):
        monkeypatch.setattr(f"tintype.models.rows.{name}", value)
    rows = network(2, 2)
    pictures = torch.cartesian_prod(*[torch.arange(3)] * 4).view(-1, 2, 2, 1)  # two rows
    logits = rows(pictures, features(2, 1).expand(len(pictures), -1, -1, -1)).transpose(0, 1)
    nats = logits.log_softmax(2).gather(2, pictures[:, :, None]).sum((1, 2, 3, 4))
    assert float(nats.exp().sum()) == pytest.approx(1, abs=1e-9)
