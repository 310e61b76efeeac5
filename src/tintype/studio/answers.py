"""Answers of the API and the page: errors as problems (RFC 9457), and waiting for work."""

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

#: Status of an error by the name of its class, or of what ended its worker; of others 422.
_STATUS = {
    PhotoTooLargeError.__name__: 413,
    "memory": 413,
    "late": 503,
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
    """Return an error as problem+json."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return JSONResponse(
        {**content, "detail": detail}, status, headers, media_type="application/problem+json"
    )


def problem_of(error: TintypeError) -> Response:
    """Return an error of ours as problem+json, in the sentence that the command line prints."""
    kind = error.kind if isinstance(error, WorkError) else type(error).__name__
    status = _STATUS.get(kind, 422)
    headers = {"Retry-After": "10"} if status in (429, 503) else None
    return problem(str(error), status, headers)


async def outcome(request: Request, work: Work, name: str = "") -> Any:
    """Wait for work, and stop it when the client goes away.

    Args:
        request: whose body was read.
        work: that was submitted.
        name: of the photograph, which the sentence of an error names.

    Raises:
        WorkError: it failed.
    """
    done = asyncio.wrap_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            work.abandon()
            raise WorkError("the client went away", "cancelled")
        return done.result()
    except WorkError as error:
        raise named(error, name) from error
    except asyncio.CancelledError:
        work.abandon()
        raise WorkError("the studio ends", "cancelled") from None
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
