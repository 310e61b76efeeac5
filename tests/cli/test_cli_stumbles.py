"""What newcomers, and people in a hurry, come upon."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.painting import Painter, files, is_red, photograph
from PIL import Image

from tintype.cli.inputs import find_photos
from tintype.photo import Photo
from tintype.photo.write import atomic, remove_leftovers
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.session import cores

pytestmark = pytest.mark.usefixtures("painter")

ROOT = Path(__file__).parent.parent.parent


def test_a_photograph_without_a_command_is_coloured(run: Any) -> None:
    photograph("a.png")
    assert run("a.png").status == 0
    assert is_red("a.colorized.png")
    photograph("album/b.png")
    assert run("album", "-o", "out/").status == 0
    assert is_red("out/b.png")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["help"], "Usage: tintype COMMAND"),
        (["help", "colorize"], "Usage: tintype colorize"),
        (["help", "study", "serve"], "Usage: tintype study serve"),
        (["-V"], "0.1.0"),
    ],
)
def test_help_and_the_version_are_found(run: Any, words: list[str], said: str) -> None:
    result = run(*words)
    assert result.status == 0
    assert said in result.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["colorize", "a.png", "--vividnes", "1"], "tintype colorize --help"),
        (["colorize"], "tintype colorize --help"),
        (["study", "serve", "--odd"], "tintype study serve --help"),
        (["nonsense"], "tintype --help"),
    ],
)
def test_wrong_usage_names_the_commands_own_help(run: Any, words: list[str], named: str) -> None:
    result = run(*words)
    assert result.status == 2
    assert result.err.endswith(f"See: {named}\n")


def test_a_folder_ends_with_a_summary(run: Any) -> None:
    for name in ("a.png", "b.png", "a.colorized.png"):
        photograph(Path("album", name))
    Path("album/c.png").write_bytes(b"no picture")
    Path("album/d.pdf").touch()
    result = run("colorize", "album", "-o", "out/")
    expected = "tintype: 2 coloured, in out/; 1 failed; 1 skipped; 1 left out"
    assert result.err.splitlines()[-1] == expected
    assert run("colorize", "album/a.png", "-o", "one.png").err == ""


def test_a_second_run_without_skip_existing_names_it_once(run: Any) -> None:
    for name in ("a.png", "b.png", "c.png"):
        photograph(Path("album", name))
    run("colorize", "album/a.png", "album/b.png", "-o", "out/")
    result = run("colorize", "album", "-o", "out/")
    assert result.status == 1
    lines = result.err.splitlines()
    assert "2 of 3 photographs have their results already: --skip-existing" in lines[0]
    assert lines[1] == "tintype: 1 coloured, in out/; 2 failed"
    assert len(lines) == 2
    assert "--skip-existing" in run("colorize", "album/a.png", "-o", "out/").err


def test_an_interruption_says_how_many_are_done(run: Any, monkeypatch: Any) -> None:
    colorize = Painter.colorize

    def interrupted(self: Painter, photo: Photo, options: Any, **more: Any) -> Photo:
        if photo.path and photo.path.name == "b.png":
            raise KeyboardInterrupt
        return colorize(self, photo, options, **more)

    monkeypatch.setattr(Painter, "colorize", interrupted)
    for name in ("a.png", "b.png", "c.png"):
        photograph(Path("album", name))
    result = run("colorize", "album", "-o", "out/")
    assert result.status == 130
    assert result.err.splitlines() == [
        "tintype: 1 of 3 photographs are coloured; go on with --skip-existing",
        "tintype: interrupted",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["albmu/", "-o", "out/"],
        ["albmu/*.jpg", "-o", "out/"],
        ["albmu/a.jpg", "-o", "out/deep/"],
        ["https://example.org/a.jpg"],
        ["https://example.org/a.jpg", "-o", "out/"],
        ["a.png", "-o", "https://example.org/a.png"],
        ["a.png", "-o", "ftp://example.org/album/"],
        ["bad.png", "-o", "out/"],
        ["bad.png", "-o", "out/", "--compare", "--save-settings"],
    ],
)
def test_nothing_is_made_before_a_photograph_is_open(run: Any, words: list[str]) -> None:
    photograph("a.png")
    Path("bad.png").write_bytes(b"no picture")
    before = sorted(Path().rglob("*"))
    result = run("colorize", *words)
    assert result.status in (1, 2)
    assert result.err.startswith("tintype: ")
    assert "bug" not in result.err
    assert sorted(Path().rglob("*")) == before


def test_control_characters_in_names_reach_no_terminal(run: Any, monkeypatch: Any) -> None:
    names = ["\x1b]0;owned\x07.png", "two\nlines.png", "\u202egnp.png", os.fsdecode(b"\xff.png")]
    for name in names:
        Path(name).write_bytes(b"no picture")
    photograph("\x1b[2Jgood.png")
    for watched in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda watched=watched: watched)
        result = run("colorize", ".", "--overwrite")
        assert result.status == 1
        said = result.err.replace("\r", "").replace("\x1b[K", "")  # the bar's own
        assert not [c for c in said if c != "\n" and not c.isprintable()]
        assert "\\x1b]0;owned" in said
    result = run("colorize", "\x1b[2Jmissing.png", "--odd\x1b[2J")
    assert "\x1b" not in result.err


def test_only_what_lies_beside_its_photograph_is_ours(run: Any) -> None:
    for name in ("a.jpg", "a.compare.jpg", "own.compare.jpg", "x.samples.png", "x.sample-3.png"):
        photograph(Path("album", name))
    taken = ["a.compare.jpg", "a.jpg", "own.compare.jpg", "x.sample-3.png", "x.samples.png"]
    names = [item.path.name for item in find_photos(["album"]).photos if item.path]
    assert names == taken
    assert run("colorize", "album/a.jpg", "--compare", "--no-mark", "--overwrite").status == 0
    inputs = find_photos(["album"])
    names = [item.path.name for item in inputs.photos if item.path]
    assert names == taken[1:]
    assert [item.input for item in inputs.skipped] == [
        "album/a.colorized.jpg",
        "album/a.compare.jpg",
    ]
    assert "by its name" in inputs.skipped[0].reason


def test_linked_folders_are_followed_once(run: Any, tmp_path: Path) -> None:
    photograph("elsewhere/far.png")
    photograph("album/near.png")
    Path("album/link").symlink_to(tmp_path / "elsewhere")
    Path("album/circle").symlink_to(tmp_path / "album")
    Path("elsewhere/back").symlink_to(tmp_path / "album")
    inputs = find_photos(["album"], recursive=True)
    assert [str(item.path) for item in inputs.photos] == ["album/link/far.png", "album/near.png"]
    assert {item.input for item in inputs.skipped} == {"album/circle", "album/link/back"}
    assert run("colorize", "album", "-r", "-o", "album/link/out").status == 0
    assert run("colorize", "album", "-r", "-o", "album/link/out", "--overwrite").status == 0
    assert [name for name in files() if "out" in name] == [
        "elsewhere/out/link/far.png",
        "elsewhere/out/near.png",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(3000, 2000), (40_000, 3), (3, 40_000), (2, 1)])
@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_a_comparison_is_bounded_and_can_be_written(
    run: Any, size: tuple[int, int], format: str
) -> None:
    if format == "webp" and max(size) > 16383:
        format = "png"
    photograph(f"a.{format}", size)
    assert run("colorize", f"a.{format}", "--compare").status == 0
    with Image.open(f"a.compare.{format}") as image:
        assert image.width * image.height <= 8_100_000
        assert max(image.size) <= 16_000
        assert np.asarray(image.convert("RGB"))[:, -1].mean() < 100  # red is darker than gray


WRITER = """
import sys, time
from pathlib import Path
from tintype.photo.write import atomic
with atomic(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there are no kills here")
def test_a_later_run_removes_what_a_killed_one_left_and_nothing_else(run: Any) -> None:
    photograph("a.png")
    others = [".tintype-mine.tmp", ".tintype-0123456789abcdef.tmp.txt", "tintype.tmp"]
    for name in others:
        Path(name).touch()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, "b.png"], stdout=subprocess.PIPE, env=environment
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == b"writing\n"
    writers[0].kill()
    writers[0].wait()
    assert len(list(Path().glob(".tintype-????????????????.tmp"))) == 2
    run("colorize", "a.png")
    alive = list(Path().glob(".tintype-????????????????.tmp"))
    assert len(alive) == 1
    assert all(map(os.path.exists, others))
    writers[1].kill()
    writers[1].wait()
    run("colorize", "a.png", "--overwrite")
    assert not alive[0].exists()
    for writer in writers:
        assert writer.stdout
        writer.stdout.close()


def test_what_this_process_is_writing_is_no_leftover(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.txt") as file:
        file.write(b"whole")
        remove_leftovers(tmp_path)
        started = time.monotonic()
        remove_leftovers(tmp_path / "nowhere")
        assert time.monotonic() - started < 1
    assert (tmp_path / "a.txt").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_there_are_never_more_threads_than_cores() -> None:
    assert Colorizer("tint", threads=1000).threads == cores()
    assert Colorizer("tint", threads=1).threads == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_photograph_becomes_a_pillow_image(dtype: Any) -> None:
    rgb = np.arange(60, dtype=dtype).reshape(4, 5, 3) * (1 if dtype == np.uint8 else 1000)
    image = Photo.from_array(rgb).to_pil()
    assert (image.mode, image.size) == ("RGB", (5, 4))
    assert np.array_equal(np.asarray(image), rgb if dtype == np.uint8 else rgb >> 8)


@pytest.mark.parametrize("command", ["evaluate", "score", "studio"])
def test_standard_input_is_not_ignored_where_it_is_not_read(run: Any, command: str) -> None:
    result = run(command, "--", "-")
    assert result.status == 2
    assert f"{command} reads files and folders, not standard input" in result.err


def test_the_doctor_names_the_extras(run: Any, monkeypatch: Any) -> None:
    extras = run("doctor", "--json").json["extras"]
    project = (ROOT / "pyproject.toml").read_text()
    _, _, optional = project.partition("\n[project.optional-dependencies]\n")
    every = set(re.findall(r"^(\w+) = \[", optional.partition("\n[")[0], re.MULTILINE))
    assert extras.keys() == every - {"docs", "dev"}
    assert extras["export"] == []
    from importlib.metadata import PackageNotFoundError

    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", none)
    out = run("doctor").out
    assert "optional, not installed (fastapi" in out
    assert "pip install '.[web]'" in out
