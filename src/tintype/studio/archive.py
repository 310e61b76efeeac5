"""The page's "Save all": a ZIP of all photographs in color, with progress while it is made."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from tintype.errors import TintypeError
from tintype.studio.api import attachment, result_name
from tintype.studio.asked import settings_of
from tintype.studio.engine import write_entry
from tintype.studio.folder import WorkFolder
from tintype.studio.picture import Picture
from tintype.studio.session import Session
from tintype.web.workers import WorkError

#: Writes a photograph in color; returns the path of its file and its format and notes.
Colored = Callable[[Request, Picture], Awaitable[tuple[Path, dict[str, Any]]]]

_KEPT_SECONDS = 600.0  # how long a ZIP waits to be downloaded
_KEPT = 4  # most ZIPs that wait, with the one that is made


class Archives:
    """The handlers of "Save all".

    Args:
        session: the photographs of the page.
        folder: where the studio keeps photographs.
        colored: colors one photograph, as `Colored` says.
    """

    def __init__(self, session: Session, folder: WorkFolder, colored: Colored) -> None:
        self._session, self._folder, self._colored = session, folder, colored
        self._made: dict[str, tuple[Path, float]] = {}  # with the time when it was made

    async def make(self, request: Request) -> Response:
        """Make a ZIP and send lines of JSON: its progress, and last its id, or the error."""
        return StreamingResponse(self._lines(request), media_type="application/x-ndjson")

    def take(self, id: str) -> Response:
        """Return the ZIP of an id, and delete it.

        Raises:
            HTTPException: there is no such ZIP, as after it was taken.
        """
        made = self._made.pop(id, None)
        if made is None:
            raise HTTPException(404, "this ZIP was downloaded or is deleted: save all again")
        path, _ = made
        headers = attachment(f"tintype-{time.strftime('%Y-%m-%d')}.zip")
        gone = BackgroundTask(shutil.rmtree, path.parent, ignore_errors=True)
        return FileResponse(path, headers=headers, media_type="application/zip", background=gone)

    async def _lines(self, request: Request) -> AsyncIterator[str]:
        made = list(self._made.items())  # the oldest first
        for place, (id, (path, when)) in enumerate(made):
            late = time.monotonic() - when > _KEPT_SECONDS
            if (late or len(made) - place >= _KEPT) and self._made.pop(id, None):
                shutil.rmtree(path.parent, ignore_errors=True)
        target = self._folder.new() / "archive.zip"
        try:
            self._folder.check_space()
            failed: list[str] = []
            async for done in self._write(request, target, failed):
                yield json.dumps(done) + "\n"
        except BaseException as error:
            shutil.rmtree(target.parent, ignore_errors=True)
            if isinstance(error, (TintypeError, OSError)):
                reason = getattr(error, "strerror", None) or str(error)
                yield json.dumps({"error": f"the ZIP could not be made: {reason}"}) + "\n"
                return
            raise
        id = secrets.token_urlsafe(16)
        self._made[id] = target, time.monotonic()
        yield json.dumps({"id": id, "failed": failed}) + "\n"

    async def _write(
        self, request: Request, target: Path, failed: list[str]
    ) -> AsyncIterator[dict[str, Any]]:
        """Write the ZIP, yielding progress; append the errors of photographs to `failed`."""
        taken: set[str] = set()
        now = time.localtime()[:6]
        pictures = self._session.pictures()
        with zipfile.ZipFile(target, "w") as archive:
            for done, picture in enumerate(pictures):
                yield {"done": done, "of": len(pictures)}
                if picture.state != "ready":
                    failed.append(picture.error or f"{picture.name}: it was not coloured yet")
                    continue
                try:
                    text = settings_of(picture.settings)[1].to_json()
                    path, found = await self._colored(request, picture)
                except TintypeError as error:
                    if isinstance(error, WorkError) and error.kind == "cancelled":
                        raise
                    failed.append(str(error))
                    continue
                name = _free(result_name(picture.name, found["format"]), taken)
                await asyncio.to_thread(archive.write, path, name)
                path.unlink(missing_ok=True)
                write_entry(archive, _free(settings_name(picture.name), taken), text.encode(), now)
            if failed:
                write_entry(archive, "failed.txt", "\n".join([*failed, ""]).encode(), now)


def settings_name(name: str) -> str:
    """Return the name of a photograph's settings file: NAME.tintype.json."""
    return f"{name.rpartition('.')[0] or name}.tintype.json"


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, with a number where needed, and mark it as taken."""
    stem, dot, ending = name.partition(".")
    number = 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}{dot}{ending}"
    taken.add(name.lower())
    return name
