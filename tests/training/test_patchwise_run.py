"""Patch-wise colorization on the common road: trained by SGD, resumed, exported, run."""

import json
import signal

import numpy as np
import pytest
import torch

from tintype.errors import SettingError
from tintype.photo import Photo
from tintype.runtime.engine import Colorizer
from tintype.training.checkpoint import load_checkpoint
from tintype.training.export import export
from tintype.training.loop import train

STEPS = {"preset": "test", "steps": 40, "held_back": 4}


@pytest.fixture(scope="module")
def run(shard, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    train("patchwise", [shard], path, **STEPS)
    return path


def test_the_log_says_which_loss_has_its_turn(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = {line["step"]: line for line in lines if line["kind"] == "step"}
    # Every 7 iterations the other one: the 1st is of A, the 20th of the third turn, A again, and
    # the 40th of the sixth, B.
    assert {step: line["phase"] for step, line in steps.items()} == {1: 0, 20: 0, 40: 1}
    for line in steps.values():
        assert line["loss"] == line["log" if line["phase"] else "mse"]
    test = next(line for line in lines if line["kind"] == "test")
    assert "phase" not in test
    assert test["mse"] < steps[1]["mse"]


def test_an_interrupted_run_goes_on_to_the_same_weights(run, shard, tmp_path):
    def stop(line):
        if json.loads(line)["kind"] == "step":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train("patchwise", [shard], tmp_path, on_line=stop, **STEPS)
    assert load_checkpoint(tmp_path)[0]["step"] == 1
    train("patchwise", [shard], tmp_path, steps=40, resume=True)
    expected = load_checkpoint(run)[1]["ema"]
    for name, value in load_checkpoint(tmp_path)[1]["ema"].items():
        assert torch.equal(value, expected[name]), name


def test_a_resumed_run_keeps_its_network(run):
    with pytest.raises(SettingError, match="stays as the run began"):
        train("patchwise", [], run, steps=40, resume=True, changes={"period": 3})


def test_the_exported_model_colours_a_photograph(run, tmp_path):
    card = export([run], "patchwise.tiny", tmp_path)
    assert (card.space, card.output, card.decoding) == ("yuv", "chroma", None)
    assert (card.patches.side, card.patches.frame, card.patches.fringe) == (64, 4, 7)
    gray = np.random.default_rng(0).integers(0, 255, (70, 90), dtype=np.uint8)
    rgb = Colorizer(card.weights, threads=1).colorize(Photo.from_array(gray)).rgb()
    assert rgb.shape == (70, 90, 3)
    assert np.ptp(rgb.astype(int), axis=-1).max() > 0
