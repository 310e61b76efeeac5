"""A manifest of photographs: where each result goes, and options of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.painting import files, is_red, photograph

pytestmark = pytest.mark.usefixtures("painter")


def manifest(*lines: str, name: str = "lists/scans.csv") -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("\n".join(["source,destination,options", *lines]) + "\n")
    return name


def test_each_photograph_goes_where_the_manifest_says(run: Any, painter: Any) -> None:
    photograph("lists/a.png")
    photograph("lists/b.png")
    name = manifest("a.png,1900/first.png,", 'b.png,,"{""saturation"": 0.5}"')
    result = run("colorize", name, "-o", "out")
    assert result.status == 0, result.err
    assert is_red("out/1900/first.png")
    assert is_red("out/b.png")
    assert [options.saturation for options in painter.asked] == [1.0, 0.5]


@pytest.mark.parametrize("there", ["../a.png", "/tmp/a.png", "s3://b/a.png", "x/../../a.png"])
def test_no_destination_leaves_the_output_folder(run: Any, there: str) -> None:
    photograph("lists/a.png")
    photograph("lists/b.png")
    result = run("colorize", manifest(f"a.png,{there},", "b.png,,"), "-o", "out")
    assert result.status == 1
    assert "is not below the output folder" in result.err
    assert files() == ["lists/a.png", "lists/b.png", "lists/scans.csv", "out/b.png"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("high", "options must be a JSON object"),
        ("[1]", "options must be a JSON object"),
        ('{""output"": ""x""}', "unknown option output: the options are saturation"),
        ('{""warmth"": [1]}', "warmth must be a number, a text, true or false, not [1]"),
        ('{""saturation"": 99}', "saturation"),
    ],
)
def test_wrong_options_fail_their_photograph_alone(run: Any, options: str, reason: str) -> None:
    photograph("lists/a.png")
    photograph("lists/b.png")
    result = run("colorize", manifest(f'a.png,,"{options}"', "b.png,,"), "-o", "out", "--json")
    assert result.status == 1
    assert len(result.json["failed"]) == len(result.json["photos"]) == 1
    assert reason in result.err


def test_destinations_need_an_output_folder_and_two_of_one_name_are_refused(run: Any) -> None:
    photograph("lists/a.png")
    photograph("lists/b.png")
    assert "--output" in run("colorize", manifest("a.png,x.png,")).err
    result = run("colorize", manifest("a.png,x.png,", "b.png,x.png,"), "-o", "out")
    assert result.status == 2
    assert "would both be written to" in result.err


def test_a_line_without_a_photograph_that_can_be_had_fails_alone(run: Any) -> None:
    photograph("lists/a.png")
    photograph("lists/b.png")
    wrong = ("ftp://host/x.png,,", ",x.png,", "a.png,,,too many", "a\0b.png,,")
    result = run("colorize", manifest("a.png,,", *wrong, "b.png,,"), "-o", "out", "--json")
    assert result.status == 1
    assert [entry["input"] for entry in result.json["photos"]] == ["lists/a.png", "lists/b.png"]
    for number, reason in (
        (2, "photographs cannot be read from ftp://host/x.png"),
        (3, "the column source is empty"),
        (4, "more fields than columns"),
    ):
        assert f"lists/scans.csv, photograph {number}: {reason}" in result.err
    assert "Traceback" not in result.err


def test_another_table_is_no_manifest(run: Any) -> None:
    Path("prices.csv").write_text("name,price\nscan,3\n")
    result = run("colorize", "prices.csv", "-o", "out")
    assert result.status == 1
    assert "is not a manifest" in result.err


def test_a_manifest_may_be_parquet(run: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    photograph("a.png")
    table = {"source": ["a.png"], "destination": ["b.png"], "options": [json.dumps({"warmth": 1})]}
    parquet.write_table(pyarrow.table(table), "scans.parquet")
    assert run("colorize", "scans.parquet", "-o", "out").status == 0
    assert Path("out/b.png").exists()
