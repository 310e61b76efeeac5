"""ASGI middleware: security headers, rate limit, limits of requests, Host and Origin checks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tintype.web.limiter import RateLimiter

#: Pages run the server's own scripts and styles, and reach nothing but the server.
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

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_MAX_HEADER_BYTES = 16 * 1024
_BODY_SECONDS = 20.0  # of a body; of an upload, from one part of it to the next
_UPLOAD_SECONDS = 600.0

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


class ProtectionMiddleware:
    """ASGI middleware around a whole application.

    Args:
        app: what it protects.
        requests: limits the rate of requests.
        max_body_bytes: the longest body of a request.
        own_names_only: answer only to names that nobody else can own: addresses, names without a
            dot, .localhost. A page of another site could else have its own name lead here, and
            read what is meant for this machine (DNS rebinding).
        uploads: the longest body of a path under which bodies are not read beforehand, but by the
            application as they come; an `HTTPException` is raised there where one is too long or
            too slow.
        refusal: makes a response from a message, a status code and headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        requests: RateLimiter,
        *,
        max_body_bytes: int,
        own_names_only: bool = False,
        uploads: Mapping[str, int] | None = None,
        refusal: Callable[[str, int, dict[str, str]], Response] = PlainTextResponse,
    ) -> None:
        self._app = app
        self._requests = requests
        self._max_body_bytes = max_body_bytes
        self._own_names_only = own_names_only
        self._uploads = uploads or {}
        self._refusal = refusal

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
        longest = self._uploads.get(scope["path"])
        if refusal is None and longest is not None and scope["method"] not in _SAFE_METHODS:
            declared = Headers(scope=scope).get("content-length", "")
            if declared.isdecimal() and int(declared) > longest:
                refusal = self._refusal(_too_large(longest), 413, {})
            else:
                await self._app(scope, _limited(receive, longest), send_protected)
                return
        body = b""
        if refusal is None and scope["method"] not in _SAFE_METHODS:
            body, refusal = await self._read_body(receive)
        if refusal is not None:
            await refusal(scope, receive, send_protected)
            return
        given = scope["method"] in _SAFE_METHODS

        async def receive_body() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_body, send_protected)

    def _rejection(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._requests.allow(client_address(scope)):
            again = {"Retry-After": "2"}
            return self._refusal("Too many requests; wait a moment.", 429, again)
        if sum(len(name) + len(value) for name, value in headers.raw) > _MAX_HEADER_BYTES:
            return self._refusal("The head of the request is too large.", 431, {})
        if not _is_host(headers.get("host", ""), self._own_names_only):
            return self._refusal(
                "This server does not go by that name. Behind a reverse proxy a study is started "
                "with --proxy, a studio with --host 0.0.0.0.",
                421,
                {},
            )
        if scope["method"] not in _SAFE_METHODS and not _is_same_origin(headers):
            return self._refusal("This form was sent from another site.", 403, {})
        return None

    async def _read_body(self, receive: Receive) -> tuple[bytes, Response | None]:
        """Read the body of a request; return it, or the response to one too long or too slow."""
        body = b""
        with anyio.move_on_after(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return b"", None
                body += message.get("body", b"")
                if len(body) > self._max_body_bytes:
                    return b"", self._refusal("The request is too large.", 413, {})
                if not message.get("more_body"):
                    return body, None
        return b"", self._refusal("The request takes too long.", 408, {})


def _limited(receive: Receive, longest: int) -> Receive:
    """Return a `receive` that raises an error for a body that is too long or too slow."""
    received, end = 0, anyio.current_time() + _UPLOAD_SECONDS

    async def receive_limited() -> Message:
        nonlocal received
        if received < 0:
            return await receive()
        message = None
        with anyio.CancelScope(deadline=min(end, anyio.current_time() + _BODY_SECONDS)):
            message = await receive()
        if message is None:
            raise HTTPException(408, "The request takes too long.")
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > longest:
                raise HTTPException(413, _too_large(longest))
            if not message.get("more_body"):
                received = -1  # what comes now is the client's going away
        return message

    return receive_limited


def _too_large(longest: int) -> str:
    return f"The request is too large: at most {longest >> 20} MiB are taken."


def client_address(scope: Scope) -> str:
    """Return the client's IP address; empty if unknown."""
    client = scope.get("client")
    return client[0] if client else ""


def _is_host(host: str, own_names_only: bool) -> bool:
    """Tell whether a Host header may name this server."""
    found = _HOST.fullmatch(host)
    if found is None:
        return not host and not own_names_only  # HTTP/1.0 has none
    name = found[1].strip("[]").lower().rstrip(".")
    if not own_names_only or "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_origin(headers: Headers) -> bool:
    """Tell by the browser's headers whether a request comes from a page of this server."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()
