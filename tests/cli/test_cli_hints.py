"""Hints and settings on the command line, with small models that follow hints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.painting import files
from PIL import Image
from tiny_models import chroma_model, models_of_the_command

import tintype
from tintype.color.spaces import rgb_to_lab
from tintype.runtime.registry import WEIGHTS_VARIABLE

BROWN = "#8a3324"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models_of_the_command(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(folder))
    monkeypatch.setattr("tintype.runtime.registry._SHIPPED", folder)


@pytest.fixture
def color(run: Any) -> Callable[..., Any]:
    return lambda *words: run("colorize", *words, "--threads", "1")


def photograph(path: str, size: tuple[int, int] = (160, 120)) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 119).save(path)


def is_brown(path: str, x: int, y: int) -> bool:
    with Image.open(path) as image:
        ab = rgb_to_lab(np.asarray(image.convert("RGB"))[y, x] / 255)[1:]
    return bool(np.abs(ab - rgb_to_lab(np.array((0x8A, 0x33, 0x24)) / 255)[1:]).max() < 6)


def write(path: str, record: Any) -> str:
    Path(path).write_text(json.dumps(record))
    return path


def test_a_hint_colors_its_place(color: Any) -> None:
    photograph("a.png")
    result = color("a.png", "--hint", f"50,60,{BROWN},16", "--hint=120,20,#204080", "--json")
    assert (result.status, result.err) == (0, "")
    assert is_brown("a.colorized.png", 50, 60)
    assert not is_brown("a.colorized.png", 120, 20)
    assert not is_brown("a.colorized.png", 120, 100)
    assert result.json["photos"][0]["hints"] == [
        {"x": 50, "y": 60, "color": BROWN, "radius": 16},
        {"x": 120, "y": 20, "color": "#204080"},
    ]
    assert (result.json["warmth"], result.json["sample"]) == (0.0, None)


@pytest.mark.parametrize(
    "words",
    ["", "1,2", "1,2,red", "x,2,#8a3324", "1,2,#8a3324,0", "1,2,#8a3324,5,6", "nan,2,#8a3324"],
)
def test_what_is_no_hint_is_wrong_usage(color: Any, words: str) -> None:
    photograph("a.png")
    result = color("a.png", f"--hint={words}")
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    assert files() == ["a.png"]


def test_a_hint_is_for_one_photograph_and_a_model_that_takes_it(color: Any) -> None:
    photograph("a.png")
    photograph("b.png")
    result = color("a.png", "b.png", "--hint", f"1,1,{BROWN}")
    assert result.status == 2
    assert "--hints" in result.err
    result = color("a.png", "--hint", f"1,1,{BROWN}", "-m", "plain")
    assert result.status == 2
    assert "plain.small takes no hints; tint.small or tint_sampler.small does" in result.err
    write("hints.json", {})
    assert color("a.png", "--hint", f"1,1,{BROWN}", "--hints", "hints.json").status == 2
    assert files() == ["a.png", "b.png", "hints.json"]


def test_a_hint_outside_ends_no_other_photograph(color: Any) -> None:
    photograph("album/a.png")
    photograph("album/b.png", (80, 60))
    places = [{"x": 120, "y": 20, "color": BROWN, "radius": 16}]
    write("hints.json", {"a.png": places, "b.png": places})
    result = color("album", "--hints", "hints.json", "--json")
    assert result.status == 1
    (failed,) = result.json["failed"]
    assert (failed["input"], failed["error_class"]) == ("album/b.png", "HintError")
    assert "outside the photograph" in failed["error"]
    assert is_brown("album/a.colorized.png", 120, 20)


def test_hints_go_to_the_photographs_they_name(color: Any) -> None:
    photograph("album/a.png")
    photograph("album/sub/a.png")
    photograph("grandmère.png")
    places = [{"x": 50, "y": 60, "color": BROWN, "radius": 16}]
    write("hints.json", {"sub/a.png": places, "grandmère.png": places, "gone\n.png": places})
    result = color("album", "grandmère.png", "-r", "-o", "out", "--hints", "hints.json", "--json")
    assert result.status == 0
    (line,) = result.err.splitlines()
    assert "'gone\\n.png': no photograph of that name" in line
    assert [one["input"] for one in result.json["skipped"]] == ["'gone\\n.png'"]
    brown = {path for path in files() if path.startswith("out") and is_brown(path, 50, 60)}
    assert brown == {"out/sub/a.png", "out/grandmère.png"}


def test_a_name_that_two_photographs_have_is_not_guessed(color: Any) -> None:
    for folder in "xy":
        photograph(f"{folder}/a.png")
    places = [{"x": 50, "y": 60, "color": BROWN, "radius": 16}]
    write("hints.json", {"a.png": places})
    result = color("x/a.png", "y/a.png", "--hints", "hints.json")
    assert result.status == 1
    assert "give its whole path" in result.err
    write("hints.json", {"y/a.png": places})
    assert color("x/a.png", "y/a.png", "--hints", "hints.json").status == 0
    assert not is_brown("x/a.colorized.png", 50, 60)
    assert is_brown("y/a.colorized.png", 50, 60)


def test_a_color_out_of_gamut_is_noted(color: Any) -> None:
    Image.new("L", (160, 120), 245).save("a.png")
    result = color("a.png", "--hint", "50,60,#0000ff", "--json")
    assert result.status == 0
    assert "the hint #0000ff at 50,60 is too strong" in result.err
    assert "too strong" in result.json["photos"][0]["notes"][0]


def test_settings_make_the_same_bytes(color: Any) -> None:
    photograph("a.png")
    words = ("--hint", f"50,60,{BROWN}", "--vividness", "0.31", "--warmth", "-0.4")
    result = color("a.png", "--save-settings", *words, "--json")
    assert (result.status, files()) == (0, ["a.colorized.png", "a.png", "a.tintype.json"])
    assert result.json["photos"][0]["settings"] == "a.tintype.json"
    record = json.loads(Path("a.tintype.json").read_text())
    assert record["tintype"] == tintype.__version__
    assert (record["model"], record["sample"]) == ("tint.small", None)
    assert set(record["files"]) == {"tint.small.onnx", "tint.small.decode.onnx"}
    assert record["options"] == {
        "saturation": 1.0,
        "warmth": -0.4,
        "enlarge": "guided",
        "vividness": 0.31,
        "mark": True,
    }
    assert record["hints"] == [{"x": 50, "y": 60, "color": BROWN}]
    first = Path("a.colorized.png").read_bytes()
    assert color("a.png", "--settings", "a.tintype.json", "-o", "b.png").status == 0
    assert Path("b.png").read_bytes() == first
    for other in (("--warmth", "0"), ("--hint", "50,60,#204080"), ("--vividness", "0.9")):
        result = color(
            "a.png", "--settings", "a.tintype.json", *other, "--overwrite", "-o", "b.png"
        )
        assert result.status == 0
        assert Path("b.png").read_bytes() != first


def test_each_sample_can_be_made_again_alone(color: Any) -> None:
    photograph("a.png")
    result = color("a.png", "--samples", "3", "--seed", "5", "--save-settings", "--json")
    assert result.status == 0
    names = {f"a.sample-{k}.{end}" for k in (1, 2, 3) for end in ("png", "tintype.json")}
    assert set(files()) == {"a.png", "a.samples.png", *names}
    assert {one["settings"] for one in result.json["photos"][0]["samples"]} < names
    for k in (1, 2, 3):
        made = Path(f"a.sample-{k}.png").read_bytes()
        assert json.loads(Path(f"a.sample-{k}.tintype.json").read_text())["sample"] == k
        words = ("--settings", f"a.sample-{k}.tintype.json", "-o", f"again-{k}.png")
        assert color("a.png", *words).status == 0
        assert Path(f"again-{k}.png").read_bytes() == made
        assert color("a.png", "--sample", k, "--seed", 5, "-o", f"alone-{k}.png").status == 0
        assert Path(f"alone-{k}.png").read_bytes() == made


def test_settings_of_another_model_are_refused(
    color: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph("a.png")
    assert color("a.png", "--save-settings").status == 0
    (tmp_path / "other").mkdir()
    card = chroma_model(tmp_path / "other", "tint.small")
    for words in ((), ("-m", card.path)):
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "other"))
        result = color("a.png", "--settings", "a.tintype.json", *words, "-o", "b.png", "--json")
        assert result.status in (1, 2)
        assert len(result.err.splitlines()) == 1
    record = json.loads(Path("a.tintype.json").read_text())
    record["options"] = {}
    write("a.tintype.json", record)
    result = color("a.png", "--settings", "a.tintype.json", "-o", "b.png", "--json")
    assert result.status == 1
    assert "the checksum of tint.small" in result.err
    assert result.json["error_class"] == "SettingError"
    # Another model on the command line is what was asked for.
    assert color("a.png", "--settings", "a.tintype.json", "-m", "plain", "-o", "b.png").status == 0
    write("a.tintype.json", {**record, "files": {}, "tintype": "0.0.1"})
    result = color("a.png", "--settings", "a.tintype.json", "-o", "c.png")
    assert result.status == 0
    assert "tintype 0.0.1 made the settings" in result.err


def test_hints_in_settings_are_for_one_photograph(color: Any) -> None:
    photograph("a.png")
    photograph("b.png")
    color("a.png", "--save-settings", "--hint", f"5,5,{BROWN}", "-o", "one.png")
    assert color("a.png", "b.png", "--settings", "one.tintype.json").status == 2
    color("a.png", "--save-settings", "-o", "two.png")
    assert color("a.png", "b.png", "--settings", "two.tintype.json").status == 0


def test_a_folder_of_settings_remakes_an_album(color: Any) -> None:
    for name in "abcdef":
        photograph(f"album/{name}.png")
    assert color("album/a.png", "--save-settings", "--vividness", "0.3", "-o", "best/").status == 0
    words = ("-m", "tint_sampler", "--sample", "2", "--save-settings")
    assert color("album/b.png", *words, "-o", "best/").status == 0
    result = color("album", "--settings", "best", "-o", "again/")
    assert result.status == 0
    without = "album/c.png, album/d.png, album/e.png and 1 more"
    assert result.err.splitlines() == [
        f"tintype: 4 of 6 photographs skipped, without settings in best: {without}",
        "tintype: 2 coloured, in again/; 4 skipped",
    ]
    for name in ("a.png", "b.png"):
        assert Path("again", name).read_bytes() == Path("best", name).read_bytes()


def test_a_folder_without_settings_for_any_photograph_is_an_error(color: Any) -> None:
    photograph("a.png")
    Path("best").mkdir()
    result = color("a.png", "--settings", "best", "-o", "again/")
    assert result.status == 1
    assert "best has settings for none of these photographs (a.png)" in result.err
    assert not Path("again").exists()


def test_the_settings_of_a_chosen_sample_serve_from_a_folder(color: Any) -> None:
    photograph("a.png")
    assert color("a.png", "--samples", "3", "--save-settings", "-o", "best/").status == 0
    result = color("a.png", "--settings", "best", "-o", "again/")
    assert result.status == 1
    assert "a.png has settings of 3 samples in best" in result.err
    assert "--settings best/a.sample-1.tintype.json" in result.err
    for k in (1, 3):
        Path(f"best/a.sample-{k}.tintype.json").unlink()
    result = color("a.png", "--settings", "best", "-o", "again/")
    assert (result.status, result.err) == (
        0,
        "tintype: a.png is made by best/a.sample-2.tintype.json\n",
    )
    assert Path("again/a.png").read_bytes() == Path("best/a.sample-2.png").read_bytes()


def test_settings_of_subfolders_are_found_there(color: Any) -> None:
    for folder in ("album", "album/sub"):
        photograph(f"{folder}/a.png")
    words = ("album", "-r", "-o", "best/", "--save-settings")
    assert color(*words, "--vividness", "0.3").status == 0
    assert color("album", "-r", "--settings", "best/", "-o", "again/").status == 0
    assert Path("again/sub/a.png").read_bytes() == Path("best/sub/a.png").read_bytes()


def test_settings_that_do_not_serve_end_no_other_photograph(color: Any) -> None:
    for name in "abc":
        photograph(f"{name}.png")
    assert color("a.png", "--save-settings", "-o", "best/").status == 0
    assert color("b.png", "--sample", "2", "--save-settings", "-o", "best/").status == 0
    Path("best/c.tintype.json").write_text("{}")
    words = ("--settings", "best", "--vividness", "0.2", "-o", "again/", "--results", "lines.jsonl")
    result = color("a.png", "b.png", "c.png", *words, "--json")
    assert result.status == 1
    assert "c.png: best/c.tintype.json holds no settings" in result.err
    assert (
        "tintype: b.png: tint_sampler.small draws its colors: it takes no vividness; "
        "give temperature or saturation instead" in result.err
    )
    assert [one["input"] for one in result.json["failed"]] == ["c.png", "b.png"]
    assert Path("again/a.png").exists()
    lines = [json.loads(line) for line in Path("lines.jsonl").read_text().splitlines()]
    models = {line["source"]: line["model"] for line in lines}
    assert models == {"a.png": "tint.small", "b.png": None, "c.png": None}


def test_settings_tell_another_scan(color: Any) -> None:
    photograph("a.png")
    assert color("a.png", "--save-settings").status == 0
    assert set(json.loads(Path("a.tintype.json").read_text())["libraries"]) >= {"numpy"}
    photograph("a.png", (120, 120))
    result = color("a.png", "--settings", "a.tintype.json", "-o", "b.png")
    assert result.status == 0
    assert "a.png is not the scan that the settings were made from: the result will differ" in (
        result.err
    )
    assert "give the scan itself" in result.err


def test_coloured_pictures_in_place_of_scans_are_noted_once(color: Any) -> None:
    for name in "ab":
        photograph(f"album/{name}.png")
    assert color("album", "-o", "best/", "--save-settings").status == 0
    result = color("best", "--settings", "best", "-o", "again/")
    assert result.status == 0
    assert result.err.count("not the scans") == 1
    assert "2 of 2 photographs" in result.err
    assert "give the scans themselves, not coloured copies" in result.err


def test_settings_are_replaced_only_when_told_and_with_their_result(color: Any) -> None:
    photograph("a.png")
    Path("a.tintype.json").write_text("mine")
    result = color("a.png", "--save-settings")
    assert result.status == 1
    assert "a.tintype.json exists" in result.err
    assert files() == ["a.png", "a.tintype.json"]
    assert color("a.png", "--save-settings", "--overwrite", "--warmth", "1").status == 0
    before = Path("a.tintype.json").read_text()
    assert color("a.png", "--save-settings", "--skip-existing").status == 0
    assert Path("a.tintype.json").read_text() == before
    Path("a.colorized.png").unlink()
    assert color("a.png", "--save-settings", "--skip-existing").status == 0
    assert json.loads(Path("a.tintype.json").read_text())["options"]["warmth"] == 0
    assert color("*", "--overwrite").status == 0  # settings are no photographs
    assert color(*files(), "--overwrite").status == 0
    assert color("a.png", "-o", "-", "--save-settings").status == 2
    photograph("a.bmp")
    assert color("a.png", "a.bmp", "--save-settings").status == 2


_HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"\x89PNG",
    "no table": b"[]",
    "null": b"null",
    "nested": b"[" * 100_000,
    "nested tables": b'{"a":' * 100_000,
    "large": b" " * (17 << 20),
    "NaN": b'{"a.png": [{"x": NaN, "y": 1, "color": "#8a3324"}], "options": NaN}',
    "infinite": b'{"a.png": [{"x": 1e999, "y": 1, "color": "#8a3324"}], "model": 1e999}',
    "digits": b'{"a.png": [{"x": 1' + b"0" * 4000 + b', "y": 1, "color": "#8a3324"}]}',
    "more digits": b'{"a.png": 1' + b"0" * 9000 + b"}",
    "surrogate": b'{"a.png": [{"x": 1, "y": 1, "color": "\\ud800"}], "model": "\\udc80.x"}',
    "surrogate key": b'{"a.png": [{"x": 1, "y": 1, "color": "#8a3324", "\\ud800": 1}]}',
    "words": b'{"a.png": "red", "model": "tint.small", "options": "none"}',
    "table": b'{"a.png": {"x": 1}, "model": {"a": 1}}',
    "not UTF-8": b'{"a.png": "\xff"}',
}
_SETTINGS: dict[str, Any] = {
    "model path": {"model": "../tint.small"},
    "model card": {"model": "tint.json"},
    "newline": {"model": "tint.small\n"},
    "option": {"options": {"vividnes": 1}},
    "long option": {"options": {"\ud800" * 5000: 1}},
    "kind": {"options": {"vividness": "1"}},
    "list": {"options": {"enlarge": ["guided"]}},
    "true": {"options": {"saturation": True}},
    "huge": {"options": {"saturation": 10**400}},
    "seed": {"model": "tint_sampler.small", "options": {"seed": -1}},
    "sample": {"model": "tint_sampler.small", "sample": 0},
    "sample of tint": {"sample": 1},
    "files": {"files": {"tint.small.onnx": 5}},
    "files list": {"files": []},
    "hints": {"hints": [1]},
    "hint": {"hints": [{"x": "1", "y": 2, "color": BROWN}]},
    "more": {"more\x1b[31m": 1},
}


@pytest.mark.parametrize("option", ["--hints", "--settings"])
@pytest.mark.parametrize("content", _HOSTILE.values(), ids=_HOSTILE)
def test_hostile_files_are_one_line(color: Any, option: str, content: bytes) -> None:
    photograph("a.png")
    Path("hostile.json").write_bytes(content)
    _refused(color, option)


@pytest.mark.parametrize("change", _SETTINGS.values(), ids=_SETTINGS)
def test_hostile_settings_are_one_line(color: Any, change: dict[str, Any]) -> None:
    photograph("a.png")
    write("hostile.json", {"model": "tint.small", **change})
    _refused(color, "--settings")


@pytest.mark.parametrize("option", ["--hints", "--settings"])
def test_files_that_cannot_be_read_are_one_line(color: Any, option: str) -> None:
    photograph("a.png")
    assert "cannot be read" in _refused(color, option, "missing.json")
    folder = "cannot be read" if option == "--hints" else "settings for none"
    assert folder in _refused(color, option, ".")


def _refused(color: Any, option: str, name: str = "hostile.json") -> str:
    before = files()
    result = color("a.png", option, name)
    assert result.status in (1, 2)
    assert len(result.err.splitlines()) == 1
    assert len(result.err) < 600
    assert "bug" not in result.err
    assert "\x1b" not in result.err
    assert files() == before
    return result.err
