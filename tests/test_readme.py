"""The README can be run: its commands and its Python do what they say."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tintype.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a photo.jpg and an album, as the README has them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    for name in ("photo.jpg", "album/one.jpg", "album/two.jpg"):
        with Image.open(ROOT / "examples" / "cat.jpg") as image:
            image.reduce(3).save(tmp_path / name)
    return tmp_path


def test_commands_run_as_written(here, capsys):
    commands = [line for line in blocks("sh")[0].splitlines() if line]
    assert len(commands) == 5
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[0] == "tintype"
        assert main(words[1:]) == 0, command
    made = {str(p.relative_to(here)) for p in here.rglob("*.jpg")}
    assert {"photo.colorized.jpg", "safe.jpg", "coloured/one.jpg", "coloured/two.jpg"} <= made
    assert "coloured/one.compare.jpg" in made
    assert "tint.small" in capsys.readouterr().out


def test_library_lines_run_as_written(here):
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    rgb = np.asarray(Image.open(here / "coloured.jpg").convert("RGB")).astype(int)
    assert np.abs(rgb[..., 0] - rgb[..., 2]).mean() > 2  # in colour indeed


def test_files_it_links_to_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_targets_it_names_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"^    make (\w+)", README, re.MULTILINE)
    assert named == ["demo", "test"]
    assert set(named) <= set(targets)
    assert re.findall(r"make (\w+)", (ROOT / ".ci" / "run").read_text())[-1] == "test"
