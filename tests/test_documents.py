"""The documents can be run: each block of a page, in turn, in a folder that holds examples/.

What a page cannot make is the reader's own: ``photo.jpg``, ``album/`` (gray) and ``photos/`` (in
colour) stand for it, and for ``held-back/``, other photographs in colour. Training, measuring and
studies are cut short. A block after a line ``*Not run by the tests: why.*``, which readers see, is
not run, one after ``<!-- heavy -->`` by ``make heavy`` alone. Commands run in this process, those
with pipes in a shell.
"""

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tables
from PIL import Image

from tintype.cli import main

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(
    r"(?:(?:<!-- |\*)(Not run by the tests: \S[^*]*|heavy)(?: -->|\.\*)\n+)?"
    r"^```(sh|python)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SHELL = f'tintype() {{ {shlex.quote(sys.executable)} -m tintype "$@"; }}; set -euo pipefail\n'

PAGES = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in tables.documents()}
WITH_BLOCKS = [page for page, text in PAGES.items() if _BLOCK.search(text)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with examples/ and what is the reader's own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples" / "color", "photos")
    shutil.copytree("photos", "examples/color")
    shutil.copytree("photos", "held-back")
    Path("album").mkdir()
    for path in (ROOT / "examples").glob("*.jpg"):
        with Image.open(path) as image:
            image.thumbnail((256, 256))  # large photographs cost seconds and show no more
            image.save(Path("examples", path.name))
    for name in ("photo.jpg", "album/one.jpg", "album/two.jpg"):
        shutil.copy("examples/cat.jpg", name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_examples_run(page, here, monkeypatch):
    run_page(page, monkeypatch, heavy=False)


@pytest.mark.heavy
@pytest.mark.parametrize("page", [p for p in WITH_BLOCKS if "<!-- heavy -->" in PAGES[p]])
def test_long_examples_run(page, here, monkeypatch):
    run_page(page, monkeypatch, heavy=True)


def run_page(page, monkeypatch, heavy):
    names = {}
    for mark, language, code in _BLOCK.findall(PAGES[page]):
        if mark.startswith("Not run") or (mark == "heavy" and not heavy):
            continue
        if language == "python":
            run_python(page, code, names, monkeypatch)
            continue
        for line in code.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                run_line(line, monkeypatch)


def run_python(page, code, names, monkeypatch):
    """Run a block; one that begins with the name of a model's file is that model, and listed."""
    listed = re.match(r"# src/tintype/models/(\w+)\.py\n", code)
    if not listed:
        exec(compile(code, page, "exec"), names)
        return
    from tintype.models import MODELS

    name = f"tintype.models.{listed[1]}"
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, None))
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, page, "exec"), module.__dict__)
    monkeypatch.setitem(MODELS, listed[1], (name, listed[1].title().replace("_", "")))


def run_line(line, monkeypatch):
    words = shlex.split(line, comments=True)
    with monkeypatch.context() as patch:
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            patch.setenv(*words.pop(0).split("=", 1))
        if words[0] == "make":
            makefile = (ROOT / "Makefile").read_text()
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), line
        elif words[0] == "pip":  # what it installs is here; see test_extras_exist
            return
        elif words[0] == "tintype" and not set(words) & {"|", "<", "&&"}:
            with contextlib.ExitStack() as stack:
                if ">" in words:
                    words, (_, output) = words[:-2], words[-2:]
                    file = stack.enter_context(open(output, "w"))
                    stack.enter_context(contextlib.redirect_stdout(file))
                patch.setattr(sys, "argv", words)
                assert main(shortened(words[1:])) == 0, line
        else:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run(["bash", "-c", _SHELL + line], check=True, env=environment)


def shortened(words):
    """Train for two steps of the preset that takes seconds, and measure and judge few pictures."""
    if words[0] == "evaluate":
        return words if "--size" in words else [*words, "--size", "64"]
    if words[:2] == ["study", "create"] and "--trials" not in words:
        trials = str(max(2, words.count("-m")))
        return [*words, "--trials", trials, "--practice-trials", "0", "--catch-trials", "0"]
    if words[0] != "train":
        return words
    for option in ("--preset", "--steps", "--minutes", "--init"):
        if option in words:
            at = words.index(option)
            words = words[:at] + words[at + 2 :]
    return [*words, "--preset", "test", "--steps", "2"]


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "<!-- table:" in text])
def test_generated_parts_are_those_of_cards_presets_and_docstrings(page):
    assert tables.with_tables(PAGES[page]) == PAGES[page], "run: make tables"


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "\n| " in text])
def test_every_row_of_a_table_has_as_many_cells_as_its_heading(page):
    for table in re.findall(r"(?:^\|.*\n)+", PAGES[page], re.MULTILINE):
        rows = [line.replace("`|`", "").replace(r"\|", "") for line in table.splitlines()]
        assert len({row.count("|") for row in rows}) == 1, table


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGES[page]):
        assert (ROOT / target).exists(), target


def test_extras_exist():
    project = (ROOT / "pyproject.toml").read_text()
    named = {extra for text in PAGES.values() for extra in re.findall(r"'\.\[([\w,]+)\]'", text)}
    assert {"train,export", "web"} <= named
    for extra in ",".join(named).split(","):
        assert f"\n{extra} = [" in project, extra


def test_every_metric_is_defined():
    from tintype.evaluation.metric_specs import METRICS

    defined = re.findall(r"`(\w+)`", PAGES["docs/reference/metrics.md"])
    assert set(METRICS) <= set(defined)


def test_the_version_to_cite_is_that_of_the_package():
    from tintype import __version__

    assert f"version: {__version__} " in (ROOT / "CITATION.cff").read_text()
    assert f"{{{__version__}}}" in PAGES["docs/how-to/publish-results.md"]
    assert __version__ in PAGES["README.md"]
