import re

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from tintype.training.export import averaged_system, check_parity, export, start_from_exported
from tintype.training.loop import train

from tintype.errors import CheckpointError, CorruptModelError
from tintype.runtime.card import find, read_card, verify
from tintype.runtime.session import Session
from tintype.systems import build


@pytest.fixture(scope="module")
def run(shard, tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    train("tint", [shard], path, preset="test", steps=3)
    return path


@pytest.fixture(scope="module")
def card(run, tmp_path_factory):
    return export([run], "tint.tiny", tmp_path_factory.mktemp("models"))


def test_exported_file_computes_what_the_network_does_at_any_size(run, card):
    system, _ = averaged_system(run)
    session = Session(card, threads=1)
    for height, width in ((32, 32), (64, 160), (224, 32)):
        gray = np.random.default_rng(0).random((height, width), dtype=np.float32)
        with torch.no_grad():
            expected = system(torch.from_numpy(gray)[None, None])[0].numpy()
        # Weights were rounded to float16 on the way.
        np.testing.assert_allclose(session.run(gray), expected, atol=0.1 * expected.std())


def test_card_tells_where_the_weights_come_from(card):
    assert (card.name, card.system, card.tag) == ("tint.tiny", "tint", "tiny")
    assert card.training["step"] == 3
    assert card.training["photographs"] == 24
    assert card.training["start"] == "from nothing"
    assert "follows from the terms of the photographs" in card.licence
    assert len(card.decoding.rebalancing) == 313
    assert card.size.other_sides == (96,)
    verify(card)
    assert find(card.weights) == card
    assert sorted(p.name for p in card.path.parent.iterdir()) == [
        "tint.tiny.json",
        "tint.tiny.onnx",
    ]


def test_weights_are_kept_in_half_precision_and_say_nothing_of_this_machine(card):
    model = onnx.load(card.weights)
    kinds = {t.data_type for t in model.graph.initializer if len(t.dims) > 1}
    assert onnx.TensorProto.FLOAT not in kinds
    assert b"/site-packages/" not in card.weights.read_bytes()
    assert not re.search(rb"\.py\b", card.weights.read_bytes())


def test_an_exported_model_can_be_trained_further(run, card, shard, tmp_path):
    system, _ = averaged_system(run)
    again, _ = build("tint", "test")
    said = start_from_exported(again, card.weights)
    assert said == "tint.tiny after 3 steps (from nothing)"
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        expected = system(gray)
        assert (again.eval()(gray) - expected).abs().max() < 0.1 * expected.std()
    train("tint", [shard], tmp_path, preset="test", steps=1, init=card.weights)
    assert averaged_system(tmp_path)[1]["start"] == said


def test_runs_that_began_alike_are_averaged(card, shard, tmp_path):
    runs = [tmp_path / name for name in ("a", "b", "c")]
    for seed, run in enumerate(runs):
        train("tint", [shard], run, preset="test", steps=2 + seed, seed=seed, init=card.weights)
    system, _ = averaged_system(*runs)
    singles = [averaged_system(run)[0].state_dict() for run in runs]
    for name, tensor in system.state_dict().items():
        if tensor.is_floating_point():
            expected = torch.stack([single[name] for single in singles]).mean(0)
            assert torch.allclose(tensor, expected, atol=1e-6)
    mean = export(runs, "tint.mean", tmp_path / "models", licence="CC0")
    assert mean.licence == "CC0"
    training = mean.training
    assert (training["seed"], training["step"]) == (0, 2)
    assert [(other["seed"], other["step"]) for other in training["averaged_with"]] == [
        (1, 3),
        (2, 4),
    ]
    assert all("start" not in other for other in training["averaged_with"])  # it is the same
    assert "test" not in training


def test_runs_that_have_no_mean_are_refused(run, card, shard, tmp_path):
    train("tint", [shard], tmp_path / "a", preset="test", steps=1, init=card.weights)
    train("cic", [shard], tmp_path / "b", preset="test", steps=1)
    train("tint", [shard], tmp_path / "c", preset="test", steps=1, seed=1)
    for other, said in (
        (tmp_path / "a", "began with other weights"),
        (tmp_path / "b", "not of the same network"),
        (tmp_path / "c", "began with other weights"),  # from nothing, as the first did
    ):
        with pytest.raises(CheckpointError, match=said):
            averaged_system(run, other)


def test_a_start_that_leaves_the_rest_to_chance_is_not_alike(shard, tmp_path):
    encoder = {
        name: tensor.clone()
        for name, tensor in build("tint", "test")[0].pyramid.encoder.state_dict().items()
    }
    encoder["stem.weight"] = encoder["stem.weight"].repeat(1, 3, 1, 1)
    save_file(encoder, tmp_path / "classifier.safetensors")
    options = {"preset": "test", "steps": 1, "init": tmp_path / "classifier.safetensors"}
    for seed in (1, 2):
        train("tint", [shard], tmp_path / str(seed), seed=seed, **options)
    with pytest.raises(CheckpointError, match="began with other weights"):
        averaged_system(tmp_path / "1", tmp_path / "2")


@pytest.mark.parametrize(("name", "preset"), [("tint", "small"), ("patchwise", "test")])
def test_a_model_of_another_network_is_no_start(card, name, preset):
    with pytest.raises(CheckpointError, match=r"same preset|a model of its own"):
        start_from_exported(build(name, preset)[0], card.weights)


def test_a_name_of_another_system_is_refused(run, tmp_path):
    for name in ("tint", "other.small", "tint.", "tint.a/b", "tint.json", "tint.onnx", "tint.a.b"):
        with pytest.raises(CheckpointError, match=r"tint\.TAG"):
            export([run], name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_computes_something_else_is_not_let_through(run, card):
    system, _ = averaged_system(run)
    with torch.no_grad():
        next(p for n, p in system.named_parameters() if n == "classify.bias").add_(0.5)
    with pytest.raises(CheckpointError, match="differs"):
        check_parity(system, card, 0.1)


def test_damaged_weights_are_found_before_they_are_run(card, tmp_path):
    for name in ("tint.tiny.json", "tint.tiny.onnx"):
        (tmp_path / name).write_bytes((card.path.parent / name).read_bytes())
    weights = tmp_path / "tint.tiny.onnx"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CorruptModelError, match=r"checksum.*Delete it"):
        Session(read_card(tmp_path / "tint.tiny.json"))
    weights.unlink()
    with pytest.raises(CorruptModelError, match="missing"):
        verify(read_card(tmp_path / "tint.tiny.json"))
