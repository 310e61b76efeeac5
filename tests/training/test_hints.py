"""A run whose network learns to see in gray what a classifier sees in colour."""

import pytest
import torch

from tintype.errors import CheckpointError
from tintype.systems import build
from tintype.training.checkpoint import load_checkpoint
from tintype.training.export import averaged_system, export, start_from_exported
from tintype.training.loop import train

RUN = {"preset": "test", "held_back": 4, "changes": {"batch": 4, "hint": 1.0}}


@pytest.fixture(scope="module")
def run(shard, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "hinted"
    train("tint", [shard], path, teacher=teacher, steps=6, **RUN)
    return path


def test_hints_need_their_teacher_at_the_start_and_when_the_run_goes_on(
    run, shard, teacher, tmp_path
):
    with pytest.raises(CheckpointError, match="--teacher"):
        train("tint", [shard], tmp_path, steps=2, **RUN)
    with pytest.raises(CheckpointError, match="--teacher"):
        train("tint", [shard], run, steps=8, resume=True)
    train("tint", [shard], run, steps=8, resume=True, teacher=teacher)
    facts, _ = load_checkpoint(run)
    assert facts["step"] == 8
    assert "MobileNetV2" in facts["teacher"]
    assert "hint" in facts["test"]


def test_a_teacher_nothing_learns_from_is_refused(shard, teacher, tmp_path):
    with pytest.raises(CheckpointError, match="leave --teacher out"):
        train("tint", [shard], tmp_path, teacher=teacher, preset="test", steps=1)


def test_a_run_with_hints_is_a_start_for_one_without_and_the_other_way_round(
    run, shard, teacher, tmp_path
):
    options = {"preset": "test", "held_back": 4, "steps": 1}
    train("tint", [shard], tmp_path / "a", init=run, changes={"batch": 4}, **options)
    changes = {"batch": 4, "hint": 1.0}
    train(
        "tint",
        [shard],
        tmp_path / "b",
        init=tmp_path / "a",
        teacher=teacher,
        changes=changes,
        **options,
    )
    assert load_checkpoint(tmp_path / "b")[0]["start"].startswith("a after 1 steps (hinted after")


def test_the_exported_network_holds_nothing_of_the_hint(run, tmp_path):
    import onnx

    card = export([run], "tint.tiny", tmp_path)
    names = {tensor.name for tensor in onnx.load(card.weights).graph.initializer}
    assert not any(name.startswith("hint") for name in names)
    hinted, _ = averaged_system(run)
    gray = torch.rand(1, 1, 64, 64)
    for changes in ({}, {"hint": 1.0}):  # it is a start for a run with hints and for one without
        again, _ = build("tint", "test", changes)
        assert "tint.tiny" in start_from_exported(again, card.weights)
        with torch.no_grad():
            expected = hinted(gray)
            assert (again.eval()(gray) - expected).abs().max() < 0.1 * expected.std()
