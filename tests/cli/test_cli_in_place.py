"""What --in-place replaces, and what it refuses because it could not be had again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.painting import files, is_red, photograph
from PIL import Image

pytestmark = pytest.mark.usefixtures("painter")


def test_in_place_replaces_the_photograph(run: Any) -> None:
    photograph("a.png")
    assert run("colorize", "a.png", "--in-place").status == 0
    assert files() == ["a.png"]
    assert is_red("a.png")


def test_in_place_gives_up_the_photographs_and_nothing_else(run: Any) -> None:
    photograph("a.png")
    Path("a.compare.png").write_text("precious")
    assert run("colorize", "a.png", "--in-place", "--compare").status == 1
    assert not is_red("a.png")
    assert Path("a.compare.png").read_text() == "precious"


def colour_photograph(path: str) -> None:
    """Pixels of every hue, on disk."""
    hues = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(hues).save(path)


def sepia_print(path: str) -> None:
    """Grays with a brown cast, on disk."""
    gray = np.linspace(130, 210, 32 * 32).reshape(32, 32, 1)
    Image.fromarray((gray + np.array([30, 8, -25])).astype(np.uint8)).save(path)


def test_a_photograph_in_colour_is_coloured_anew_and_that_is_said(run: Any) -> None:
    colour_photograph("a.png")
    result = run("colorize", "a.png", "--json")
    assert result.status == 0
    note = "was in colour: its own colours were replaced"
    assert result.err == f"tintype: a.png: {note}\n"
    (done,) = result.json["photos"]
    assert (done["kind"], done["notes"]) == ("color", [note])


def test_in_place_destroys_no_colours(run: Any) -> None:
    colour_photograph("a.png")
    photograph("b.png")
    sepia_print("c.png")
    before = Path("a.png").read_bytes()
    result = run("colorize", "a.png", "b.png", "c.png", "--in-place")
    assert result.status == 1
    assert "a.png is in colour" in result.err
    assert "leave out --in-place" in result.err
    assert Path("a.png").read_bytes() == before
    assert is_red("b.png")
    assert is_red("c.png")


def test_in_place_destroys_nothing_else_that_is_not_written_back(run: Any) -> None:
    pages = b"MPF\0" + bytes(20)
    Image.new("L", (8, 6), 200).save("a.jpg", extra=b"\xff\xe2\0" + bytes([len(pages) + 2]) + pages)
    before = Path("a.jpg").read_bytes()
    result = run("colorize", "a.jpg", "--in-place")
    assert result.status == 1
    assert "more pictures than one" in result.err
    assert "leave out --in-place" in result.err
    assert Path("a.jpg").read_bytes() == before


BROKEN = Path(__file__).parents[1] / "photo" / "broken"


def test_in_place_replaces_no_raw_file_pages_or_further_channels(run: Any) -> None:
    picture = Image.new("L", (8, 6), 200)
    picture.save("pages.tif", save_all=True, append_images=[picture])
    picture.save("raw.nef", format="TIFF")
    Path("preview.tif").write_bytes((BROKEN / "bug_nef.tif").read_bytes())
    picture.save("whole.png")
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:-14])
    names = ["pages.tif", "raw.nef", "preview.tif", "cut.png"]
    before = [Path(name).read_bytes() for name in names]
    result = run("colorize", *names, "whole.png", "--in-place")
    assert result.status == 1
    lines = result.err.splitlines()
    for line, name in zip(lines[:4], names, strict=True):
        assert line.startswith(f"tintype: {name} holds more than would be written back (")
    assert "2 pages" in lines[0]
    assert "raw camera file" in lines[1]
    assert "raw camera file" in lines[2]
    assert "damaged" in lines[3]
    assert [Path(name).read_bytes() for name in names] == before
    assert is_red("whole.png")


def test_a_gif_becomes_a_png_and_is_not_replaced(run: Any) -> None:
    photograph("a.gif")
    photograph("album/b.gif")
    before = Path("a.gif").read_bytes()
    assert "a GIF is written as PNG" in run("colorize", "a.gif", "album").err
    assert is_red("a.colorized.png")
    assert is_red("album/b.colorized.png")
    assert run("colorize", "a.gif", "album", "-o", "out").status == 0
    assert is_red("out/a.png")
    assert run("colorize", "a.gif", "--in-place").status == 1
    assert Path("a.gif").read_bytes() == before
    assert run("colorize", "a.gif", "-o", "b.gif").status == 2


def test_a_page_can_be_named_and_damage_can_be_refused(run: Any) -> None:
    first, second = Image.new("L", (8, 6), 20), Image.new("L", (8, 6), 200)
    first.save("a.tif", save_all=True, append_images=[second])
    second.save("b.png")
    Path("b.png").write_bytes(Path("b.png").read_bytes()[:-14])
    assert run("colorize", "a.tif", "--page", "2").status == 0
    assert is_red("a.colorized.tif")
    assert "has no page 3" in run("colorize", "a.tif", "--page", "3", "--overwrite").err
    assert run("colorize", "b.png", "--strict").status == 1
    result = run("colorize", "b.png")
    assert result.status == 0
    assert "damaged" in result.err


def test_the_comparison_shows_a_toned_print_in_its_tone(run: Any) -> None:
    sepia_print("a.png")
    run("colorize", "a.png", "--compare")
    with Image.open("a.png") as scan, Image.open("a.compare.png") as both:
        assert np.array_equal(np.asarray(both)[:, :32], np.asarray(scan))
