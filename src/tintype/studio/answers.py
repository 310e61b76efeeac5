"""Responses of the API and the page: errors as problem details (RFC 9457), and results awaited."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tintype.errors import PhotoTooLargeError, TintypeError
from tintype.studio.folder import FullDiskError
from tintype.studio.picture import NoPhotoError, SessionFullError, TwiceError
from tintype.web.workers import QueueFullError, Work, WorkError, named

#: HTTP status by the name of an error's class or by the `WorkError.kind`; any other error is 422.
_STATUS = {
    PhotoTooLargeError.__name__: 413,
    "memory": 413,
    "late": 503,
    "disk": 503,
    "cancelled": 503,
    "bug": 500,
    "CorruptModelError": 500,
    QueueFullError.__name__: 503,
    FullDiskError.__name__: 503,
    SessionFullError.__name__: 429,
    NoPhotoError.__name__: 404,
    TwiceError.__name__: 409,
}


def problem(detail: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """Return an error response as problem+json (RFC 9457).

    Args:
        detail: the sentence for the reader.
        status: HTTP status code.
        headers: further response headers.
    """
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return JSONResponse(
        {**content, "detail": detail}, status, headers, media_type="application/problem+json"
    )


def problem_of(error: TintypeError) -> Response:
    """Return tintype's error as problem+json, in the sentence that the command line prints."""
    kind = error.kind if isinstance(error, WorkError) else type(error).__name__
    status = _STATUS.get(kind, 422)
    headers = {"Retry-After": "60"} if status in (429, 503) else None
    return problem(str(error), status, headers)


async def outcome(request: Request, work: Work, name: str = "") -> Any:
    """Return the result of submitted work; stop the work when the client disconnects.

    Args:
        request: the client's request, whose body has been read.
        work: the submitted work.
        name: the photograph's name, which error messages begin with.

    Raises:
        WorkError: the work failed, the client disconnected or the studio is ending.
    """
    done = asyncio.wrap_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            work.abandon()
            raise WorkError("the client disconnected", "cancelled")
        return done.result()
    except WorkError as error:
        raise named(error, name) from error
    except asyncio.CancelledError:
        work.abandon()
        raise WorkError("the studio is shutting down", "cancelled") from None
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
