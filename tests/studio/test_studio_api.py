"""The HTTP API: the bytes of the command line, its sentences, limits, and jobs."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote

import pytest
from PIL import Image
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from studio.conftest import HOST, encoded, until
from studio.misbehaving import ALLOCATES, ENDS, HANGS

from tintype.cli import main
from tintype.studio.app import Studio, _TokenMiddleware
from tintype.studio.limits import Limits
from tintype.web.workers import Work, WorkError

URL = "/api/v1/colorize"


def post(client: TestClient, content: bytes, name: str = "a.jpg", url: str = URL, **f: Any) -> Any:
    return client.post(url, files={"photo": (name, content)}, data=f)


def jobs(studio: Studio) -> list[Path]:
    """The folders of photographs that came over the API."""
    return list((studio._folder.path / "jobs").iterdir())


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    return response.json()["detail"]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_picture_is_that_of_the_command_line(
    client: TestClient, tmp_path: Path, format: str
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Kodak"
    photo = tmp_path / f"a b.{format.lower()}"
    photo.write_bytes(encoded(format, exif=exif))
    hints = [{"x": 5, "y": 6, "color": "#8a3324"}]
    (tmp_path / "hints.json").write_text(json.dumps({photo.name: hints}))
    words = ["--vividness", "0.3", "--warmth", "0.5", "--hints", str(tmp_path / "hints.json")]
    assert main(["colorize", str(photo), *words, "-o", str(tmp_path / f"out{photo.suffix}")]) == 0
    asked = {"vividness": "0.3", "warmth": "0.5", "hints": json.dumps(hints)}
    response = post(client, photo.read_bytes(), photo.name, **asked)
    assert response.status_code == 200, response.text
    assert response.content == (tmp_path / f"out{photo.suffix}").read_bytes()
    assert response.headers["content-type"] == f"image/{format.lower()}"
    assert f"a%20b.colorized{photo.suffix}" in response.headers["content-disposition"]
    assert "too strong" in json.loads(response.headers["tintype-notes"])[0]
    settings = {"model": "tint.small", "options": {"vividness": 0.9, "warmth": 0.5}}
    by_settings = json.dumps({**settings, "hints": hints})
    again = post(client, photo.read_bytes(), settings=by_settings, vividness="0.3")
    assert again.content == response.content


def test_samples_are_those_of_the_command_line(
    client: TestClient, photograph: bytes, tmp_path: Path
) -> None:
    response = post(client, photograph, "b.jpg", samples="3", seed="5")
    assert response.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert sorted(archive.namelist()) == [f"b.sample-{k}.jpg" for k in (1, 2, 3)]
    (tmp_path / "b.jpg").write_bytes(photograph)
    assert main(["colorize", str(tmp_path / "b.jpg"), "--sample", "2", "--seed", "5"]) == 0
    made = (tmp_path / "b.colorized.jpg").read_bytes()
    assert archive.read("b.sample-2.jpg") == made
    assert post(client, photograph, sample="2", seed="5").content == made


BROKEN = sorted((Path(__file__).parent.parent / "photo" / "broken").iterdir())


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"hello", b"%PDF-1.7", b"<svg xmlns=", encoded("PNG")[:60], encoded()[:100]),
        *(path.read_bytes() for path in BROKEN),
    ],
)
def test_a_malformed_file_gets_the_sentence_of_the_command_line(
    client: TestClient,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.jpg").write_bytes(content)
    status = main(["colorize", "odd.jpg"])
    response = post(client, content, "odd.jpg")
    if status:
        said = f"tintype: {problem(response, 422)}\n"
        assert said in (capsys.readouterr().err)
    else:
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"vividness": "3"}, "vividness must be a number from 0 (safe) to 1 (vivid), not 3"),
        ({"vividness": "much"}, "not 'much'"),
        ({"model": "tinta.small"}, "did you mean tint.small"),
        ({"model": "/etc/passwd.json"}, "No model is called '/etc/passwd.json'"),
        ({"model": "passwd.onnx"}, "No model is called"),
        ({"model": "plain.small", "hints": '[{"x":1,"y":1,"color":"#8a3324"}]'}, "takes no hints"),
        ({"hints": '[{"x":1000,"y":1,"color":"#8a3324"}]'}, "is outside the photograph"),
        ({"hints": "[1]"}, "a hint must be a JSON object with x, y and color"),
        ({"hints": "{"}, "hints is not valid JSON"),
        ({"settings": '{"options": {"card": 1}}'}, "there is no option 'card'"),
        ({"settings": "[]"}, "settings must be a JSON object"),
        ({"settings": '{"options": 3}'}, "options must be a JSON object"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"samples": "65"}, "samples must be a whole number from 1 to 64"),
        ({"samples": "2", "model": "tint"}, "gives one colouring"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_reason(
    client: TestClient, photograph: bytes, asked: dict[str, str], words: str
) -> None:
    assert words in problem(post(client, photograph, **asked), 422)


def test_forms_that_are_none_are_refused(client: TestClient, photograph: bytes) -> None:
    assert "multipart" in problem(client.post(URL, content=photograph), 415)
    assert "in the field photo" in problem(client.post(URL, files={"foto": photograph}), 422)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    problem(client.post(URL, content=b"--y\r\n", headers=kind), 400)
    problem(client.post(URL, content=b"--x\r\nnonsense", headers=kind), 422)
    assert problem(client.get("/nothing"), 404)
    assert problem(client.get(URL), 405)


@pytest.mark.parametrize("path", [URL, "/session/photos"])
def test_an_upload_that_is_broken_off_is_no_error(studio: Studio, path: str) -> None:
    kind = (b"content-type", b"multipart/form-data; boundary=x")
    length = (b"content-length", b"1000")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), kind, length],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
    }
    said = [{"type": "http.request", "body": b"--x\r\n", "more_body": True}]
    sent: list[Any] = []

    async def receive() -> Any:
        return said.pop() if said else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(studio.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 499
    assert studio.session.pictures() == []
    assert jobs(studio) == []


def test_a_photograph_that_cannot_be_kept_leaves_no_folder(
    client: TestClient, studio: Studio, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("tintype.studio.api.shutil.copyfileobj", Mock(side_effect=full))
    assert "No space left" in problem(post(client, photograph), 503)
    assert jobs(studio) == []


def test_the_folder_of_a_client_that_went_away_goes_when_its_worker_has_stopped(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[Work] = []

    async def outcome(request: Any, work: Work, name: str) -> Any:
        works.append(work)
        raise WorkError("the client disconnected", "cancelled")

    monkeypatch.setattr("tintype.studio.api.outcome", outcome)
    problem(post(client, HANGS), 503)
    assert len(jobs(studio)) == 1
    works[0].abandon()
    until(lambda: not jobs(studio))


def test_limits_are_said(client: TestClient) -> None:
    assert "at most" in problem(post(client, bytes(7 << 20)), 413)

    def pieces() -> Any:  # without a declared length
        yield from [bytes(1 << 20)] * 7

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "at most" in problem(client.post(URL, content=pieces(), headers=kind), 413)
    large = problem(post(client, encoded("PNG", (2000, 1000)), "large.png"), 413)
    assert "2,000,000 pixels" in large
    assert large.startswith("large.png")


@pytest.mark.skipif(os.name != "posix", reason="limits of memory")
def test_a_decoder_that_ends_hangs_or_allocates_fails_its_photograph_alone(
    client: TestClient, photograph: bytes
) -> None:
    jobs = [
        post(client, content, f"{k}.jpg", "/api/v1/jobs").json()["id"]
        for k, content in enumerate((ENDS, HANGS, ALLOCATES, photograph, photograph))
    ]
    until(lambda: all("ing" not in state(client, job)["state"] for job in jobs), 60)
    states = [state(client, job) for job in jobs]
    assert [one["state"] for one in states] == ["failed"] * 3 + ["done"] * 2
    results = [client.get(f"/api/v1/jobs/{job}/result") for job in jobs]
    assert problem(results[0], 422).startswith("0.jpg: the process that worked on it ended")
    assert problem(results[1], 503).startswith("1.jpg: it took longer than 5 seconds")
    assert "memory" in problem(results[2], 413)
    assert results[3].content == results[4].content == post(client, photograph).content
    for job in jobs:
        client.delete(f"/api/v1/jobs/{job}")


def state(client: TestClient, job: str) -> Any:
    return client.get(f"/api/v1/jobs/{job}").json()


def test_a_job_tells_its_progress_and_is_gone_when_deleted(
    client: TestClient, photograph: bytes
) -> None:
    created = post(client, photograph, url="/api/v1/jobs")
    assert created.status_code == 202
    place = created.headers["location"]
    events = [
        json.loads(line.removeprefix("data: "))
        for line in client.get(f"{place}/events").text.splitlines()
        if line
    ]
    assert events[-1]["state"] == "done"
    assert client.get(f"{place}/result").content == post(client, photograph).content
    assert client.delete(place).status_code == 204
    assert "no such job" in problem(client.get(place), 404)


def test_a_job_is_cancelled_while_it_runs(client: TestClient) -> None:
    job = post(client, HANGS, url="/api/v1/jobs").json()["id"]
    until(lambda: state(client, job)["state"] == "working")
    assert "no result" in problem(client.get(f"/api/v1/jobs/{job}/result"), 409)
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 204
    until(lambda: "tasks_running 0" in client.get("/metrics").text, 3)


def test_more_than_may_wait_are_refused(photograph: bytes) -> None:
    studio = Studio(1, limits=Limits(waiting=0, requests=0, jobs=0))
    try:
        with TestClient(studio.app, HOST) as client:
            response = post(client, photograph)
            assert "are waiting already" in problem(response, 503)
            assert response.headers["retry-after"] == "60"
            response = post(client, photograph, url="/api/v1/jobs")
            assert "jobs are kept: delete some, or try again in an hour" in problem(response, 429)
            assert response.headers["retry-after"] == "3600"
    finally:
        studio.close()


def test_a_disk_that_is_nearly_full_is_said(
    client: TestClient, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage("/")._replace(free=1 << 20)
    monkeypatch.setattr("tintype.studio.folder.shutil.disk_usage", lambda _: full)
    assert "nearly full" in problem(post(client, photograph), 503)
    assert "nearly full" in problem(client.post("/session/photos", content=photograph), 503)


def test_a_token_is_asked_for_and_rates_are_limited(photograph: bytes) -> None:
    studio = Studio(1, limits=Limits(requests=2), token="geheim", own_names_only=False)
    try:
        with TestClient(studio.app, HOST, follow_redirects=False) as client:
            assert "token" in problem(client.get("/"), 401)
            assert "token" in problem(client.get("/?token=falsch"), 401)
            assert client.get("/healthz").text == "ok\n"
            bearer = {"Authorization": "Bearer geheim"}
            assert client.get("/api/v1/models", headers=bearer).status_code == 200
            responses = [client.get("/healthz") for _ in range(10)]
            assert "Too many requests" in problem(responses[-1], 429)
    finally:
        studio.close()


@pytest.mark.parametrize("token", ["geheim", "a+b&c=d#e f;g", "tajemství ł"])
def test_the_address_with_its_token_opens_the_page(token: str) -> None:
    app = _TokenMiddleware(PlainTextResponse("the page"), token)
    client = TestClient(app, HOST, follow_redirects=False)
    assert client.get("/").status_code == 401
    assert client.get(f"/?token={quote(token, safe='')}").status_code == 303
    assert client.get("/").text == "the page"  # by the cookie


def test_foreign_pages_and_names_do_not_reach_it(client: TestClient, photograph: bytes) -> None:
    evil = {"Origin": "http://evil.example"}
    files = {"photo": ("a.jpg", photograph)}
    assert problem(client.post(URL, files=files, headers=evil), 403)
    assert problem(client.get("/", headers={"Host": "evil.example"}), 421)
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "access-control-allow-origin" not in client.get("/").headers


def test_models_metrics_and_openapi_say_what_there_is(client: TestClient) -> None:
    models = client.get("/api/v1/models").json()["models"]
    named = {model["name"]: model for model in models}
    assert named["tint.small"]["hints"]
    assert named["tint.small"]["options"]["vividness"] == 0.5
    figures = client.get("/metrics").text
    assert 'route="/api/v1/models",status="200"' in figures
    assert "tintype_workers 2" in figures
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    assert sorted(paths) == [
        f"/api/v1/{end}"
        for end in (
            "colorize",
            "jobs",
            "jobs/{id}",
            "jobs/{id}/events",
            "jobs/{id}/result",
            "models",
        )
    ]
    form = paths[URL]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"photo", "model", "hints", "samples", "seed", "settings"} <= form["properties"].keys()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\0b.jpg", "..", "x" * 300 + ".jpg", ""])
def test_names_that_the_client_chose_touch_no_path(
    client: TestClient, photograph: bytes, name: str
) -> None:
    response = client.post("/session/photos", params={"name": name}, content=photograph)
    assert response.status_code == 201
    shown = response.json()["name"]
    assert "/" not in shown
    assert shown.isprintable()
    assert 0 < len(shown) <= 80
