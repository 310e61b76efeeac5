"""``tintype colorize`` with a model that paints everything the same colour."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.painting import Painter, files, is_red, photograph
from PIL import Image

from tintype.batch.task import Task
from tintype.batch.work import Reader
from tintype.errors import UnreadablePhotoError
from tintype.photo import Photo
from tintype.runtime.options import Options

pytestmark = pytest.mark.usefixtures("painter")


def test_a_photograph_is_coloured_beside_itself_and_quietly(run: Any) -> None:
    before = photograph("a.png").read_bytes()
    result = run("colorize", "a.png")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert files() == ["a.colorized.png", "a.png"]
    assert is_red("a.colorized.png")
    assert Path("a.png").read_bytes() == before


def test_the_options_reach_the_colorizer(run: Any, painter: type[Painter]) -> None:
    photograph("a.png")
    run("colorize", "a.png", "--vividness", "0.3", "--saturation", "0.5", "--threads", "1")
    assert painter.made == [("tint", 1)]
    assert painter.asked == [Options(vividness=0.3, saturation=0.5)]
    run("colorize", "a.png", "--enlarge", "bilinear", "--overwrite")
    assert painter.asked[1:] == [Options(vividness=0.6, enlarge="bilinear")]


def test_an_option_that_is_not_for_the_model_is_wrong_usage(run, painter):
    photograph("a.png")
    for word, option in (("--no-refine", "refine"), ("--filter=none", "filter")):
        result = run("colorize", "a.png", word)
        assert result.status == 2
        assert f"takes no {option}" in result.err
    assert not Path("a.colorized.png").exists()


def test_the_model_is_loaded_once_for_many_photographs(run: Any, painter: type[Painter]) -> None:
    photograph("album/a.png")
    photograph("album/b.png")
    assert run("colorize", "album", "-o", "out").status == 0
    assert files() == ["album/a.png", "album/b.png", "out/a.png", "out/b.png"]
    assert len(painter.made) == 1


def test_a_failed_photograph_is_named_and_the_others_are_done(run: Any) -> None:
    photograph("a.png")
    Path("b.png").write_bytes(b"not an image")
    photograph("c.png")
    result = run("colorize", "a.png", "b.png", "missing.png", "c.png")
    assert result.status == 1
    assert {line.split(":")[0] for line in result.err.splitlines()} == {"tintype"}
    assert result.err.splitlines()[2] == "tintype: 2 coloured, in ./; 2 failed"
    assert "b.png" in result.err.splitlines()[0]
    assert "missing.png" in result.err.splitlines()[1]
    assert is_red("a.colorized.png")
    assert is_red("c.colorized.png")
    assert not Path("b.colorized.png").exists()


def test_json_reports_what_was_done_and_what_failed(run: Any) -> None:
    photograph("a.png", (8, 6))
    result = run("colorize", "a.png", "missing.png", "--json")
    assert result.status == 1
    (done,) = result.json["photos"]
    assert done["input"] == "a.png"
    assert done["output"] == "a.colorized.png"
    assert done["compare"] is None
    assert (done["width"], done["height"]) == (8, 6)
    assert done["seconds"] >= 0
    assert [failed["input"] for failed in result.json["failed"]] == ["missing.png"]


def test_an_unknown_model_fails_at_once(run: Any) -> None:
    photograph("a.png")
    result = run("colorize", "a.png", "-m", "tent")
    assert result.status == 1
    assert "No model is called 'tent'" in result.err
    assert files() == ["a.png"]


def test_a_result_that_exists_is_kept_unless_told_otherwise(
    run: Any, painter: type[Painter]
) -> None:
    photograph("a.png")
    Path("a.colorized.png").write_text("precious")
    result = run("colorize", "a.png")
    assert result.status == 1
    assert "--overwrite" in result.err
    assert painter.asked == []  # found out before the work
    assert Path("a.colorized.png").read_text() == "precious"
    assert run("colorize", "a.png", "--overwrite").status == 0
    assert is_red("a.colorized.png")


@pytest.mark.parametrize("words", [[""], ["a.png", "-o", ""]])
def test_an_empty_name_is_wrong_usage(words: list[str], run: Any) -> None:
    photograph("a.png")
    assert run("colorize", *words).status == 2
    assert files() == ["a.png"]


def test_a_photograph_too_large_for_the_memory_does_not_stop_the_others(
    run: Any, monkeypatch: Any
) -> None:
    colorize = Painter.colorize

    def small_only(self: Painter, photo: Photo, options: Options, **more: Any) -> Photo:
        if photo.width > 8:
            raise MemoryError
        return colorize(self, photo, options, **more)

    monkeypatch.setattr(Painter, "colorize", small_only)
    photograph("large.png", (9, 9))
    photograph("small.png")
    result = run("colorize", "large.png", "small.png")
    said = "tintype: large.png: not enough memory\ntintype: 1 coloured, in ./; 1 failed\n"
    assert (result.status, result.err) == (1, said)
    assert is_red("small.colorized.png")


def test_the_comparison_is_gray_on_the_left_and_coloured_on_the_right(run: Any) -> None:
    photograph("a.png", (8, 6))
    assert run("colorize", "a.png", "--compare").status == 0
    with Image.open("a.compare.png") as image:
        assert image.size == (16, 6)
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels[:, :8] == 200).all()
    assert (pixels[:, 8:] == (200, 0, 0)).all()


def test_nothing_is_written_when_two_results_have_one_name(run: Any) -> None:
    photograph("a/x.png")
    photograph("b/x.png")
    result = run("colorize", "a", "b", "-o", "out")
    assert result.status == 2
    assert "would both be written" in result.err
    assert files() == ["a/x.png", "b/x.png"]


def test_the_limit_on_pixels_can_be_set(run: Any) -> None:
    photograph("a.png", (8, 6))
    assert run("colorize", "a.png", "--max-pixels", "47").status == 1
    assert run("colorize", "a.png", "--max-pixels", "48").status == 0


def test_the_help_states_the_limit_that_holds(run: Any) -> None:
    from tintype.photo import DEFAULT_MAX_PIXELS

    assert f"{DEFAULT_MAX_PIXELS / 1e6:.0f} million" in run("colorize", "--help").words


def test_a_comparison_that_fails_hides_no_result(run: Any, monkeypatch: Any) -> None:
    def too_large(*_: Any) -> Photo:
        raise MemoryError

    monkeypatch.setattr("tintype.batch.work.side_by_side", too_large)
    photograph("a.jpg")
    result = run("colorize", "a.jpg", "--compare", "--json")
    assert result.status == 1
    (done,) = result.json["photos"]
    assert (done["output"], done["compare"]) == ("a.colorized.jpg", None)
    assert "the comparison could not be made" in result.json["failed"][0]["error"]
    assert files() == ["a.colorized.jpg", "a.jpg"]


def test_a_second_run_keeps_what_exists_and_goes_on(run: Any, painter: type[Painter]) -> None:
    photograph("a.png")
    run("colorize", "a.png")
    painter.made.clear()
    photograph("b.png")
    before = Path("a.colorized.png").stat().st_mtime_ns
    names = ["a.png", "a.colorized.png", "b.png"]  # as a shell expands *.png
    result = run("colorize", *names, "--skip-existing", "--json")
    assert (result.status, result.err) == (0, "")
    assert [done["input"] for done in result.json["photos"]] == ["b.png"]
    assert [item["input"] for item in result.json["skipped"]] == ["a.colorized.png", "a.png"]
    assert Path("a.colorized.png").stat().st_mtime_ns == before
    painter.made.clear()
    assert run("colorize", "a.png", "b.png", "--skip-existing").status == 0
    assert painter.made == []  # nothing to do, no model to load


def test_a_run_that_was_cut_off_before_the_comparison_is_completed(run: Any) -> None:
    photograph("a.png")
    Image.new("RGB", (8, 6), (0, 0, 255)).save("a.colorized.png")  # mended by hand
    before = Path("a.colorized.png").read_bytes()
    result = run("colorize", "a.png", "--compare", "--skip-existing", "--json")
    assert result.status == 0
    (done,) = result.json["photos"]
    assert done["notes"] == ["a.colorized.png existed and was kept"]
    for _ in range(2):
        assert Path("a.colorized.png").read_bytes() == before
        with Image.open("a.compare.png") as both:
            assert both.getpixel((12, 3)) == (0, 0, 255)
        again = run("colorize", "a.png", "--compare", "--skip-existing", "--json")
        assert [item["input"] for item in again.json["skipped"]] == ["a.png"]


def test_a_kept_result_of_another_size_is_not_compared(run: Any) -> None:
    photograph("a.png")
    photograph("a.colorized.png", (3, 3))
    result = run("colorize", "a.png", "--compare", "--skip-existing")
    assert result.status == 1
    assert "a.colorized.png is 3 × 3 pixels" in result.err


@pytest.mark.parametrize("other", ["--overwrite", "--in-place"])
def test_keeping_results_and_replacing_them_is_wrong_usage(other: str, run: Any) -> None:
    assert run("colorize", "a.png", "--skip-existing", other).status == 2


def test_a_second_recursive_run_does_not_colour_its_own_results(run: Any) -> None:
    photograph("album/a.png")
    for _ in range(2):
        assert run("colorize", "-r", ".", "-o", "out", "--overwrite").status == 0
    assert files() == ["album/a.png", "out/album/a.png"]


def test_notes_are_said_though_nobody_watches(run: Any) -> None:
    Image.new("CMYK", (8, 6)).save("a.jpg")
    result = run("colorize", "a.jpg")
    assert (
        result.err == "tintype: a.jpg: CMYK without a colour profile: converted by the plain rule\n"
    )


def test_pictures_that_are_not_read_are_named_and_change_no_status(run: Any) -> None:
    photograph("album/a.png")
    Path("album/b.heic").touch()
    result = run("colorize", "album", "-o", "out", "--json")
    assert result.status == 0
    assert result.err == "tintype: 1 file left out: not a photograph tintype reads (.heic)\n"
    assert result.json["left_out"] == {".heic": 1}


def test_a_name_after_two_dashes_may_begin_with_one(run: Any) -> None:
    photograph("./-dash.png")
    assert run("colorize", "-dash.png").status == 2
    assert run("colorize", "--", "-dash.png").status == 0
    assert is_red("./-dash.colorized.png")


def test_a_name_without_extension_keeps_the_format(run: Any) -> None:
    photograph("a.jpg").rename("plate")
    assert run("colorize", "plate", "--compare").status == 0
    for name in ("plate.colorized", "plate.compare"):
        with Image.open(name) as image:
            assert image.format == "JPEG"


def test_an_output_of_no_known_format_is_found_out_before_the_work(
    run: Any, painter: type[Painter]
) -> None:
    photograph("a.png")
    result = run("colorize", "a.png", "-o", "a.xyz")
    assert (result.status, painter.made) == (2, [])
    assert "does not say a format" in result.err


def test_links_in_a_circle_and_names_too_long_stop_no_other(run: Any) -> None:
    photograph("a.png")
    Path("loop.png").symlink_to("loop.png")
    result = run("colorize", "loop.png", "x" * 5000, "a.png", "-o", "out/")
    assert result.status == 1
    assert "bug" not in result.err
    assert files() == ["a.png", "out/a.png"]


def test_somebody_who_watches_sees_a_bar_and_what_became_of_each(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph("a.png")
    photograph("b.png")
    photograph("b.colorized.png")
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((60, 20)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = run("colorize", "a.png", "b.png", "--skip-existing")
    assert "b.png skipped: b.colorized.png exists already" in result.err
    assert "0/1 a.png" in result.err
    assert "a.png -> a.colorized.png" in result.err


def test_no_exception_of_one_photograph_ends_the_others(run: Any, monkeypatch: Any) -> None:
    colorize = Painter.colorize

    def large_only(self: Painter, photo: Photo, options: Options, **how: Any) -> Photo:
        if photo.width < 9:
            raise ZeroDivisionError("by nothing")
        return colorize(self, photo, options, **how)

    monkeypatch.setattr(Painter, "colorize", large_only)
    photograph("a.png")
    photograph("b.png", (9, 9))
    result = run("colorize", "a.png", "b.png", "--json")
    assert result.status == 1
    assert "a.png: this is a bug in tintype (ZeroDivisionError: by nothing)" in result.err
    assert "Traceback" not in result.err
    assert [failed["error_class"] for failed in result.json["failed"]] == ["ZeroDivisionError"]
    assert is_red("b.colorized.png")


def test_a_photograph_that_is_opened_ahead_fails_in_its_turn() -> None:
    broken = Task(Path("a.jpg"), None)
    Path("a.jpg").write_bytes(b"no photograph")
    reader = Reader(max_pixels=None, in_place=False, strict=False, page=None)
    with ThreadPoolExecutor(1) as pool:
        reader.begin(broken, pool)
    with pytest.raises(UnreadablePhotoError, match=r"a\.jpg is not a photograph"):
        reader.open(broken)
    assert reader.open(Task(photograph("b.png"), None)).width == 8


def test_a_pipe_is_not_opened_ahead() -> None:
    os.mkfifo("pipe.jpg")
    with ThreadPoolExecutor(1) as pool:  # which would wait for whoever writes to it
        Reader(None, False, False, None).begin(Task(Path("pipe.jpg"), None), pool)


def test_what_the_device_remarks_is_said_once(run: Any, monkeypatch: Any) -> None:
    photograph("a.png")
    photograph("b.png")
    monkeypatch.setattr(Painter.device, "said", lambda: ("it is slow",))
    result = run("colorize", "a.png", "b.png", "--provider", "cuda")
    assert result.status == 0
    assert result.err.count("tintype: it is slow\n") == 1
