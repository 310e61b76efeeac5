"""Start every test process alike, and leave no test out where all have to run."""

import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

# pytest-xdist runs as many processes as there are cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Some tests load ONNX Runtime themselves: it reports to its maker no more than where tintype does.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

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


#: Fixtures that take seconds: they train, export, import a network, measure, or start processes.
SLOW = {"shard", "exported", "imported", "table", "studio", "pool", "port", "server"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what waits for a slow fixture as slow."""
    for item in items:
        if SLOW.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Return a function from a system's name to the card of its `test` preset, untrained."""
    from exported import export_once

    base = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist have folders of their own inside the session's.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    folder.mkdir(exist_ok=True)
    return lambda name: export_once(name, folder)


@pytest.fixture(scope="session")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a shard of 16 scenes."""
    from scenes import encoded, scene, write_shard

    files = [(f"drawn/scene/{k:06}.png", encoded(scene(k))) for k in range(16)]
    return write_shard(tmp_path_factory.mktemp("data") / "train-00000.tar", files)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a classifier that knows nothing, in the file format of one that does."""
    import torch
    from safetensors.torch import save_file

    from tintype.models.backbones import Classifier

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Classifier()
    weights = {
        name.removeprefix("backbone."): value.half() for name, value in network.state_dict().items()
    }
    path = tmp_path_factory.mktemp("teacher") / "classifier.safetensors"
    save_file(weights, path)
    return path
