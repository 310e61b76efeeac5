"""The game on a problem whose answer is known: a cloud of points and the same cloud moved."""

import pytest
import torch
from torch import nn

from tintype.systems.wasserstein import (
    clip_weights,
    critic_loss,
    generator_loss,
    gradient_penalty,
)

MOVED = torch.tensor([1.5, -2.0])
DISTANCE = 2.5  # the Wasserstein distance of a cloud and itself moved is the length of the move
PENALTY = 10
# The penalty is soft: the slope s that is best maximises s * DISTANCE - PENALTY * (s - 1) ** 2.
SLOPE = 1 + DISTANCE / (2 * PENALTY)


class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2)
        )
        self.last = nn.Linear(32, 1)

    def forward(self, points):
        return self.last(self.layers(points))[:, 0]


def clouds(random):
    return [torch.randn(128, 2, generator=random) * 0.3 + shift for shift in (MOVED, 0 * MOVED)]


@pytest.fixture(scope="module")
def critic():
    """Trained with the gradient penalty."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    critic = Scores()
    optimiser = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.0, 0.9))
    for _ in range(400):
        real, fake = clouds(random)
        loss = critic_loss(critic(real), critic(fake))
        loss = loss + PENALTY * gradient_penalty(critic, real, fake)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return critic


def test_the_critic_finds_the_distance_and_scores_the_real_higher(critic):
    real, fake = clouds(torch.Generator().manual_seed(1))
    with torch.no_grad():
        scores = critic(real), critic(fake)
        assert scores[0].mean() > scores[1].mean()
        assert -critic_loss(*scores) == pytest.approx(SLOPE * DISTANCE, rel=0.05)


def test_the_generators_loss_leads_to_the_real_samples(critic):
    _, fake = clouds(torch.Generator().manual_seed(2))
    shift = torch.zeros(2, requires_grad=True)
    generator_loss(critic(fake + shift)).backward()
    assert shift.grad is not None
    way = -shift.grad  # where descending goes
    assert torch.nn.functional.cosine_similarity(way, MOVED, dim=0) > 0.99
    assert way.norm() == pytest.approx(SLOPE, rel=0.05)


def test_the_penalty_is_zero_for_a_slope_of_one_and_counts_each_sample_by_itself():
    real, fake = torch.zeros(4, 3, 2, 2), torch.ones(4, 3, 2, 2)
    total = 12**0.5  # the slope of a sum of 12 values

    def scaled(factor):
        return lambda x: factor * x.sum((1, 2, 3))

    assert float(gradient_penalty(scaled(1 / total), real, fake)) == pytest.approx(0, abs=1e-10)
    assert float(gradient_penalty(scaled(3 / total), real, fake)) == pytest.approx(4, rel=1e-5)


def test_the_penalty_is_taken_between_the_samples_and_leaves_them_alone():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return weight * x.square().sum(1)

    weight = torch.ones((), requires_grad=True)
    real = torch.full((64, 2), 2.0, requires_grad=True)
    fake = torch.full((64, 2), -1.0, requires_grad=True)
    gradient_penalty(critic, real, fake).backward()
    (between,) = seen
    assert -1 <= between.min() < -0.5
    assert 1.5 < between.max() <= 2
    assert torch.equal(between[:, 0], between[:, 1])  # on the line from one to the other
    assert weight.grad is not None
    assert real.grad is None
    assert fake.grad is None


def test_clipping_limits_every_parameter():
    network = Scores()
    clip_weights(network, 0.01)
    assert max(float(p.detach().abs().max()) for p in network.parameters()) == pytest.approx(0.01)


def test_a_clipped_critic_too_scores_the_real_higher():
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    network = Scores()
    optimiser = torch.optim.RMSprop(network.parameters(), 1e-3)
    for _ in range(300):
        real, fake = clouds(random)
        loss = critic_loss(network(real), network(fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        clip_weights(network, 0.1)
    real, fake = clouds(random)
    assert network(real).mean() > network(fake).mean() + 0.01
    assert network(real).mean() < 100  # without limit it would grow for ever
