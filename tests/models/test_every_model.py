"""What every model of `MODELS` keeps to; a new one joins by being there, with a preset `test`."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from exported import untrained
from PIL import Image
from safetensors.torch import load_file, save_file

from tintype.card import read_card
from tintype.export.average import averaged_model
from tintype.export.onnx import check_parity
from tintype.models import MODELS, build, model_class, preset_of, rebuild
from tintype.models.backbones import Classifier
from tintype.models.base import Batch
from tintype.runtime.colorizer import Colorizer
from tintype.training.checkpoint import load_checkpoint
from tintype.training.run import Run
from tintype.training.start import load_exported, read_parameters
from tintype.training.train import train


@pytest.fixture(params=MODELS)
def name(request: Any) -> str:
    return request.param


@pytest.fixture
def model(name: str) -> Any:
    return untrained(name)


def scenes(model: Any, count: int) -> Batch:
    """Dark scenes that are red and bright ones that are blue, with all that a loss may ask for."""
    if model.needs_teacher:
        model.set_teacher(Classifier().eval().requires_grad_(False))
    side = preset_of(model.name, "test")[1].crop
    random = torch.Generator().manual_seed(0)
    tone = 1 + 0.2 * (torch.rand(count, 1, side, side, generator=random) - 0.5)
    gray = torch.tensor([0.3, 0.7]).repeat(count)[:count].view(-1, 1, 1, 1) * tone
    colors = torch.tensor([[0.5, 0.05, 0.05], [0.15, 0.2, 0.8]])
    rgb = colors.repeat(count, 1)[:count].view(-1, 3, 1, 1) * tone
    labels = None
    if model.needs_labels:
        labels = torch.rand(count, model.config.classes, generator=random).softmax(1)
    return Batch(gray, rgb, labels)


def last_step(model: Any, count: int) -> dict[str, torch.Tensor]:
    """The loss of the last step of training, when every part of it has begun."""
    step = preset_of(model.name, "test")[1].steps - 1
    torch.manual_seed(0)
    parts = [scenes(model, count) for _ in range(model.batches_per_step(step))]
    return model.training_step(parts, step)


# --- presets


def test_a_paper_has_its_own_preset_and_every_model_small_and_test(name):
    cls = model_class(name)
    assert cls.name == name
    assert set(cls.presets) == {"small", "test"} | ({"paper"} if cls.paper else set())


def test_a_model_is_rebuilt_from_its_configuration_as_json(model):
    config = json.loads(json.dumps(dataclasses.asdict(model.config)))
    assert rebuild(model.name, config).config == model.config
    for config, _ in model.presets.values():
        kept = json.loads(json.dumps(dataclasses.asdict(config)))
        assert type(config)(**{k: tuple(v) if type(v) is list else v for k, v in kept.items()})


# --- training


def test_every_parameter_is_trained(model):
    """By the loop, which then has a gradient for it, or by an optimizer of the model's own."""
    last_step(model.train(), 8)["loss"].backward()
    looped = {id(p) for group, _ in model.parameter_groups() for p in group}
    own = {
        id(p)
        for optimizer in model.extra_optimizers().values()
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert not looped & own
    assert {n for n, p in model.named_parameters() if id(p) not in looped | own} == set()
    without = {
        n
        for n, p in model.named_parameters()
        if id(p) in looped and (p.grad is None or not p.grad.any())
    }
    assert without == set()


def test_a_step_is_the_same_every_time(name):
    gradients = []
    for _ in range(2):
        model = untrained(name).train()
        last_step(model, 2)["loss"].backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def learner(name: str) -> tuple[Any, Batch, Callable[[int], None]]:
    """A model, a batch of two colors, and what takes a step on it."""
    torch.manual_seed(0)
    model: Any = build(name, "test")[0].train()
    example = scenes(model, 4)
    model.start_training(torch.tensor([[50.0, 35.0], [25.0, -60.0]]).repeat(50, 1))
    optimizer = torch.optim.Adam([p for group, _ in model.parameter_groups() for p in group], 5e-3)

    def learn(step: int) -> None:
        model.loss(example, step)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return model, example, learn


@pytest.mark.slow
def test_one_batch_is_learnt_by_heart(name):
    model, example, learn = learner(name)
    for step in range(300):
        learn(step)
        if step % 20 == 19 and learnt(model, example.gray):
            return
    pytest.fail("dark is not red, or bright not blue")


@torch.no_grad()
def learnt(model: Any, gray: torch.Tensor) -> bool:
    dark, bright, *_ = model.eval().predict(gray).mean((2, 3)).tolist()
    model.train()
    return dark[0] > 25 and dark[1] > 0 and bright[1] < -25


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adversarial", "cic"])
def test_the_calmest_decoding_of_what_was_learnt_has_less_error_than_gray(name):
    model, example, learn = learner(name)
    errors = []
    for step in range(61):
        if step % 60 == 0:
            with torch.no_grad():
                errors.append(float(model.eval().validation_metrics(example)["calm"]))
            model.train()
        learn(0)
    assert errors[1] < 0.7 * errors[0]


def test_a_run_is_saved_and_its_weights_come_back(name, shard, tmp_path):
    trained = train(Run(name, [shard], tmp_path, "test", steps=1, val_size=4, changes={"batch": 2}))
    assert load_checkpoint(tmp_path)[0]["validation"]
    with Image.open(tmp_path / "contact.png") as sheet:  # gray, predicted, true
        assert sheet.width // 4 == sheet.height // 3
    loaded, _ = averaged_model(tmp_path)
    for key, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


# --- what it predicts


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (32, 70), (100, 33)])
def test_chroma_of_any_size_the_card_allows_is_predicted(model, size):
    multiple = model.card()["size"].get("multiple", 32)
    height, width = (multiple * -(-max(side, 16) // multiple) for side in size)
    gray = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0))
    chroma = model.predict(gray)
    assert chroma.shape[:2] == (2, 2)
    assert chroma.shape[2] * width == chroma.shape[3] * height
    assert chroma.isfinite().all()
    assert torch.equal(model.predict(gray), chroma)
    if model.card()["kind"] == "chroma":  # a sampler draws other noise for fewer
        torch.testing.assert_close(model.predict(gray[:1]), chroma[:1], atol=1e-2, rtol=1e-2)


def test_weights_kept_in_a_file_predict_the_same(model, tmp_path):
    save_file(dict(model.state_dict()), tmp_path / "weights.safetensors")
    again = rebuild(model.name, dataclasses.asdict(model.config)).eval()
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    gray = scenes(model, 1).gray
    with torch.no_grad():
        assert torch.equal(again.predict(gray), model.predict(gray))


# --- the exported files


def test_every_exported_graph_computes_what_the_network_does(name, model, exported):
    assert check_parity(model, exported(name), 0.1) > 0


def test_the_card_names_its_files_and_what_they_take(name, model, exported):
    card = exported(name)
    assert (card.system, card.paper) == (name, model.paper)
    assert read_card(card.path) == card
    graphs = model.graphs()
    assert [card.file(part).name for part in graphs] == list(card.files)
    taken = {"gray"} | ({"hints"} if card.takes_hints else set())
    session = onnxruntime.InferenceSession(card.file())
    assert {each.name for each in session.get_inputs()} == taken
    # An ONNX graph must not give what it takes under the same name.
    assert not any(set(graph.example(1)) & set(graph.outputs) for graph in graphs.values())
    if card.kind == "sampler":
        held = {"row", "guess", "noise", "temperature", *graphs[""].outputs, *card.states}
        for part in ("above", "row", "cache"):
            assert set(graphs[part].example(1)) <= held
            held |= set(graphs[part].outputs)
        kept = {output.removeprefix("next_") for output in graphs["cache"].outputs}
        assert kept == set(card.states)


def test_an_exported_model_gives_its_weights_back_and_no_others_ship(name, model, exported):
    card, fresh = exported(name), build(name, "test")[0]
    assert load_exported(fresh, card.file()) == f"{name}.tiny after 0 steps (from nothing)"
    found = dict(fresh.named_parameters())
    for key, value in model.named_parameters():
        rounded = value.half().float() if value.ndim > 1 else value
        assert not model.is_exported(key) or torch.equal(found[key], rounded), key
    shipped = {key for part in model.graphs() for key in read_parameters(card.file(part))}
    assert not [key for key, _ in model.named_parameters() if key in shipped - set(found)]
    assert not [key for key in shipped if not model.is_exported(key)]


def test_a_photograph_of_odd_size_is_colored_the_same_every_time(name, exported):
    gray = np.random.default_rng(0).integers(0, 256, (37, 61), dtype=np.uint8)
    one, again = (
        np.asarray(Colorizer(exported(name).path, threads=1).colorize(gray).to_pil())
        for _ in range(2)
    )
    assert one.shape == (37, 61, 3)
    assert np.ptp(one, axis=2).any()
    assert np.array_equal(one, again)
