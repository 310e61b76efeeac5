"""Start every test process alike, and leave no test out where all have to run."""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

# pytest-xdist runs as many processes as there are cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell starts in the background ignores Ctrl-C, and tests of interruptions would fail.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Whether a test that would be skipped fails instead, as in CI, where everything can be had.
REQUIRE_ALL = bool(os.environ.get("TINTYPE_REQUIRE_ALL"))


def fail_if_skipped(report: Any) -> None:
    """Turn a skip into a failure that gives the reason of the skip."""
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        path, line, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: TINTYPE_REQUIRE_ALL allows no skips. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report
