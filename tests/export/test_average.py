"""The mean of runs that began alike."""

import pytest
import torch
from safetensors.torch import save_file

from tintype.errors import CheckpointError
from tintype.export.average import averaged_model
from tintype.export.onnx import export
from tintype.models import build
from tintype.training.run import Run
from tintype.training.train import train


@pytest.fixture(scope="module")
def tint(shard, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def trained(name, steps=1, seed=0, system="tint", **options):
        options |= {"preset": "test", "changes": {"batch": 2}, "val_size": 2}
        train(Run(system, [shard], folder / name, steps=steps, seed=seed, **options))
        return folder / name

    return trained


@pytest.fixture(scope="module")
def start(tint):
    return tint("start")


@pytest.fixture(scope="module")
def runs(tint, start):
    return [tint(f"{seed}", steps=2 + seed, seed=seed, init=start) for seed in range(3)]


def test_a_single_runs_weights_are_its_averaged_ones(runs):
    model, facts = averaged_model(runs[1])
    assert not model.training
    assert (facts["step"], facts["seed"]) == (3, 1)
    assert "averaged_with" not in facts
    assert "validation" in facts


def test_runs_that_began_alike_are_averaged(runs):
    model, facts = averaged_model(*runs)
    singles = [averaged_model(run)[0].state_dict() for run in runs]
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            expected = torch.stack([single[name] for single in singles]).mean(0)
            torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-5)
    assert (facts["seed"], facts["step"]) == (0, 2)
    others = facts["averaged_with"]
    assert [(other["seed"], other["step"]) for other in others] == [(1, 3), (2, 4)]
    assert all("start" not in other for other in others)  # it is the same
    assert "validation" not in facts


def test_the_card_of_a_mean_tells_of_all_runs(runs, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("tintype.export.onnx.write_model", lambda *args, say: written.append(args))
    export(runs, "tint.mean", tmp_path)
    (_, name, out, training, _) = written[0]
    assert (name, out) == ("tint.mean", tmp_path)
    assert (training["step"], len(training["averaged_with"])) == (2, 2)
    assert training["start"].startswith("start after 1 steps")


def test_runs_that_have_no_mean_are_refused(runs, start, tint):
    nothing = "had other initial weights"
    for other, said in (
        (start, nothing),
        (tint("chance", seed=1), nothing),
        (tint("cic", system="cic"), "another network"),
    ):
        with pytest.raises(CheckpointError, match=said):
            averaged_model(runs[0], other)
    with pytest.raises(CheckpointError, match=nothing):  # from nothing too, but by another seed
        averaged_model(start, start.parent / "chance")


def test_a_start_that_leaves_the_rest_to_chance_is_not_alike(tint, tmp_path):
    weights = dict(build("tint", "test")[0].pyramid.encoder.state_dict())
    weights["stem.weight"] = weights["stem.weight"].repeat(1, 3, 1, 1)
    save_file(weights, tmp_path / "classifier.safetensors")
    init = tmp_path / "classifier.safetensors"
    one, other = (tint(f"chance{seed}", seed=seed, init=init) for seed in (1, 2))
    with pytest.raises(CheckpointError, match="had other initial weights"):
        averaged_model(one, other)
