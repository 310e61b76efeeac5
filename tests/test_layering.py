"""The rooms of the package and which of them may import which: docs/architecture.md, "Layout"."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "tintype"
SOURCES = sorted(PACKAGE.rglob("*.py"))

#: Room -> the rooms it may import, besides itself. The package's own face, ``tintype``, is a room.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "color": {"errors"},
    "photo": {"color", "errors"},
    "runtime": {"photo", "color", "errors"},
    "systems": {"color", "errors"},
    # training.export only where a run starts from an exported model, and then when it is called.
    "training": {"systems", "training.export", "color", "errors"},
    "training.export": {"training", "systems", "runtime", "color", "errors"},
    "evaluation": {"tintype", "runtime", "photo", "color", "errors"},
    # The torch half of evaluation: no other module of it may import this one.
    "evaluation.features": {"evaluation", "systems", "errors"},
    "study": {"runtime", "photo", "color", "errors"},
    "tintype": {"photo", "runtime", "errors"},
    "cli": {
        *("tintype", "evaluation", "evaluation.features", "study", "training", "training.export"),
        *("runtime", "photo", "errors"),
    },
    "__main__": {"cli"},
}
WEB = {"fastapi", "jinja2", "pydantic", "sqlalchemy", "starlette", "uvicorn"}
WITHOUT_TORCH = {"errors", "color", "photo", "runtime", "evaluation", "study", "tintype", "cli"}
HEAVY = {"numpy", "onnxruntime", "torch", "PIL", *WEB}


def module_name(source: Path) -> str:
    parts = ["tintype", *source.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    inner = module.partition(".")[2]
    for room in ("training.export", "evaluation.features"):
        if inner.startswith(room):
            return room
    return inner.partition(".")[0] or "tintype"


def imports(source: Path) -> Iterator[str]:
    """Every module that a source file imports, anywhere in it."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative imports hide the room they reach into"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if is_module(inner) else str(node.module)


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("source", SOURCES, ids=module_name)
def test_a_module_imports_only_the_rooms_below_its_own(source: Path) -> None:
    room = room_of(module_name(source))
    allowed = MAY_IMPORT[room] | {room}
    reached = {room_of(name) for name in imports(source) if name.split(".")[0] == "tintype"}
    assert reached <= allowed, f"{room} imports {sorted(reached - allowed)}"


@pytest.mark.parametrize("source", SOURCES, ids=module_name)
def test_only_rooms_meant_for_it_name_torch(source: Path) -> None:
    if room_of(module_name(source)) in WITHOUT_TORCH:
        assert "torch" not in {name.split(".")[0] for name in imports(source)}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    report = "; import sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return {name.split(".")[0] for name in json.loads(result.stderr.splitlines()[-1])}


@pytest.mark.parametrize(
    "code",
    [
        "import tintype; tintype.__version__; tintype.errors",
        "from tintype.cli import main; main(['--help'])",
        "from tintype.cli import main; main(['--version'])",
        "from tintype.cli import main; main(['colorize', '--help'])",
        "from tintype.cli import main; main(['train', '--help'])",
        "from tintype.cli import main; main(['study', '--help'])",
        "from tintype.cli import main; main(['study', 'serve', '--help'])",
    ],
)
def test_the_package_and_the_help_load_nothing_heavy(code: str) -> None:
    assert not loaded_by(code) & HEAVY


def test_nothing_needed_to_colour_a_photograph_loads_torch() -> None:
    modules = [
        module_name(source) for source in SOURCES if room_of(module_name(source)) in WITHOUT_TORCH
    ]
    assert "torch" not in loaded_by("import " + ", ".join(modules))


def test_only_the_study_names_a_web_framework_or_a_database() -> None:
    naming = {
        room_of(module_name(source))
        for source in SOURCES
        if WEB & {name.split(".")[0] for name in imports(source)}
    }
    assert naming == {"study"}


def test_training_needs_none_of_the_core_but_numpy_and_pillow() -> None:
    pytest.importorskip("torch")
    loaded = loaded_by("import tintype.training.train, tintype.training.__main__")
    assert not loaded & {"onnxruntime", "cyclopts"}
