import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from processes import finish, in_two_processes, trained_by_two
from safetensors.torch import save_file
from scenes import encoded, scene, write_shard
from tintype.training.batches import Batches
from tintype.training.loop import _bfloat16_pays, _settle, train

from tintype.errors import CheckpointError, DataError, SettingError
from tintype.systems import SYSTEMS, build
from tintype.systems.tint import Tint
from tintype.training.checkpoint import FILE, load_checkpoint
from tintype.training.data import load_photos


def start(shard, run, *options):
    command = [sys.executable, "-m", "tintype.training", "tint", "--data", shard, "--out", run]
    command += ["--preset", "test", *options]
    with open(f"{run}.stderr", "w") as stderr:
        return subprocess.Popen(list(map(str, command)), stderr=stderr)


def weights(run):
    return load_checkpoint(run)[1]["ema"]


def test_run_leaves_checkpoint_log_and_contact_sheet(shard, tmp_path):
    run = tmp_path / "run"
    system = train("tint", [shard], run, preset="test", steps=25, held_back=4)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == [1, 20]
    test = [line for line in lines if line["kind"] == "test"]
    assert test[-1]["step"] == 25
    assert test[-1]["kl"] < lines[0]["kl"]
    with Image.open(run / "contact.png") as sheet:
        assert sheet.size == (4 * 64, 3 * 64)  # four photographs; gray, predicted, true
    facts, parts = load_checkpoint(run)
    assert facts["step"] == 25
    assert facts["data"]["photographs"] == 20
    for name, value in system.state_dict().items():
        assert torch.equal(value, parts["ema"][name])


@pytest.mark.slow
def test_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(shard, tmp_path):
    options = ("--steps", 40, "--report-minutes", 0.0001)
    finish(start(shard, tmp_path / "whole", *options), tmp_path / "whole")

    killed = start(shard, tmp_path / "killed", *options)
    path = tmp_path / "killed" / FILE
    while not path.exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stopped_at = load_checkpoint(tmp_path / "killed")[0]["step"]
    assert 0 < stopped_at < 40

    finish(start(shard, tmp_path / "killed", *options, "--resume"), tmp_path / "killed")
    expected = weights(tmp_path / "whole")
    for name, value in weights(tmp_path / "killed").items():
        assert torch.equal(value, expected[name]), name
    log = (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in log if '"test"' in line]
    assert steps == sorted(set(steps))  # what was done twice is logged once


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_trains_on_the_common_loop(name, shard, tmp_path):
    train(name, [shard], tmp_path, preset="test", steps=2, held_back=4)
    facts, _ = load_checkpoint(tmp_path)
    assert facts["step"] == 2
    assert facts["test"]
    with Image.open(tmp_path / "contact.png") as sheet:
        assert sheet.size == (4 * 64, 3 * 64)


def test_termination_saves_where_it_stands(shard, tmp_path):
    process = start(shard, tmp_path / "run", "--minutes", 10)
    log = tmp_path / "run" / "log.jsonl"
    while not (log.exists() and log.read_text()) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said = Path(f"{tmp_path / 'run'}.stderr")
    assert process.wait(timeout=120) == -signal.SIGTERM, said.read_text()
    assert load_checkpoint(tmp_path / "run")[0]["step"] > 0


def test_an_interrupted_run_goes_on_to_the_weights_and_decoding_of_a_whole_one(shard, tmp_path):
    options = {"preset": "test", "held_back": 4, "changes": {"batch": 4}}
    whole = train("tint", [shard], tmp_path / "whole", steps=3, **options)
    with pytest.raises(KeyboardInterrupt):
        train("tint", [shard], tmp_path / "a", steps=3, on_line=interrupt, **options)
    assert load_checkpoint(tmp_path / "a")[0]["step"] == 1
    train("tint", [shard], tmp_path / "a", steps=3, resume=True)
    for name, value in weights(tmp_path / "a").items():
        assert torch.equal(value, whole.state_dict()[name]), name
    assert not torch.equal(whole.effective, whole.weights)  # it was calibrated


def interrupt(line):
    """What Ctrl-C does, at the first step."""
    if json.loads(line)["kind"] == "step":
        signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_run_under_nohup_outlives_its_terminal(shard, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        options = {"preset": "test", "steps": 2}
        train("tint", [shard], tmp_path, on_line=lambda _: signal.raise_signal(1), **options)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert load_checkpoint(tmp_path)[0]["step"] == 2


def test_a_report_that_is_due_at_the_end_does_not_stand_for_the_last(shard, tmp_path):
    options = {"preset": "test", "held_back": 4, "report_minutes": 1e-6}
    system = train("tint", [shard], tmp_path, steps=1, **options)
    assert not torch.equal(system.effective, system.weights)


def test_a_run_that_holds_nothing_back_is_saved(shard, tmp_path):
    train("tint", [shard], tmp_path, preset="test", steps=1, held_back=0)
    facts, _ = load_checkpoint(tmp_path)
    assert facts["step"] == 1
    assert "test" not in facts


def test_a_run_is_saved_before_anybody_is_told_of_it(shard, tmp_path):
    def gone(line):
        if json.loads(line)["kind"] == "test":
            raise OSError("the terminal is closed")

    with pytest.raises(OSError, match="closed"):
        train("tint", [shard], tmp_path, preset="test", steps=1, held_back=4, on_line=gone)
    assert load_checkpoint(tmp_path)[0]["step"] == 1


@pytest.mark.slow
def test_processes_with_clocks_of_their_own_keep_one_network(shard, tmp_path):
    first, second = trained_by_two("tint", shard, tmp_path, preset="test", minutes=0.05)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.slow
def test_two_processes_learn_from_both_halves_of_a_batch(shard, tmp_path):
    options = ("tint", "--data", shard, "--out", tmp_path / "run", "--preset", "test")
    in_two_processes("-m", "tintype.training", *options, "--steps", 1)
    # After one step Adam's first moment is the averaged gradient, but for a factor.
    state = load_checkpoint(tmp_path / "run")[1]["optimiser"]
    count = sum(name.endswith("exp_avg") for name in state)
    together = direction([state[f"{k}.exp_avg"] for k in range(count)])
    halves = [half_step(shard, rank) for rank in (0, 1)]
    # Their lengths differ, so that the sum comes before the normalisation.
    both = [first + second for first, second in zip(*halves, strict=True)]
    alike = [float(together @ direction(other)) for other in (both, *halves)]
    assert alike[0] > 0.99 > max(alike[1:])


def half_step(shard, rank):
    """The gradient of one process's half of the first batch, in the optimiser's order."""
    torch.manual_seed(0)
    system, recipe = build("tint", "test")
    store, _ = load_photos([shard], short_side=recipe.kept).split(1)
    system.prepare(store.sample_ab(50 * len(store), 0))
    batch = Batches(store, recipe, 0, rank, 2)(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=_bfloat16_pays(torch.device("cpu"))):
        system.loss(batch)["loss"].backward()
    ordered = []
    for group, _ in system.parameter_groups():
        ordered += sorted(group, key=lambda p: p.ndim <= 1)  # decayed ones come first
    return [p.grad for p in ordered]


def direction(gradient):
    """Tensors as one vector of length 1."""
    return torch.nn.functional.normalize(torch.cat([g.flatten() for g in gradient]), dim=0)


@pytest.mark.slow
def test_a_run_resumes_with_the_rates_and_photographs_it_began_with(shard, tmp_path):
    weights = {
        k: v.clone() for k, v in build("tint", "test")[0].pyramid.encoder.state_dict().items()
    }
    weights["stem.weight"] = weights["stem.weight"].repeat(1, 3, 1, 1)
    save_file(weights, tmp_path / "classifier.safetensors")
    options = {"preset": "test", "held_back": 6, "limit": 20, "changes": {"batch": 4}}
    train(
        "tint",
        [shard],
        tmp_path / "a",
        steps=4,
        init=tmp_path / "classifier.safetensors",
        **options,
    )
    system = train("tint", [shard], tmp_path / "a", steps=8, resume=True)
    facts, _ = load_checkpoint(tmp_path / "a")
    assert facts["factors"] == [0.25, 1.0]
    assert "ImageNet" in facts["start"]
    assert facts["data"]["photographs"] == 14
    assert facts["data"]["held_back"] == 6
    assert facts["photographs"] == 8 * 4
    assert not system.training
    few = write_shard(tmp_path / "few.tar", [("a/b/c.png", encoded(scene(k))) for k in range(9)])
    with pytest.raises(CheckpointError, match="same --data"):
        train("tint", [few], tmp_path / "a", steps=9, resume=True)


def test_what_a_start_freezes_stays_and_the_rest_learns(shard, tmp_path):
    options = {"preset": "test", "held_back": 4, "changes": {"batch": 4, "frozen": 2}}
    first = train("tint", [shard], tmp_path / "a", steps=3, **options)
    train("tint", [shard], tmp_path / "b", steps=2, init=tmp_path / "a", **options)
    second = train("tint", [shard], tmp_path / "b", steps=4, resume=True)
    moved = {
        name
        for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True)
        if not torch.equal(one, other)
    }
    names = {name for name, _ in first.named_parameters()}
    parts = tuple(f"pyramid.encoder.{part}." for part in ("stem", "blocks.0", "blocks.1"))
    assert moved == {name for name in names if not name.startswith(parts)}


def test_a_run_draws_what_is_emphasised_and_goes_on_to_do_so(tmp_path, monkeypatch):
    files = [(f"{name}/{k}.png", encoded(scene(k))) for k in range(4) for name in ("few", "many")]
    shard = write_shard(tmp_path / "s.tar", files)
    stores = []

    class Watched(Batches):
        def __init__(self, store, *options):
            stores.append(store)
            super().__init__(store, *options)

    monkeypatch.setattr("tintype.training.loop.Batches", Watched)
    options = {"preset": "test", "held_back": 2, "changes": {"batch": 4}}
    train("tint", [shard], tmp_path / "a", steps=1, emphasis={"few": 9.0}, **options)
    train("tint", [shard], tmp_path / "a", steps=2, resume=True)
    assert [store.frequency.tolist() for store in stores] == 2 * [3 * [9.0, 1.0]]


def test_a_diverged_run_keeps_its_last_checkpoint(shard, tmp_path, monkeypatch):
    train("tint", [shard], tmp_path, preset="test", steps=2)
    before = (tmp_path / FILE).read_bytes()
    loss = Tint.loss

    def broken(self, batch, step=0):
        return {name: value * torch.nan for name, value in loss(self, batch, step).items()}

    monkeypatch.setattr(Tint, "loss", broken)
    with pytest.raises(CheckpointError, match="diverged"):
        train("tint", [shard], tmp_path, steps=4, resume=True)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_log_that_a_kill_cut_short_does_not_stop_the_run(shard, tmp_path):
    train("tint", [shard], tmp_path, preset="test", steps=1)
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write('{"kind": "step", "st')
    train("tint", [shard], tmp_path, steps=2, resume=True)
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        json.loads(line)


def test_the_callers_signal_handlers_come_back(shard, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    train("tint", [shard], tmp_path, preset="test", steps=1)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"steps": -1}, {"minutes": -1}, {"minutes": 1, "steps": 1}, {}]
)
def test_lengths_that_make_no_sense_are_refused(shard, tmp_path, options):
    with pytest.raises(ValueError, match="minutes or steps"):
        train("tint", [shard], tmp_path / "n", preset="test", **options)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("tint", {"crop": 50}), ("tint", {"sides": (64, 50)}), ("patchwise", {"sides": (8,)})],
)
def test_squares_the_network_cannot_see_are_refused(name, shard, tmp_path, changes):
    with pytest.raises(SettingError, match=r"squares of (50|8) pixels .*set another crop"):
        train(name, [shard], tmp_path / "a", preset="test", steps=1, changes=changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 0}, "batch is at least 1"),
        ({"zoom": 2.0}, "zoom is at most"),
        ({"zoom": 1.125, "crop": 100}, "zoom is at most 1.12:"),
        ({"ema": 1.0}, "ema is from 0"),
        ({"learning_rate": -1.0}, "learning_rate is above 0"),
        ({"heads": 3}, "divides attention"),
    ],
)
def test_settings_out_of_range_are_refused(shard, tmp_path, changes, said):
    with pytest.raises(SettingError, match=said):
        train("tint", [shard], tmp_path / "a", preset="test", steps=1, changes=changes)


def test_a_device_that_is_not_there_is_said(shard, tmp_path):
    with pytest.raises(SettingError, match="no training on the device 'abacus'"):
        train("tint", [shard], tmp_path / "a", preset="test", steps=1, device="abacus")


def test_a_run_goes_on_at_the_sides_it_began_with(shard, tmp_path):
    changes = {"batch": 2, "sides": (32, 64)}
    train("tint", [shard], tmp_path / "a", preset="test", steps=1, changes=changes)
    train("tint", [shard], tmp_path / "a", steps=2, resume=True, changes={"sides": [32]})
    assert load_checkpoint(tmp_path / "a")[0]["recipe"]["sides"] == [32]
    train("tint", [shard], tmp_path / "a", steps=3, resume=True)
    assert load_checkpoint(tmp_path / "a")[0]["recipe"]["sides"] == [32]


def test_a_folder_with_a_run_is_not_overwritten(shard, tmp_path):
    train("tint", [shard], tmp_path, preset="test", steps=1)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(CheckpointError, match="--resume"):
        train("tint", [shard], tmp_path, preset="test", steps=1)
    assert (tmp_path / FILE).read_bytes() == before


def test_what_cannot_be_resumed_or_trained_is_said(shard, tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train("tint", [shard], tmp_path / "new", steps=1, resume=True)
    (tmp_path / FILE).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="damaged"):
        train("tint", [shard], tmp_path, steps=1, resume=True)
    with pytest.raises(DataError, match="hold back fewer"):
        train("tint", [shard], tmp_path / "n", preset="test", steps=1, held_back=24)


def test_a_failed_save_leaves_the_last_checkpoint_whole(shard, tmp_path, monkeypatch):
    train("tint", [shard], tmp_path, preset="test", steps=1)
    before = (tmp_path / FILE).read_bytes()

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        train("tint", [shard], tmp_path, preset="test", steps=2, resume=True)
    assert (tmp_path / FILE).read_bytes() == before
    assert [p.name for p in tmp_path.glob(".checkpoint*")] == []


def test_averaged_weights_get_statistics_of_their_own(shard):
    torch.manual_seed(0)
    system, recipe = build("tint", "test")
    batches = Batches(load_photos([shard], short_side=recipe.kept), recipe, seed=0)
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.mul_(1.1)  # as far from the statistics as an average is from the last step
    gray = batches(1).gray
    with torch.no_grad():
        wanted = system.train()(gray)
        before = system.eval()(gray)
        _settle(system, batches, step=4, count=4)
        assert not system.training
        after = system(gray)
    assert float((after - wanted).abs().mean()) < 0.5 * float((before - wanted).abs().mean())
    assert all(m.momentum == 0.1 for m in system.modules() if isinstance(m, torch.nn.BatchNorm2d))
