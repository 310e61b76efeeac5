"""A study is prepared whole, from photographs that can be used, and never changed again."""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scenes import scene
from study.material import SMALL, Painter, photographs, small_study

from tintype.color.spaces import rgb_to_lab
from tintype.errors import DataError, SettingError, UnknownModelError
from tintype.photo import Photo
from tintype.runtime.options import Options
from tintype.study.assignment import assign_trials
from tintype.study.create import create_study
from tintype.study.manifest import (
    FALSE_COLORS,
    Study,
    read_owner_token,
    read_study,
    verify_pictures,
)
from tintype.study.pictures import center_square, encode_png, false_colors
from tintype.study.settings import ExclusionRules
from tintype.study.simulate import RaterPopulation, default_fooling_rates, simulate_raters
from tintype.study.storage import AnswerStore
from tintype.study.systems import FolderSystem, ModelSystem


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path)


def test_a_study_is_read_as_it_was_written(study: Study) -> None:
    assert read_study(study.folder) == study
    verify_pictures(study)
    assert Counter(photo.kind for photo in study.photos) == {"trial": 8, "practice": 2, "catch": 2}
    assert study.trials_per_rater == 6
    assert len(read_owner_token(study)) > 20


def test_both_sides_show_the_centre_of_the_photograph(study: Study, tmp_path: Path) -> None:
    entry = next(photo for photo in study.photos if photo.kind == "trial")
    true, one = (np.asarray(Image.open(path)) for path in study.pair_files(0, "one"))
    assert true.shape == one.shape == (32, 32, 3)
    entry = study.photos[0]
    expected = center_square(Photo.open(tmp_path / "photos" / entry.name), 32)
    np.testing.assert_array_equal(true, expected)
    np.testing.assert_array_equal(one, np.roll(expected, 1, axis=2))


def test_pictures_differ_in_nothing_but_their_pixels(study: Study) -> None:
    files = [study.picture_path(name) for name in study.checksums]
    assert len(files) == 12 + 10 * 2 + 2  # true, coloured by two, false
    assert len({file.stat().st_size for file in files}) == 1
    assert len({file.stat().st_mode for file in files}) == 1
    assert {tuple(chunks(file.read_bytes())) for file in files} == {
        tuple(chunks(files[0].read_bytes()))
    }
    assert {kind for kind, _ in chunks(files[0].read_bytes())} == {b"IHDR", b"IDAT", b"IEND"}
    headers = {file.read_bytes()[:33] for file in files}
    assert len(headers) == 1


def chunks(data: bytes) -> list[tuple[bytes, int]]:
    """Kind and length of every chunk of a PNG."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], length))
        at += 12 + length
    return found


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (24, 24, 3), elements=st.integers(0, 255)))
def test_the_size_of_a_file_tells_nothing_of_its_picture(rgb: np.ndarray) -> None:
    assert len(encode_png(rgb)) == len(encode_png(np.zeros((24, 24, 3), np.uint8)))


def test_names_of_pictures_tell_nothing(tmp_path: Path) -> None:
    first, again = small_study(tmp_path / "a"), small_study(tmp_path / "b")
    assert not set(first.checksums) & set(again.checksums)
    assert {len(name) for name in first.checksums} == {36}


def test_the_seed_decides_everything_else(tmp_path: Path) -> None:
    first, again = small_study(tmp_path / "a"), small_study(tmp_path / "b")
    other = small_study(tmp_path / "c", seed=8)
    assert [p.kind for p in first.photos] == [p.kind for p in again.photos]
    assert assign_trials(first, 0) == assign_trials(again, 0) != assign_trials(other, 0)
    assert sorted(first.checksums.values()) == sorted(again.checksums.values())


def test_false_colours_are_far_from_the_true_ones_at_the_same_lightness() -> None:
    rgb = np.asarray(scene(3, 64, 64))
    false = false_colors(rgb)
    assert np.abs(rgb.astype(int) - false).max() > 60
    ab, false_ab = (rgb_to_lab(p / np.float32(255))[..., 1:] for p in (rgb, false))
    assert np.hypot(*np.moveaxis(ab - false_ab, -1, 0)).mean() > 25
    gray, false_gray = (rgb_to_lab(p / np.float32(255))[..., 0] for p in (rgb, false))
    assert np.abs(gray - false_gray).mean() < 8


def test_catch_trials_get_colourful_photographs(tmp_path: Path) -> None:
    paths = photographs(tmp_path / "photos", 12)
    for path in paths[:6]:  # half of them nearly without colour
        image = np.asarray(Image.open(path)).astype(float)
        pale = image.mean(-1, keepdims=True) * 0.85 + image * 0.15
        Image.fromarray(pale.astype(np.uint8)).save(path)
    made, _ = create_study(tmp_path / "study", paths, [Painter("one")], SMALL)
    pale = {path.name for path in paths[:6]}
    catches = [photo for photo in made.photos if photo.kind == "catch"]
    assert not {photo.name for photo in catches} & pale
    assert all(set(photo.colorized) == {FALSE_COLORS} for photo in catches)


def test_photographs_that_cannot_be_used_are_left_out_with_the_reason(tmp_path: Path) -> None:
    paths = photographs(tmp_path, 8)
    odd = {name: tmp_path / f"{name}.png" for name in ("gray", "small", "same", "clear", "broken")}
    scene(90, 50, 50).convert("L").save(odd["gray"])
    scene(91, 31, 40).save(odd["small"])
    Image.open(paths[0]).save(odd["same"], compress_level=1)
    image = scene(92, 50, 50)
    image.putalpha(100)
    image.save(odd["clear"])
    odd["broken"].write_bytes(b"no picture")
    made, skipped = create_study(tmp_path / "s", [*paths, *odd.values()], [Painter("one")], SMALL)
    assert len(made.photos) == 8
    reasons = {Path(path).stem: reason for path, reason in skipped.items()}
    assert set(reasons) == set(odd)
    assert "no true colours" in reasons["gray"]
    assert "give a smaller --size" in reasons["small"]
    assert f"the same picture as {paths[0]}" in reasons["same"]
    assert "transparent" in reasons["clear"]


def test_a_study_that_exists_is_never_touched(study: Study, tmp_path: Path) -> None:
    before = (study.folder / "study.json").read_bytes()
    with pytest.raises(DataError, match="never changed once it is made"):
        create_study(study.folder, photographs(tmp_path / "p", 8), [Painter("one")], SMALL)
    assert (study.folder / "study.json").read_bytes() == before


def test_an_empty_folder_may_become_a_study_and_a_file_may_not(tmp_path: Path) -> None:
    paths = photographs(tmp_path / "p", 8)
    (tmp_path / "empty").mkdir()
    made, _ = create_study(tmp_path / "empty", paths, [Painter("one")], SMALL)
    assert read_study(tmp_path / "empty") == made
    with pytest.raises(DataError):
        create_study(paths[0], paths, [Painter("one")], SMALL)


def test_the_current_folder_may_become_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = photographs(tmp_path / "p", 8)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    create_study(Path(), paths, [Painter("one")], SMALL)
    verify_pictures(read_study(Path()))
    assert {path.name for path in Path().iterdir()} == {"pictures", "owner-token", "study.json"}


def test_an_interrupted_study_leaves_nothing(tmp_path: Path) -> None:
    class Interrupted(Painter):
        def colorize(self, path: Path, true: np.ndarray, seed: int) -> np.ndarray:
            raise KeyboardInterrupt

    (tmp_path / "here").mkdir()
    paths = photographs(tmp_path / "p", 8)
    with pytest.raises(KeyboardInterrupt):
        create_study(tmp_path / "here" / "study", paths, [Interrupted("one")], SMALL)
    assert list((tmp_path / "here").iterdir()) == []


def test_too_few_photographs_are_counted_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 photographs can be used, but 5 are"):
        create_study(tmp_path / "study", photographs(tmp_path / "p", 4), [Painter("one")], SMALL)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 8},
        {"exposure_ms": 50},
        {"trials": 0},
        {"seed": -1},
        {"question": ""},
        {"consent": ()},
        {"rules": ExclusionRules(max_catch_errors=2)},
    ],
)
def test_settings_that_make_no_study_are_refused(changes: dict, tmp_path: Path) -> None:
    paths = photographs(tmp_path / "p", 8)
    with pytest.raises(DataError, match="these settings cannot be used"):
        create_study(tmp_path / "study", paths, [Painter("one")], replace(SMALL, **changes))
    assert not (tmp_path / "study").exists()


def test_a_rater_has_a_trial_for_each_system_at_least(tmp_path: Path) -> None:
    painters = [Painter(name) for name in ("one", "two", "three")]
    paths = photographs(tmp_path / "p", 8)
    with pytest.raises(DataError, match="too few to judge 3 systems"):
        create_study(tmp_path / "study", paths, painters, replace(SMALL, trials=2))
    with pytest.raises(DataError, match="7 are needed"):
        create_study(tmp_path / "study", paths[:6], painters, SMALL)


@pytest.mark.parametrize("names", [[], ["one", "one"], [FALSE_COLORS]])
def test_every_system_needs_a_name_of_its_own(names: list[str], tmp_path: Path) -> None:
    painters = [Painter(name) for name in names]
    with pytest.raises(DataError, match="a name of its own"):
        create_study(tmp_path / "study", photographs(tmp_path / "p", 8), painters, SMALL)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_study_is_for_its_owner_alone(study: Study) -> None:
    """Other users of the machine may be raters."""
    simulate_raters(study, RaterPopulation(2, default_fooling_rates(study)))
    store = AnswerStore(study)
    store.enroll()
    names = {path.name for path in study.folder.iterdir()}
    assert {"answers.sqlite", "answers.sqlite-wal", "answers.sqlite-shm"} < names
    assert "simulated.sqlite" in names
    for path in (study.folder, *study.folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    store.close()


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_answers_that_others_could_read_are_hidden(study: Study, tmp_path: Path) -> None:
    kept = tmp_path / "own.sqlite"
    for _ in range(2):
        store = AnswerStore(study, f"sqlite:///{kept}")
        assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("own.sqlite*")} == {0}
        store.close()
        kept.chmod(0o644)  # as an older tintype left it


def test_times_of_pictures_tell_nothing(study: Study) -> None:
    files = [study.picture_path(name).stat() for name in study.checksums]
    assert len({(file.st_mtime_ns, file.st_atime_ns) for file in files}) == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_the_token_and_the_seed_are_for_the_owner_alone(study: Study) -> None:
    for name in ("owner-token", "study.json"):
        assert (study.folder / name).stat().st_mode & 0o077 == 0
    (study.folder / "owner-token").write_text("short")
    with pytest.raises(DataError, match="long random line"):
        read_owner_token(study)


class Sampler:
    """In the place of the colorizer: notes how it is asked."""

    asked: list[Options]

    def __init__(self, model: str, threads: int | None = None) -> None:
        if model == "unknown":
            raise UnknownModelError("No model is called 'unknown'")
        kind = "sampler" if model == "sampler" else "chroma"
        self.card = SimpleNamespace(name=f"{model}.test", kind=kind, files={"a.onnx": "f0"})

    def options(self, **options: Any) -> Options:
        if "filter" in options:
            raise SettingError("there is no filter")
        return Options(**options)

    def colorize(self, photo: Photo, options: Options) -> Photo:
        self.asked.append(options)
        return photo.with_rgb(np.roll(photo.rgb(), 1, axis=2))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[Sampler]:
    monkeypatch.setattr("tintype.runtime.named.Colorizer", Sampler)
    Sampler.asked = []
    return Sampler


def test_a_model_that_samples_draws_one_sample_by_a_seed_of_the_photographs(
    engine: type[Sampler], tmp_path: Path
) -> None:
    paths = photographs(tmp_path / "p", 8)
    for name in ("a", "b"):
        create_study(tmp_path / name, paths, [ModelSystem("sampler")], SMALL)
    half = len(engine.asked) // 2
    seeds = [options.seed for options in engine.asked]
    assert len(set(seeds[:half])) == half == 6
    assert seeds[:half] == seeds[half:]


def test_a_model_may_be_given_with_its_vividness(engine: type[Sampler], tmp_path: Path) -> None:
    models = [ModelSystem("tint"), ModelSystem("tint@0.3")]
    made, _ = create_study(tmp_path / "study", photographs(tmp_path / "p", 8), models, SMALL)
    assert list(made.systems) == ["tint", "tint@0.3"]
    assert "vividness 0.3" in made.systems["tint@0.3"]
    assert Options(vividness=0.3) in engine.asked


def test_models_and_their_options_are_checked_before_any_work(engine: type[Sampler]) -> None:
    with pytest.raises(UnknownModelError):
        ModelSystem("unknown")
    with pytest.raises(DataError, match="after @ give"):
        ModelSystem("tint@none")
    assert engine.asked == []


def test_pictures_coloured_elsewhere_are_taken_by_name(tmp_path: Path) -> None:
    paths = photographs(tmp_path / "p", 8)
    made_elsewhere = tmp_path / "theirs"
    made_elsewhere.mkdir()
    for path in paths[:-2]:
        with Image.open(path) as image:  # half the size, another format
            image.convert("L").convert("RGB").resize((44, 38)).save(
                made_elsewhere / f"{path.stem}.webp", lossless=True
            )
    scene(99, 60, 40).save(made_elsewhere / f"{paths[-2].stem}.png")
    folder = FolderSystem("theirs", made_elsewhere, 32)
    settings_ = replace(SMALL, practice_trials=1, catch_trials=1, rules=ExclusionRules(0))
    study, skipped = create_study(tmp_path / "study", paths, [folder], settings_)
    assert len(study.photos) == 6
    assert ["another aspect ratio" in reason for reason in skipped.values()] == [True, False]
    assert ["no picture of this name" in reason for reason in skipped.values()] == [False, True]
    trial = study.photos_of_kind("trial")[0]
    _, coloured = study.pair_files(trial, "theirs")
    assert np.ptp(np.asarray(Image.open(coloured)), axis=2).max() == 0  # gray, as they left it
    scene(1).save(made_elsewhere / "photo-00.png")
    with pytest.raises(DataError, match="both called photo-00"):
        FolderSystem("theirs", made_elsewhere, 32)
    with pytest.raises(DataError):
        FolderSystem("theirs", tmp_path / "nowhere", 32)


def test_photographs_of_one_name_cannot_be_told_apart_by_it(tmp_path: Path) -> None:
    paths = photographs(tmp_path / "p", 8)
    (tmp_path / "q").mkdir()
    for k, twin in enumerate((tmp_path / "q" / "photo-00.png", tmp_path / "p" / "photo-01.jpg")):
        scene(90 + k, 48, 55).save(twin)
        paths.append(twin)
    theirs = tmp_path / "theirs"
    photographs(theirs, 8)
    _, skipped = create_study(tmp_path / "a", paths, [FolderSystem("theirs", theirs, 32)], SMALL)
    assert {Path(path).stem for path in skipped} == {"photo-00", "photo-01"}
    assert len(skipped) == 4
    assert all("rename it and its picture" in reason for reason in skipped.values())
    made, skipped = create_study(tmp_path / "b", paths, [Painter("one")], SMALL)
    assert skipped == {}
    assert {"p/photo-00.png", "q/photo-00.png"} <= {photo.name for photo in made.photos}


@pytest.mark.skipif(os.name != "posix", reason="names of files are text elsewhere")
def test_a_name_that_is_no_text_is_spelt_out(tmp_path: Path) -> None:
    paths = photographs(tmp_path / "p", 8)
    odd = paths[0].with_name(os.fsdecode(b"caf\xe9.png"))
    made, _ = create_study(
        tmp_path / "study", [paths[0].rename(odd), *paths[1:]], [Painter("one")], SMALL
    )
    assert made.photos[0].name == "caf\\udce9.png"


def test_a_shipped_model_colours_a_study(tmp_path: Path) -> None:
    paths = photographs(tmp_path / "p", 5, side=64)
    models = [ModelSystem("tint", threads=1)]
    study, _ = create_study(tmp_path / "study", paths, models, replace(SMALL, size=48))
    assert study.systems["tint"].startswith("tintype model tint.small, tint.small.onnx ")
    true, coloured = study.pair_files(study.photos_of_kind("trial")[0], "tint")
    assert true.read_bytes() != coloured.read_bytes()
    assert true.stat().st_size == coloured.stat().st_size
