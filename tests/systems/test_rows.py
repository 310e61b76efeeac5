"""Row by row with a memory is the same as all rows at once."""

import pytest
import torch

from tintype.systems.rows import LookUp, ReadRow, Remember, RowNetwork

LEVELS, WIDTH, HEIGHT, CHANNELS = 8, 6, 5, 8


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = RowNetwork(LEVELS, conditioning=3, channels=CHANNELS, above=4, left=3, heads=2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made.double().eval()


def distances(row):
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    far = ((y.flatten() - row) ** 2 + (x.flatten() - torch.arange(WIDTH)[:, None]) ** 2).sqrt()
    return far.double().masked_fill(y.flatten() >= row, torch.inf)


def rows_of(network, condition, choose):
    """Runs the three graphs over all rows; `choose(row, above)` gives the row's levels."""
    n, cells = 2, HEIGHT * WIDTH
    look_up, remember = LookUp(network), Remember(network)
    colours = torch.zeros(n, CHANNELS, 3, WIDTH).double()
    before = torch.zeros(4, n, CHANNELS, 2, WIDTH).double()
    keys, values = torch.zeros(2, 2, n, CHANNELS, cells).double()
    levels = []
    for row in range(HEIGHT):
        features = condition[:, :, row : row + 1]
        above, seen, asked = look_up(features, colours, before, keys, values, distances(row))
        levels.append(choose(row, above))
        own, key, value = remember(levels[-1], asked)
        colours = torch.cat((colours[:, :, 1:], own), 2)
        before = torch.cat((before[..., 1:, :], seen), 3)
        keys[..., row * WIDTH : (row + 1) * WIDTH] = key
        values[..., row * WIDTH : (row + 1) * WIDTH] = value
    return torch.cat(levels, 2)


@torch.no_grad()
def test_likelihood_row_by_row_is_that_of_the_whole(network):
    condition = torch.randn(2, 3, HEIGHT, WIDTH).double()
    levels = torch.randint(LEVELS, (2, 2, HEIGHT, WIDTH))
    nats = []

    def given(row, above):
        own = levels[:, :, row : row + 1]
        noise = torch.zeros(2, 2, LEVELS, 1, WIDTH).double()
        nats.append(ReadRow(network)(above, own, noise, torch.tensor(1.0))[1])
        return own

    rows_of(network, condition, given)
    whole = [
        part.log_softmax(1).gather(1, levels[:, k, None])
        for k, part in enumerate(network(levels, condition))
    ]
    torch.testing.assert_close(torch.cat(nats, 2), torch.cat(whole, 1))


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_guess_that_comes_back_is_the_naive_sample(network, temperature):
    condition = torch.randn(2, 3, HEIGHT, WIDTH).double()
    uniform = torch.rand(2, 2, LEVELS, HEIGHT, WIDTH).double()
    noise = -(-uniform.log()).log()

    def settle(row, above):
        guess = torch.zeros(2, 2, 1, WIDTH, dtype=torch.long)
        own = noise[..., row : row + 1, :]
        for _ in range(2 * WIDTH + 1):
            found, _ = ReadRow(network)(above, guess, own, torch.tensor(temperature))
            if torch.equal(found, guess):
                break
            guess = found
        else:
            pytest.fail("a level is settled by every pass, but the guess did not come back")
        return guess

    sampled = rows_of(network, condition, settle)
    naive = torch.zeros(2, 2, HEIGHT, WIDTH, dtype=torch.long)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            for channel in range(2):
                logits = network(naive, condition)[channel][:, :, row, column]
                scores = logits / temperature + noise[channel, :, :, row, column]
                naive[:, channel, row, column] = scores.argmax(1)
    assert torch.equal(sampled, naive)
