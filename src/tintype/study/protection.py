"""What stands before the pages: headers, limits, and who may send what."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Pages run the study's own script and style, and reach nothing but the study.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    # Pages, pictures and refusals alike: nothing is kept, so nothing can be compared later.
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}

_MOST_BYTES = 8192  # of a request's body: an answer has some 200
_MOST_ADDRESSES = 10_000


@dataclass
class Buckets:
    """Token buckets, one for each address: so many at once, then so many a second.

    Requests that are answered at the same time may take from one.

    Attributes:
        rate: tokens a second; 0 sets no limit.
        burst: tokens of a full bucket.
        clock: seconds, from any beginning.
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _levels: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, address: str) -> bool:
        """Take a token, if there is one."""
        if self.rate == 0:
            return True
        with self._lock:
            now = self.clock()
            level, at = self._levels.pop(address, (self.burst, now))
            level = min(self.burst, level + (now - at) * self.rate)
            allowed = level >= 1
            self._levels[address] = (level - allowed, now)
            if len(self._levels) > _MOST_ADDRESSES:
                self._levels.popitem(last=False)
        return allowed


class Protection:
    """ASGI middleware around the whole application.

    Args:
        app: what it protects.
        requests: how many an address may make.
    """

    def __init__(self, app: ASGIApp, requests: Buckets) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on; the answer gets its headers either way."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_protected)
            return
        body = await _body(receive) if scope["method"] == "POST" else b""
        if body is None:
            response = PlainTextResponse("This is more than an answer has to say.", 413)
            await response(scope, receive, send_protected)
            return
        given = False

        async def receive_body() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_body, send_protected)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        if not self._requests.take(address_of(scope)):
            headers = {"Retry-After": "2"}
            return PlainTextResponse("Too many requests; wait a moment.", 429, headers)
        headers = Headers(scope=scope)
        if scope["method"] == "POST" and not _same_origin(headers):
            return PlainTextResponse("This form was sent from another site.", 403)
        return None


def address_of(scope: Scope) -> str:
    """The address a request comes from."""
    client = scope.get("client")
    return client[0] if client else ""


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None if it is too long."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > _MOST_BYTES:
            return None
        if not message.get("more_body"):
            return body


def _same_origin(headers: Headers) -> bool:
    """Whether a form was sent from a page of this server, as far as the browser tells."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:  # no address at all
        return False
