"""Labels of folders and of a classifier, and runs that learn them or features."""

import dataclasses
import json
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from scenes import encoded, scene, write_shard
from torch import nn

from tintype.errors import CheckpointError
from tintype.models import MODELS
from tintype.models.backbones import Classifier
from tintype.models.base import ColorModel, TrainConfig
from tintype.training import labels
from tintype.training.checkpoint import load_checkpoint
from tintype.training.data import PhotoStore, load_photos
from tintype.training.run import Run
from tintype.training.train import train


@dataclass(frozen=True)
class SeerConfig:
    classes: int = 1


class Seer(ColorModel):
    """Tells a photograph's class from its mean gray."""

    name = "seer"
    needs_labels = True
    presets = {"test": (SeerConfig(), TrainConfig(crop=64, batch=4, steps=2))}  # noqa: RUF012

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(1, config.classes)

    def loss(self, batch, step=0):
        guess = self.head(batch.gray.mean((2, 3)))
        if batch.labels is None:
            return {"loss": guess.square().mean()}
        return {"loss": F.cross_entropy(guess, batch.labels), "labels": batch.labels.sum()}

    def predict(self, gray):
        return torch.zeros(len(gray), 2, *gray.shape[2:])


@pytest.fixture
def seer(monkeypatch):
    monkeypatch.setitem(MODELS, "seer", (__name__, "Seer"))
    monkeypatch.setattr("tintype.models.model_class", lambda name: Seer)
    monkeypatch.setattr("tintype.training.run.model_class", lambda name: Seer)
    return lambda data, out, **options: train(
        Run("seer", [data], out, **{"preset": "test", "val_size": 2, **options})
    )


def logged(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def folders(tmp_path):
    """Six photographs: two of cats, one dog, two unlabelled, one in no folder."""
    names = ["a/cat/1.png", "a/cat/2.png", "b/dog/1.png", "a/unlabelled/1.png"]
    names += ["b/unlabelled/2.png", "1.png"]
    files = [(name, encoded(scene(k))) for k, name in enumerate(names)]
    return write_shard(tmp_path / "animals.tar", files)


def test_a_class_is_a_folder_and_what_has_none_a_row_of_zeros(folders):
    store = load_photos([folders], short_side=72)
    assert labels.label_by_folder(store) == (2, 0.5)
    assert store.labels.tolist() == [[1, 0], [1, 0], [0, 1], [0, 0], [0, 0], [0, 0]]


def test_classes_too_rare_to_be_learnt_are_left_out():
    names = ["a/rare/1.png", *(f"a/cat/{k}.png" for k in range(20_000))]
    empty = torch.empty(0)
    store = PhotoStore(empty, torch.zeros(len(names)), empty, empty, {}, names)
    assert labels.label_by_folder(store)[0] == 1
    assert store.labels.sum(1).tolist() == [0] + 20_000 * [1]


def test_a_run_learns_the_labels_of_its_folders_and_says_how_many_have_one(seer, folders, tmp_path):
    model = seer(folders, tmp_path / "run", val_size=1)
    assert model.head.out_features == 2
    facts, _ = load_checkpoint(tmp_path / "run")
    assert facts["labels"] == "2 folders; 50% of the photographs have a label"
    assert facts["labels"] in logged(tmp_path / "run")[0]["text"]
    assert facts["config"] == {"classes": 2}
    assert logged(tmp_path / "run")[1]["labels"] in (2, 3)  # four of the first five


def test_a_resumed_run_keeps_the_labels_of_its_teacher(seer, shard, teacher, tmp_path):
    seer(shard, tmp_path, teacher=teacher, steps=1)
    model = seer(shard, tmp_path, steps=2, resume=True)
    assert model.head.out_features == 1000
    facts, _ = load_checkpoint(tmp_path)
    assert "soft labels of MobileNetV2" in facts["labels"]
    assert load_file(tmp_path / labels.FILE)["labels"].shape == (16, 1000)
    assert logged(tmp_path)[1]["labels"] == pytest.approx(4, abs=0.1)


def test_soft_labels_are_the_classifiers_of_the_true_colors(shard, teacher):
    store = load_photos([shard], short_side=72)
    found = labels.soft_labels(store, teacher, batch=5)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float().sum(1), torch.ones(16), atol=2e-2, rtol=0)
    middle = torch.full((1,), 0.5)
    rgb = store.crops(torch.tensor([7]), middle, middle, 72).float() / 255
    with torch.no_grad():
        expected = Classifier.load(teacher)(F.interpolate(rgb, size=(224, 224), mode="bilinear"))
    torch.testing.assert_close(found[7].float(), expected[0], atol=1e-3, rtol=5e-2)


def test_kept_labels_serve_the_same_photographs_only(shard, tmp_path):
    store = load_photos([shard], short_side=72)
    own = torch.rand(16, 5).half()
    labels.keep_labels(tmp_path, store, own)
    assert torch.equal(labels.soft_labels(store, tmp_path / labels.FILE), own)
    for other in (store.split(4)[0], dataclasses.replace(store, pixels=255 - store.pixels)):
        with pytest.raises(CheckpointError, match="other photographs"):
            labels.soft_labels(other, tmp_path / labels.FILE)


def test_a_file_that_is_no_teacher_is_refused(seer, shard, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        seer(shard, tmp_path / "run", teacher=tmp_path / "x.safetensors")


# --- distillation


TINT = {"preset": "test", "val_size": 4}
DISTILL = {"batch": 2, "distill": 1.0}


@pytest.fixture(scope="module")
def distilled(shard, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "distilled"
    train(Run("tint", [shard], path, teacher=teacher, steps=2, changes=DISTILL, **TINT))
    return path


def test_distillation_needs_its_teacher_at_the_start_and_when_the_run_goes_on(
    distilled, shard, teacher, tmp_path
):
    with pytest.raises(CheckpointError, match="--teacher"):
        train(Run("tint", [shard], tmp_path, steps=2, changes=DISTILL, **TINT))
    with pytest.raises(CheckpointError, match="--teacher"):
        train(Run("tint", [shard], distilled, steps=3, resume=True))
    train(Run("tint", [shard], distilled, steps=3, resume=True, teacher=teacher))
    facts, _ = load_checkpoint(distilled)
    assert facts["step"] == 3
    assert "MobileNetV2" in facts["teacher"]
    assert "distill" in facts["validation"]


def test_a_teacher_nothing_learns_from_is_refused(shard, teacher, tmp_path):
    with pytest.raises(CheckpointError, match="leave out --teacher"):
        train(Run("tint", [shard], tmp_path, teacher=teacher, steps=1, **TINT))


def test_a_distilled_run_is_a_start_for_a_plain_one_and_the_other_way_round(
    distilled, shard, teacher, tmp_path
):
    plain, again = tmp_path / "a", tmp_path / "b"
    changes = {"batch": 2}
    train(Run("tint", [shard], plain, init=distilled, steps=1, changes=changes, **TINT))
    more = {"init": plain, "teacher": teacher, "changes": DISTILL}
    train(Run("tint", [shard], again, steps=1, **more, **TINT))
    assert load_checkpoint(again)[0]["start"].startswith("a after 1 steps (distilled after")
