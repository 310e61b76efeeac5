"""A server on loopback, and clients that do not behave."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="needs the extra web")

from tintype.web.limiter import RateLimiter
from tintype.web.protection import ProtectionMiddleware, _is_host

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HEAD + b"\r\n"

#: Answers with so many bytes as the path says, after so many seconds as the query says.
SERVER = """
import sys, asyncio
from tintype.web.limiter import RateLimiter
from tintype.web.listener import listen, serve, url_of
from tintype.web.protection import ProtectionMiddleware
from tintype.web.protocol import ConnectionLimits

async def app(scope, receive, send):
    await asyncio.sleep(float(scope["query_string"] or 0))
    body = bytes(int(scope["path"].strip("/") or 2))
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})

with listen("127.0.0.1", 0) as listener:
    print(url_of("127.0.0.1", listener), flush=True)
    protected = ProtectionMiddleware(
        app, RateLimiter(0, 1), max_body_bytes=1000, own_names_only=True
    )
    serve(protected, listener, limits=ConnectionLimits(*map(float, sys.argv[1:])))
"""


@contextlib.contextmanager
def server(*limits: float, prefix: tuple[str, ...] = ()) -> Iterator[int]:
    """A server's port."""
    command = [*prefix, sys.executable, "-c", SERVER, *map(str, limits)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server(1000, 0.8, 0.8) as port:
        yield port


_clients: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _close_clients() -> Iterator[None]:
    yield
    for client in _clients:
        client.close()
    _clients.clear()


def connect(port: int, sent: bytes = b"") -> socket.socket:
    client = socket.socket()
    _clients.append(client)
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    client.sendall(sent)
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65536):
            data += piece
    return data


def ask(port: int, method: str = "GET", body: Any = None, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, "/", body, {k.replace("_", "-"): v for k, v in headers.items()})
    status = connection.getresponse().status
    connection.close()
    return status


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        seconds.append(time.perf_counter() - started)
    connection.close()
    assert min(seconds[1:]) < 0.03  # 0.04 is what a delayed acknowledgement takes


@pytest.mark.parametrize(
    "sent", [b"", b"G", HEAD, WHOLE + HEAD, b"GET / HTTP/1.1\r\nX: " + b"y" * 9000]
)
def test_a_request_that_is_half_sent_is_closed(sent: bytes, port: int) -> None:
    client = connect(port, sent)
    started = time.monotonic()
    assert rest(client).count(b"200 OK") == sent.count(WHOLE)
    assert 0.5 < time.monotonic() - started < 8


def test_bytes_that_trickle_do_not_put_the_deadline_off(port: int) -> None:
    client = connect(port, HEAD)
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < 8:
            client.sendall(b"X")
            time.sleep(0.1)
    assert time.monotonic() - started < 4


def test_an_answer_may_take_longer_than_a_head(port: int) -> None:
    client = connect(port, WHOLE.replace(b"/ ", b"/?1.5 ", 1))
    assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_client_that_takes_nothing_is_closed_and_a_slow_one_is_not(port: int) -> None:
    size = 16_000_000
    ask_much = WHOLE.replace(b"/ ", b"/%d " % size, 1)
    dead, slow = connect(port, ask_much), connect(port, ask_much)
    got, started = 0, time.monotonic()
    while time.monotonic() - started < 3:
        got += len(slow.recv(200_000))
        time.sleep(0.05)
    while got < size:
        piece = slow.recv(1_000_000)
        assert piece
        got += len(piece)
    assert len(rest(dead)) < size


@pytest.mark.slow
def test_at_the_cap_those_who_idle_give_way() -> None:
    with server(10, 60, 60) as port:
        idle = [connect(port, HEAD) for _ in range(30)]
        assert [ask(port) for _ in range(5)] == [200] * 5
        closed = [rest_or_none(client) is not None for client in idle]
        assert sum(closed) >= 20
        assert closed == sorted(closed, reverse=True)  # those that came first


@pytest.mark.slow
def test_at_the_cap_of_busy_connections_others_are_told() -> None:
    with server(10, 60, 60) as port:
        busy = [connect(port, WHOLE.replace(b"/ ", b"/?1.5 ", 1)) for _ in range(10)]
        time.sleep(0.4)
        refused = rest(connect(port))
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"Retry-After" in refused
        assert [client.recv(1000)[:12] for client in busy] == [b"HTTP/1.1 200"] * 10
        assert ask(port) == 200


def rest_or_none(client: socket.socket) -> bytes | None:
    client.settimeout(0.05)
    try:
        return rest(client)
    except TimeoutError:
        return None


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="file descriptors")
def test_few_file_descriptors_are_enough_for_those_who_behave() -> None:
    few = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh")
    with server(1000, 60, 60, prefix=few) as port:
        for _ in range(300):
            connect(port, HEAD)
        assert [ask(port) for _ in range(5)] == [200] * 5


@pytest.mark.parametrize(
    ("host", "own", "any_"),
    [
        ("localhost:8000", True, True),
        ("127.0.0.1", True, True),
        ("[::1]:8000", True, True),
        ("machine:80", True, True),
        ("a.localhost", True, True),
        ("evil.example", False, True),
        ("localhost.evil.example:8000", False, True),
        ("127.0.0.1.evil.example", False, True),
        ("", False, True),
        ("a/b", False, False),
        ("user@localhost", False, False),
        ("localhost:80:80", False, False),
        ("a b", False, False),
    ],
)
def test_hosts(host: str, own: bool, any_: bool) -> None:
    assert (_is_host(host, True), _is_host(host, False)) == (own, any_)


def test_requests_have_limits_and_come_from_here(port: int) -> None:
    assert ask(port, Host="evil.example") == 421
    assert ask(port, X="y" * 20_000) in (400, 431)
    assert ask(port, "POST", b"x" * 1000) == 200
    assert ask(port, "POST", b"x" * 1001) == 413
    for method in ("POST", "PUT", "DELETE"):
        assert ask(port, method, Origin="http://evil.example") == 403
        assert ask(port, method, Sec_Fetch_Site="cross-site") == 403
        assert ask(port, method, Origin=f"http://127.0.0.1:{port}") == 200
    assert ask(port, Upgrade="websocket", Connection="Upgrade") == 200


def test_a_body_that_does_not_come_is_waited_for_shortly(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
    assert ask(port) == 200  # meanwhile
    monkeypatch.setattr("tintype.web.protection._BODY_SECONDS", 0.05)
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    protected = ProtectionMiddleware(app, RateLimiter(0, 1), max_body_bytes=1000)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(protected(scope, receive, send))
    assert sent[0]["status"] == 408
