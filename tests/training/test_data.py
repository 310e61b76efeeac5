import gzip
import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from scenes import encoded, scene, write_shard

from tintype.color.spaces import rgb_to_lab, rgb_to_ycbcr
from tintype.errors import DataError
from tintype.training.data import load_photos
from tintype.training.files import color_beyond_tone, mean_chroma


def test_shard_folder_and_manifest_give_the_same_photographs(tmp_path, shard):
    folder = tmp_path / "photos" / "deep"
    folder.mkdir(parents=True)
    for k in range(16):
        scene(k).save(folder / f"{k:06}.png")
    (tmp_path / "list.txt").write_text("photos\n")
    (tmp_path / "list.json").write_text(json.dumps(["photos/deep"]))
    stores = [
        load_photos([path], short_side=72)
        for path in (shard, folder.parent, tmp_path / "list.txt", tmp_path / "list.json")
    ]
    assert [len(store) for store in stores] == [16] * 4
    for store in stores[1:]:
        assert torch.equal(store.pixels, stores[0].pixels)
    assert torch.equal(stores[0].width, torch.full((16,), 90))


def test_photographs_are_brought_to_one_shorter_side(tmp_path):
    scene(1, 100, 300).save(tmp_path / "a.png")
    scene(2, 60, 50).save(tmp_path / "b.png")
    store = load_photos([tmp_path], short_side=64)
    sizes = sorted(zip(store.height.tolist(), store.width.tolist(), strict=True))
    assert sizes == [(64, 192), (77, 64)]


def test_gray_toned_small_and_broken_files_are_left_out_and_counted(tmp_path):
    color = scene(0)
    gray = color.convert("L")
    sepia = Image.merge("RGB", [gray.point(lambda v, k=k: int(v * k)) for k in (1, 0.85, 0.65)])
    files = {
        "color.png": encoded(color),
        "gray.png": encoded(gray),
        "gray-rgb.png": encoded(gray.convert("RGB")),
        "sepia.png": encoded(sepia),
        "tiny.png": encoded(color.resize((20, 20))),
        "strip.png": encoded(color.resize((600, 72))),
        "broken.jpg": encoded(color, "JPEG")[:200],
        "notes.md": b"not an image, not counted",
    }
    store = load_photos([write_shard(tmp_path / "s.tar", files.items())], short_side=72)
    assert len(store) == 1
    assert store.dropped == {
        "gray": 1,
        "without color": 2,
        "too small": 1,
        "too narrow": 1,
        "unreadable": 1,
    }


def test_color_beyond_tone_tells_things_with_a_color_from_a_toned_print():
    gray = np.linspace(0, 255, 256).reshape(16, 16, 1)
    toned = (gray * (1.0, 0.9, 0.75)).astype(np.uint8)
    thumbs = np.stack([toned, np.asarray(scene(3).resize((16, 16)))])
    tone, color = color_beyond_tone(torch.from_numpy(thumbs)).tolist()
    assert tone < 1.5 < 10 < color


def test_photographs_of_little_chroma_are_left_out_where_a_model_asks_for_it(tmp_path):
    vivid = np.asarray(scene(0))
    gray = vivid.mean(2, keepdims=True)
    pale = (gray + 0.2 * (vivid - gray)).round().astype(np.uint8)
    Image.fromarray(pale).save(tmp_path / "pale.png")
    Image.fromarray(vivid).save(tmp_path / "vivid.png")
    thumbs = np.stack([pale, vivid])
    chroma = np.abs(rgb_to_ycbcr(thumbs / 255)[..., 1:] - 0.5).sum(-1).mean((1, 2))
    np.testing.assert_allclose(mean_chroma(torch.from_numpy(thumbs)), chroma, atol=1e-4)
    least = {"short_side": 72, "min_color": 0}
    assert len(load_photos([tmp_path], **least)) == 2
    store = load_photos([tmp_path], min_chroma=chroma.mean(), **least)
    assert (store.names, store.dropped) == (["vivid.png"], {"without color": 1})


def test_a_gzipped_shard_holds_the_same_photographs(shard, tmp_path):
    files = [(f"drawn/scene/{k:06}.png", encoded(scene(k))) for k in range(16)]
    expected = load_photos([shard], short_side=72)
    for name in ("s.tar.gz", "s.tgz"):
        store = load_photos([write_shard(tmp_path / name, files)], short_side=72)
        assert store.names == expected.names
        assert torch.equal(store.pixels, expected.pixels)


def test_a_store_is_made_once_and_mapped_afterwards(shard, tmp_path, monkeypatch):
    path = tmp_path / "photographs"
    plain = load_photos([shard], short_side=72, sampling_weights={"drawn": 2.0})
    made = load_photos([shard], short_side=72, store=path)
    monkeypatch.setattr("tintype.training.data._decode_all", None)  # nothing is decoded again
    found = load_photos([shard], short_side=72, store=path, sampling_weights={"drawn": 2.0})
    assert [p.name for p in tmp_path.iterdir()] == ["photographs"]
    for store in (made, found):
        assert torch.equal(store.pixels, plain.pixels)
        assert (store.names, store.dropped) == (plain.names, plain.dropped)
        assert torch.equal(store.start, plain.start)
    assert torch.equal(found.frequency, plain.frequency)
    before = path.read_bytes()
    found.pixels.zero_()  # a private copy: the file stays
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", [{"short_side": 70}, {"limit": 3}, {"min_chroma": 0.1}])
def test_a_store_of_other_data_is_refused(shard, tmp_path, change):
    load_photos([shard], short_side=72, store=tmp_path / "s")
    with pytest.raises(DataError, match=r"other data.*--store"):
        load_photos([shard], **{"short_side": 72, "store": tmp_path / "s", **change})


def test_a_store_of_another_folder_of_the_same_name_is_refused(tmp_path):
    for folder, number in (("a", 0), ("b", 1)):
        (tmp_path / folder / "photos").mkdir(parents=True)
        scene(number, 80, 100).save(tmp_path / folder / "photos" / "0.png")
    load_photos([tmp_path / "a" / "photos"], short_side=72, store=tmp_path / "s")
    with pytest.raises(DataError, match="other data"):
        load_photos([tmp_path / "b" / "photos"], short_side=72, store=tmp_path / "s")


@pytest.mark.parametrize("content", [b"", b"not photographs", bytes(100)])
def test_a_file_that_is_no_store_is_refused_and_stays(shard, tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(DataError, match=r"does not hold.*--store"):
        load_photos([shard], short_side=72, store=tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == content


def test_a_store_of_no_photograph_says_so(tmp_path):
    scene(0).convert("L").save(tmp_path / "gray.png")
    for _ in range(2):  # made, and mapped
        with pytest.raises(DataError, match="No usable color photograph"):
            load_photos([tmp_path / "gray.png"], short_side=72, store=tmp_path / "s")


def test_a_photograph_is_drawn_as_often_as_its_innermost_weighted_folder_says(tmp_path):
    for name in ("cats/black/1.png", "cats/white/1.png", "dogs/1.png", "1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        scene(1).save(tmp_path / name)
    files = [(f"{name}/1.png", encoded(scene(1))) for name in ("cats/black", "cats/white", "dogs")]
    shard = write_shard(tmp_path / "s.tar", files)
    (tmp_path / "list.txt").write_text("cats/white/1.png\ncats\ns.tar\n")
    sampling_weights = {"cats": 3.0, "cats/black/": 0.5}
    for path, expected in (
        (tmp_path, [1, 0.5, 3, 1]),
        (shard, [0.5, 3, 1]),
        (tmp_path / "list.txt", [3, 0.5, 3, 0.5, 3, 1]),
    ):
        store = load_photos([path], short_side=72, sampling_weights=sampling_weights)
        assert store.frequency is not None
        assert store.frequency.tolist() == expected
    train, held = store.split(2)
    assert train.frequency is not None
    assert held.frequency is not None
    assert (train.frequency.tolist(), held.frequency.tolist()) == ([3, 0.5, 3, 0.5], [3, 1])
    assert load_photos([shard], short_side=72).frequency is None


@pytest.mark.parametrize(
    ("sampling_weights", "said"),
    [
        (
            {"drawn": 2.0, "cats": 2.0},
            "No photograph lies in cats.*The folders are drawn/scene",
        ),
        ({"drawn": 0.0}, "drawn is 0.0: give a number above 0"),
        ({"drawn": float("nan")}, "above 0"),
    ],
)
def test_sampling_weights_that_cannot_be_are_refused(shard, sampling_weights, said):
    with pytest.raises(DataError, match=said):
        load_photos([shard], short_side=72, sampling_weights=sampling_weights)


def test_crops_are_the_right_squares_of_the_right_photographs(tmp_path):
    pictures = [scene(k, 70, 80 + k) for k in range(3)]
    shard = write_shard(
        tmp_path / "s.tar", [(f"{k}.png", encoded(p)) for k, p in enumerate(pictures)]
    )
    store = load_photos([shard], short_side=70)
    index = torch.tensor([2, 0])
    crops = store.crops(index, torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.5]), 60)
    expected = [np.asarray(pictures[2])[:60, 22:82], np.asarray(pictures[0])[10:, 10:70]]
    for crop, square in zip(crops, expected, strict=True):
        np.testing.assert_array_equal(crop.permute(1, 2, 0).numpy(), square)


def test_split_holds_the_last_photographs_back(shard):
    store = load_photos([shard], short_side=72)
    train, held = store.split(5)
    assert (len(train), len(held)) == (11, 5)
    assert int(held.start[0]) == int(train.start[-1] + train.height[-1] * train.width[-1])
    whole, none = store.split(0)
    assert (len(whole), len(none)) == (16, 0)


def test_sampled_chroma_is_that_of_the_pixels(shard):
    store = load_photos([shard], short_side=72, limit=1)
    pixels = rgb_to_lab(store.pixels.numpy().astype(np.float32) / 255)[:, 1:]
    sample = store.sample_ab(4000, seed=0).numpy()
    np.testing.assert_allclose(sample.mean(0), pixels.mean(0), atol=3)
    np.testing.assert_allclose(sample.std(0), pixels.std(0), rtol=0.1)


def test_sampled_chroma_is_that_of_the_photographs_that_are_drawn(tmp_path):
    colors = {"red": (200, 40, 30), "blue": (30, 60, 200)}
    files = []
    for name, color in colors.items():
        picture = scene(0)
        picture.paste(color, (0, 0, 90, 24))
        files.append((f"{name}/1.png", encoded(picture)))
    shard = write_shard(tmp_path / "s.tar", files)
    reds, blues = [
        load_photos([shard], short_side=72, sampling_weights=sampling_weights).sample_ab(
            4000, seed=0
        )[:, 1]
        for sampling_weights in ({"red": 9.0}, {"blue": 9.0})
    ]
    # The patch is a third of a photograph: red in nine tenths of the draws, and in one.
    more = (reds > 30).double().mean() - (blues > 30).double().mean()
    assert float(more) == pytest.approx((0.9 - 0.1) / 3, abs=0.03)


def test_orientation_and_profile_are_those_a_viewer_would_apply(tmp_path):
    upright = scene(5, 72, 72)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    upright.rotate(90).save(tmp_path / "turned.png", exif=exif)
    store = load_photos([tmp_path], short_side=72)
    np.testing.assert_array_equal(store.pixels.numpy().reshape(72, 72, 3), np.asarray(upright))

    (tmp_path / "turned.png").unlink()
    swapped = Image.merge("RGB", upright.split()[::-1])
    # A profile that swaps red and blue: what is stored as blue is meant as red.
    profile = swapping_profile()
    swapped.save(tmp_path / "swapped.png", icc_profile=profile)
    store = load_photos([tmp_path], short_side=72)
    difference = store.pixels.numpy().reshape(72, 72, 3).astype(int) - np.asarray(upright)
    assert np.abs(difference).max() <= 2


def swapping_profile():
    """sRGB's profile with its red and blue primaries exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        "missing",
        "missing.tar",
        "text.tar",
        "cut.tar.gz",
        "empty",
        "page.html",
        "missing.txt",
        "list.json",
        "numbers.json",
        "itself.txt",
        "binary.txt",
    ],
)
def test_what_is_no_data_is_named_with_what_to_give(shard, tmp_path, name):
    (tmp_path / "text.tar").write_text("no tar")
    (tmp_path / "cut.tar.gz").write_bytes(gzip.compress(shard.read_bytes())[:3000])
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "list.json").write_text("[")
    (tmp_path / "numbers.json").write_text("[1]")
    (tmp_path / "itself.txt").write_text("itself.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=rf"(?s){name}.*(shard|manifest|make it again)"):
        load_photos([tmp_path / name])
