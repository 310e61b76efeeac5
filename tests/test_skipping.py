"""What is skipped elsewhere fails in CI: a skip there would be a test that never runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # of two runs of pytest

_TESTS = """
import pytest

@pytest.fixture
def database():
    pytest.skip("no database")

def test_runs():
    pass

def test_in_a_fixture(database):
    pass

@pytest.mark.skipif(True, reason="no pipes")
def test_by_a_marker():
    pass

def test_in_its_body():
    pytest.importorskip("no_such_package")

@pytest.mark.xfail(reason="known")
def test_that_is_known_to_fail():
    raise AssertionError
"""

_REASONS = ("no database", "no pipes", "no_such_package", "no browser")


def pytest_in(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on tests of which all but one are skipped."""
    (folder / "test_parts.py").write_text(_TESTS)
    (folder / "test_whole.py").write_text(
        "import pytest\npytest.skip('no browser', allow_module_level=True)\n"
    )
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    # With CI pytest prints each reason once more.
    others = ("PYTEST_", "TINTYPE_", "CI", "BUILD_NUMBER")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a second less
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "xdist", *words, "."],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
    )


def test_a_skip_is_said_and_no_failure(tmp_path: Path) -> None:
    done = pytest_in(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 4 skipped, 1 xfailed" in done.stdout
    assert all(reason in done.stdout for reason in _REASONS)


def test_a_skip_fails_where_all_tests_are_required(tmp_path: Path) -> None:
    words = ("--continue-on-collection-errors", "-n", "1")
    done = pytest_in(tmp_path, *words, TINTYPE_REQUIRE_ALL="1")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed, 1 xfailed, 3 errors" in done.stdout
    assert done.stdout.count("TINTYPE_REQUIRE_ALL allows no skips") == len(_REASONS)
    assert all(reason in done.stdout for reason in _REASONS)
