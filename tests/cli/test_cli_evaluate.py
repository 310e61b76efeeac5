"""``tintype evaluate`` finds the photographs, hands them on and prints the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tintype.evaluation.benchmark import Table


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
        threads: int | None,
        on_photo: Callable[[int, int], None],
    ) -> Table:
        asked.append(([str(photo) for photo in photos], list(models), threads))
        on_photo(len(photos), len(photos))
        skipped = {str(p): f"{p} is damaged" for p in photos if p.stem == "damaged"}
        return Table([], len(photos), 40.0, 50.0, skipped)

    monkeypatch.setattr(Table, "text", lambda self: "the table")
    monkeypatch.setattr("tintype.evaluation.benchmark.evaluate", measure)
    return asked


def test_the_table_is_printed_and_nothing_else(asked: list[Any], run: Any) -> None:
    result = run("evaluate", "a.png", "-m", "tint", "-m", "tint@0.5", "--threads", "1")
    assert (result.status, result.out, result.err) == (0, "the table\n", "")
    assert asked == [(["a.png"], ["tint", "tint@0.5"], 1)]


def test_the_default_model_is_measured_unless_another_is_named(asked: list[Any], run: Any) -> None:
    run("evaluate", "a.png")
    assert asked[0][1] == ["tint"]


def test_json_carries_the_table(asked: list[Any], run: Any) -> None:
    assert run("evaluate", "a.png", "--json").json["true_colorful"] == 40.0


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
        "tintype.evaluation.benchmark.record", lambda table, name: recorded.append(name)
    )
    run("evaluate", "a.png")
    assert recorded == []
    run("evaluate", "a.png", "--record", "my photographs")
    assert recorded == ["my photographs"]


@pytest.mark.parametrize("words", [["a.png", "--record", ""], ["-"]])
def test_what_makes_no_sense_is_wrong_usage(words: list[str], asked: list[Any], run: Any) -> None:
    assert (run("evaluate", *words).status, asked) == (2, [])


def test_the_help_names_every_column_and_both_first_rows(run: Any) -> None:
    from dataclasses import fields

    from tintype.evaluation.benchmark import Row

    words = run("evaluate", "--help").words
    columns = [field.name for field in fields(Row) if field.name != "model"]
    assert [name for name in [*columns, "gray", "ceiling"] if name not in words] == []
