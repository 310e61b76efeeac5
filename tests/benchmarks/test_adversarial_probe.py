"""The real/fake probe of benchmarks/adversarial.py finds what is there, and nothing else."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "adversarial.py"


@pytest.fixture(scope="module")
def probe():
    spec = importlib.util.spec_from_file_location("adversarial_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def pictures(seed, count=80):
    return torch.randn(count, 3, 40, 40, generator=torch.Generator().manual_seed(seed)) * 0.2


@pytest.mark.slow
def test_what_is_the_same_cannot_be_told_apart(probe):
    true = pictures(0)
    scores = [s.numpy() for s in probe.probe_scores(true, true.clone(), steps=20, batch=8)]
    assert len(scores[0]) == 40
    assert probe.accuracy(*scores) == 0.5
    assert probe.area(*scores) == pytest.approx(0.5)


@pytest.mark.slow
def test_what_differs_is_found_on_photographs_the_probe_never_saw(probe):
    true = pictures(0)
    coloured = true.clone()
    coloured[:, 1:] *= 0.5
    scores = [s.numpy() for s in probe.probe_scores(true, coloured, steps=60, batch=8)]
    assert probe.area(*scores) > 0.95
    low, high = probe.interval(*scores)
    assert 0.8 < low <= probe.area(*scores) <= high <= 1


def test_area_and_accuracy_of_known_scores(probe):
    true, coloured = np.float32([2, 1, -1, 3]), np.float32([-2, 1, 0.5, -3])
    assert probe.area(true, coloured) == pytest.approx((4 + 3.5 + 2 + 4 - 0) / 16)
    assert probe.accuracy(true, coloured) == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_both_kinds_reach_the_probe_at_a_quarter_and_in_its_size(probe):
    gray = np.random.default_rng(0).integers(0, 256, (200, 260), dtype=np.uint8)
    ab = np.full((200, 260, 2), (50, -100), np.float32)
    seen = probe.reduced(gray, ab)
    assert seen.shape == (3, 40, 40)
    np.testing.assert_allclose(seen[1:].mean((1, 2)), (0.5, -1), atol=1e-5)
    assert np.abs(seen[0]).max() <= 1
