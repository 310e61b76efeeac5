"""The web application of a study: the pages of raters and of its owner, and what they load."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from tintype.errors import TintypeError
from tintype.study.limits import RateLimits, unavailable
from tintype.study.manifest import Study
from tintype.study.owner_pages import OwnerPages
from tintype.study.rater_pages import RaterPages
from tintype.study.site import Site
from tintype.study.storage import AnswerStore
from tintype.web.limiter import RateLimiter
from tintype.web.protection import ProtectionMiddleware

_log = logging.getLogger("tintype.study")

_MAX_BODY_BYTES = 8192  # an answer has some 200
#: Messages of the framework, reworded for raters.
_FRAMEWORK_MESSAGES = {
    "Not Found": "There is no such page.",
    "Method Not Allowed": "This page cannot be asked for in this way.",
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
        study: the study.
        store: its answers.
        limits: rate limits for each address.
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
        redirect_slashes=False,  # it would name the Host that was asked for, not a proxy's path
    )
    app.include_router(RaterPages(site, limits).routes())
    app.include_router(OwnerPages(site).routes())
    app.mount("/static", StaticFiles(packages=[("tintype.study", "static")]))
    app.add_api_route("/health", _health, response_model=None)

    def error_page(request: Request, error: Exception) -> Response:
        return _error_page(site, request, error)

    def unavailable_page(request: Request, error: Exception) -> Response:
        # Not the whole error of the database: it has the rater's keys.
        _log.warning("a request was answered with 503: %s", _reason(error))
        return _error_page(site, request, unavailable())

    # Starlette's class, from which FastAPI's derives: the framework's own errors too.
    app.add_exception_handler(HTTPException, error_page)
    for kind in (SQLAlchemyError, TintypeError, OSError):
        app.add_exception_handler(kind, unavailable_page)
    # Wraps the application: added as a middleware it would not see unhandled errors.
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
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
