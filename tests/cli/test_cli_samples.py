"""``tintype colorize --samples`` and ``tintype score``, with a sampler in the colorizer's place."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli.painting import Painter, files, photograph
from PIL import Image

from tintype.errors import PhotoError
from tintype.photo import Photo
from tintype.runtime.colorizer import Sample, Score
from tintype.runtime.options import Options


class Several(Painter):
    """Paints every sample in another shade of red; the second drawn is the likeliest."""

    card = SimpleNamespace(
        name="tint_sampler.test",
        kind="sampler",
        space="ycbcr",
        options={"temperature": 0.8},
        normalise=False,
        enlarge="guided",
        filter=None,
        has="refine".__eq__,
    )

    def __init__(self, model: str, *_: object) -> None:
        assert model == "tint_sampler"

    def sample(self, photo: Photo, count: int, options: Options, *, hints: Any = ()) -> Any:
        assert not hints
        self.asked.append((count, options))
        for number in [2, 1, *range(3, count + 1)][:count]:
            rgb = np.repeat(photo.gray[..., None], 3, axis=2)
            rgb[..., 0] = 40 * number
            yield Sample(photo.with_rgb(rgb), number, -10.0 * number, 1.25)

    def score(self, path: str, luminance: str | None = None) -> Score:
        with Image.open(path) as image:
            if image.mode != "RGB":
                raise PhotoError(f"{path} has no colours of its own: give a photograph in colour")
        assert luminance != path
        if luminance is not None:
            return Score(5.0, (5.0, 5.0), -200.0, 200)
        return Score(1.375, (1.25, 1.5), -100.0, 200)


@pytest.fixture(autouse=True)
def several(painter: type[Painter], monkeypatch: pytest.MonkeyPatch) -> type[Several]:
    Several.install(monkeypatch)
    return Several


def red_of(file: str) -> int:
    with Image.open(file) as image:
        return int(np.asarray(image)[..., 0].max())


def test_each_sample_is_a_file_of_its_number_and_a_sheet_shows_all(run: Any) -> None:
    photograph("a.png", (80, 60))
    result = run("colorize", "a.png", "--samples", "3")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert files() == ["a.png", *(f"a.sample-{k}.png" for k in (1, 2, 3)), "a.samples.png"]
    assert [red_of(f"a.sample-{k}.png") for k in (1, 2, 3)] == [40, 80, 120]
    with Image.open("a.samples.png") as sheet:
        assert sheet.size[0] > 2 * 80
        assert sheet.size[1] > 2 * 60


def test_the_options_reach_the_sampler_and_the_figures_the_report(run: Any) -> None:
    photograph("a.png")
    result = run(
        *("colorize", "a.png", "--samples", "2", "--json"),
        *("--seed", "7", "--temperature", "0.5", "--saturation", "1.5", "--no-refine"),
    )
    held = Options(seed=7, sample=1, temperature=0.5, saturation=1.5, refine=False)
    assert Several.asked == [(2, held)]
    assert {name: result.json[name] for name in asdict(held)} == asdict(held)
    assert result.json["model"] == "tint_sampler.test"
    entry = result.json["photos"][0]
    assert entry["sheet"] == "a.samples.png"
    assert entry["samples"][0] == {
        "output": "a.sample-2.png",  # the likeliest comes first
        "number": 2,
        "nats": -20.0,
        "bits": 1.25,
    }


def test_results_of_samples_are_no_photographs_of_their_own(run: Any) -> None:
    photograph("album/a.png")
    run("colorize", "album", "--samples", "2")
    before = files()
    result = run("colorize", "album", "--samples", "2", "--skip-existing")
    assert (result.status, files()) == (0, before)
    assert len(before) == 4
    result = run("colorize", "album", "--samples", "3", "--skip-existing")
    assert (result.status, files()) == (0, before)  # the sheet shows those that were made


def test_an_existing_sample_is_not_replaced_unasked(run: Any) -> None:
    photograph("a.png")
    Path("a.sample-2.png").write_bytes(b"mine")
    result = run("colorize", "a.png", "--samples", "2")
    assert result.status == 1
    assert "a.sample-2.png" in result.err
    assert files() == ["a.png", "a.sample-2.png"]
    assert run("colorize", "a.png", "--samples", "2", "--overwrite").status == 0


@pytest.mark.parametrize("option", ["--compare", "--in-place", "--sample=1"])
def test_what_does_not_go_with_samples_is_wrong_usage(run: Any, option: str) -> None:
    photograph("a.png")
    assert run("colorize", "a.png", "--samples", "2", option).status == 2


def test_several_pictures_do_not_fit_into_standard_output(run: Any) -> None:
    photograph("a.png")
    result = run("colorize", "a.png", "--samples", "2", "-o", "-")
    assert result.status == 2
    assert "--output" in result.err


def test_a_model_that_does_not_sample_is_wrong_usage(
    run: Any, painter: type[Painter], monkeypatch: pytest.MonkeyPatch
) -> None:
    Painter.install(monkeypatch)
    photograph("a.png")
    for words in (("colorize", "a.png", "--samples", "2"), ("score", "a.png")):
        result = run(*words, "-m", "tint")
        assert result.status == 2
        assert "tint_sampler" in result.err


def test_scores_are_printed_with_their_mean(run: Any) -> None:
    Image.new("RGB", (8, 6), (200, 100, 50)).save("a.png")
    Image.new("RGB", (8, 6), (20, 100, 50)).save("b.png")
    result = run("score", "a.png", "b.png")
    assert result.status == 0
    assert result.out.split()[:6] == ["PHOTOGRAPH", "BITS", "BITS", "CB", "BITS", "CR"]
    assert ["a.png", "1.375", "1.250", "1.500"] in [x.split() for x in result.out.splitlines()]
    assert result.out.splitlines()[-1].split() == ["mean", "1.375", "1.250", "1.500"]


def test_shuffled_luminance_is_that_of_another_photograph(run: Any) -> None:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (8, 6), (200, 100, 50)).save(name)
    result = run("score", "a.png", "b.png", "c.png", "--shuffle-luminance", "--json")
    assert [entry["bits"] for entry in result.json["photos"]] == [5.0, 5.0, 5.0]
    result = run("score", "a.png", "--shuffle-luminance")
    assert result.status == 2
    assert "two photographs" in result.err


def test_a_photograph_without_colours_has_no_score(run: Any) -> None:
    Image.new("RGB", (8, 6), (200, 100, 50)).save("a.png")
    photograph("gray.png")
    result = run("score", "a.png", "gray.png", "--json")
    assert result.status == 1
    assert [entry["bits_by_channel"] for entry in result.json["photos"]] == [[1.25, 1.5]]
    assert "no colours" in result.json["failed"][0]["error"]
