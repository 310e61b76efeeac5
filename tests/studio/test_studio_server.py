"""The studio as a process: started, doubled, interrupted, killed, left by its clients."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from studio.conftest import encoded, served, until

from tintype.cli import main
from tintype.studio.folder import WorkFolder

pytestmark = pytest.mark.slow


def ask(address: str, path: str, method: str = "GET", body: Any = None, **headers: str) -> Any:
    connection = http.client.HTTPConnection(str(urlsplit(address).netloc), timeout=30)
    connection.request(method, path, body, headers)
    response: Any = connection.getresponse()
    response.body = response.read()
    connection.close()
    return response


def session(address: str) -> Any:
    return json.loads(ask(address, "/session").body)


def folders(temporary: Path) -> list[Path]:
    return list(temporary.glob("tintype-studio-*"))


def test_it_begins_with_the_doubtful_photographs_of_a_results_file(tmp_path: Path) -> None:
    entropies = {"sure.jpg": 1.0, "doubtful.jpg": 6.0, "s3://archive/a.jpg": 7.0}
    lines = []
    for name, entropy in entropies.items():
        source = name if "://" in name else str(tmp_path / name)
        lines.append(json.dumps({"source": source, "entropy": entropy}) + "\n")
        if "://" not in name:
            (tmp_path / name).write_bytes(encoded())
    (tmp_path / "out.jsonl").write_text("".join(lines))
    words = ("--results", tmp_path / "out.jsonl", "--port", "0")
    with served(*words, temporary=tmp_path) as (process, address):
        names = [photo["name"] for photo in session(address)["photos"]]
        assert names == ["doubtful.jpg", "sure.jpg"]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert "not files on this computer: 1 of" in said


def test_it_begins_with_photographs_and_ends_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded())
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = (tmp_path / "a.jpg", tmp_path / "missing.jpg", "--port", "0")
    with served(*words, temporary=temporary) as (process, address):
        assert ask(address, "/healthz").body == b"ok\n"
        photo = until(lambda: session(address)["photos"][0]["facts"] and session(address))
        assert photo["photos"][0]["name"] == "a.jpg"
        assert len(folders(temporary)) == 1
        listening = http.client.HTTPConnection(str(urlsplit(address).netloc), timeout=30)
        listening.request("GET", "/session/events")
        assert listening.getresponse().readline() == b": listening\n"
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, said = process.communicate(timeout=20)
        assert time.monotonic() - started < 4  # who waits for events is let go
        listening.close()
    assert process.returncode == 130
    assert "missing.jpg: No such file" in said.replace("\n", " ")
    assert "the studio ends; its photographs are deleted" in said
    assert "Traceback" not in said
    assert not folders(temporary)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_what_a_killed_one_left_is_removed_by_the_next_and_a_living_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served("--port", "0", temporary=tmp_path) as (process, address):
        ask(address, "/session/photos?name=a.jpg", "POST", encoded())
        process.kill()
        process.wait()
    assert len(folders(tmp_path)) == 1
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = WorkFolder(), WorkFolder()
    assert sorted(folders(tmp_path)) == sorted([first.path, second.path])
    first.close()
    second.close()
    assert not folders(tmp_path)


def test_a_second_one_takes_another_port_and_says_so(tmp_path: Path) -> None:
    with (
        served(temporary=tmp_path) as (_, first),
        served(temporary=tmp_path) as (process, second),
    ):
        assert first != second
        port = str(urlsplit(second).port)
        assert main(["studio", "--no-browser", "--port", port]) == 1  # one that was asked for
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert "taking another" in said


def test_a_kept_session_is_there_again_with_its_choices(tmp_path: Path) -> None:
    words = ("--port", "0", "--keep", tmp_path / "kept")
    with served(*words, temporary=tmp_path) as (process, address):
        body = encoded()
        photo = json.loads(ask(address, "/session/photos?name=a.jpg", "POST", body).body)
        place = f"/session/photos/{photo['id']}"
        until(lambda: session(address)["photos"][0]["state"] == "ready")
        choice = {"options": {"vividness": 0.25}, "hints": [{"x": 1, "y": 2, "color": "#8a3324"}]}
        assert ask(address, f"{place}/settings", "POST", json.dumps(choice)).status == 200
        process.terminate()
        process.wait(20)
    with served(*words, temporary=tmp_path) as (process, address):
        found = session(address)
        assert found["photos"][0]["settings"]["options"]["vividness"] == 0.25
        assert found["photos"][0]["undo"] == 1
        assert found["colors"] == ["#8a3324"]
        assert ask(address, f"{place}/result").status == 200
        other = served(*words, temporary=tmp_path)
        with pytest.raises(AssertionError, match="another studio uses"), other:
            pass


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_what_waited_when_a_kept_one_was_killed_is_coloured_by_the_next(tmp_path: Path) -> None:
    words = ("--port", "0", "--keep", tmp_path / "kept")
    with served(*words, temporary=tmp_path) as (process, address):
        ask(address, "/session/photos?name=slow.png", "POST", encoded("PNG", (6000, 4000)))
        ask(address, "/session/photos?name=a.jpg", "POST", encoded())
        process.kill()
        process.wait()
    with served(*words, temporary=tmp_path) as (process, address):
        assert [one["name"] for one in session(address)["photos"]] == ["slow.png", "a.jpg"]
        until(lambda: all(one["state"] == "ready" for one in session(address)["photos"]), 60)


def test_a_client_that_goes_away_stops_its_work(tmp_path: Path) -> None:
    words = ("--port", "0")
    with served(*words, temporary=tmp_path) as (_, address):
        slow = encoded("PNG", (9000, 6000))
        form = (
            b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
            + slow
            + b"\r\n--x--\r\n"
        )
        connection = http.client.HTTPConnection(str(urlsplit(address).netloc), timeout=30)
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        connection.request("POST", "/api/v1/colorize", form, kind)

        def figure(name: str) -> float:
            lines = ask(address, "/metrics").body.decode().splitlines()
            return float(next(line for line in lines if line.startswith(name)).split()[1])

        def running_for_long() -> bool:
            seen = figure("tintype_tasks_running")
            time.sleep(0.3)  # a short task comes before: a look at the file's head
            return bool(seen and figure("tintype_tasks_running"))

        until(running_for_long)
        connection.close()
        until(lambda: not figure("tintype_tasks_running"), 2)
        until(lambda: figure("tintype_worker_restarts_total") == 1)
        assert not list(next(iter(folders(tmp_path))).joinpath("jobs").iterdir())


def test_other_machines_need_a_token(tmp_path: Path) -> None:
    words = ("--port", "0", "--host", "0.0.0.0", "--token", "a+b&c#d")
    with served(*words, temporary=tmp_path) as (_, address):
        parts = urlsplit(address)
        assert parts.query == "token=a%2Bb%26c%23d"
        local = f"http://127.0.0.1:{parts.port}/"
        assert ask(local, "/").status == 401
        assert ask(local, f"/?{parts.query}").status == 303
