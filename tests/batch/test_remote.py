"""Photographs in an object store: an S3 server on loopback, and addresses that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.painting import is_red, photograph

from tintype.batch.places import place, url_of
from tintype.cli import main
from tintype.errors import PhotoError


def put(store: Any, *names: str) -> None:
    for name in names:
        store.put_file(str(photograph("scan.png")), f"archive/{name}")


def names(store: Any, folder: str) -> list[str]:
    return sorted(store.find(f"archive/{folder}"))


def test_a_url_and_the_path_that_stands_for_it_are_one() -> None:
    for url in ("s3://bucket/a/b.jpg", "gs://bucket/c.png", "https://host/d.jpg?size=3"):
        assert url_of(place(url)) == url
    assert place("file:///scans/a%20b.jpg") == Path("/scans/a b.jpg")
    assert url_of(Path("/scans/a.jpg")) is None
    assert url_of(Path("a.jpg")) is None


REFUSED = (
    *("ftp://host/a.jpg", "http://host/a.jpg", "memory://a.jpg", "file://host/a.jpg"),
    *("simplecache::s3://b/a.jpg", "s3://b/zip::a.jpg", "s3://b/../a.jpg", "s3://"),
)


@pytest.mark.parametrize("url", REFUSED)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(PhotoError):
        place(url)


def test_results_are_not_written_to_https(capsys: Any, tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    assert main(["colorize", str(tmp_path / "a.png"), "-o", "https://host/a.png"]) == 2
    assert "photographs cannot be written to" in capsys.readouterr().err


def test_a_file_url_is_the_file(tmp_path: Path, painter: Any, run: Any) -> None:
    photograph(tmp_path / "a.png")
    assert run("colorize", f"file://{tmp_path}/a.png").status == 0
    assert is_red(tmp_path / "a.colorized.png")


def test_a_folder_of_objects_is_coloured_into_another(store: Any, painter: Any, run: Any) -> None:
    put(store, "in/a.png", "in/b.png", "in/more/c.png", "in/list.txt")
    result = run("colorize", "s3://archive/in", "-r", "-o", "s3://archive/out", "--json")
    assert result.status == 0, result.err
    outputs = [entry["output"] for entry in result.json["photos"]]
    assert outputs == [f"s3://archive/out/{name}" for name in ("a.png", "b.png", "more/c.png")]
    assert names(store, "out") == [f"archive/out/{n}" for n in ("a.png", "b.png", "more/c.png")]
    store.get_file("archive/out/a.png", "result.png")
    assert is_red("result.png")
    assert not list(Path().glob("s3*"))


def test_the_object_has_the_bytes_that_a_file_would_have(
    store: Any, painter: Any, run: Any
) -> None:
    put(store, "a.png")
    assert run("colorize", "scan.png", "-o", "plain.png").status == 0
    assert run("colorize", "scan.png", "-o", "s3://archive/out.png").status == 0
    assert run("colorize", "s3://archive/a.png", "-o", "here.png").status == 0
    assert Path("here.png").read_bytes() == Path("plain.png").read_bytes()
    assert store.cat_file("archive/out.png") == Path("plain.png").read_bytes()


def test_no_object_is_replaced_unasked_and_a_second_run_does_what_is_missing(
    store: Any, run: Any
) -> None:
    put(store, "in/a.png", "in/b.png")
    words = ("colorize", "s3://archive/in", "-o", "s3://archive/out", "--results", "out.jsonl")
    assert run(*words).status == 0
    store.rm_file("archive/out/b.png")
    store.pipe_file("archive/out/a.png", b"kept")
    result = run(*words[:-2])
    assert result.status == 1
    assert "s3://archive/out/a.png exists" in result.err
    store.rm_file("archive/out/b.png")
    assert run(*words, "--skip-existing").status == 0
    assert store.cat_file("archive/out/a.png") == b"kept"
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [line["source"] for line in lines] == ["s3://archive/in/a.png", "s3://archive/in/b.png"]


def test_a_comparison_is_added_to_the_result_that_exists(
    store: Any, painter: Any, run: Any
) -> None:
    put(store, "in/a.png")
    words = ("colorize", "s3://archive/in", "-o", "s3://archive/out")
    assert run(*words).status == 0
    before = store.info("archive/out/a.png")
    options = ("--compare", "--skip-existing", "--saturation", "0.2")
    result = run(*words, *options, "--json")
    assert result.status == 0, result.err
    assert store.info("archive/out/a.png") == before
    assert names(store, "out") == ["archive/out/a.compare.png", "archive/out/a.png"]
    (entry,) = result.json["photos"]
    assert "s3://archive/out/a.png existed and was kept" in entry["notes"]


def test_an_object_that_is_none_is_named_and_ends_no_other(
    store: Any, painter: Any, run: Any
) -> None:
    put(store, "in/a.png")
    store.pipe_file("archive/in/b.png", b"no photograph")
    result = run("colorize", "s3://archive/in", "s3://archive/none.png", "-o", "out")
    assert result.status == 1
    assert "s3://archive/in/b.png" in result.err
    assert "/tmp" not in result.err
    assert "s3://archive/none.png does not exist" in result.err
    assert is_red("out/a.png")


def test_a_list_of_many_pages_is_read_to_its_end(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tintype.batch.remote import photographs_in

    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")  # of a page, of which S3 has 1000
    for number in range(9):
        store.pipe_file(f"archive/many/{number:04}.png", b"")
    first = store.call_s3("list_objects_v2", Bucket="archive", Prefix="many/")
    assert (len(first["Contents"]), first["IsTruncated"]) == (4, True)
    assert len(photographs_in(place("s3://archive/many"), recursive=False)) == 9


def test_a_photograph_is_fetched_by_https(
    monkeypatch: pytest.MonkeyPatch, painter: Any, run: Any
) -> None:
    from tintype.batch import remote

    class Web:
        def get_file(self, url: str, local: str) -> None:
            assert url == "https://host/scan.png?size=3"
            photograph(local)

    monkeypatch.setattr(remote, "_store", lambda scheme: Web())
    assert run("colorize", "https://host/scan.png?size=3", "-o", "out/").status == 0
    assert is_red("out/scan.png")
