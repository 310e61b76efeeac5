"""The web application of a study: the pages of its raters and of its owner."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from tintype.errors import TintypeError
from tintype.study.manifest import Study
from tintype.study.owner_pages import OwnerPages
from tintype.study.rater_pages import RaterPages
from tintype.study.site import RateLimits, Site
from tintype.study.storage import AnswerStore
from tintype.web.limiter import RateLimiter
from tintype.web.protection import ProtectionMiddleware

_log = logging.getLogger("tintype.study")

_MAX_BODY_BYTES = 8192  # an answer takes about 200
_UNAVAILABLE = (
    "The study cannot be reached at the moment. Nothing is lost; please try again shortly."
)
#: Messages of the framework, reworded for raters.
_FRAMEWORK_MESSAGES = {
    "Not Found": "There is no such page.",
    "Method Not Allowed": "This page cannot be opened in this way.",
}


def create_app(
    study: Study,
    store: AnswerStore,
    limits: RateLimits | None = None,
    *,
    own_names_only: bool = False,
) -> ProtectionMiddleware:
    """Create the ASGI application that serves a study.

    Args:
        study: the study to serve.
        store: where its answers are kept.
        limits: rate limits for each address; by default those of `RateLimits`.
        own_names_only: as in `ProtectionMiddleware`.

    Raises:
        DataError: the study's owner token is missing.
    """
    limits = limits or RateLimits()
    site = Site(study, store)
    app = FastAPI(
        title=study.settings.title,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the Host header, not a proxy's path
    )
    app.include_router(RaterPages(site, limits).routes())
    app.include_router(OwnerPages(site).routes())
    app.mount("/static", StaticFiles(packages=[("tintype.study", "static")]))
    app.add_api_route("/health", _health, response_model=None)

    def error_page(request: Request, error: Exception) -> Response:
        return _error_page(site, request, error)

    def unavailable_page(request: Request, error: Exception) -> Response:
        # The first line only: the whole error of a database contains the rater's secrets.
        _log.warning("a request was answered with 503: %s", _reason(error))
        return _error_page(site, request, HTTPException(503, _UNAVAILABLE, {"Retry-After": "3"}))

    # Starlette's class, from which FastAPI's derives, so that the framework's errors come here too.
    app.add_exception_handler(HTTPException, error_page)
    for kind in (SQLAlchemyError, TintypeError, OSError):
        app.add_exception_handler(kind, unavailable_page)
    # Outside the application: added to it as a middleware, it would not see unhandled errors.
    return ProtectionMiddleware(
        app,
        RateLimiter(limits.requests, limits.burst),
        max_body_bytes=_MAX_BODY_BYTES,
        own_names_only=own_names_only,
    )


async def _health() -> Response:
    return PlainTextResponse("ok\n")


def _error_page(site: Site, request: Request, error: Exception) -> Response:
    """Return an HTTP error as a page, or as JSON to the script."""
    status = getattr(error, "status_code", 500)
    detail = getattr(error, "detail", "")
    text = _FRAMEWORK_MESSAGES.get(detail, detail)
    headers = getattr(error, "headers", None) or {}
    if request.headers.get("content-type", "").startswith("application/json"):
        return JSONResponse({"error": text}, status, headers)
    up = "../" * (request.url.path.count("/") - 1)
    page = site.render(request, "message.html", status, message=text, up=up)
    page.headers.update(headers)
    return page


def _reason(error: Exception) -> str:
    """Return the first line of an error, of a database error the driver's own."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
