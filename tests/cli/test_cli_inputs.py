"""Which photographs the words on the command line stand for, and where the results go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tintype.batch.task import Failure, Task
from tintype.cli import UsageError
from tintype.cli.inputs import Input, Skipped, find_photos
from tintype.cli.outputs import plan_outputs
from tintype.photo.mark import marked


@pytest.fixture(autouse=True)
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a subfolder, as the current directory."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "a.jpg",
        "B.PNG",
        "notes.txt",
        ".hidden.jpg",
        "a.colorized.jpg",
        "a.compare.jpg",
        "trip/a.jpg",
        "trip/.cache/c.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a.compare.jpg").write_bytes(marked(None, "tintype 1.0"))
    return tmp_path


def paths(*arguments: str, recursive: bool = False, output: str | None = None) -> list[str]:
    inputs = find_photos(arguments, recursive, output)
    assert not inputs.failed
    return [str(item.path) for item in inputs.photos]


def tasks(*arguments: str, output: str | None = None, **options: bool) -> list[Task]:
    inputs = find_photos(arguments, options.pop("recursive", False), output)
    return plan_outputs(arguments, inputs.photos, output, **options)


def outputs(*arguments: str, output: str | None = None, **options: bool) -> list[str]:
    return [str(task.output) for task in tasks(*arguments, output=output, **options)]


def test_a_folder_stands_for_the_photographs_directly_in_it() -> None:
    assert paths(".") == ["B.PNG", "a.jpg"]


def test_a_recursive_folder_stands_for_those_of_its_subfolders_too() -> None:
    assert paths(".", recursive=True) == ["B.PNG", "a.jpg", "trip/a.jpg"]


def test_a_named_file_is_taken_whatever_its_name() -> None:
    assert paths("notes.txt", "a.colorized.jpg") == ["notes.txt", "a.colorized.jpg"]


def test_a_file_that_does_not_exist_is_left_to_be_reported_when_it_is_opened() -> None:
    assert paths("missing.jpg") == ["missing.jpg"]


def test_a_pattern_is_expanded_for_shells_that_do_not() -> None:
    assert paths("*.PNG", "**/a.jpg") == ["B.PNG", "a.jpg", "trip/a.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(album: Path) -> None:
    (album / "scan[1].jpg").touch()
    assert paths("scan[1].jpg") == ["scan[1].jpg"]


def test_a_photograph_named_twice_is_coloured_once() -> None:
    assert paths("a.jpg", "./a.jpg", ".") == ["a.jpg", "B.PNG"]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [("*.gif", "no file matches this pattern"), ("empty", "no photographs in this folder")],
)
def test_what_stands_for_nothing_is_a_failure(argument: str, reason: str, album: Path) -> None:
    (album / "empty").mkdir()
    inputs = find_photos([argument, "a.jpg"])
    assert [item.path for item in inputs.photos] == [Path("a.jpg")]
    assert inputs.failed[0].input == argument
    assert reason in inputs.failed[0].error


@pytest.mark.parametrize(
    ("argument", "recursive", "left"),
    [("trip", False, []), (".", True, ["B.PNG", "a.jpg"])],
)
def test_a_folder_that_may_not_be_read_is_a_failure(
    argument: str, recursive: bool, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path) == Path("trip"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    inputs = find_photos([argument], recursive)
    (failure,) = inputs.failed
    assert failure == Failure(
        failure.input, f"{failure.input}: Permission denied", "PermissionError"
    )
    assert Path(failure.input) == Path("trip")
    assert [str(item.path) for item in inputs.photos] == left


def test_a_file_in_a_folder_that_cannot_be_looked_at_is_left_to_be_reported(album: Path) -> None:
    (album / "trip/loop.jpg").symlink_to("loop.jpg")
    assert paths("trip", "trip/loop.jpg") == ["trip/a.jpg", "trip/loop.jpg"]


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 5000 + "*.jpg"])
def test_a_name_that_no_file_can_have_is_an_ordinary_failure(name: str) -> None:
    inputs = find_photos([name])
    assert len(inputs.photos) + len(inputs.failed) == 1


def test_pictures_that_are_not_read_are_counted(album: Path) -> None:
    for name in ("c.PSD", "d.psd", "trip/e.pdf"):
        (album / name).touch()
    inputs = find_photos(["."], recursive=True)
    assert inputs.left_out == {".psd": 2, ".pdf": 1}
    assert inputs.notes == ["3 files left out: not photographs tintype reads (.psd, .pdf)"]
    assert not inputs.failed
    assert find_photos(["trip"]).notes == ["1 file left out: not a photograph tintype reads (.pdf)"]
    kinds = ("pdf", "pcx", "pbm", "hif", "NEF", "rwl", "erf")
    for name in (*(f"trip/x.{kind}" for kind in kinds), "trip/README"):
        (album / name).touch()
    Image.new("L", (8, 6)).save(album / "trip" / "scan0001", "PNG")
    found = {f".{kind.lower()}": 1 for kind in kinds} | {".pdf": 2, "without extension": 1}
    assert find_photos(["trip"]).left_out == found


def test_own_results_are_left_out_where_their_original_is_named_too(album: Path) -> None:
    (album / "plate").touch()
    (album / "plate.colorized").touch()
    names = ["B.PNG", "a.colorized.jpg", "a.compare.jpg", "a.jpg", "plate", "plate.colorized"]
    inputs = find_photos(names)
    assert [str(item.path) for item in inputs.photos] == ["B.PNG", "a.jpg", "plate"]
    assert [item.input for item in inputs.skipped] == [
        "a.colorized.jpg",
        "a.compare.jpg",
        "plate.colorized",
    ]
    assert paths("trip/a.jpg", "a.colorized.jpg") == ["trip/a.jpg", "a.colorized.jpg"]


@pytest.mark.parametrize("name", ["a.compare.jpg", "a.samples.jpg"])
def test_a_picture_of_somebody_elses_is_a_photograph_whatever_its_name(
    name: str, album: Path
) -> None:
    (album / name).write_bytes(b"another program's")
    assert name in paths(".")
    assert paths("a.jpg", name) == ["a.jpg", name]
    (album / "B.compare.BMP").touch()
    (album / "B.BMP").touch()
    assert "B.compare.BMP" not in paths(".")


@pytest.mark.parametrize("name", ["B.GIF", "B.gif"])
def test_results_in_another_format_than_their_photograph_are_told_too(
    name: str, album: Path
) -> None:
    (album / "B.PNG").rename(album / name)
    (album / "B.colorized.png").touch()
    assert paths(".") == [name, "a.jpg"]
    assert paths(name, "B.colorized.png") == [name]


def test_own_results_are_left_out_of_patterns() -> None:
    assert paths("*.jpg") == ["a.jpg"]


@pytest.mark.parametrize("argument", [".", "**/*.jpg", "*/*.jpg"])
def test_the_output_folder_is_left_out(argument: str, album: Path) -> None:
    (album / "out/deep").mkdir(parents=True)
    (album / "out/a.jpg").touch()
    (album / "out/deep/a.jpg").touch()
    inputs = find_photos([argument], True, "out/")
    assert "trip/a.jpg" in [str(item.path) for item in inputs.photos]
    assert not [item for item in inputs.photos if "out" in str(item.path)]
    assert Skipped("out/", "the results go there") in inputs.skipped


def test_the_output_folder_is_left_out_where_a_shell_named_it(album: Path) -> None:
    (album / "out").mkdir()
    (album / "out/a.jpg").touch()
    assert paths("a.jpg", "out", "trip", output="out") == ["a.jpg", "trip/a.jpg"]


def test_a_photograph_named_twice_is_reported_as_skipped(album: Path) -> None:
    (album / "link.jpg").symlink_to("a.jpg")
    assert find_photos(["link.jpg", "a.jpg"]).skipped == [
        Skipped("a.jpg", "the same file as link.jpg")
    ]


def test_a_dash_stands_for_the_pipe() -> None:
    assert find_photos(["-"]).photos == [Input(None, Path("-"))]
    assert paths("./-") == ["-"]


def test_results_lie_beside_the_photograph_by_default() -> None:
    assert outputs("a.jpg", "trip/a.jpg") == ["a.colorized.jpg", "trip/a.colorized.jpg"]


def test_an_output_file_is_taken_as_it_is() -> None:
    assert outputs("a.jpg", output="new/out.png") == ["new/out.png"]


@pytest.mark.parametrize("output", ["out/", "trip/../out/"])
def test_a_trailing_slash_names_a_folder(output: str) -> None:
    assert outputs("B.PNG", output=output) == [str(Path(output, "B.PNG"))]


def test_an_existing_folder_is_a_folder() -> None:
    assert outputs("B.PNG", output="trip") == ["trip/B.PNG"]


def test_several_photographs_need_a_folder() -> None:
    assert outputs("a.jpg", "B.PNG", output="out") == ["out/a.jpg", "out/B.PNG"]


@pytest.mark.parametrize("output", ["notes.txt", "one.jpg"])
def test_several_photographs_cannot_go_to_one_file(output: str) -> None:
    with pytest.raises(UsageError, match="name a folder"):
        outputs("a.jpg", "B.PNG", output=output)
    assert outputs("a.jpg", "B.PNG", output="one.jpg/") == ["one.jpg/a.jpg", "one.jpg/B.PNG"]


def test_a_name_that_says_no_format_is_refused(album: Path) -> None:
    with pytest.raises(UsageError, match="does not say a format"):
        outputs("a.jpg", output="a.xyz")
    with pytest.raises(UsageError, match="does not say a format"):
        outputs("-", output="a.xyz")
    assert outputs("notes.txt", output="b.txt") == ["b.txt"]  # as the photograph's own
    assert outputs("a.jpg", output="b") == ["b"]


def test_a_name_without_extension_gets_one_word(album: Path) -> None:
    (album / "plate").touch()
    assert tasks("plate", compare=True) == [
        Task(Path("plate"), Path("plate.colorized"), Path("plate.compare"))
    ]


def test_subfolders_are_mirrored_in_the_output_folder() -> None:
    assert outputs(".", output="out", recursive=True) == [
        "out/B.PNG",
        "out/a.jpg",
        "out/trip/a.jpg",
    ]


def test_the_comparison_lies_beside_the_result() -> None:
    assert [task.compare for task in tasks("a.jpg", compare=True)] == [Path("a.compare.jpg")]
    assert tasks("a.jpg", output="x/y.png", compare=True)[0].compare == Path("x/y.compare.png")
    assert tasks("a.jpg", output="x/", compare=True)[0].compare == Path("x/a.compare.jpg")


def test_in_place_replaces_the_photograph() -> None:
    assert outputs("a.jpg", in_place=True) == ["a.jpg"]


def test_two_results_with_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match=r"a\.jpg and trip/a\.jpg would both be written to out"):
        outputs("a.jpg", "trip/a.jpg", output="out")


@pytest.mark.parametrize("output", ["a.jpg", "./trip/../a.jpg", "."])
def test_a_result_that_would_replace_an_input_is_refused(output: str) -> None:
    with pytest.raises(UsageError, match="would replace the input"):
        outputs("a.jpg", output=output)


def test_a_result_that_would_replace_another_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"would replace the input a\.jpg"):
        outputs("trip/a.jpg", "a.jpg", output=".")


def test_a_result_that_would_follow_a_link_to_an_input_is_refused(album: Path) -> None:
    (album / "link.jpg").symlink_to("a.jpg")
    with pytest.raises(UsageError, match="would replace the input"):
        outputs("a.jpg", output="link.jpg")


def test_the_pipe_goes_to_the_pipe_unless_a_file_is_named() -> None:
    assert tasks("-") == [Task(None, None)]
    assert tasks("-", output="out.png") == [Task(None, Path("out.png"))]
    assert tasks("a.jpg", output="-") == [Task(Path("a.jpg"), None)]


@pytest.mark.parametrize(
    ("arguments", "output", "options"),
    [
        (["a.jpg", "B.PNG"], "-", {}),
        (["-"], None, {"compare": True}),
        (["-"], None, {"in_place": True}),
        (["-"], "trip", {}),
        (["-", "a.jpg"], "out", {}),
    ],
)
def test_what_cannot_go_through_a_pipe_is_refused(
    arguments: list[str], output: str | None, options: dict[str, bool]
) -> None:
    with pytest.raises(UsageError):
        tasks(*arguments, output=output, **options)
