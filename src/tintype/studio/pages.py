"""The routes of the page and of its scripts: photographs, views of them, settings, results."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    Response,
    StreamingResponse,
)

import tintype
from tintype.errors import SettingError
from tintype.photo.write import remove_leftovers
from tintype.runtime.hints import is_number
from tintype.runtime.registry import list_models
from tintype.studio.answers import outcome
from tintype.studio.api import MEDIA_TYPES, attachment, model_record, result_name
from tintype.studio.archive import Archives, settings_name
from tintype.studio.asked import record_of, settings_of
from tintype.studio.folder import WorkFolder
from tintype.studio.limits import Limits
from tintype.studio.picture import Picture
from tintype.studio.session import Session
from tintype.web.workers import WorkerPool, WorkError

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_OTHERS = 8
_SUGGESTIONS = 6
#: Urgency of tasks: what somebody waits for goes before what is colored in the background.
_NOW, _SOON = 3, 2


class Pages:
    """The handlers of the page.

    Args:
        session: the photographs of the page.
        pool: the worker processes.
        folder: where the studio keeps photographs.
        limits: the studio's limits.

    Attributes:
        router: the routes of the page.
    """

    def __init__(
        self, session: Session, pool: WorkerPool, folder: WorkFolder, limits: Limits
    ) -> None:
        self._session, self._pool, self._folder, self._limits = session, pool, folder, limits
        templates = Environment(
            loader=PackageLoader("tintype.studio"), autoescape=True, undefined=StrictUndefined
        )
        self._page = templates.get_template("studio.html").render(
            version=tintype.__version__, limits=limits, others=_OTHERS
        )
        self._static = {
            file.name: file.read_bytes() for file in (files("tintype.studio") / "static").iterdir()
        }
        archives = Archives(session, folder, self._colored)
        self.router = APIRouter(include_in_schema=False)
        one = "/session/photos/{id}"
        for path, method, handler in (
            ("/", "GET", self.page),
            ("/static/{name}", "GET", self.static),
            ("/session", "GET", self.everything),
            ("/session/events", "GET", self.events),
            ("/session/photos", "POST", self.add),
            ("/session/undo-copy", "POST", self.undo_copy),
            ("/session/archives", "POST", archives.make),
            ("/session/archives/{id}", "GET", archives.take),
            (one, "DELETE", self.remove),
            (f"{one}/put-back", "POST", self.put_back),
            (f"{one}/cancel", "POST", self.cancel),
            (f"{one}/again", "POST", self.again),
            (f"{one}/thumbnail", "GET", self.thumbnail),
            (f"{one}/show", "POST", self.show),
            (f"{one}/suggest", "POST", self.suggest),
            (f"{one}/others", "POST", self.others),
            (f"{one}/settings", "POST", self.choose),
            (f"{one}/undo", "POST", self.undo),
            (f"{one}/redo", "POST", self.redo),
            (f"{one}/copy", "POST", self.copy),
            (f"{one}/result", "GET", self.result),
            (f"{one}/settings.json", "GET", self.settings),
        ):
            self.router.add_api_route(path, handler, methods=[method], response_model=None)

    async def page(self) -> Response:
        """Return the HTML page."""
        return HTMLResponse(self._page)

    async def static(self, name: str) -> Response:
        """Return a script, a style sheet or the icon."""
        if name not in self._static:
            raise HTTPException(404, "there is no such file")
        return Response(self._static[name], media_type=_TYPES[Path(name).suffix])

    async def everything(self) -> Response:
        """Return the session's photographs and hint colors, the models and the default one."""
        models = [model_record(card) for card in list_models()]
        default = settings_of({})[1].model
        return JSONResponse({**self._session.to_json(), "models": models, "default": default})

    async def events(self) -> Response:
        """Send each change of the session as a server-sent event."""

        async def events() -> AsyncIterator[str]:
            with self._session.listening() as changes:
                yield ": listening\n\n"
                while (change := await changes.get()) is not None:
                    yield f"data: {json.dumps(change)}\n\n"
                yield 'data: {"ended": true}\n\n'

        return StreamingResponse(events(), media_type="text/event-stream")

    async def add(self, request: Request, name: str = "photograph", number: int = 0) -> Response:
        """Add the photograph whose file is the request's body."""
        self._folder.check_space()
        with self._session.added(name, number) as (picture, path):
            file, digest = await asyncio.to_thread(path.open, "wb"), hashlib.sha256()
            with file:
                async for piece in request.stream():
                    await asyncio.to_thread(file.write, piece)
                    digest.update(piece)
            picture.digest = digest.hexdigest()
        return JSONResponse(picture.to_json(), 201)

    def remove(self, id: str) -> Response:
        """Remove a photograph from the session."""
        self._session.remove(self._session.picture(id))
        return Response(status_code=204)

    def put_back(self, id: str) -> Response:
        """Undo the removal of a photograph."""
        return JSONResponse(self._session.put_back(id).to_json())

    def cancel(self, id: str) -> Response:
        """Stop the work on a photograph."""
        self._session.cancel(self._session.picture(id))
        return Response(status_code=204)

    def again(self, id: str) -> Response:
        """Read and color a photograph again."""
        self._session.start(self._session.picture(id))
        return Response(status_code=204)

    def thumbnail(self, id: str) -> Response:
        """Return a photograph's thumbnail for the filmstrip."""
        path = self._session.folder(self._session.picture(id)) / "thumbnail.jpg"
        if not path.exists():
            raise HTTPException(404, "the photograph is not coloured yet")
        return Response(path.read_bytes(), media_type="image/jpeg")

    async def show(self, request: Request, id: str) -> Response:
        """Return a part of a photograph as a JPEG, in color or in gray."""
        picture = self._ready(id)
        asked = await _table(request)
        settings = asked.get("settings")
        if settings is not None:
            settings = record_of(settings_of(settings)[1])
        level, box, longest = asked.get("level"), asked.get("box"), asked.get("longest")
        _check_part(picture.facts, level, box)
        if longest is not None and not (type(longest) is int and 0 < longest <= 2048):
            raise SettingError("longest must be a whole number of pixels from 1 to 2048")
        out = f"show-{secrets.token_hex(8)}.jpg"
        picture_itself = box is None and settings == picture.settings
        words = {"level": level, "box": box, "longest": longest, "thumbnail": picture_itself}
        task = self._task(picture, "show", settings=settings, out=out, **words)
        path = self._session.folder(picture) / out
        try:
            # The whole picture goes before tiles.
            await self._done(picture, task, _NOW if box is None else _SOON)
            if picture_itself:
                self._session.repainted(picture)
            return Response(await asyncio.to_thread(path.read_bytes), media_type="image/jpeg")
        finally:
            path.unlink(missing_ok=True)

    async def suggest(self, request: Request, id: str) -> Response:
        """Return the colors that a model thinks likely at a pixel."""
        picture, asked = self._ready(id), await _table(request)
        if not (is_number(asked.get("x")) and is_number(asked.get("y"))):
            raise SettingError("x and y must be numbers")
        settings = record_of(settings_of(asked.get("settings", picture.settings))[1])
        place = {"x": asked["x"], "y": asked["y"], "count": _SUGGESTIONS}
        task = self._task(picture, "suggest", settings=settings, **place)
        return JSONResponse({"suggestions": await self._done(picture, task, _NOW)})

    async def others(self, request: Request, id: str) -> Response:
        """Draw several colorings; return the settings of each, the likeliest first."""
        picture, asked = self._ready(id), await _table(request)
        wanted = record_of(settings_of(asked.get("settings", {"sample": 1}))[1])
        settings = {**wanted, "sample": 1}
        task = self._task(picture, "others", settings=settings, count=_OTHERS)
        found = await outcome(request, self._pool.submit(task, urgency=_NOW), picture.name)
        others = [{**one, "settings": {**settings, "sample": one["sample"]}} for one in found]
        return JSONResponse({"others": others})

    async def choose(self, request: Request, id: str) -> Response:
        """Set new settings for a photograph."""
        picture = self._session.picture(id)
        self._session.choose(picture, await _table(request))
        return JSONResponse(picture.to_json())

    def undo(self, id: str) -> Response:
        """Undo the last change of settings."""
        return self._moved(id, -1)

    def redo(self, id: str) -> Response:
        """Redo the change of settings that was undone."""
        return self._moved(id, 1)

    def copy(self, id: str) -> Response:
        """Give a photograph's model and options to all others."""
        return JSONResponse({"copied": self._session.copy(self._session.picture(id))})

    def undo_copy(self) -> Response:
        """Undo the last copy of settings in all photographs at once."""
        return JSONResponse({"copied": self._session.undo_copy()})

    async def result(self, request: Request, id: str) -> Response:
        """Return the whole photograph in color, in its own format."""
        picture = self._ready(id)
        path, found = await self._colored(request, picture)
        headers = attachment(result_name(picture.name, found["format"]))
        headers["Tintype-Notes"] = json.dumps(found["notes"])
        gone = BackgroundTask(path.unlink, missing_ok=True)
        media_type = MEDIA_TYPES[found["format"]]
        return FileResponse(path, headers=headers, media_type=media_type, background=gone)

    def settings(self, id: str) -> Response:
        """Return the settings of a photograph as the file NAME.tintype.json."""
        picture = self._session.picture(id)
        text = settings_of(picture.settings)[1].to_json()
        headers = attachment(settings_name(picture.name))
        return Response(text, media_type="application/json", headers=headers)

    def _ready(self, id: str) -> Picture:
        picture = self._session.picture(id)
        if not picture.facts:
            raise HTTPException(409, f"{picture.name} is not coloured yet")
        return picture

    def _moved(self, id: str, steps: int) -> Response:
        picture = self._session.picture(id)
        self._session.move(picture, steps)
        return JSONResponse(picture.to_json())

    def _task(self, picture: Picture, do: str, **words: Any) -> dict[str, Any]:
        folder = str(self._session.folder(picture))
        return {"do": do, "folder": folder, "name": picture.name, **words}

    async def _done(self, picture: Picture, task: dict[str, Any], urgency: int) -> Any:
        """Return the result of a short task, which is not stopped when the client disconnects."""
        try:
            return await asyncio.wrap_future(self._pool.submit(task, urgency=urgency))
        except WorkError:
            self._session.picture(picture.id)  # it may have been removed meanwhile
            raise

    async def _colored(self, request: Request, picture: Picture) -> tuple[Path, dict[str, Any]]:
        out = f"result-{secrets.token_hex(8)}"
        words = {"settings": picture.settings, "out": out, "pixels": self._limits.pixels}
        work = self._pool.submit(self._task(picture, "colorize", **words), urgency=_SOON)
        folder = self._session.folder(picture)
        try:
            return folder / out, await outcome(request, work, picture.name)
        except BaseException:
            # A worker that is being stopped may still write into the folder.
            work.add_done_callback(lambda _: _tidy(folder, out))
            raise


def _tidy(folder: Path, name: str) -> None:
    """Remove a file, and what was being written when its worker was stopped."""
    with suppress(OSError):
        (folder / name).unlink(missing_ok=True)
    remove_leftovers(folder)


def _check_part(facts: dict[str, Any], level: Any, box: Any) -> None:
    """Raise an error unless a photograph has that level, and the level a part in that box."""
    if level is not None and not (type(level) is int and 0 <= level < facts["levels"]):
        raise SettingError(f"level must be a whole number below {facts['levels']}")
    if level is not None and box is None:
        raise SettingError("a level is shown in parts: give a box")
    if box is None:
        return
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(type(number) is int and number >= 0 for number in box)
        and 0 < box[2] <= 2048
        and 0 < box[3] <= 2048
    ):
        raise SettingError("box must be x, y, width, height: whole numbers, sides up to 2048")
    width, height = facts["preview"]
    if level is not None:  # each level has half the sides of the one before, rounded up
        width, height = -(-facts["width"] // 2**level), -(-facts["height"] // 2**level)
    if box[0] >= width or box[1] >= height:
        raise SettingError(f"box begins outside the picture, which is {width} x {height} pixels")


async def _table(request: Request) -> dict[str, Any]:
    try:
        record = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise SettingError(f"the request body is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise SettingError("the request body must be a JSON object")
    return record
