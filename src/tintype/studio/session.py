"""The photographs of the page and what was chosen for each; on disk, so that nothing is lost.

Everybody who may open the page sees the same session.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tintype.errors import TintypeError
from tintype.photo.write import atomic
from tintype.runtime.settings import printable
from tintype.studio.asked import record_of, settings_of
from tintype.studio.engine import PHOTO
from tintype.studio.limits import Limits
from tintype.web.workers import Work, WorkerPool, WorkError, named

_RECORD, _COLORS = "record.json", "colors.json"
_MOST_STATES = 200  # that undo goes back
_MOST_COLORS = 12


class NoPhotoError(TintypeError):
    """There is no such photograph."""


class SessionFullError(TintypeError):
    """The session takes no more photographs."""


@dataclass
class Picture:
    """A photograph of the session.

    Attributes:
        id: of it, and the name of its folder.
        name: its file's, as its owner calls it.
        number: in the order of the session.
        state: ``"waiting"``, ``"working"``, ``"ready"``, ``"failed"`` or ``"cancelled"``.
        stage: of the work.
        error: what is wrong with it.
        facts: width, height and more, once it is read.
        history: settings that were chosen, as tables, the first of them the beginning.
        at: which of these holds.
        version: goes up when its picture changes.
        revision: goes up with every change, so that an answer which comes late is known to be old.
    """

    id: str
    name: str
    number: int
    state: str = "waiting"
    stage: str = ""
    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    at: int = 0
    version: int = 0
    revision: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that hold."""
        return self.history[self.at]

    def to_json(self) -> dict[str, Any]:
        """Return what the page is told."""
        record = asdict(self)
        del record["history"], record["at"]
        return record | {
            "settings": self.settings,
            "undo": self.at,
            "redo": len(self.history) - 1 - self.at,
        }


class Session:
    """The photographs, in a folder each. Thread-safe.

    Args:
        folder: of the session; what an earlier one left there is taken up.
        pool: the workers.
        limits: of the studio.
    """

    def __init__(self, folder: Path, pool: WorkerPool, limits: Limits) -> None:
        self._folder, self._pool, self._limits = folder, pool, limits
        self._lock = threading.RLock()
        self._pictures: dict[str, Picture] = {}
        self._works: dict[str, Work] = {}
        self._listeners: dict[asyncio.Queue[Any], asyncio.AbstractEventLoop] = {}
        self._colors: list[str] = []
        self._default = record_of(settings_of({})[1])
        self._load()

    def pictures(self) -> list[Picture]:
        """Return the photographs, in order."""
        with self._lock:
            return sorted(self._pictures.values(), key=lambda picture: picture.number)

    def picture(self, id: str) -> Picture:
        """Return a photograph.

        Raises:
            NoPhotoError: there is none of that id.
        """
        with self._lock:
            try:
                return self._pictures[id]
            except KeyError:
                raise NoPhotoError("there is no such photograph in the session") from None

    def folder(self, picture: Picture) -> Path:
        """Return the folder of a photograph."""
        return self._folder / picture.id

    def to_json(self) -> dict[str, Any]:
        """Return all that the page is told."""
        pictures = [picture.to_json() for picture in self.pictures()]
        return {"photos": pictures, "colors": self._colors}

    def check_room(self) -> None:
        """Refuse another photograph where there is no room.

        Raises:
            SessionFullError: there is none.
        """
        if len(self._pictures) >= self._limits.photos:
            raise SessionFullError(
                f"the session has {self._limits.photos} photographs already: remove some"
            )

    @contextmanager
    def added(self, name: str) -> Iterator[tuple[Picture, Path]]:
        """Yield a new photograph and the path to write its file to, and color it then.

        Raises:
            SessionFullError: there is no room.
        """
        self.check_room()
        id = secrets.token_hex(8)
        folder = self._folder / id
        folder.mkdir()
        try:
            with self._lock:
                number = 1 + max((p.number for p in self._pictures.values()), default=0)
            picture = Picture(id, shown_name(name), number, history=[self._default])
            yield picture, folder / PHOTO
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._pictures[id] = picture
        self.start(picture)

    def start(self, picture: Picture) -> None:
        """Read a photograph and color it, or do so again."""
        task = {
            "do": "open",
            "folder": str(self.folder(picture)),
            "name": picture.name,
            "pixels": self._limits.pixels,
            "settings": picture.settings,
        }
        self._change(picture, state="waiting", stage="", error="")
        try:
            work = self._pool.submit(
                task,
                urgency=1,
                on_stage=lambda stage: self._change(picture, state="working", stage=stage),
            )
        except TintypeError as error:
            self._change(picture, state="failed", error=f"{picture.name}: {error}")
            return
        with self._lock:
            self._works[picture.id] = work
        work.add_done_callback(lambda _: self._opened(picture, work))

    def cancel(self, picture: Picture) -> None:
        """Stop the work on a photograph."""
        with self._lock:
            work = self._works.get(picture.id)
        if work is not None:
            work.abandon()

    def remove(self, picture: Picture) -> None:
        """Remove a photograph, and stop the work on it."""
        with self._lock:
            self._pictures.pop(picture.id, None)
        self.cancel(picture)
        shutil.rmtree(self.folder(picture), ignore_errors=True)
        self._tell({"removed": picture.id})

    def choose(self, picture: Picture, record: dict[str, Any]) -> None:
        """Take new settings for a photograph.

        Raises:
            TintypeError: they cannot be.
        """
        chosen = record_of(settings_of(record)[1])
        if chosen == picture.settings:
            return
        with self._lock:
            history = [*picture.history[: picture.at + 1], chosen][-_MOST_STATES:]
            known = {hint["color"] for hint in picture.settings["hints"]}
            new = [h["color"] for h in chosen["hints"] if h["color"] not in known]
            if new:
                rest = [color for color in self._colors if color not in new]
                self._colors = [*reversed(new), *rest][:_MOST_COLORS]
                with suppress(OSError), atomic(self._folder / _COLORS) as file:
                    file.write(json.dumps(self._colors).encode())
        self._change(picture, history=history, at=len(history) - 1, version=picture.version + 1)

    def move(self, picture: Picture, steps: int) -> None:
        """Undo, by -1, or redo, by 1."""
        at = min(max(picture.at + steps, 0), len(picture.history) - 1)
        if at != picture.at:
            self._change(picture, at=at, version=picture.version + 1)

    def copy(self, picture: Picture) -> int:
        """Give a photograph's model and options to all others; return how many there are.

        Hints are places of one photograph, and stay with it.
        """
        others = [other for other in self.pictures() if other is not picture]
        for other in others:
            with suppress(TintypeError):  # a model that takes no hints
                record = {**picture.settings, "hints": other.settings["hints"]}
                self.choose(other, record)
                self._refresh(other)
        return len(others)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Any]]:
        """Yield a queue of what changes, for the running event loop; None is the end."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield queue
        finally:
            del self._listeners[queue]

    def close(self) -> None:
        """Tell all who listen that it is over."""
        self._tell(None)

    def _refresh(self, picture: Picture) -> None:
        """Make the thumbnail anew, when there is time."""
        words = {"settings": picture.settings, "out": "", "thumbnail": True}
        task = {"do": "show", "folder": str(self.folder(picture)), "name": picture.name, **words}
        if picture.facts:
            work = self._pool.submit(task)
            work.add_done_callback(lambda _: self._change(picture, version=picture.version + 1))

    def _opened(self, picture: Picture, work: Work) -> None:
        with self._lock:
            if self._works.get(picture.id) is work:
                del self._works[picture.id]
        if picture.id not in self._pictures:
            return
        error = None if work.cancelled() else work.exception()
        if work.cancelled() or (isinstance(error, WorkError) and error.kind == "cancelled"):
            self._change(picture, state="cancelled", stage="", error="")
        elif error is not None:
            self._change(picture, state="failed", stage="", error=str(named(error, picture.name)))
        else:
            version = picture.version + 1
            self._change(picture, state="ready", stage="", facts=work.result(), version=version)

    def _change(self, picture: Picture, **values: Any) -> None:
        with self._lock:
            for name, value in values.items():
                setattr(picture, name, value)
            picture.revision += 1
            if picture.id in self._pictures and picture.state != "working":
                with suppress(OSError), atomic(self.folder(picture) / _RECORD) as file:
                    file.write(json.dumps(asdict(picture)).encode())
            event = {"photo": picture.to_json(), "colors": self._colors}
        self._tell(event)

    def _tell(self, event: dict[str, Any] | None) -> None:
        for queue, loop in list(self._listeners.items()):
            with suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(queue.put_nowait, event)

    def _load(self) -> None:
        """Take up what an earlier studio left; what it was working on begins anew."""
        unfinished = []
        for folder in self._folder.iterdir():
            if not folder.is_dir():
                continue
            for pattern in ("show-*", "result-*", "*.tmp"):
                for left in folder.glob(pattern):
                    left.unlink(missing_ok=True)
            try:
                picture = Picture(**json.loads((folder / _RECORD).read_bytes()))
                settings_of(picture.settings)
            except (OSError, ValueError, TypeError, LookupError, TintypeError):
                continue
            self._pictures[picture.id] = picture
            if picture.state == "waiting":
                unfinished.append(picture)
        for picture in unfinished:
            self.start(picture)
        with suppress(OSError, ValueError):
            self._colors = list(json.loads((self._folder / _COLORS).read_bytes()))


def shown_name(name: str) -> str:
    """Return what a client calls a file, as one line that names no folder."""
    last = name.replace("\\", "/").rpartition("/")[2].strip() or "photograph"
    stem, dot, ending = last.rpartition(".")
    short = last if len(last) <= 80 else f"{stem[:60]}…{dot}{ending[-10:]}"
    return printable(short).strip("'")
