"""``tintype import``: what the command line says reaches the importer, and what it says back."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tintype.errors import UnimportableError

pytest.importorskip("torch")


@pytest.fixture
def asked(monkeypatch: Any) -> list[tuple[Any, ...]]:
    """What the importer, of which a stand-in is called, was asked for."""
    from tintype.imports import importer

    given = []

    def import_model(source: Path, out: Path, options: Any, say: Any) -> Any:
        if source.name == "page.pth":
            raise UnimportableError(f"{source} is a web page.")
        say("reading it")
        given.append((source, out, options))
        return SimpleNamespace(name="cic.x", path=out / "cic.x.json", files={"cic.x.onnx": "0"})

    stand_in = SimpleNamespace(import_model=import_model, ImportOptions=importer.ImportOptions)
    monkeypatch.setitem(sys.modules, "tintype.imports.importer", stand_in)
    return given


def test_every_wish_arrives(run: Any, asked: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("TINTYPE_WEIGHTS", "first:second")
    result = run("import", "x.pth")
    assert (result.status, result.out, result.err) == (
        *(0, "cic.x: first/cic.x.json\n", "reading it\n"),
    )
    assert asked[0][:2] == (Path("x.pth"), Path("first"))
    assert asked[0][2] == type(asked[0][2])()
    words = "--name cic.x --as eccv16 --out m --size 128 --shape aspect --enlarge bilinear"
    words += " --precision half --licence L --note N --overwrite --json"
    result = run("import", "x.pth", *words.split())
    assert asked[1][1:] == (
        Path("m"),
        ("cic.x", "eccv16", 128, "aspect", "bilinear", True, "L", "N", True),
    )
    assert result.json["model"] == "cic.x"


def test_a_refusal_is_one_line_and_status_1(run: Any, asked: Any) -> None:
    result = run("import", "page.pth")
    assert (result.status, result.err) == (1, "tintype: page.pth is a web page.\n")
    assert run("import", "x.pth", "--shape", "round").status == 2
