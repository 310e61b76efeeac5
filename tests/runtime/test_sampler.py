import numpy as np
import pytest
import tiny_models
from tiny_models import LEVELS, sampler_model

from tintype.errors import CorruptModelError
from tintype.runtime.registry import find_model
from tintype.runtime.sampler import Sampler

HEIGHT, WIDTH, SLOPE = 5, 6, 12
SILENCE = np.zeros((6, HEIGHT, WIDTH))


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).random((1, 1, HEIGHT, WIDTH), dtype=np.float32)


@pytest.fixture
def sampler():
    return Sampler(find_model("tint_sampler"), threads=2)


def naive(features, temperature, noise=SILENCE, given=None):
    """The tiny sampler value by value: chroma and its log-likelihood, (2, h, w), Cb and Cr."""
    levels = np.array(LEVELS)
    chroma, nats = np.zeros((2, HEIGHT, WIDTH)), np.zeros((2, HEIGHT, WIDTH))
    for y in range(HEIGHT):
        near = chroma[:, y - 1].sum(0) if y else 0
        above = features[0, 0, y] + near + chroma[:, :y].sum((0, 1)) / (y + 1)
        for x in range(WIDTH):
            known = above[x] - (chroma[:, y, x - 1].sum() if x else 0)
            for channel, offset in ((1, 0), (0, 3)):  # Cr first
                logits = SLOPE * levels * known
                logp = logits - np.log(np.exp(logits).sum())
                if given is None:
                    level = int(np.argmax(logp / temperature + noise[offset : offset + 3, y, x]))
                else:
                    level = int(np.abs(levels - given[channel, y, x]).argmin())
                chroma[channel, y, x] = levels[level]
                nats[channel, y, x] = logp[level]
                known += levels[level]
    return chroma, nats


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_samples_and_their_likelihood_are_those_of_value_by_value(sampler, features, temperature):
    samples = sampler.sample(features, 3, seed=7, temperature=temperature)
    assert samples.chroma.dtype == np.float32
    for k in range(3):
        noise = np.random.default_rng((7, k)).gumbel(size=(6, HEIGHT, WIDTH))
        chroma, nats = naive(features, temperature, noise)
        np.testing.assert_array_equal(samples.chroma[k], chroma.astype(np.float32))
        assert samples.nats[k] == pytest.approx(nats.sum(), abs=1e-3)
    assert len({sample.tobytes() for sample in samples.chroma}) == 3
    np.testing.assert_allclose(samples.bits, -samples.nats / np.log(2) / (2 * HEIGHT * WIDTH))


def test_few_passes_settle_a_row(sampler, features, monkeypatch):
    passes = []
    run = sampler._row.run
    monkeypatch.setattr(sampler._row, "run", lambda tensors: passes.append(1) or run(tensors))
    sampler.sample(features, 1, seed=7)
    assert HEIGHT < len(passes) < HEIGHT * WIDTH


def test_the_likelihood_of_given_chroma_is_the_models(sampler, features):
    given = np.random.default_rng(1).uniform(-0.3, 0.3, (1, 2, HEIGHT, WIDTH)).astype(np.float32)
    nearest = np.array(LEVELS, np.float32)[np.abs(given[..., None] - LEVELS).argmin(-1)]
    expected = naive(features, 1.0, given=nearest[0])[1]
    np.testing.assert_allclose(sampler.score(features, nearest)[0], expected, atol=1e-3)
    np.testing.assert_allclose(sampler.score(features, given)[0, :, 0], expected[:, 0], atol=0.5)
    samples = sampler.sample(features, 2, seed=3)
    for chroma, nats in zip(samples.chroma, samples.nats, strict=True):
        assert sampler.score(features, chroma[None]).sum() == pytest.approx(nats, abs=1e-3)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_sample_depends_on_neither_their_number_nor_the_threads(sampler, features, threads):
    many = sampler.sample(features, 4, seed=5)
    again = Sampler(sampler.card, threads).sample(features, 3, seed=5)
    np.testing.assert_array_equal(again.chroma, many.chroma[:3])
    np.testing.assert_array_equal(again.nats, many.nats[:3])
    other = sampler.sample(features, 1, seed=6)
    assert not np.array_equal(other.chroma[0], many.chroma[0])


def test_the_second_stage_takes_sample_and_luminance(sampler, features):
    chroma = sampler.sample(features, 1).chroma
    gray = np.zeros((8 * HEIGHT, 8 * WIDTH), np.float32)
    refined = sampler.refine(gray, chroma)
    assert refined.shape == (1, 2, 4 * HEIGHT, 4 * WIDTH)
    np.testing.assert_allclose(refined[..., ::4, ::4], chroma / 2)
    plain = Sampler(find_model("tint_sampler.plain"))
    np.testing.assert_array_equal(plain.refine(gray, chroma), chroma)


def test_the_main_graph_sees_the_luminance(sampler):
    gray = np.random.default_rng(2).random((32, 48), dtype=np.float32)
    cells = gray.reshape(4, 8, 6, 8).mean((1, 3))
    np.testing.assert_allclose(sampler.features(gray)[0, 0], cells, atol=1e-6)


def test_a_second_stage_that_is_missing_is_found_before_the_work(tmp_path):
    card = sampler_model(tmp_path)
    card.file("refine").unlink()
    with pytest.raises(CorruptModelError, match=r"refine\.onnx is missing"):
        Sampler(card)


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("_ROW", {"n,6,1,w": "n,k,1,w"}, "no fixed number of noise variables"),
        ("_ROW", {"guess": "start"}, "takes .* where a model takes guess"),
        ("_CACHE", {"next_seen": "rest"}, "gives no seen"),
        ("_ABOVE", {"int64 row": "int64 line", "(row)": "(line)"}, "takes"),
        # What a guess says is never what comes back.
        (
            "_ROW",
            {"values =": "own =", "away_cr =": "values = Sub (slope, guess)\n away_cr ="},
            "depend on later",
        ),
    ],
)
def test_graphs_that_break_the_protocol_are_refused(
    tmp_path, monkeypatch, features, part, changes, said
):
    graph = getattr(tiny_models, part)
    for before, after in changes.items():
        graph = graph.replace(before, after)
    monkeypatch.setattr(tiny_models, part, graph)
    with pytest.raises(CorruptModelError, match=said):
        Sampler(sampler_model(tmp_path)).sample(features, 1, seed=1)
