"""Photographs colored by the workers of a Dask cluster: the same bytes, whatever dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.painting import Painter, photograph
from tiny_models import bins_model

from tintype.batch.results import read_results
from tintype.batch.scheduler import check_address
from tintype.errors import SettingError

SOURCES = os.pathsep.join(map(str, (Path(__file__).parents[2] / "src", Path(__file__).parents[1])))
FAULTS = str(Path(__file__).with_name("worker_faults.py"))
LOCAL = ("--cluster", "local", "--threads", "2")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a small model for every process."""
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    bins_model(tmp_path / "models")
    monkeypatch.setenv("TINTYPE_WEIGHTS", str(tmp_path / "models"))
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", json.dumps([FAULTS]))
    return tmp_path


def command(*words: str, places: tuple[str, str] = ("in", "out")) -> list[str]:
    one, other = places
    return [sys.executable, "-m", "tintype", "colorize", one, "-r", "-o", other, *words]


def colorize(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs, in a group of processes of its own as a terminal makes one."""
    process = subprocess.Popen(
        command(*words), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (something := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return something


def alive(group: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def contents(folder: str) -> dict[str, bytes]:
    root = Path(folder)
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def lines(path: str) -> dict[str, dict[str, Any]]:
    found = read_results(Path(path))
    assert len({line["source"] for line in found}) == len(found)
    return {line["source"]: line for line in found}


@pytest.mark.slow
def test_two_workers_do_what_the_plain_command_does_and_a_second_run_what_is_missing(
    here: Path,
) -> None:
    for k in range(9):
        photograph(f"in/{k}.png", (9 + k, 12))
    Path("in/more").mkdir()
    Path("in/more/broken.jpg").write_bytes(b"no photograph")
    options = ("--compare", "--save-settings", "--results")
    plain = colorize("--threads", "1", *options, "plain.jsonl")
    Path("out").rename("plain")
    clustered = colorize(*LOCAL, *options, "out.jsonl")
    assert (plain.returncode, clustered.returncode) == (1, 1)
    assert contents("out") == contents("plain")
    assert len(contents("out")) == 27
    alone, many = lines("plain.jsonl"), lines("out.jsonl")
    for line in (*alone.values(), *many.values()):
        assert line.pop("seconds") >= 0
    assert many == alone
    assert clustered.stderr == plain.stderr

    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    for path in (Path("out/3.png"), Path("out/5.compare.png")):
        path.unlink()
    photograph("in/more/broken.jpg")
    assert colorize(*LOCAL, *options, "out.jsonl", "--skip-existing").returncode == 0
    changed = {path.name for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert changed == {"3.png", "3.tintype.json", "5.compare.png"}
    assert contents("out").items() > contents("plain").items()
    again = lines("out.jsonl")
    assert len(again) == 10
    assert again["in/more/broken.jpg"]["error"] is None
    assert again["in/0.png"] == {**many["in/0.png"], "seconds": again["in/0.png"]["seconds"]}


@pytest.mark.slow
def test_photographs_of_a_worker_that_is_killed_are_done_by_another(here: Path) -> None:
    for k in range(20):
        photograph(f"in/{k:02}.png")
    photograph("in/04slow.png")
    with started(*LOCAL, "--results", "out.jsonl") as process:
        (pid,) = until(lambda: list(Path().glob("*.pid")))
        os.kill(int(pid.stem), signal.SIGKILL)
        until(lambda: len(list(Path().glob("*.pid"))) > 1)
        Path("go").touch()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said == f"tintype: 21 coloured, in out{os.sep}\n"
    assert len(contents("out")) == 21
    assert all(line["error"] is None and line["entropy"] for line in lines("out.jsonl").values())


@pytest.mark.slow
def test_a_photograph_that_kills_workers_is_named_and_left_out(here: Path) -> None:
    for k in range(6):
        photograph(f"in/{k}.png")
    photograph("in/deadly.png")
    done = colorize(*LOCAL, "--results", "out.jsonl")
    assert done.returncode == 1
    reason = "in/deadly.png: left out, since its worker died twice; try it without --cluster"
    assert f"tintype: {reason}\n" in done.stderr
    assert sorted(contents("out")) == [f"{k}.png" for k in range(6)]
    errors = {source: line["error"] for source, line in lines("out.jsonl").items()}
    assert errors.pop("in/deadly.png") == reason
    assert set(errors.values()) == {None}


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_and_no_process(here: Path) -> None:
    for k in range(8):
        photograph(f"in/{k}.png")
    photograph("in/9slow.png")
    with started(*LOCAL) as process:
        until(lambda: list(Path().glob("*.pid")) and len(contents("out")) == 8)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with --skip-existing\ntintype: interrupted\n" in said
    assert "Traceback" not in said
    assert set(contents("out")) == {f"{k}.png" for k in range(8)}
    until(lambda: not alive(process.pid))


REFUSED = (
    *("tcp://10.0.0.1:8786", "tcp://scheduler:8786", "10.0.0.1:8786", "ws://127.0.0.1:80"),
    *("tls://", "tls://host", "tls://host:port", "tcp://[::", "nowhere"),
)


@pytest.mark.parametrize("address", REFUSED)
def test_a_scheduler_that_others_could_reach_is_refused(address: str) -> None:
    with pytest.raises(SettingError, match="can run any code on its workers"):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["local", "tls://host:8786", "tcp://127.0.0.1:8786", "tcp://localhost:1"]
)
def test_a_scheduler_with_certificates_or_of_this_machine_is_taken(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("in", "--in-place", *LOCAL), "--in-place replaces the only copy"),
        (("in", "--cluster", "tls://host:1", "--threads", "2"), "leave out --threads"),
        (("in", "--cluster", "tcp://host:1"), "is refused"),
        (("in/a.png", "-o", "-", *LOCAL), "not standard input or output"),
    ],
)
def test_what_no_cluster_does_is_refused_before_the_work(
    painter: type[Painter], run: Any, words: tuple[str, ...], said: str
) -> None:
    photograph("in/a.png")
    result = run("colorize", *words)
    assert (result.status, painter.made) == (2, [])
    assert said in result.err


def test_without_the_extra_a_cluster_is_refused_by_its_name(
    painter: type[Painter], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    photograph("in/a.png")
    result = run("colorize", "in", *LOCAL)
    assert result.status == 1
    assert ".[cluster]" in result.err


@pytest.fixture
def scheduler(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler and a worker in other folders, with certificates; ``address`` has its own."""
    from distributed.security import Security

    made: Any = Security.temporary()
    for name, content in {"cert.pem": made.tls_client_cert, "key.pem": made.tls_client_key}.items():
        Path(name).write_text(content)
    cert, key = (str(here / name) for name in ("cert.pem", "key.pem"))
    both = {"cert": cert, "key": key}
    tls = {"ca-file": cert, "scheduler": both, "worker": both, "client": both}
    config = {"distributed": {"comm": {"tls": tls}, "scheduler": {"allowed-failures": 0}}}
    Path("config").mkdir()
    Path("config/dask.yaml").write_text(json.dumps(config))  # which is YAML too
    monkeypatch.setenv("DASK_CONFIG", str(here / "config"))
    file = str(here / "scheduler.json")
    one = ("--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    words = {
        "dask_scheduler": (*one, "--scheduler-file", file),
        "dask_worker": ("--scheduler-file", file, "--nthreads", "1", "--no-dashboard"),
    }
    processes = []
    for name, options in words.items():
        Path(name).mkdir()
        command = [sys.executable, "-m", f"distributed.cli.{name}", *options]
        processes.append(subprocess.Popen(command, cwd=name, stderr=subprocess.DEVNULL))
    until(Path(file).exists)
    time.sleep(0.1)  # until it is whole
    Path("address").write_text(json.loads(Path(file).read_text())["address"])
    yield processes[0]
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(60)


@pytest.mark.heavy
def test_a_cluster_is_reached_with_certificates_alone_and_its_end_is_said(
    scheduler: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = Path("address").read_text()
    for k in range(5):
        photograph(f"in/{k}.png")
    Path("in/broken.jpg").write_bytes(b"no photograph")
    done = colorize("--cluster", address)
    assert done.returncode == 1
    assert "tintype: in/broken.jpg is not a photograph" in done.stderr  # by the name it has here
    assert len(contents("out")) == 5

    photograph("in/slow.png")
    with started("--cluster", address, "--skip-existing") as process:
        until(lambda: list(Path("dask_worker").glob("*.pid")))
        scheduler.terminate()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the cluster's scheduler was lost" in said
    assert "Traceback" not in said

    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "2s")
    for reason in ("Timed out trying to connect", "it needs certificates"):
        done = colorize("--cluster", address, "--overwrite")
        assert done.returncode == 1
        assert f"tintype: the scheduler {address} cannot be reached: {reason}" in done.stderr
        monkeypatch.delenv("DASK_CONFIG", raising=False)


@pytest.mark.heavy
def test_workers_read_from_a_store_and_write_to_it(here: Path, store: Any) -> None:
    for name in ("a.png", "more/b.png"):
        store.put_file(str(photograph(f"in/{name}")), f"archive/in/{name}")
    Path("in/more/b.png").rename("in/b.png")
    assert colorize().returncode == 0
    words = command(*LOCAL, places=("s3://archive/in", "s3://archive/out"))
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name, plain in (("a.png", "a.png"), ("more/b.png", "b.png")):
        assert store.cat_file(f"archive/out/{name}") == Path("out", plain).read_bytes()


@pytest.mark.heavy
def test_five_thousand_small_files_are_all_done_and_after_a_kill_none_twice(here: Path) -> None:
    Path("in").mkdir()
    content = photograph("one.png").read_bytes()
    for k in range(5000):
        Path(f"in/{k:04}.png").write_bytes(content)
    with started(*LOCAL, "--results", "out.jsonl") as process:
        until(lambda: Path("out.jsonl").exists() and len(lines("out.jsonl")) > 500)
        process.kill()
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    done = colorize(*LOCAL, "--results", "out.jsonl", "--skip-existing")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(Path("out").glob("*.png"))) == 5000
    assert len(lines("out.jsonl")) == 5000
