"""ASGI middleware: security headers, rate limits, body size and origin checks."""

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
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    # For pages, pictures and errors alike.
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}

_MAX_BODY_BYTES = 8192  # an answer has some 200
_MAX_CLIENTS = 10_000


@dataclass
class RateLimiter:
    """Limit the rate of requests by a token bucket for each client address. Thread-safe.

    Attributes:
        rate: tokens a second; 0 sets no limit.
        burst: tokens of a full bucket.
        clock: seconds, from any beginning.
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _tokens: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allow(self, address: str) -> bool:
        """Take a token; return False if the bucket is empty."""
        if self.rate == 0:
            return True
        with self._lock:
            now = self.clock()
            tokens, at = self._tokens.pop(address, (self.burst, now))
            tokens = min(self.burst, tokens + (now - at) * self.rate)
            allowed = tokens >= 1
            self._tokens[address] = (tokens - allowed, now)
            if len(self._tokens) > _MAX_CLIENTS:
                self._tokens.popitem(last=False)
        return allowed


class ProtectionMiddleware:
    """ASGI middleware around the whole application.

    Args:
        app: what it protects.
        requests: the rate limiter of requests.
    """

    def __init__(self, app: ASGIApp, requests: RateLimiter) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject or forward a request; responses get the security headers either way."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._rejection(scope)
        if refusal is not None:
            await refusal(scope, receive, send_protected)
            return
        body = await _read_body(receive) if scope["method"] == "POST" else b""
        if body is None:
            response = PlainTextResponse("The request is too large.", 413)
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

    def _rejection(self, scope: Scope) -> PlainTextResponse | None:
        if not self._requests.allow(client_address(scope)):
            headers = {"Retry-After": "2"}
            return PlainTextResponse("Too many requests; wait a moment.", 429, headers)
        headers = Headers(scope=scope)
        if scope["method"] == "POST" and not _is_same_origin(headers):
            return PlainTextResponse("This form was sent from another site.", 403)
        return None


def client_address(scope: Scope) -> str:
    """Return the client's address."""
    client = scope.get("client")
    return client[0] if client else ""


async def _read_body(receive: Receive) -> bytes | None:
    """Read the body of a request; None if it is too long."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > _MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return body


def _is_same_origin(headers: Headers) -> bool:
    """Return whether a form comes from a page of this server, by the browser's headers."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:  # no address at all
        return False
