"""The HTTP API: color a photograph while the client waits, or as a job to ask about later."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import python_multipart as _reads_forms  # noqa: F401  # starlette needs it, and says so late
from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from tintype.card import Card
from tintype.errors import SettingError, TintypeError
from tintype.runtime.registry import list_models
from tintype.studio.answers import outcome, problem, problem_of
from tintype.studio.asked import record_of, record_of_form, settings_of
from tintype.studio.documentation import JOB_ID, described
from tintype.studio.engine import PHOTO, ending_of
from tintype.studio.folder import WorkFolder
from tintype.studio.limits import Limits
from tintype.studio.picture import shown_name
from tintype.web.workers import Work, WorkerPool, WorkError, named

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "JPEG2000": "image/jp2",
    "ZIP": "application/zip",
}
_KEPT_SECONDS = 3600.0  # how long a job that is done is kept after it was created
_MOST_SAMPLES = 64
_RESULT = "result"


@dataclass
class Order:
    """A photograph to color, in a folder of its own.

    Attributes:
        folder: holds the photograph's file and its result.
        name: the photograph's name, as its client calls it.
        task: what a worker is to do, as `Engine` takes it.
    """

    folder: Path
    name: str
    task: dict[str, Any]

    def discard(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard_after(self, work: Work) -> None:
        """Remove the folder when no worker writes into it any more."""
        work.add_done_callback(lambda _: self.discard())


@dataclass
class Job:
    """Work that goes on while its client does something else.

    Attributes:
        order: the photograph and its folder.
        work: what a worker does with it.
        created: when the job was made, in seconds of the monotonic clock.
    """

    order: Order
    work: Work
    created: float = field(default_factory=time.monotonic)

    @property
    def state(self) -> str:
        """``"waiting"``, ``"working"``, ``"done"``, ``"failed"`` or ``"cancelled"``."""
        if self.work.cancelled():
            return "cancelled"
        if not self.work.done():
            return "working" if self.work.running() else "waiting"
        error = self.work.exception()
        if error is None:
            return "done"
        return (
            "cancelled" if isinstance(error, WorkError) and error.kind == "cancelled" else "failed"
        )

    @property
    def error(self) -> WorkError:
        """The reason why the job failed, named for the photograph; only of a failed job."""
        return named(self.work.exception(), self.order.name)

    def to_json(self, id: str) -> dict[str, Any]:
        """Return the record that the client is sent."""
        state = self.state
        record = {"id": id, "photo": self.order.name, "state": state, "stage": self.work.stage}
        if state == "done":
            return record | {"notes": self.work.result()["notes"]}
        return record | ({"error": str(self.error)} if state == "failed" else {})


class Api:
    """The handlers of /api/v1.

    Args:
        pool: the worker processes.
        folder: where the studio keeps photographs.
        limits: the studio's limits.

    Attributes:
        router: the routes of the API.
        jobs: the jobs by id.
    """

    def __init__(self, pool: WorkerPool, folder: WorkFolder, limits: Limits) -> None:
        self._pool, self._folder, self._limits = pool, folder, limits
        self.jobs: dict[str, Job] = {}
        self.router = APIRouter(prefix="/api/v1")
        for path, method, handler in (
            ("/models", "GET", self.models),
            ("/colorize", "POST", self.colorize),
            ("/jobs", "POST", self.create_job),
            ("/jobs/{id}", "GET", self.job),
            ("/jobs/{id}", "DELETE", self.cancel_job),
            ("/jobs/{id}/events", "GET", self.events),
            ("/jobs/{id}/result", "GET", self.result),
        ):
            self.router.add_api_route(
                path,
                handler,
                methods=[method],
                response_model=None,
                response_class=Response,
                **described(handler.__name__, limits),
            )

    def models(self) -> Response:
        """Return the installed models, each with its options and their defaults."""
        return JSONResponse({"models": [model_record(card) for card in list_models()]})

    async def colorize(self, request: Request) -> Response:
        """Color a photograph and return it; with samples, return a ZIP of several colorings."""
        order = await self._order(request)
        work = self._submitted(order)
        try:
            found = await outcome(request, work, order.name)
        except BaseException:
            order.discard_after(work)
            raise
        return _picture(order, found, BackgroundTask(order.discard))

    async def create_job(self, request: Request) -> Response:
        """Start a job that colors a photograph, and return at once."""
        self._forget_old()
        if len(self.jobs) >= self._limits.jobs:
            detail = f"{self._limits.jobs} jobs are kept: delete some, or try again in an hour"
            return problem(detail, 429, {"Retry-After": f"{_KEPT_SECONDS:.0f}"})
        order = await self._order(request)
        work = self._submitted(order)
        id = secrets.token_urlsafe(16)
        self.jobs[id] = Job(order, work)
        place = {"Location": f"/api/v1/jobs/{id}"}
        return JSONResponse(self.jobs[id].to_json(id), 202, place)

    def job(self, id: JOB_ID) -> Response:
        """Return the state of a job."""
        return JSONResponse(self._job(id).to_json(id))

    async def cancel_job(self, id: JOB_ID) -> Response:
        """Stop a job and delete it and its result."""
        job = self._job(id)
        del self.jobs[id]
        job.work.abandon()
        job.order.discard_after(job.work)
        return Response(status_code=204)

    async def events(self, id: JOB_ID) -> Response:
        """Send a server-sent event at each change of a job's state, the last when it has ended."""
        job = self._job(id)

        async def events() -> AsyncIterator[str]:
            told = None
            while True:
                record = job.to_json(id)
                if record != told:
                    yield f"data: {json.dumps(record)}\n\n"
                    told = record
                if job.work.done():
                    return
                await asyncio.sleep(0.05)

        return StreamingResponse(events(), media_type="text/event-stream")

    def result(self, id: JOB_ID) -> Response:
        """Return the result of a job that is done."""
        job = self._job(id)
        if job.state != "done":
            if job.state == "failed":
                return problem_of(job.error)
            return problem(
                f"the job is {job.state} and has no result: ask again when it is done", 409
            )
        return _picture(job.order, job.work.result())

    def _job(self, id: str) -> Job:
        if id not in self.jobs:
            raise HTTPException(404, "there is no such job: it may be deleted, or over an hour old")
        return self.jobs[id]

    def _forget_old(self) -> None:
        """Delete jobs that have ended and were created more than an hour ago."""
        for id, job in list(self.jobs.items()):
            if job.work.done() and time.monotonic() - job.created > _KEPT_SECONDS:
                del self.jobs[id]
                job.order.discard()

    async def _order(self, request: Request) -> Order:
        """Read the form of a request and write its photograph into a new folder.

        Raises:
            HTTPException: the body is no form with a photograph.
            TintypeError: the settings cannot be used, too many photographs wait, or the disk is
                nearly full.
        """
        self._pool.check_room()
        self._folder.check_space()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            raise HTTPException(415, "send multipart/form-data with the file in the field photo")
        async with request.form(max_files=1, max_fields=40, max_part_size=1 << 20) as form:
            photo = form.get("photo")
            if not isinstance(photo, UploadFile):
                raise HTTPException(422, "send the photograph's file in the field photo")
            fields = [(k, v) for k, v in form.multi_items() if isinstance(v, str)]
            task, name = self._task(dict(fields), shown_name(photo.filename or ""))
            folder = self._folder.new()
            try:
                await asyncio.to_thread(_copy, photo, folder / PHOTO)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return Order(folder, name, {**task, "folder": str(folder), "name": name})

    def _submitted(self, order: Order) -> Work:
        """Give an order to the workers, or discard it."""
        try:
            return self._pool.submit(order.task)
        except TintypeError:
            order.discard()
            raise

    def _task(self, fields: dict[str, str], name: str) -> tuple[dict[str, Any], str]:
        """Return the task for a worker, and the photograph's name."""
        samples = fields.pop("samples", None)
        record = record_of_form(fields.items())
        task = {"do": "colorize", "out": _RESULT, "pixels": self._limits.pixels}
        if samples is not None:
            if not (samples.isdecimal() and 1 <= int(samples[:9]) <= _MOST_SAMPLES):
                raise SettingError(f"samples must be a whole number from 1 to {_MOST_SAMPLES}")
            task |= {"do": "sample", "count": int(samples), "stem": name.rpartition(".")[0] or name}
            record.setdefault("model", "tint_sampler")
        card, settings = settings_of(record)
        if samples is not None and card.kind != "sampler":
            raise SettingError(
                f"{card.name} gives one colouring: for samples name a model whose kind is "
                "sampler, such as tint_sampler"
            )
        return {**task, "settings": record_of(settings)}, name


def model_record(card: Card) -> dict[str, Any]:
    """Return the record of a model that clients are sent."""
    return {
        "name": card.name,
        "description": card.description,
        "paper": card.paper,
        "licence": card.licence,
        "kind": card.kind,
        "hints": card.takes_hints,
        "suggestions": card.has("decode"),
        "options": record_of(settings_of({"model": card.name})[1])["options"],
    }


def result_name(name: str, format: str) -> str:
    """Return a result's file name: NAME.colorized.EXT, or NAME.samples.zip for a ZIP."""
    stem, dot, ending = name.rpartition(".")
    if format == "ZIP":
        return f"{stem or name}.samples.zip"
    return f"{stem or name}.colorized{ending_of(format, dot + ending)}"  # type: ignore[arg-type]


def attachment(name: str) -> dict[str, str]:
    """Return the header with which a browser saves the response as a file of this name."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


def _picture(order: Order, found: dict[str, Any], after: BackgroundTask | None = None) -> Response:
    headers = attachment(result_name(order.name, found["format"]))
    # `json.dumps` escapes what is not ASCII, and headers have to be ASCII.
    headers["Tintype-Notes"] = json.dumps(found["notes"])
    media_type = MEDIA_TYPES.get(found["format"], "application/octet-stream")
    path = order.folder / _RESULT
    return FileResponse(path, headers=headers, media_type=media_type, background=after)


def _copy(photo: UploadFile, target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(photo.file, file, 1 << 20)
    with suppress(ValueError):
        photo.file.close()
