"""``tintype evaluate`` finds the photographs, hands them on and prints the table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tintype.evaluation.protocol import Protocol
from tintype.evaluation.table import Row, Table


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches the benchmark; two photographs lie in the current directory, one is damaged."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "damaged.png"):
        (tmp_path / name).touch()
    asked: list[Any] = []

    def measure(
        photos: Sequence[Path],
        models: Sequence[str],
        *,
        on_photo: Callable[[int, int], None],
        **options: Any,
    ) -> Table:
        asked.append(([str(photo) for photo in photos], list(models), options))
        on_photo(len(photos), len(photos))
        skipped = {str(p): f"{p} is damaged" for p in photos if p.stem == "damaged"}
        rows = [Row(name, {"ab_rmse": 1.0}) for name in ("gray", "ceiling")]
        return Table(rows, list(map(str, photos)), {"colorful": 40.0}, skipped=skipped)

    monkeypatch.setattr(Table, "to_text", lambda self, max_width: "the table")
    monkeypatch.setattr("tintype.evaluation.benchmark.evaluate", measure)
    return asked


def test_the_table_is_printed_and_nothing_else(asked: list[Any], run: Any) -> None:
    result = run("evaluate", "a.png", "-m", "tint", "-m", "tint@0.5", "--threads", "1")
    assert (result.status, result.out, result.err) == (0, "the table\n", "")
    (photos, models, options) = asked[0]
    assert (photos, models) == (["a.png"], ["tint", "tint@0.5"])
    assert options == {
        "protocol": Protocol(),
        "samples": 2,
        "threads": 1,
        "memory": True,
        "networks": None,
        "on_image": None,
    }


def test_the_default_model_is_measured_unless_another_is_named(asked: list[Any], run: Any) -> None:
    run("evaluate", "a.png")
    assert asked[0][1] == ["tint"]


def test_json_carries_the_table(asked: list[Any], run: Any) -> None:
    assert run("evaluate", "a.png", "--json").json["truth"] == {"colorful": 40.0}


def test_what_was_left_out_is_named_and_changes_the_status(asked: list[Any], run: Any) -> None:
    result = run("evaluate", ".", "missing*.png")
    assert result.status == 1
    assert result.out == "the table\n"
    assert "missing*.png: no file matches" in result.err
    assert "damaged.png is damaged" in result.err


def test_nothing_to_measure_on_is_a_failure(asked: list[Any], run: Any) -> None:
    result = run("evaluate", "missing*.png")
    assert (result.status, result.out, asked) == (1, "", [])


def test_figures_go_to_the_cards_when_asked_to(
    asked: list[Any], run: Any, monkeypatch: Any
) -> None:
    recorded: list[Any] = []
    monkeypatch.setattr(
        "tintype.evaluation.table.write_scores_to_cards",
        lambda table, dataset: recorded.append(dataset),
    )
    run("evaluate", "a.png")
    assert recorded == []
    run("evaluate", "a.png", "--write-scores", "my photographs")
    assert recorded == ["my photographs"]


def test_all_stands_for_every_model_once(
    asked: list[Any], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tintype.evaluation.benchmark.all_models", lambda: ["pixcolor.small", "tint.small"]
    )
    run("evaluate", "a.png", "-m", "tint@0", "-m", "all", "-m", "tint.small")
    assert asked[0][1] == ["tint@0", "pixcolor.small", "tint.small"]


@pytest.mark.parametrize(
    ("words", "protocol"),
    [(["--size", "256"], Protocol(256)), (["--size", "64", "--crop"], Protocol(64, crop=True))],
)
def test_size_and_crop_name_the_protocol(
    words: list[str], protocol: Protocol, asked: list[Any], run: Any
) -> None:
    run("evaluate", "a.png", *words)
    assert asked[0][2]["protocol"] == protocol


def test_weights_that_are_missing_are_named_before_the_work(asked: list[Any], run: Any) -> None:
    pytest.importorskip("torch")
    result = run("evaluate", "a.png", "--fid-weights", "none.pth")
    assert (result.status, asked) == (1, [])
    assert "none.pth cannot be used" in result.err
    assert "pytorch-fid" in result.err


def test_feature_networks_need_an_extra(
    asked: list[Any], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "tintype.evaluation.features.load", raising=False)
    result = run("evaluate", "a.png", "--classifier", "c.safetensors")
    assert (result.status, asked) == (1, [])
    assert "pip install '.[features]'" in result.err


def test_a_report_is_written_whole_or_refused_before_the_work(
    asked: list[Any], run: Any, tmp_path: Path
) -> None:
    result = run("evaluate", "a.png", "--html", "none/report.html")
    assert (result.status, asked) == (1, [])
    assert "none/report.html cannot be written" in result.err


def test_a_report_replaces_no_file_unasked(asked: list[Any], run: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    result = run("evaluate", "a.png", "--html", page)
    assert (result.status, asked, page.read_text()) == (1, [], "mine")
    assert f"{page} exists: choose another name, or replace it with --overwrite\n" in result.err
    run("evaluate", "a.png", "--html", page, "--overwrite")
    assert len(asked) == 1


@pytest.mark.slow
def test_a_report_shows_real_photographs(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(rgb).save("a.png")
    result = run("evaluate", "a.png", "--html", "r.html", "--threads", "1", "--json")
    assert result.status == 0
    assert [row["model"] for row in result.json["rows"]] == ["gray", "ceiling", "tint"]
    page = Path("r.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 3 + 2 * 2  # a strip, and the same as best and worst
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "r.html"]


@pytest.mark.parametrize(
    "words",
    [
        ["a.png", "--write-scores", ""],
        ["-"],
        ["a.png", "--crop"],
        ["a.png", "--size", "3"],
        ["a.png", "--examples", "-1"],
    ],
)
def test_what_makes_no_sense_is_wrong_usage(words: list[str], asked: list[Any], run: Any) -> None:
    assert (run("evaluate", *words).status, asked) == (2, [])


def test_the_help_names_every_column_and_both_first_rows(run: Any) -> None:
    from tintype.evaluation.metric_specs import HEADLINE_METRICS

    words = run("evaluate", "--help").words
    assert [name for name in [*HEADLINE_METRICS, "gray", "ceiling"] if name not in words] == []
