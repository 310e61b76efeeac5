"""A system with a critic on the common road: stages, kills, processes, labels, export."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import finish, trained_by_two
from safetensors.torch import load_file
from scenes import encoded, scene, write_shard
from tintype.training.export import averaged_system, export, start_from_exported
from tintype.training.loop import train

from tintype.errors import CheckpointError
from tintype.photo import Photo
from tintype.runtime.engine import Colorizer
from tintype.systems import build
from tintype.systems.adversarial import Adversarial
from tintype.systems.mobilenet import Classifier
from tintype.training import teacher as labels
from tintype.training.checkpoint import FILE, load_checkpoint
from tintype.training.data import load_photos

STEPS = {"preset": "test", "steps": 40, "held_back": 4, "changes": {"classes": 1000}}


@pytest.fixture(scope="module")
def run(shard, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    train("adversarial", [shard], path, teacher=teacher, **STEPS)
    return path


@pytest.fixture(scope="module")
def card(run, tmp_path_factory):
    return export([run], "adversarial.tiny", tmp_path_factory.mktemp("models"))


def lines(run, kind):
    records = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return {record["step"]: record for record in records if record["kind"] == kind}


def assert_same(run, expected):
    ours, theirs = (load_checkpoint(path)[1] for path in (run, expected))
    assert set(ours) == {"model", "ema", "optimiser", "critic"}
    for part, tensors in theirs.items():
        assert set(ours[part]) == set(tensors)
        for name, value in tensors.items():
            assert torch.equal(ours[part][name], value), (part, name)


def test_the_log_shows_each_stage_with_its_terms(run):
    steps = lines(run, "step")
    assert {"co", "cl", "ce"} <= set(steps[1])
    assert not {"g", "critic"} & set(steps[1])
    # 0.3 of 40 steps: the critic has begun by the 20th; from 0.5 on the generator feels it.
    assert {"critic", "penalty", "chroma"} <= set(steps[20])
    assert "g" not in steps[20]
    assert {"g", "cl", "critic"} <= set(steps[40])
    assert not any("label" in note["text"] for note in lines(run, "note").values())
    assert {"rmse", "chroma"} <= set(lines(run, "test")[40])


def test_an_interrupted_run_goes_on_to_the_same_weights_on_both_sides(
    run, shard, teacher, tmp_path
):
    for stop_at in (20, 40):  # once in the critic's stage, and never

        def stop(line, stop_at=stop_at):
            record = json.loads(line)
            if record["kind"] == "step" and record["step"] == stop_at < 40:
                signal.raise_signal(signal.SIGINT)

        begun = (tmp_path / FILE).exists()
        if begun:
            train("adversarial", [shard], tmp_path, steps=40, resume=True)  # labels are kept
        else:
            with pytest.raises(KeyboardInterrupt):
                train("adversarial", [shard], tmp_path, teacher=teacher, on_line=stop, **STEPS)
            assert load_checkpoint(tmp_path)[0]["step"] == 20
    assert_same(tmp_path, run)


@pytest.mark.slow
def test_a_run_killed_in_the_game_resumes_to_the_weights_of_an_uninterrupted_one(shard, tmp_path):
    command = [sys.executable, "-m", "tintype.training", "adversarial", "--data", shard]
    command += ["--preset", "test", "--steps", 40, "--report-minutes", 0.0001]

    def begin(path, *more):
        with open(f"{path}.stderr", "w") as stderr:
            return subprocess.Popen([*map(str, command), "--out", path, *more], stderr=stderr)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(begin(whole), whole)
    process = begin(killed)
    while process.poll() is None:
        if (killed / "log.jsonl").exists() and '"critic"' in (killed / "log.jsonl").read_text():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 12 <= load_checkpoint(killed)[0]["step"] < 40
    finish(begin(killed, "--resume"), killed)
    assert_same(killed, whole)


@pytest.mark.slow
def test_two_processes_keep_one_network_and_one_critic(shard, tmp_path):
    changes = {"critic_from": 0.0, "felt_from": 0.5}
    first, second = trained_by_two(
        "adversarial", shard, tmp_path, preset="test", steps=6, changes=changes
    )
    torch.manual_seed(0)
    start = dict(build("adversarial", "test")[0].named_parameters())
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        if name.startswith("critic.layers.0"):
            assert not torch.equal(value, start[name])


def test_without_a_teacher_the_label_loss_is_off_and_that_is_said(shard, tmp_path):
    train("adversarial", [shard], tmp_path, preset="test", steps=2)
    assert "--teacher" in lines(tmp_path, "note")[1]["text"]
    assert "teacher" not in load_checkpoint(tmp_path)[0]


def test_a_collapsed_generator_is_said_once(shard, tmp_path, monkeypatch):
    monkeypatch.setattr("tintype.systems.adversarial._FAINT", 1e9)
    changes = {"label": 0.0}
    train("adversarial", [shard], tmp_path, preset="test", steps=60, changes=changes)
    notes = [line for line in (tmp_path / "log.jsonl").read_text().splitlines() if "note" in line]
    assert len([line for line in notes if "collapsed" in line]) == 1


def test_a_critic_that_diverges_stops_the_run(shard, tmp_path, monkeypatch):
    loss = Adversarial.critic_loss

    def broken(self, batch):
        return {name: value * torch.nan for name, value in loss(self, batch).items()}

    monkeypatch.setattr(Adversarial, "critic_loss", broken)
    with pytest.raises(CheckpointError, match=r"critic.*diverged"):
        train("adversarial", [shard], tmp_path, preset="test", steps=10)


# --- labels


def test_labels_are_the_classifiers_of_the_true_colours(shard, teacher):
    store = load_photos([shard], short_side=72)
    found = labels.soft_labels(store, teacher, half=False, batch=5)
    assert found.shape == (24, 1000)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float().sum(1), torch.ones(24), atol=2e-2, rtol=0)
    middle = torch.full((1,), 0.5)
    rgb = store.crops(torch.tensor([7]), middle, middle, 72).float() / 255
    large = torch.nn.functional.interpolate(rgb, size=(224, 224), mode="bilinear")
    with torch.no_grad():
        expected = Classifier.read(teacher)(large)[0]
    torch.testing.assert_close(found[7].float(), expected, atol=1e-3, rtol=1e-2)


def test_labels_of_a_run_serve_another_on_the_same_photographs_only(run, shard, tmp_path):
    kept = run / labels.FILE
    store, _ = load_photos([shard], short_side=72).split(4)
    assert torch.equal(labels.soft_labels(store, kept, half=False), load_file(kept)["labels"])
    files = [("a/b/c.png", encoded(scene(k))) for k in range(30, 54)]
    other = write_shard(tmp_path / "other.tar", files)
    with pytest.raises(CheckpointError, match="other photographs"):
        train("adversarial", [other], tmp_path / "run", teacher=kept, **STEPS)


def test_a_file_that_is_no_teacher_is_refused(shard, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="--teacher"):
        train("adversarial", [shard], tmp_path / "run", teacher=tmp_path / "x.safetensors", **STEPS)


# --- onwards


def test_another_runs_folder_is_a_start_with_head_and_critic(run, shard, tmp_path):
    train(
        "adversarial", [shard], tmp_path, init=run, preset="test", steps=1, changes=STEPS["changes"]
    )
    facts, parts = load_checkpoint(tmp_path)
    assert facts["start"] == "whole after 40 steps (from nothing)"
    before = load_checkpoint(run)[1]["ema"]
    moved = parts["model"]["head.classes.weight"] - before["head.classes.weight"]
    assert float(moved.abs().max()) < 1e-2
    with pytest.raises(CheckpointError, match="same preset"):
        train("tint", [shard], tmp_path / "other", init=run, preset="test", steps=1)


def test_the_exported_generator_gives_ab_and_holds_neither_head_nor_critic(run, card):
    import onnx

    assert (card.space, card.output, card.decoding) == ("lab", "chroma", None)
    assert "MobileNetV2" in card.training["teacher"]
    names = {tensor.name for tensor in onnx.load(card.weights).graph.initializer}
    assert not any(name.startswith(("head", "critic")) for name in names)
    gray = np.random.default_rng(0).integers(0, 255, (70, 90), dtype=np.uint8)
    colorizer = Colorizer(card.weights, threads=1)
    assert colorizer.chroma(gray).shape[-1] == 2
    rgb = colorizer.colorize(Photo.from_array(gray)).rgb()
    assert rgb.shape == (70, 90, 3)
    assert np.ptp(rgb.astype(int), axis=-1).max() > 0
    with pytest.raises(ValueError, match="no vividness"):
        colorizer.colorize(Photo.from_array(gray), vividness=0.5)


def test_an_exported_generator_can_be_trained_further(run, card):
    system, _ = averaged_system(run)
    again, _ = build("adversarial", "test", STEPS["changes"])
    assert "adversarial.tiny after 40 steps" in start_from_exported(again, card.weights)
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        expected = system(gray)
        assert (again.eval()(gray) - expected).abs().max() < 0.1 * expected.std()


def test_the_shipped_tint_is_a_start(tmp_path):
    weights = Path(__file__).parents[2] / "src" / "tintype" / "weights" / "tint.small.onnx"
    small, _ = build("adversarial", "small")
    assert start_from_exported(small, weights) == "generator from tint (tint.small)"


def test_cic_is_exported_as_a_distribution_that_the_engine_decodes(shard, tmp_path):
    train("cic", [shard], tmp_path / "run", preset="test", steps=3, held_back=4)
    card = export([tmp_path / "run"], "cic.tiny", tmp_path / "models")
    assert (card.output, card.decoding.temperature, card.decoding.vividness) == ("bins", 0.38, 1.0)
    gray = np.random.default_rng(0).integers(0, 255, (70, 90), dtype=np.uint8)
    assert Colorizer(card.weights, threads=1).colorize(Photo.from_array(gray)).rgb().shape[2] == 3
