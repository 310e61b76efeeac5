"""The loop: its log, its checkpoint, interruptions, averaged weights and learning rates."""

import json
import os
import signal
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image
from processes import start
from safetensors.torch import save_file

from tintype.errors import CheckpointError
from tintype.models import build
from tintype.models.base import TrainConfig
from tintype.models.tint import Tint
from tintype.training.augment import Batches
from tintype.training.checkpoint import FILE, load_checkpoint, save_checkpoint
from tintype.training.data import load_photos
from tintype.training.run import Run
from tintype.training.train import _ema_update, lr_factor, train, update_bn

RUN = {"preset": "test", "val_size": 4, "changes": {"batch": 2}}


def tint(shard, out, on_line=None, **options):
    return train(Run("tint", [shard], out, **{**RUN, **options}), on_line)


def logged(run, kind):
    records = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [record for record in records if record["kind"] == kind]


def assert_same(run, expected):
    """The same network, average and state of the optimizer, bit by bit."""
    ours, theirs = (load_checkpoint(path)[1] for path in (run, expected))
    assert set(ours) == set(theirs) == {"model", "ema", "optimizer"}
    for part, tensors in theirs.items():
        assert set(ours[part]) == set(tensors)
        for name, value in tensors.items():
            assert torch.equal(ours[part][name], value), (part, name)


def interrupt(line):
    """What Ctrl-C does, at the first step."""
    if json.loads(line)["kind"] == "train":
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def whole(shard, tmp_path_factory):
    """A run of six steps."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    tint(shard, path, steps=6)
    return path


def test_a_run_leaves_checkpoint_log_and_contact_sheet(shard, tmp_path):
    lines = []
    model = tint(shard, tmp_path, lines.append, steps=25, changes={})
    assert (tmp_path / "log.jsonl").read_text().splitlines() == lines
    steps, (held,) = logged(tmp_path, "train"), logged(tmp_path, "validation")
    assert [line["step"] for line in steps] == [1, 2, 5, 10, 20]
    assert {"loss", "ce", "kl", "rate", "norm", "speed", "elapsed"} <= set(steps[0])
    assert held["step"] == 25
    assert held["kl"] < steps[0]["kl"]
    with Image.open(tmp_path / "contact.png") as sheet:
        assert sheet.size == (4 * 64, 3 * 64)  # four photographs; gray, predicted, true
    facts, parts = load_checkpoint(tmp_path)
    assert (facts["step"], facts["photographs"], facts["data"]["photographs"]) == (25, 200, 12)
    assert facts["validation"]["kl"] == pytest.approx(held["kl"], rel=1e-3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, parts["ema"][name])
    assert not model.training


# --- interruptions


def test_a_killed_run_resumes_to_the_weights_of_a_whole_one(whole, shard, tmp_path):
    options = ["--preset", "test", "--val-size", 4, "--batch", 2, "--steps", 6]
    options += ["--out", tmp_path, "--eval-minutes", 1e-6]  # saved after every step
    process = start("tint", "--data", shard, *options)
    while not (tmp_path / FILE).exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, said
    assert 0 < load_checkpoint(tmp_path)[0]["step"] < 6
    tint(shard, tmp_path, steps=6, resume=True, changes={})
    assert_same(tmp_path, whole)
    steps = [line["step"] for line in logged(tmp_path, "validation")]
    assert steps == sorted(set(steps))  # what was done twice is logged once


def test_an_interrupted_run_goes_on_to_the_weights_and_decoding_of_a_whole_one(
    whole, shard, tmp_path
):
    with pytest.raises(KeyboardInterrupt):
        tint(shard, tmp_path, interrupt, steps=6)
    assert load_checkpoint(tmp_path)[0]["step"] == 1
    model = tint(shard, tmp_path, steps=6, resume=True, changes={})
    assert_same(tmp_path, whole)
    assert not torch.equal(model.corrected_weights, model.weights)  # it was calibrated


def test_sigterm_saves_where_it_stands(shard, tmp_path):
    asked = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        terminate = lambda _: signal.raise_signal(signal.SIGTERM)  # noqa: E731
        tint(shard, tmp_path, terminate, minutes=10)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == [signal.SIGTERM]  # and then does what it would have done
    assert load_checkpoint(tmp_path)[0]["step"] == 1


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_run_under_nohup_outlives_its_terminal(shard, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        tint(shard, tmp_path, lambda _: signal.raise_signal(signal.SIGHUP), steps=2)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert load_checkpoint(tmp_path)[0]["step"] == 2


def test_the_callers_signal_handlers_come_back(shard, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    tint(shard, tmp_path, steps=1)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_is_saved_before_anybody_is_told_of_it(shard, tmp_path):
    def gone(line):
        if json.loads(line)["kind"] == "validation":
            raise OSError("the terminal is closed")

    with pytest.raises(OSError, match="closed"):
        tint(shard, tmp_path, gone, steps=1)
    assert load_checkpoint(tmp_path)[0]["step"] == 1


def test_a_validation_that_is_due_at_the_end_does_not_stand_for_the_last(shard, tmp_path):
    model = tint(shard, tmp_path, steps=1, eval_minutes=1e-6)
    assert not torch.equal(model.corrected_weights, model.weights)


def test_photographs_are_validated_at_the_largest_side_that_is_trained_on(
    shard, tmp_path, monkeypatch
):
    sides = []

    def validated(self, batch):
        sides.append(batch.gray.shape[-1])
        return {"loss": batch.gray.mean()}

    monkeypatch.setattr("tintype.models.tint.Tint.validation_metrics", validated)
    tint(shard, tmp_path, steps=1, changes={"crop_sizes": (32,)})
    assert sides[-1] == 32


def test_a_run_that_holds_nothing_back_is_saved(shard, tmp_path):
    tint(shard, tmp_path, steps=1, val_size=0)
    facts, _ = load_checkpoint(tmp_path)
    assert facts["step"] == 1
    assert "validation" not in facts
    assert not (tmp_path / "contact.png").exists()


def test_a_diverged_run_keeps_its_last_checkpoint(whole, shard, tmp_path, monkeypatch):
    before = (whole / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(before)
    loss = Tint.loss

    def broken(self, batch, step=0):
        return {name: value * torch.nan for name, value in loss(self, batch, step).items()}

    monkeypatch.setattr(Tint, "loss", broken)
    with pytest.raises(CheckpointError, match="diverged"):
        tint(shard, tmp_path, steps=8, resume=True)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_gpu_without_memory_is_told_with_what_helps(shard, tmp_path, monkeypatch):
    def full(self, batches, step):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Tint, "training_step", full)
    with pytest.raises(CheckpointError, match=r"too small for batches of 2.*smaller --batch"):
        tint(shard, tmp_path, steps=1)


def test_a_log_that_a_kill_cut_short_does_not_stop_the_run(shard, tmp_path):
    tint(shard, tmp_path, steps=1)
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write('{"kind": "train", "step": 20}\n{"kind": "train", "st')
    tint(shard, tmp_path, steps=2, resume=True)
    assert [line["step"] for line in logged(tmp_path, "train")] == [1, 2]


def test_a_failed_save_leaves_the_last_checkpoint_whole(whole, shard, tmp_path, monkeypatch):
    before = (whole / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(before)

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        tint(shard, tmp_path, steps=7, resume=True)
    assert list(tmp_path.glob(f".{FILE}*")) == []
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("place", [0.3, 0.6, 0.99])
def test_a_flipped_bit_in_a_checkpoint_is_refused(whole, shard, tmp_path, place):
    content = bytearray((whole / FILE).read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        tint(shard, tmp_path, steps=8, resume=True)


@pytest.mark.parametrize("name", ["name", "config", "step", "seed", "lr_factors", "data", "start"])
@pytest.mark.parametrize("odd", [None, True])
def test_facts_that_are_missing_or_odd_are_refused(tmp_path, name, odd):
    facts = {"name": "tint", "start": "", "config": {}, "train_config": {}, "data": {}, "step": 3}
    facts |= {"commands": [], "lr_factors": [1.0], "seed": 0, "elapsed": 1.0, "limit": None}
    save_checkpoint(tmp_path, facts, {"ema": {"weight": torch.ones(2)}}, {})
    assert load_checkpoint(tmp_path)[0] == facts
    facts[name] = odd
    save_checkpoint(tmp_path, facts, {"ema": {"weight": torch.ones(2)}}, {})
    with pytest.raises(CheckpointError, match=f"holds no {name}"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_of_another_program_is_refused(tmp_path):
    for metadata in ({}, {"facts": "[]"}, {"facts": "[" * 9}, {"facts": "{}", "sha256": "0"}, None):
        save_file({"weight": torch.ones(2)}, tmp_path / FILE, metadata)
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(tmp_path)


def test_what_a_model_warns_of_is_said_once_as_long_as_it_holds(shard, tmp_path, monkeypatch):
    monkeypatch.setattr(Tint, "warnings", lambda self, values: ["pale: saturation is low"])
    lines = []
    tint(shard, tmp_path, lines.append, steps=25)
    (warning,) = logged(tmp_path, "note")
    assert (warning["step"], warning["text"]) == (1, "pale: saturation is low")
    assert json.dumps(warning) in lines


# --- averages and rates


@pytest.mark.parametrize(
    ("threads", "worked", "said"), [(4, 0.25, True), (4, 3.0, False), (1, 0.25, False)]
)
def test_threads_that_wait_are_noted_once_with_what_to_do(
    shard, tmp_path, monkeypatch, threads, worked, said
):
    """`worked` is how many threads' time the process takes of the processor."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(time, "process_time", lambda: worked * time.monotonic())
    tint(shard, tmp_path, steps=12)
    notes = [note for note in logged(tmp_path, "note") if "threads worked" in note["text"]]
    assert [note["step"] for note in notes] == [10] * said
    assert all("worked 6% of" in n["text"] and "OMP_NUM_THREADS=1" in n["text"] for n in notes)


def test_the_learning_rate_warms_up_holds_and_cools_down():
    config = TrainConfig(warmup=4, cooldown=0.5)
    assert [lr_factor(step, 0.0, config) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1, 1]
    assert lr_factor(9, 0.5, config) == 1
    assert lr_factor(9, 0.75, config) == pytest.approx(0.01 + 0.99 / 2)
    assert lr_factor(9, 1.0, config) == pytest.approx(0.01)
    constant = replace(config, warmup=0, cooldown=0.0)
    assert (lr_factor(0, 0.0, constant), lr_factor(99, 1.0, constant)) == (1, 1)
    steps = replace(constant, milestones=((10, 0.1), (20, 0.01)))
    assert [lr_factor(step, 0.9, steps) for step in (9, 10, 19, 20)] == [1, 0.1, 0.1, 0.01]


def test_a_run_shorter_than_its_warm_up_is_warm_after_a_tenth():
    config = TrainConfig(warmup=200, cooldown=0.0)
    assert [lr_factor(step, done, config) for step, done in ((0, 0), (3, 0.05), (6, 0.1))] == [
        0.005,
        0.5,
        1,
    ]
    assert lr_factor(99, 0.01, config) == 0.5  # where a tenth is longer, nothing changes


def test_the_average_follows_fast_at_first_and_slowly_later():
    def after(count, ema):
        averaged = [torch.zeros(3)]
        _ema_update(ema)(averaged, [torch.ones(3)], count)
        return float(averaged[0][0])

    assert after(0, 0.999) == pytest.approx(0.9)
    assert after(90, 0.999) == pytest.approx(0.09)
    assert after(10**6, 0.999) == pytest.approx(0.001, rel=1e-3)
    assert after(10**6, 0.0) == 1


def test_an_average_without_decay_is_the_last_network(shard, tmp_path):
    changes = {"batch": 2, "ema": 0.0}
    tint(shard, tmp_path, steps=3, changes=changes)
    _, parts = load_checkpoint(tmp_path)
    names = {name for name, _ in build("tint", "test")[0].named_parameters()}
    assert all(torch.equal(parts["ema"][name], parts["model"][name]) for name in names)


def test_averaged_weights_get_statistics_of_their_own(shard):
    torch.manual_seed(0)
    model, config = build("tint", "test", {"dropout": 0.0})
    batches = Batches(load_photos([shard], short_side=config.kept_side), config, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)  # as far from the statistics as an average is from the last step
        gray = batches(1).gray
        wanted = model.train()(gray)
        before = model.eval()(gray)
        update_bn(model, map(batches, range(4)))
        after = model.eval()(gray)
    assert float((after - wanted).abs().mean()) < 0.5 * float((before - wanted).abs().mean())


def test_where_hints_alone_are_trained_all_else_stays_after_a_break_too(whole, shard, tmp_path):
    tint(shard, tmp_path / "a", steps=1, init=whole, changes={"hints_only": True})
    last = tint(shard, tmp_path / "a", steps=3, resume=True, changes={})
    before = load_checkpoint(whole)[1]["ema"]
    changed = {
        name for name, tensor in last.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert "pyramid.hints.project.weight" in changed
    assert all(name == "weights" or name.startswith("pyramid.hints.") for name in changed)


def test_a_frozen_start_stays_and_the_rest_learns(whole, shard, tmp_path):
    first = tint(shard, tmp_path / "a", steps=1, init=whole)
    second = tint(shard, tmp_path / "a", steps=3, resume=True, changes={})
    moved = {
        name
        for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True)
        if not torch.equal(one, other)
    }
    frozen = [f"pyramid.encoder.{part}." for part in ("stem", "blocks.0", "blocks.1", "blocks.2")]
    names = {name for name, _ in first.named_parameters()}
    resting = {name for name in names if name.startswith(tuple(frozen))}
    assert load_checkpoint(tmp_path / "a")[0]["lr_factors"] == [0.0, 0.25, 1.0]
    assert moved & resting == set()
    assert {name for name in names - resting if "hints" not in name} <= moved
