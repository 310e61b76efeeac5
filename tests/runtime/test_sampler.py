"""The sampler against the network it was exported from, value by value."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from tintype.color.bins import level_centers
from tintype.errors import CorruptModelError, UnknownModelError
from tintype.runtime.card import find
from tintype.runtime.sampler import Known, Sampler, gumbel
from tintype.systems import build
from tintype.systems.pixcolor import PixColor
from tintype.training.checkpoint import save_checkpoint
from tintype.training.export import export, start_from_exported

HEIGHT, WIDTH = 4, 8


@pytest.fixture(scope="module")
def system():
    torch.manual_seed(0)
    made, _ = build("pixcolor", "test")
    assert isinstance(made, PixColor)
    with torch.no_grad():
        for parameter in made.coloring.parameters():
            # Sharp distributions that depend on what came before; exact in half precision.
            parameter.add_(0.3 * torch.randn_like(parameter)).copy_(parameter.half())
    return made.eval()


@pytest.fixture(scope="module")
def sampler(system, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampler")
    facts = {"system": "pixcolor", "config": asdict(system.config), "elapsed": 1.0, "step": 0}
    optimiser = torch.optim.SGD(system.parameters(), 0.1)
    save_checkpoint(folder, facts, {"ema": system.state_dict()}, {"optimiser": optimiser})
    return Sampler(export([folder], "pixcolor.tiny", folder / "models"), threads=1)


@pytest.fixture(scope="module")
def condition(sampler):
    gray = np.random.default_rng(0).random((8 * HEIGHT, 8 * WIDTH), dtype=np.float32)
    return sampler.condition(gray)


def naive(system, condition, noise, temperature, known=None):
    """A full pass of the network for every single value."""
    features = torch.from_numpy(condition).expand(noise.shape[1], -1, -1, -1)
    levels = torch.zeros(noise.shape[1], 2, HEIGHT, WIDTH, dtype=torch.long)
    nats = torch.zeros(noise.shape[1])
    with torch.no_grad():
        for row, column, channel in np.ndindex(HEIGHT, WIDTH, 2):
            logits = system.coloring(levels, features)[channel][:, :, row, column]
            scores = logits / temperature + torch.from_numpy(noise[channel, :, :, row, column])
            chosen = scores.argmax(1)
            if known is not None and known.mask[row, column]:
                chosen[:] = int(known.levels[channel, row, column])
            levels[:, channel, row, column] = chosen
            nats += logits.log_softmax(1).gather(1, chosen[:, None])[:, 0]
    return levels.numpy(), nats.numpy()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_samples_are_those_of_naive_sampling_and_so_is_their_likelihood(
    sampler, system, condition, temperature
):
    samples = sampler.sample(condition, 3, seed=7, temperature=temperature)
    noise = gumbel(7, 3, 32, (HEIGHT, WIDTH))
    levels, nats = naive(system, condition, noise, temperature)
    assert np.array_equal(samples.levels, levels)
    np.testing.assert_allclose(samples.nats, nats, atol=1e-3)
    assert len({sample.tobytes() for sample in samples.levels}) == 3
    # Fewer passes than one for every value of every row.
    assert HEIGHT < samples.passes < 2 * WIDTH * HEIGHT


def test_likelihood_of_given_chroma_is_the_networks(sampler, system, condition):
    given = np.random.default_rng(1).integers(0, 32, (2, 2, HEIGHT, WIDTH))
    features = torch.from_numpy(condition).expand(2, -1, -1, -1)
    with torch.no_grad():
        logits = system.coloring(torch.from_numpy(given), features)
    expected = np.concatenate(
        [
            part.log_softmax(1).gather(1, torch.from_numpy(given[:, k, None])).numpy()
            for k, part in enumerate(logits)
        ],
        axis=1,
    )
    np.testing.assert_allclose(sampler.score(condition, given), expected, atol=1e-3)
    samples = sampler.sample(condition, 2, seed=3)
    scored = sampler.score(condition, samples.levels).sum((1, 2, 3))
    np.testing.assert_allclose(scored, samples.nats, atol=1e-3)


def test_the_conditioning_network_sees_the_luminance(sampler, system):
    gray = np.random.default_rng(2).random((64, 96), dtype=np.float32)
    with torch.no_grad():
        expected = system.conditioning(torch.from_numpy(gray)[None, None], engaged=True)
    np.testing.assert_allclose(sampler.condition(gray), expected.numpy(), atol=0.02)


def test_known_chroma_stays_and_is_followed(sampler, system, condition):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[0, 2:5] = mask[2, 7] = True
    levels = np.random.default_rng(3).integers(0, 32, (2, HEIGHT, WIDTH))
    known = Known(levels, mask)
    samples = sampler.sample(condition, 2, seed=7, temperature=1.0, known=known)
    for sample in samples.levels:
        assert np.array_equal(sample[:, mask], levels[:, mask])
    expected, _ = naive(system, condition, gumbel(7, 2, 32, (HEIGHT, WIDTH)), 1.0, known)
    assert np.array_equal(samples.levels, expected)


def test_a_sample_does_not_depend_on_how_many_there_are(sampler, condition):
    many = sampler.sample(condition, 3, seed=5).levels
    assert np.array_equal(sampler.sample(condition, 1, seed=5).levels[0], many[0])
    assert not np.array_equal(sampler.sample(condition, 1, seed=6).levels[0], many[0])


def test_chroma_is_that_of_the_levels_blue_before_red(sampler, condition):
    levels = sampler.sample(condition, 1).levels
    chroma = sampler.chroma(levels)
    centres = level_centers(sampler.levels)
    assert chroma.shape == (1, HEIGHT, WIDTH, 2)
    np.testing.assert_array_equal(chroma[0, ..., 0], centres[levels[0, 1]])
    np.testing.assert_array_equal(chroma[0, ..., 1], centres[levels[0, 0]])


def test_noise_turns_an_argmax_into_a_sample():
    logits = np.log([0.6, 0.3, 0.1])
    noise = gumbel(0, 1, 3, (100, 200))[0, 0]
    found = np.bincount((logits[:, None, None] + noise).argmax(0).ravel()) / 20_000
    np.testing.assert_allclose(found, [0.6, 0.3, 0.1], atol=0.02)


def test_all_its_files_together_can_be_trained_further(sampler, system):
    again, _ = build("pixcolor", "test")
    start_from_exported(again, sampler.card.weights)
    for name, parameter in again.named_parameters():
        expected = system.get_parameter(name)
        torch.testing.assert_close(parameter, expected.half().float(), atol=1e-6, rtol=1e-3)


def test_a_second_stage_that_is_not_there_is_named(sampler, condition):
    sampling = replace(sampler.card.sampling, second_stage="elsewhere")
    without = Sampler(replace(sampler.card, sampling=sampling), threads=1)
    levels = without.sample(condition, 1).levels
    with pytest.raises(UnknownModelError, match=r"'elsewhere'.*--refine none"):
        without.refine(np.zeros((8 * HEIGHT, 8 * WIDTH), np.float32), levels)


def test_what_makes_no_sense_is_refused(sampler, condition):
    with pytest.raises(ValueError, match="from 1"):
        sampler.sample(condition, 0)
    with pytest.raises(ValueError, match="above 0"):
        sampler.sample(condition, 1, temperature=0)
    known = Known(np.zeros((2, 1, 1), np.int64), np.zeros((1, 1), bool))
    with pytest.raises(ValueError, match="known"):
        sampler.sample(condition, 1, known=known)
    with pytest.raises(CorruptModelError, match="no sampler"):
        Sampler(find("tint"))
