"""Exported files compute what the network does, say where they come from, and are a start."""

import re
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported import untrained
from torch import nn

from tintype.card import read_card, sha256
from tintype.errors import CheckpointError, CorruptModelError, MissingExtraError
from tintype.export.average import averaged_model
from tintype.export.onnx import (
    check_parity,
    export,
    write_graph,
    write_model,
)
from tintype.models import build
from tintype.models.base import Graph
from tintype.training.checkpoint import load_checkpoint
from tintype.training.run import Run
from tintype.training.start import load_exported, read_parameters
from tintype.training.train import train

pytestmark = pytest.mark.slow  # each waits for an export


def session(card, part=""):
    return onnxruntime.InferenceSession(str(card.file(part)))


def run_graph(card, part, inputs) -> dict[str, Any]:
    """Outputs of a graph by name, given those of the tensors that it takes."""
    graph = session(card, part)
    names = [each.name for each in graph.get_outputs()]
    taken = {each.name: inputs[each.name] for each in graph.get_inputs()}
    return dict(zip(names, graph.run(None, taken), strict=True))


@pytest.fixture(scope="module")
def run(shard, tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    train(Run("cic", [shard], path, "test", steps=2, val_size=4, command="tintype train cic"))
    return path


@pytest.fixture(scope="module")
def card(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("models")
    return export([run], "cic.tiny", out, note="Drawn scenes.", licence="CC0-1.0")


# --- the card and the files


def test_a_card_tells_where_the_weights_come_from(run, card):
    assert (card.name, card.system, card.tag) == ("cic.tiny", "cic", "tiny")
    assert (card.paper, card.licence) == (
        "Zhang, Isola and Efros 2016, arXiv 1603.08511",
        "CC0-1.0",
    )
    training = card.training
    assert (training["step"], training["photographs"], training["seed"]) == (2, 16, 0)
    assert (training["start"], training["note"]) == ("from nothing", "Drawn scenes.")
    assert training["commands"] == ["tintype train cic", f"tintype export {run} --name cic.tiny"]
    assert training["validation"] == load_checkpoint(run)[0]["validation"]
    assert card.scores == {}


def test_there_is_what_the_card_lists_and_nothing_else(card):
    assert list(card.files) == ["cic.tiny.onnx", "cic.tiny.decode.onnx"]
    names = sorted(p.name for p in card.path.parent.iterdir())
    assert names == sorted([*card.files, "cic.tiny.json"])
    assert {name: sha256(card.path.with_name(name)) for name in card.files} == card.files
    assert read_card(card.path) == card


def test_weights_are_kept_in_half_precision_and_say_nothing_of_this_machine(card):
    content = card.file().read_bytes()
    kinds = {t.data_type for t in onnx.load(card.file()).graph.initializer if len(t.dims) > 1}
    assert onnx.TensorProto.FLOAT not in kinds
    assert b"/site-packages/" not in content
    assert not re.search(rb"\.py\b", content)


class Half(nn.Module):
    """Uses one of its two layers."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.used(x)


def test_what_a_graph_does_not_use_is_not_in_its_file(tmp_path):
    graph = Graph(Half(), lambda n: {"x": torch.rand(n, 3)}, {"x": {0: ("samples", 1)}}, ("y",))
    write_graph(graph, tmp_path / "x.onnx")
    assert set(read_parameters(tmp_path / "x.onnx")) == {"used.weight", "used.bias"}


# --- it computes what the network does


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (64, 160), (224, 32)])
def test_cic_is_what_was_trained(run, card, size):
    model, _ = averaged_model(run)
    load_exported(model, card.path)  # rounded to half precision
    gray = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    found = run_graph(card, "", {"gray": gray.numpy()})["bins"]
    expected = model(gray).log_softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=0.01 * expected.std())
    inputs = {"bins": found, "vividness": np.array(model.decoding.vividness, np.float32)}
    ab = model.predict(gray).numpy()
    chroma = run_graph(card, "decode", inputs)["chroma"]
    np.testing.assert_allclose(chroma, ab, atol=0.01 * ab.std())


def test_the_calibration_of_an_exported_model_is_loaded(exported):
    model: Any = build("tint", "test")[0]
    load_exported(model, exported("tint").path)
    expected: Any = untrained("tint")
    torch.testing.assert_close(model.corrected_weights, expected.corrected_weights)
    assert not torch.equal(model.corrected_weights, torch.ones(313))


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (64, 160)])
def test_tint_with_hints_is_the_network_at_any_size(exported, size):
    card, model = exported("tint"), build("tint", "test")[0].eval()
    load_exported(model, card.path)  # rounded to half precision
    random = torch.Generator().manual_seed(0)
    gray = torch.rand(1, 1, *size, generator=random)
    hints = torch.rand(1, 3, size[0] // 4, size[1] // 4, generator=random) - 0.5
    hints[:, 2] = (hints[:, 2] > 0.4).float()
    looks = model.graphs()[""].module
    plain = np.zeros(hints.shape, np.float32)
    answers = {}
    for given in (hints.numpy(), plain):
        expected = looks(gray, torch.from_numpy(given)).numpy()
        found = run_graph(card, "", {"gray": gray.numpy(), "hints": given})["bins"]
        np.testing.assert_allclose(found, expected, atol=0.01 * expected.std())
        answers[given is plain] = found
    assert np.abs(answers[True] - answers[False]).max() > answers[True].std() / 20
    np.testing.assert_allclose(found, looks(gray).numpy(), atol=0.01 * expected.std())


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_rows_of_the_exported_sampler_give_the_samples_of_the_network(exported, temperature):
    card: Any = exported("tint_sampler")
    model: Any = build("tint_sampler", "test")[0]
    load_exported(model, card.path)
    gray = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    n, height, width = 3, 8, 12
    noise = np.random.default_rng(0).gumbel(size=(n, 64, height, width)).astype(np.float32)

    features = run_graph(card, "", {"gray": gray.numpy()})["features"]
    sizes: dict[Any, Any] = {"samples": n, "width": width}
    state = {
        name: np.zeros([sizes.get(size, size) for size in shape], np.float32)
        for name, shape in card.states.items()
    }
    graphs = {part: session(card, part) for part in ("above", "row", "cache")}

    def step(part, tensors) -> dict[str, Any]:
        names = [each.name.removeprefix("next_") for each in graphs[part].get_outputs()]
        taken = {each.name: tensors[each.name] for each in graphs[part].get_inputs()}
        return dict(zip(names, graphs[part].run(None, taken), strict=True))

    values = []
    for row in range(height):
        cut = slice(row, row + 1)
        state |= step("above", {"features": features[:, :, cut], **state})
        state |= {"noise": noise[:, :, cut], "temperature": np.array(temperature, np.float32)}
        guess = values[-1] if values else np.zeros((n, 2, 1, width), np.float32)
        found: dict[str, Any] = {}
        for _ in range(2 * width + 1):
            found = step("row", {"guess": guess, **state})
            if np.array_equal(found["values"], guess):
                break
            guess = found["values"]
        assert np.array_equal(found["values"], guess)
        values.append(guess)
        state |= step("cache", {"values": guess, **state})

    gumbel = torch.from_numpy(noise).unflatten(1, (2, 32)).transpose(0, 1)
    levels = model.eval().sample(gray.expand(n, -1, -1, -1), gumbel, temperature)
    expected = model.levels[levels].flip(1).numpy()  # Cb and Cr
    assert np.array_equal(np.concatenate(values, 2), expected)


def test_a_file_that_computes_something_else_is_not_let_through(exported):
    model: Any = untrained("tint")
    with torch.no_grad():
        model.classify.bias[:100].add_(0.5)
    with pytest.raises(CheckpointError, match="differs"):
        check_parity(model, exported("tint"), 0.1)


def test_when_something_fails_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tintype.export.onnx.write_graph", lambda graph, path, half: path.write_text("x")
    )

    def differs(*args):
        raise CheckpointError("differs")

    monkeypatch.setattr("tintype.export.onnx.check_parity", differs)
    before = tmp_path / "cic.tiny.json"
    before.write_text("an older card")
    with pytest.raises(CheckpointError, match="differs"):
        write_model(build("cic", "test")[0], "cic.tiny", tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["cic.tiny.json"]
    assert before.read_text() == "an older card"


def test_a_name_that_is_not_the_runs_is_refused(run, tmp_path):
    for name in ("cic", "other.small", "cic.", "cic.a/b", "cic.json", "cic.onnx", "cic.a.b"):
        with pytest.raises(CheckpointError, match=r"cic\.TAG"):
            export([run], name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_onnx_the_extra_is_named(run, card, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="export"):
        export([run], "cic.more", tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingExtraError, match="export"):
        load_exported(build("cic", "test")[0], card.path)


# --- it is a start


def test_an_exported_tint_is_a_start_for_the_sampler(exported):
    sampler: Any = build("tint_sampler", "test")[0]
    expected: Any = untrained("tint")
    assert load_exported(sampler, exported("tint").path) == (
        "conditioning network from tint (tint.tiny)"
    )
    own = sampler.condition.pyramid.encoder.stem.weight
    assert torch.equal(own, expected.pyramid.encoder.stem.weight.half().float())


def test_an_exported_model_can_be_trained_further(card, shard, tmp_path):
    changes = {"learning_rate": 1e-9}
    train(Run("cic", [shard], tmp_path, "test", steps=1, init=card.file(), changes=changes))
    facts, parts = load_checkpoint(tmp_path)
    assert facts["start"] == "cic.tiny after 2 steps (from nothing)"
    expected = read_parameters(card.file())["classify.weight"]
    torch.testing.assert_close(parts["model"]["classify.weight"], expected, atol=1e-6, rtol=0)


def test_a_model_that_computes_something_else_with_the_same_weights_is_no_start(exported):
    load_exported(build("tint", "test")[0], exported("tint").path)
    with pytest.raises(CheckpointError, match="its outputs differ"):
        load_exported(build("tint", "test", {"symmetric": False})[0], exported("tint").path)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("cic", {"maps": 8}), ("tint", {}), ("tint_sampler", {})],
)
def test_a_model_of_another_network_is_no_start(card, name, changes):
    with pytest.raises(CheckpointError, match=r"same preset|give a tint|that tint exported"):
        load_exported(build(name, "test", changes)[0], card.path)


def test_damaged_and_missing_files_are_no_start(card, tmp_path):
    for path in card.path.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model, _ = build("cic", "test")
    weights = tmp_path / "cic.tiny.onnx"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CorruptModelError, match="get it again"):
        load_exported(model, weights)
    weights.unlink()
    with pytest.raises(CorruptModelError, match="missing"):
        load_exported(model, weights)
