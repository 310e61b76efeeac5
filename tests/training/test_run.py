"""What a run is made of: settings, data, starts, and what is refused."""

import pytest
import torch
from safetensors.torch import save_file
from scenes import encoded, scene, write_shard

from tintype.errors import CheckpointError, DataError, SettingError, UnknownModelError
from tintype.models import build
from tintype.training.augment import Batches
from tintype.training.checkpoint import FILE, load_checkpoint
from tintype.training.parallel import Processes
from tintype.training.run import Run, load_data, prepare, read_sampling_weights, read_settings
from tintype.training.start import load_run
from tintype.training.train import train

RUN = {"preset": "test", "steps": 1, "changes": {"batch": 2}}


def tint(shard, out, **options):
    return train(Run("tint", [shard], out, **{**RUN, **options}))


@pytest.fixture(scope="module")
def run(shard, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "one"
    tint(shard, path, command="tintype train tint --steps 1")
    return path


@pytest.fixture
def resumable(run, tmp_path):
    """A run of one step, for this test alone."""
    (tmp_path / FILE).write_bytes((run / FILE).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"steps": -1}, {"minutes": -1}, {"minutes": 1, "steps": 1}]
)
def test_lengths_that_make_no_sense_are_refused(tmp_path, options):
    with pytest.raises(SettingError, match="minutes or steps"):
        Run("tint", [], tmp_path, **options)


def test_without_a_length_a_run_is_as_long_as_its_preset_says(shard, tmp_path):
    tint(shard, tmp_path, steps=None, changes={"batch": 2, "steps": 2})
    assert load_checkpoint(tmp_path)[0]["step"] == 2


@pytest.mark.parametrize(
    ("name", "changes"), [("tint", {"crop": 50}), ("tint_sampler", {"crop_sizes": [64, 48]})]
)
def test_squares_the_network_cannot_see_are_refused(name, shard, tmp_path, changes):
    with pytest.raises(SettingError, match=r"squares of (50|48) pixels .*set another crop"):
        train(Run(name, [shard], tmp_path, "test", steps=1, changes=changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": 3}, "divide attention"),
        ({"lam": 2.0}, "lam must be from 0 to 1"),
        ({"freeze_blocks": 99}, "freeze_blocks must be a number"),
    ],
)
def test_settings_that_cannot_be_are_refused(shard, tmp_path, changes, said):
    with pytest.raises(SettingError, match=said):
        tint(shard, tmp_path, changes=changes)


def test_names_and_devices_that_do_not_exist_are_refused(shard, tmp_path):
    with pytest.raises(UnknownModelError, match="did you mean 'tint'"):
        train(Run("tnt", [shard], tmp_path, steps=1))
    with pytest.raises(SettingError, match="the device 'abacus' cannot be used"):
        tint(shard, tmp_path, device="abacus")
    with pytest.raises(SettingError, match="val_size"):
        tint(shard, tmp_path, val_size=-1)
    with pytest.raises(DataError, match="a smaller --val-size"):
        tint(shard, tmp_path, val_size=16)


def test_a_folder_with_a_run_is_not_overwritten(run, shard):
    before = (run / FILE).read_bytes()
    with pytest.raises(CheckpointError, match="--resume"):
        tint(shard, run)
    assert (run / FILE).read_bytes() == before


# --- going on


def test_a_run_goes_on_as_it_began(shard, tmp_path, monkeypatch):
    stores = []

    class Watched(Batches):
        def __init__(self, store, *options):
            stores.append(store)
            super().__init__(store, *options)

    monkeypatch.setattr("tintype.training.train.Batches", Watched)
    changes = {"batch": 2, "crop_sizes": (32, 64)}
    weights = {"drawn": 9.0}
    options = {"val_size": 6, "limit": 14, "seed": 5, "sampling_weights": weights}
    tint(shard, tmp_path, changes=changes, command="first", **options)
    tint(shard, tmp_path, steps=2, resume=True, changes={"crop_sizes": [32]}, command="second")
    tint(shard, tmp_path, steps=3, resume=True, changes={})
    facts, _ = load_checkpoint(tmp_path)
    assert [store.frequency.tolist() for store in stores] == 3 * [8 * [9.0]]
    assert (facts["data"]["photographs"], facts["data"]["val_size"]) == (8, 6)
    assert (facts["data"]["sampling_weights"], facts["data"]["sources"]) == (weights, [shard.name])
    assert (facts["seed"], facts["photographs"], facts["step"]) == (5, 6, 3)
    assert facts["train_config"]["crop_sizes"] == [32]
    assert facts["commands"] == ["first", "second"]


def test_a_run_does_not_go_on_with_other_data_or_another_network(resumable, shard, tmp_path):
    few = write_shard(tmp_path / "few.tar", [("a/b.png", encoded(scene(k))) for k in range(9)])
    with pytest.raises(CheckpointError, match="same --data"):
        tint(few, resumable, steps=2, resume=True)
    with pytest.raises(SettingError, match=r"dropout cannot change in a resumed run"):
        tint(shard, resumable, steps=2, resume=True, changes={"dropout": 0.5})
    with pytest.raises(CheckpointError, match="leave out --init"):
        tint(shard, resumable, steps=2, resume=True, init=resumable)
    assert load_checkpoint(resumable)[0]["step"] == 1


def test_what_cannot_be_resumed_is_said(shard, tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        tint(shard, tmp_path, resume=True)
    (tmp_path / FILE).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="damaged"):
        tint(shard, tmp_path, resume=True)


def test_a_run_of_another_version_is_not_resumed(resumable, shard, monkeypatch):
    facts, parts = load_checkpoint(resumable)

    def other(path, **changed):
        return lambda run: ({**facts, **changed}, parts)

    for changed in ({"train_config": {"warm": 1}}, {"config": {"deep": 1}}):
        load = other(resumable, **changed)
        monkeypatch.setattr("tintype.training.run.load_checkpoint", load)
        with pytest.raises(CheckpointError, match="another version"):
            tint(shard, resumable, steps=2, resume=True, changes={})
    broken = {**parts, "ema": {}}
    monkeypatch.setattr("tintype.training.run.load_checkpoint", lambda run: (dict(facts), broken))
    with pytest.raises(CheckpointError, match="another version of tint"):
        tint(shard, resumable, steps=2, resume=True, changes={})


def test_a_run_is_resumed_under_its_own_name_with_its_own_photographs(resumable, shard, tmp_path):
    with pytest.raises(CheckpointError, match="is a run of tint, not of cic"):
        train(Run("cic", [shard], resumable, "test", steps=2, resume=True))
    run = Run("tint", [shard], resumable, "test", resume=True, sampling_weights={"drawn": 4})
    facts, config, _ = prepare(run)
    load_data(run, facts, config, Processes("cpu"))
    assert "sampling_weights" not in facts["data"]


# --- starts


def test_imagenet_weights_are_a_start_of_the_encoder_alone(shard, tmp_path):
    encoder = build("tint", "test")[0].pyramid.encoder
    weights = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    weights["stem.weight"] = weights["stem.weight"].repeat(1, 3, 1, 1)
    save_file(weights, tmp_path / "classifier.safetensors")
    tint(shard, tmp_path / "a", init=tmp_path / "classifier.safetensors")
    facts, parts = load_checkpoint(tmp_path / "a")
    assert facts["lr_factors"] == [0.0, 0.25, 1.0]
    assert facts["start"].startswith("encoder started from")
    name = "pyramid.encoder.blocks.0.project.weight"
    assert torch.equal(parts["model"][name], weights[name.removeprefix("pyramid.encoder.")])


def test_another_run_of_the_same_network_is_a_start(run, shard, tmp_path):
    tint(shard, tmp_path / "a", init=run, changes={"batch": 2, "learning_rate": 1e-9})
    facts, parts = load_checkpoint(tmp_path / "a")
    assert facts["start"] == "one after 1 steps (from nothing)"
    before = load_checkpoint(run)[1]["ema"]["classify.weight"]
    torch.testing.assert_close(parts["model"]["classify.weight"], before, atol=1e-6, rtol=0)
    for name, changes in (("cic", {}), ("tint", {"hints": False}), ("tint", {"symmetric": False})):
        with pytest.raises(CheckpointError, match="same preset"):
            train(Run(name, [shard], tmp_path / "b", "test", steps=1, init=run, changes=changes))


def test_a_label_head_for_other_classes_begins_anew(shard, tmp_path):
    changes = {"batch": 2}
    train(Run("letcolor", [shard], tmp_path / "a", "test", steps=1, changes=changes))
    model = build("letcolor", "test", {"classes": 7})[0]
    head = [p.clone() for p in model.classifier.parameters()]
    load_run(model, tmp_path / "a")
    saved = load_checkpoint(tmp_path / "a")[1]["ema"]
    found = model.state_dict()
    assert all(torch.equal(found[n], v) for n, v in saved.items() if model.is_exported(n))
    assert torch.equal(head[-1], list(model.classifier.parameters())[-1])


def test_a_start_that_is_not_there_is_named(shard, tmp_path):
    with pytest.raises(CheckpointError, match="missing does not exist"):
        tint(shard, tmp_path, init=tmp_path / "missing")


def test_what_starts_from_nothing_says_so(shard, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    init = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match="cic has no backbone that is loaded"):
        train(Run("cic", [shard], tmp_path / "a", "test", steps=1, init=init))


# --- the command line's words


def test_settings_are_read_as_json_or_as_text():
    words = ["crop=96", "decoder=[8, 8]", "hints=false", "encoder=mobilenet_v2", "note=a=b"]
    assert read_settings(words) == {
        "crop": 96,
        "decoder": (8, 8),
        "hints": False,
        "encoder": "mobilenet_v2",
        "note": "a=b",
    }
    for word in ("crop", "=96"):
        with pytest.raises(SettingError, match="NAME=VALUE"):
            read_settings([word])


def test_sampling_weights_are_read_by_folder():
    assert read_sampling_weights(["cats=4", "cats/black/=0.5"]) == {"cats": 4, "cats/black": 0.5}
    for words, said in (
        (["cats"], "FOLDER=WEIGHT"),
        (["cats=many"], "FOLDER=WEIGHT"),
        (["=4"], "FOLDER=WEIGHT"),
        (["cats=4", "cats/=2"], "two sampling weights for cats"),
    ):
        with pytest.raises(SettingError, match=said):
            read_sampling_weights(words)
