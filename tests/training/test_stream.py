"""Photographs that no memory holds: streamed, in an order that the seed and the step decide."""

import json
import signal
import time

import pytest
import torch
from processes import in_two_processes, start
from scenes import encoded, scene, write_shard

from tintype.errors import CheckpointError, DataError, SettingError
from tintype.models.base import TrainConfig
from tintype.training import room, stream
from tintype.training.augment import Batches
from tintype.training.checkpoint import FILE, load_checkpoint
from tintype.training.data import load_photos
from tintype.training.run import Run
from tintype.training.stream import open_stream
from tintype.training.train import train

# The machine's warning that DataLoader forks a process that has threads, as it always does.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
CONFIG = TrainConfig(crop=64, batch=4, short_side=72)
LEAST = {"short_side": 72, "min_color": 2.0, "min_chroma": 0.0}
RUN = {"preset": "test", "val_size": 4, "memory": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Four shards of four scenes each, one of them gzipped, in two folders of each."""
    folder = tmp_path_factory.mktemp("shards")
    names = ["0.tar", "1.tar", "2.tar.gz", "3.tar"]
    return [
        write_shard(
            folder / name,
            [(f"drawn/{k % 2}/{4 * n + k}.png", encoded(scene(4 * n + k))) for k in range(4)],
        )
        for n, name in enumerate(names)
    ]


def opened(paths, folder, limit=None, sampling_weights=(), **least):
    weights = dict(sampling_weights)
    return open_stream(paths, folder, limit=limit, sampling_weights=weights, **{**LEAST, **least})


def photographs(batches, steps):
    return torch.cat([batches._photographs(step)[batches.mine] for step in steps]).tolist()


def test_streamed_batches_are_those_of_the_same_photographs_in_memory(shards, tmp_path):
    held, streamed = load_photos(shards, short_side=72), opened(shards, tmp_path)
    held.labels = torch.eye(16).half()
    streamed.classes, streamed.folder = torch.arange(16), torch.arange(16)  # a class for each
    ours = Batches(streamed, CONFIG, seed=3)
    theirs = Batches(held, CONFIG, seed=3)
    theirs._photographs = ours._photographs
    for step, batch in zip((0, 5, 2), ours.follow([0, 5, 2]), strict=True):
        for ours_, theirs_ in zip(batch, theirs(step), strict=True):
            assert torch.equal(ours_, theirs_)


def test_folders_manifests_and_shards_are_streamed_alike(shards, tmp_path):
    for k in range(3):
        (tmp_path / "photos" / "cat").mkdir(parents=True, exist_ok=True)
        scene(k).save(tmp_path / "photos" / "cat" / f"{k}.png")
    write_shard(tmp_path / "s.tar", [(f"./cat/{k}.png", encoded(scene(k))) for k in range(3)])
    (tmp_path / "list.txt").write_text("s.tar\n")
    middle, index = torch.full((3,), 0.5), torch.arange(3)
    expected = load_photos([tmp_path / "photos"], short_side=72).crops(index, middle, middle, 72)
    for path in ("photos", "s.tar", "list.txt"):
        found = opened([tmp_path / path], tmp_path)
        assert found.folders == ["cat"]
        assert torch.equal(found.crops(index, middle, middle, 72), expected)


def test_each_epoch_has_every_photograph_once_in_an_order_of_its_own(shards, tmp_path):
    batches = Batches(opened(shards, tmp_path), CONFIG, seed=0)
    epochs = [photographs(batches, range(4 * k, 4 * k + 4)) for k in range(3)]
    assert [sorted(epoch) for epoch in epochs] == 3 * [list(range(16))]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = Batches(opened(shards, tmp_path), CONFIG, seed=0)
    assert photographs(again, range(8, 12)) == epochs[2]  # from its own place on
    other = Batches(opened(shards, tmp_path), CONFIG, seed=1)
    assert photographs(other, range(4)) != epochs[0]


def test_shards_come_in_random_order_and_photographs_stay_within_the_shuffle_buffer(
    shards, tmp_path, monkeypatch
):
    monkeypatch.setattr(stream, "BUFFER", 2)
    found = opened(shards, tmp_path)
    orders = [found.epoch(torch.Generator().manual_seed(k)) for k in range(9)]
    assert len({int(found.file[order[0]]) for order in orders}) > 1
    for order in orders:
        assert len(order.unique()) == 16
        assert order.tolist() != sorted(order.tolist())
        place = torch.empty(16, dtype=torch.long)
        place[order] = torch.arange(16)
        for shard in place.split(4):  # four in a row, each moved by less than two places
            assert int(shard.max() - shard.min()) < 4 + 2


def test_processes_share_each_epoch_whatever_their_number(shards, tmp_path):
    found = opened(shards, tmp_path)
    whole = photographs(Batches(found, CONFIG, seed=0), range(4))
    ranks = [photographs(Batches(found, CONFIG, 0, rank, 2), range(4)) for rank in (0, 1)]
    assert sorted(ranks[0] + ranks[1]) == list(range(16))
    assert sorted(whole) == list(range(16))
    assert not set(ranks[0]) & set(ranks[1])


def test_what_cannot_be_used_is_replaced_by_another(tmp_path):
    color = scene(0)
    files = [(f"{k}.png", encoded(scene(k))) for k in range(5)]
    files += [
        ("gray.png", encoded(color.convert("L"))),
        ("tiny.png", encoded(color.resize((9, 9)))),
    ]
    files += [("toned.png", encoded(color.convert("L").convert("RGB"))), ("broken.png", b"\x89PNG")]
    found = opened([write_shard(tmp_path / "s.tar", files)], tmp_path)
    assert len(found) == 9
    middle = torch.full((9,), 0.5)
    crops = found.crops(torch.arange(9), middle, middle, 72)
    usable = {crop.numpy().tobytes() for crop in crops[:5]}
    assert len(usable) == 5
    assert {crop.numpy().tobytes() for crop in crops[5:]} <= usable


def test_data_without_a_usable_photograph_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "_TRIES", 4)
    gray = [(f"{k}.png", encoded(scene(k).convert("L"))) for k in range(8)]
    shard = write_shard(tmp_path / "gray.tar", gray)
    with pytest.raises(DataError, match="Hardly any of the 8 images"):
        next(Batches(opened([shard], tmp_path), CONFIG, 0).follow([0]))  # told by a worker
    with pytest.raises(DataError, match="No image in"):
        opened([write_shard(tmp_path / "none.tar", [])], tmp_path)
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(DataError, match=r"cut.tar.gz cannot be unpacked .* make room"):
        opened([tmp_path / "cut.tar.gz"], tmp_path)


def test_weights_of_folders_decide_how_often_streamed_photographs_come(shards, tmp_path):
    found = opened(shards, tmp_path, sampling_weights={"drawn/1": 3.0})
    random = torch.Generator().manual_seed(0)
    drawn = torch.cat([found.epoch(random) for _ in range(100)])
    assert float(found.folder[drawn].double().mean()) == pytest.approx(3 / 4, abs=0.06)
    with pytest.raises(DataError, match="No photograph lies in cats"):
        opened(shards, tmp_path, sampling_weights={"cats": 2.0})


def test_sampled_chroma_is_near_that_of_the_photographs_in_memory(shards, tmp_path):
    ours = opened(shards, tmp_path).sample_ab(1600, 0)
    theirs = load_photos(shards, short_side=72).sample_ab(4000, 0)
    assert ours.shape == (1600, 2)
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=4, rtol=0)


def test_chroma_is_sampled_from_all_of_an_epoch(shards, tmp_path, monkeypatch):
    found, seen = opened(shards, tmp_path), []
    monkeypatch.setattr(found, "epoch", lambda random: torch.arange(len(found)))
    take = found.take
    monkeypatch.setattr(found, "take", lambda index, *a: seen.append(index) or take(index, *a))
    found.sample_ab(400, 0)  # of four photographs
    assert torch.cat(seen).sort().values.tolist() != [0, 1, 2, 3]


# --- what fits


def test_files_without_content_take_no_room(tmp_path):
    (tmp_path / "empty.png").touch()
    assert room.decoded_bytes([tmp_path], 72, None) == 0


def test_decoded_photographs_are_estimated_from_some_of_them(shards, tmp_path):
    for k in range(70):
        scene(k, 80, 100).save(tmp_path / f"{k}.png")
    for paths, limit in ((shards, None), ([tmp_path], None), ([tmp_path], 5)):
        held = load_photos(paths, short_side=72, limit=limit).pixels.numel()
        assert room.decoded_bytes(paths, 72, limit) == pytest.approx(held, rel=0.1)


def test_room_is_what_is_asked_for_or_free(tmp_path, monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(room, "free_memory", lambda: 3000.0)
    assert room.room(None, None, cpu) == pytest.approx(2000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert room.room(500, None, cpu) == 250
    assert room.room(500, tmp_path / "store", cpu) > 1e6  # of the disk


def test_sizes_are_read_with_their_units():
    sizes = {"800M": 800 << 20, "12G": 12 << 30, "1.5gb": 3 << 29, "100": 100, "2T": 2 << 40}
    assert {text: room.read_size(text) for text in sizes} == sizes
    for text in ("", "G", "-1G", "0", "12X", "nan", "inf", "GB12"):
        with pytest.raises(SettingError, match="not a size of memory"):
            room.read_size(text)


# --- runs


def run(shards, out, name="tint", on_line=None, **options):
    changes = {"batch": 2} if name == "tint" else {"batch": 4}
    return train(Run(name, shards, out, **{**RUN, "changes": changes, **options}), on_line)


@pytest.mark.slow
def test_a_run_says_that_it_streams_and_one_that_fits_does_not(shards, tmp_path):
    lines = []
    run(shards, tmp_path / "a", on_line=lines.append, steps=1)
    assert "streamed: decoded, these 12 photographs do not fit" in json.loads(lines[0])["text"]
    facts, _ = load_checkpoint(tmp_path / "a")
    assert (facts["data"]["photographs"], facts["data"]["streamed"]) == (12, True)
    assert (tmp_path / "a" / "contact.png").exists()
    lines.clear()
    run(shards, tmp_path / "b", on_line=lines.append, steps=1, memory=None)
    assert not any("streamed" in line for line in lines)


@pytest.mark.slow
def test_a_killed_run_goes_on_at_the_same_photograph(shards, tmp_path):
    options = ["--preset", "test", "--val-size", 4, "--batch", 2, "--steps", 6, "--memory", "1K"]
    options += ["--out", tmp_path / "killed", "--eval-minutes", 1e-6]  # saved after every step
    process = start("tint", "--data", *shards, *options)
    while not (tmp_path / "killed" / FILE).exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1]  # the processes that decode end too, or this would wait
    assert process.returncode == -signal.SIGKILL, said
    facts, _ = load_checkpoint(tmp_path / "killed")
    assert 0 < facts["step"] < 6
    assert facts["photographs"] == 2 * facts["step"]
    # It goes on streaming even where there is room now.
    run(shards, tmp_path / "killed", steps=6, resume=True, changes={}, memory=None)
    run(shards, tmp_path / "whole", steps=6)
    (_, found), (_, expected) = (load_checkpoint(tmp_path / name) for name in ("killed", "whole"))
    for part, tensors in expected.items():
        for name, value in tensors.items():
            assert torch.equal(found[part][name], value), (part, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["letcolor", "adversarial"])
def test_models_that_learn_labels_learn_those_of_class_folders(shards, tmp_path, name):
    run(shards, tmp_path, name, steps=1)
    facts, _ = load_checkpoint(tmp_path)
    assert facts["config"]["classes"] == 2
    assert facts["labels"] == "2 folders; 100% of the photographs have a label"


def test_a_teacher_does_not_label_what_is_streamed(shards, teacher, tmp_path):
    with pytest.raises(CheckpointError, match="leave out --teacher"):
        run(shards, tmp_path, "letcolor", steps=1, teacher=teacher)


_SCRIPT = """
import json, os, pathlib, sys
from tintype.training.run import Run
from tintype.training.stream import PhotoStream
from tintype.training.train import train

out, *shards = map(pathlib.Path, sys.argv[1:])
seen, read = [], PhotoStream._read

def recorded(self, k):
    seen.append((self.offset[k].item(), self.file[k].item()))
    return read(self, k)

def ahead(self, take, steps):  # without other processes, so that it can be recorded
    for step in steps:
        seen.clear()
        made = take(step)
        with open(out / f"seen{os.environ['RANK']}", "a") as file:
            file.write(json.dumps([step, seen]) + "\\n")
        yield step, *made

PhotoStream._read, PhotoStream.ahead = recorded, ahead
train(Run("tint", shards, out / "run", "test", steps=6, val_size=4, memory=1, changes={"batch": 4}))
"""


@pytest.mark.heavy
def test_two_processes_see_each_photograph_once_an_epoch(shards, tmp_path):
    (tmp_path / "both.py").write_text(_SCRIPT)
    in_two_processes(tmp_path / "both.py", tmp_path, *shards)
    epochs = [[], []]
    for rank in (0, 1):
        lines = (tmp_path / f"seen{rank}").read_text().splitlines()
        steps = dict(map(json.loads, lines))
        assert sorted(steps) == list(range(6))
        assert all(len(photos) == 2 for photos in steps.values())
        for step, photos in steps.items():
            epochs[step // 3] += map(tuple, photos)
    for epoch in epochs:  # 12 are trained on, three batches of four
        assert len(epoch) == len(set(epoch)) == 12
    assert set(epochs[0]) == set(epochs[1])
    assert len(list((tmp_path / "run" / "unpacked").iterdir())) == 1
