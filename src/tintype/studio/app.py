"""The studio's ASGI application: page, API and metrics behind token, rate and size checks."""

from __future__ import annotations

import hmac
import logging
import threading
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

import tintype
from tintype.errors import TintypeError
from tintype.studio.answers import problem, problem_of
from tintype.studio.api import Api
from tintype.studio.engine import engine
from tintype.studio.folder import WorkFolder
from tintype.studio.limits import Limits
from tintype.studio.metrics import Metrics
from tintype.studio.pages import Pages
from tintype.studio.session import Session
from tintype.web.limiter import RateLimiter
from tintype.web.protection import ProtectionMiddleware
from tintype.web.workers import WorkerPool, memory_for_each

_log = logging.getLogger("tintype.studio")
_COOKIE = "tintype-studio"
_OPEN = ("/healthz",)  # paths that need no token


class Studio:
    """The parts of a running studio: its folder, worker processes, session and application.

    Args:
        workers: number of worker processes; each works on one photograph at a time.
        keep: a folder that keeps the session; None for a temporary one, removed at the end.
        limits: the studio's limits; None for the default ones.
        token: a secret that every request has to carry; None if none is asked for.
        own_names_only: as in `ProtectionMiddleware`.
        setup: makes the handler of tasks in each worker; tests pass their own.

    Attributes:
        app: the ASGI application.
        session: the photographs of the page.

    Raises:
        TintypeError: the folder cannot be used, or no model is installed.
    """

    def __init__(
        self,
        workers: int,
        *,
        keep: Path | None = None,
        limits: Limits | None = None,
        token: str | None = None,
        own_names_only: bool = True,
        setup: object = engine,
    ) -> None:
        limits = limits or Limits()
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # clients' malformed forms
        self._folder = WorkFolder(keep)
        self._pool = WorkerPool(
            setup,  # type: ignore[arg-type]
            workers,
            memory=memory_for_each(workers),
            seconds=limits.seconds,
            waiting=limits.waiting,
        )
        self.session = Session(self._folder.session, self._pool, limits)
        self._api = Api(self._pool, self._folder, limits)
        app = FastAPI(
            title="tintype studio",
            version=tintype.__version__,
            description="Color black-and-white photographs.",
            openapi_url="/api/v1/openapi.json",
            docs_url=None,  # FastAPI's pages load scripts from other sites
            redoc_url=None,
            redirect_slashes=False,
        )
        app.include_router(self._api.router)
        app.include_router(Pages(self.session, self._pool, self._folder, limits).router)
        app.add_api_route("/healthz", self._health, include_in_schema=False)
        app.add_api_route("/metrics", self._figures, include_in_schema=False)
        app.add_exception_handler(TintypeError, _our_error)
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(RequestValidationError, _invalid)
        app.add_exception_handler(OSError, _unavailable)
        app.add_exception_handler(ClientDisconnect, _gone)
        self._metrics = Metrics(app)
        guarded = self._metrics if token is None else _TokenMiddleware(self._metrics, token)
        uploads = dict.fromkeys(("/api/v1/colorize", "/api/v1/jobs"), limits.body + (2 << 20))
        self.app = ProtectionMiddleware(
            guarded,
            RateLimiter(limits.requests, 5 * limits.requests),
            max_body_bytes=1 << 20,
            own_names_only=own_names_only,
            uploads={**uploads, "/session/photos": limits.body},
            refusal=problem,
        )

    def stop(self) -> None:
        """End all open responses, those that wait for events and those that wait for work."""
        self.session.close()
        threading.Thread(target=self._pool.close).start()  # a signal handler must not wait

    def close(self) -> None:
        """Stop the workers and remove the temporary files."""
        self._pool.close()
        self._folder.close()

    async def _health(self) -> Response:
        """Answer a health check."""
        return PlainTextResponse("ok\n")

    async def _figures(self) -> Response:
        """Return the metrics in the text format of Prometheus."""
        pool = self._pool
        gauges = {
            "tintype_workers": ("gauge", "Worker processes.", pool.count),
            "tintype_tasks_running": ("gauge", "Tasks in progress.", pool.running),
            "tintype_tasks_waiting": ("gauge", "Tasks waiting for a worker.", pool.waiting),
            "tintype_worker_restarts_total": ("counter", "Workers replaced.", pool.restarts),
            "tintype_jobs": ("gauge", "Jobs kept, finished or not.", len(self._api.jobs)),
            "tintype_photos": ("gauge", "Photographs on the page.", len(self.session.pictures())),
        }
        return PlainTextResponse(self._metrics.text(gauges), media_type="text/plain; version=0.0.4")


class _TokenMiddleware:
    """Let requests pass that carry the token: in the URL once, then a cookie, or as a bearer."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        response: ASGIApp = problem(
            "This studio needs its token: open the address that it printed when it started, or "
            "send the header Authorization: Bearer TOKEN.",
            401,
            {"WWW-Authenticate": "Bearer"},
        )
        if scope["method"] == "GET" and scope["path"] == "/" and self._known(asked):
            response = RedirectResponse("/", 303)
            known = quote(self._token, safe="")  # a cookie holds ASCII alone
            response.set_cookie(_COOKIE, known, httponly=True, samesite="lax")
        elif self._known(bearer) or self._known(unquote(request.cookies.get(_COOKIE, ""))):
            response = self._app
        await response(scope, receive, send)

    def _known(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())


async def _our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TintypeError)
    return problem_of(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(str(error.detail), error.status_code, dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(f"{first['loc'][-1]}: {first['msg']}", 422)


async def _gone(request: Request, error: Exception) -> Response:
    """Answer a client that broke off its upload; nobody reads it, and the metrics count it."""
    return Response(status_code=499)


async def _unavailable(request: Request, error: Exception) -> Response:
    reason = getattr(error, "strerror", None) or str(error)
    _log.warning("answered 503, the disk cannot be used: %s", reason)
    detail = f"the studio cannot use its disk: {reason}; try again in a minute"
    return problem(detail, 503, {"Retry-After": "60"})
