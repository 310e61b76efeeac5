"""The results file of a batch: a line a photograph, whatever ends the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.painting import photograph

from tintype.batch.results import doubtful_first, read_results
from tintype.cli import main
from tintype.color.bins import entropy
from tintype.errors import UnwritablePhotoError
from tintype.runtime.registry import find_model

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(path: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def colorize(*words: str) -> int:
    return main(["colorize", "in", "-o", "out", "--results", "out.jsonl", *words])


def test_the_entropy_of_a_certain_place_is_nothing_and_of_an_even_one_that_of_its_bins() -> None:
    bins = np.zeros((1, 4, 1, 2), np.float32)
    bins[0, 1:, 0, 0] = -1e4
    bins[..., 1] -= 7  # a constant does not matter
    assert entropy(bins).ravel().tolist() == pytest.approx([0, 2], abs=1e-6)


def test_each_photograph_has_a_line_with_what_came_of_it() -> None:
    photograph("in/a.png")
    Path("in/b.png").write_bytes(b"no photograph")
    assert colorize() == 1
    first, second = lines()
    card = find_model("tint")
    assert (first["source"], first["result"]) == ("in/a.png", "out/a.png")
    assert (first["model"], first["checksum"]) == (
        card.name,
        f"sha256:{card.files[card.file().name]}",
    )
    assert 0 < first["entropy"] < 8.3
    assert first["error"] is None
    assert first["seconds"] > 0
    assert first["options"]["saturation"] == 1.0
    assert second["result"] is None
    assert "in/b.png" in second["error"]


@pytest.mark.slow
def test_asking_for_the_entropy_changes_no_byte() -> None:
    for name, size in (("a", (8, 6)), ("long", (64, 8))):
        photograph(f"in/{name}.png", size)
    assert main(["colorize", "in", "-o", "plain"]) == 0
    assert colorize() == 0
    for name in ("a.png", "long.png"):
        assert Path("plain", name).read_bytes() == Path("out", name).read_bytes()
    assert all(line["entropy"] > 0 for line in lines())


def test_a_second_run_does_what_is_missing_and_keeps_every_line_once() -> None:
    for name in "ab":
        photograph(f"in/{name}.png")
    Path("in/c.png").write_bytes(b"no photograph")
    assert colorize() == 1
    before = lines()
    # As a run leaves it that is killed behind b's result and before its line.
    content = Path("out.jsonl").read_text().splitlines(keepends=True)
    Path("out.jsonl").write_text(content[0] + content[1][:20])
    photograph("in/c.png")
    assert colorize("--skip-existing") == 0
    found = {line["source"]: line for line in lines()}
    assert len(lines()) == 3
    assert found["in/a.png"] == before[0]
    assert found["in/b.png"]["notes"] == ["out/b.png existed and was kept"]
    assert found["in/c.png"]["error"] is None
    assert colorize("--skip-existing") == 0  # nothing is left to do
    assert len(lines()) == 3


def test_a_results_file_that_exists_is_kept_unless_it_is_given_up(capsys: Any) -> None:
    photograph("in/a.png")
    assert colorize() == 0
    assert colorize() == 1
    assert "--skip-existing" in capsys.readouterr().err
    assert colorize("--overwrite") == 0
    assert len(lines()) == 1


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices")
def test_a_results_file_is_no_device(capsys: Any) -> None:
    photograph("in/a.png")
    assert main(["colorize", "in", "-o", "out", "--results", "/dev/null", "--skip-existing"]) == 1
    assert "is a device or a pipe" in capsys.readouterr().err


def test_a_results_file_is_no_photograph_and_no_other_file(capsys: Any) -> None:
    photograph("in/a.png")
    assert main(["colorize", "in", "-o", "out", "--results", "in/a.png"]) == 2
    Path("out.jsonl").write_text("[1]\n")
    assert colorize("--skip-existing") == 1
    assert "not a results file" in capsys.readouterr().err
    with pytest.raises(UnwritablePhotoError):
        read_results(Path("out.jsonl"))


def test_ctrl_c_leaves_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from tintype.batch.work import Work

    for name in "abc":
        photograph(f"in/{name}.png")
    do = Work.do

    def interrupted(work: Work, task: Any) -> Any:
        if task.name == "in/b.png":
            raise KeyboardInterrupt
        return do(work, task)

    with monkeypatch.context() as patch:
        patch.setattr(Work, "do", interrupted)
        assert colorize() == 130
    assert [line["source"] for line in lines()] == ["in/a.png"]
    assert colorize("--skip-existing") == 0
    assert [line["source"] for line in lines()] == ["in/a.png", "in/b.png", "in/c.png"]


def test_parquet_has_the_same_lines() -> None:
    pytest.importorskip("pyarrow")
    photograph("in/a.png")
    words = ["colorize", "in", "-o", "out", "--results", "out.parquet"]
    assert main(words) == 0
    photograph("in/b.png")
    assert main([*words, "--skip-existing"]) == 0
    found = read_results(Path("out.parquet"))
    assert [line["source"] for line in found] == ["in/a.png", "in/b.png"]
    assert found[1]["options"]["saturation"] == 1.0
    assert not Path("out.parquet.jsonl").exists()


def test_the_lines_that_a_parquet_file_is_made_from_replace_no_file(capsys: Any) -> None:
    pytest.importorskip("pyarrow")
    photograph("in/a.png")
    for name in ("out.parquet.jsonl", ".out.parquet.tmp", ".out.parquet.jsonl.tmp"):
        Path(name).write_text("another's\n")
    words = ["colorize", "in", "-o", "out", "--results", "out.parquet"]
    assert main(words) == 1
    assert "out.parquet.jsonl exists" in capsys.readouterr().err
    assert Path("out.parquet.jsonl").read_text() == "another's\n"
    assert main([*words, "--overwrite"]) == 0
    assert not Path("out.parquet.jsonl").exists()
    assert len(list(Path().glob(".out.*"))) == 2


def test_the_doubtful_come_first_and_those_without_entropy_last(tmp_path: Path) -> None:
    entropies = {"a.png": 1.5, "b.png": None, "c.png": 6.25, "d.png": 0.0}
    results = [{"source": name, "entropy": value} for name, value in entropies.items()]
    Path("out.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in results))
    assert doubtful_first(Path("out.jsonl")) == ["c.png", "a.png", "d.png", "b.png"]
