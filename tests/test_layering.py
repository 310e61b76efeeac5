"""What starting, coloring and training load; pyproject.toml says which room imports which."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "tintype"
HEAVY = {"numpy", "onnxruntime", "torch", "PIL", "fastapi", "jinja2", "sqlalchemy", "uvicorn"}
WITHOUT_TORCH = (
    "errors",
    "card",
    "color",
    "photo",
    "runtime",
    "evaluation",
    "web",
    "study",
    "studio",
    "cli",
)


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
        "from tintype.cli import main; main(['studio', '--help'])",
        "from tintype.cli import main; main(['study', 'serve', '--help'])",
    ],
)
def test_the_package_and_the_help_load_nothing_heavy(code: str) -> None:
    assert not loaded_by(code) & HEAVY


@pytest.mark.slow
def test_nothing_needed_to_color_a_photograph_loads_torch() -> None:
    sources = [s.relative_to(PACKAGE).with_suffix("") for s in sorted(PACKAGE.rglob("*.py"))]
    modules = [
        ".".join(["tintype", *source.parts]).removesuffix(".__init__")
        for source in sources
        if source.parts[0] in WITHOUT_TORCH and "features" not in source.parts
    ]
    assert "torch" not in loaded_by("import " + ", ".join(modules))


@pytest.mark.slow
def test_training_needs_none_of_the_core_but_numpy_and_pillow() -> None:
    pytest.importorskip("torch")
    loaded = loaded_by("import tintype.training.train, tintype.training.__main__")
    assert not loaded & {"onnxruntime", "cyclopts"}
