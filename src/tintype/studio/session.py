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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tintype.errors import TintypeError
from tintype.photo.write import atomic
from tintype.studio.asked import record_of, settings_of
from tintype.studio.engine import PHOTO
from tintype.studio.limits import Limits
from tintype.studio.picture import (
    NoPhotoError,
    Picture,
    SessionFullError,
    TwiceError,
    shown_name,
)
from tintype.web.workers import QueueFullError, Work, WorkerPool, WorkError, named

_RECORD, _COLORS = "record.json", "colors.json"
_MOST_STATES = 200  # that undo goes back
_MOST_COLORS = 12
_REMOVED_SECONDS = 60.0  # in which a photograph can be put back
#: Errors after which the same file may be read yet.
_PASSING = ("late", "memory", "died", "bug", "cancelled", QueueFullError.__name__)


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
        self._removed: dict[str, Picture] = {}
        self._works: dict[str, Work] = {}
        self._copied: dict[str, dict[str, Any]] = {}  # what the last copy gave to which
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
    def added(self, name: str, number: int = 0) -> Iterator[tuple[Picture, Path]]:
        """Yield a new photograph and the path to write its file to, and color it then.

        Args:
            name: of its file.
            number: in the order of the session, if the client knows it; else it is the last.

        Raises:
            SessionFullError: there is no room.
            TwiceError: there is one of that name and digest.
        """
        self.check_room()
        id = secrets.token_hex(8)
        folder = self._folder / id
        folder.mkdir()
        try:
            with self._lock:
                known = 0 < number <= self._most + self._limits.photos
                number = number if known else self._most + 1
                self._most = max(self._most, number)
            picture = Picture(id, shown_name(name), number, history=[self._default])
            yield picture, folder / PHOTO
            twins = (one for one in self.pictures() if one.name == picture.name)
            if picture.digest and any(one.digest == picture.digest for one in twins):
                raise TwiceError(f"{picture.name} is here already")
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
            self._change(picture, state="failed", error=f"{picture.name}: {error}", again=True)
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
        """Remove a photograph, and stop the work on it; for a minute it can be put back."""
        with self._lock:
            if self._pictures.pop(picture.id, None) is None:
                return
            self._removed[picture.id] = picture
            (self.folder(picture) / _RECORD).unlink(missing_ok=True)
        self.cancel(picture)
        self._tell({"removed": picture.id})
        timer = threading.Timer(_REMOVED_SECONDS, self._delete, [picture.id])
        timer.daemon = True
        timer.start()

    def put_back(self, id: str) -> Picture:
        """Take back the removal of a photograph.

        Raises:
            NoPhotoError: it is gone for good.
        """
        with self._lock:
            if (picture := self._removed.pop(id, None)) is None:
                raise NoPhotoError("it was removed more than a minute ago, and is gone")
            self._pictures[id] = picture
        if picture.facts:
            self._change(picture)
        else:
            self.start(picture)
        return picture

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
        self._change(picture, history=history, at=len(history) - 1)

    def move(self, picture: Picture, steps: int) -> None:
        """Undo, by -1, or redo, by 1."""
        at = min(max(picture.at + steps, 0), len(picture.history) - 1)
        if at != picture.at:
            self._change(picture, at=at)

    def repainted(self, picture: Picture) -> None:
        """Tell that a photograph has a new thumbnail."""
        self._change(picture, version=picture.version + 1)

    def copy(self, picture: Picture) -> int:
        """Give a photograph's model and options to all others; return how many take them.

        Hints are places of one photograph, and the number of a sample is a choice for it: both
        stay. One with hints keeps its model where the other takes none.
        """
        self._copied = {}
        wanted = {**picture.settings, "sample": None}
        for other in self.pictures():
            if other is picture or other.state in ("failed", "cancelled"):
                continue
            own = other.settings
            sample = own["sample"] if own["model"] == wanted["model"] else None
            with suppress(TintypeError):  # a model that takes no hints
                self.choose(other, {**wanted, "sample": sample, "hints": own["hints"]})
                if other.settings is not own:
                    self._copied[other.id] = other.settings
                    self._refresh(other)
        return len(self._copied)

    def undo_copy(self) -> int:
        """Take back the last copy where nothing was chosen since; return in how many."""
        copied, self._copied = self._copied, {}
        taken = [one for one in self.pictures() if one.settings is copied.get(one.id)]
        for picture in taken:
            self.move(picture, -1)
            self._refresh(picture)
        return len(taken)

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
        """Tell all who listen that it is over, and forget what was removed."""
        for id in list(self._removed):
            self._delete(id)
        self._tell(None)

    def _delete(self, id: str) -> None:
        """Delete the folder of a photograph that was removed and not put back."""
        with self._lock:
            picture = self._removed.pop(id, None)
        if picture is not None:
            shutil.rmtree(self.folder(picture), ignore_errors=True)

    def _refresh(self, picture: Picture) -> None:
        """Make the thumbnail anew, when there is time."""
        words = {"settings": picture.settings, "out": "", "thumbnail": True}
        task = {"do": "show", "folder": str(self.folder(picture)), "name": picture.name, **words}
        if picture.facts:
            with suppress(TintypeError):  # too many wait: opening it makes it too
                self._pool.submit(task).add_done_callback(lambda _: self.repainted(picture))

    def _opened(self, picture: Picture, work: Work) -> None:
        with self._lock:
            if self._works.get(picture.id) is work:
                del self._works[picture.id]
        if picture.id not in self._pictures:
            return
        error = None if work.cancelled() else work.exception()
        if work.cancelled() or (isinstance(error, WorkError) and error.kind == "cancelled"):
            self._change(picture, state="cancelled", stage="", error="", again=True)
        elif error is not None:
            failure = named(error, picture.name)
            again = failure.kind in _PASSING
            self._change(picture, state="failed", stage="", error=str(failure), again=again)
        else:
            version = picture.version + 1
            self._change(picture, state="ready", stage="", facts=work.result(), version=version)
            if picture.settings != work.task["settings"]:  # chosen meanwhile
                self._refresh(picture)

    def _change(self, picture: Picture, **values: Any) -> None:
        with self._lock:
            for name, value in values.items():
                setattr(picture, name, value)
            picture.revision += 1
            if picture.id in self._pictures and picture.state != "working":
                with suppress(OSError), atomic(self.folder(picture) / _RECORD) as file:
                    file.write(json.dumps(asdict(picture)).encode())
            event = {"photo": picture.to_json(), "colors": self._colors}
        if picture.id in self._pictures:
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
            except FileNotFoundError:  # removed, or never complete
                shutil.rmtree(folder, ignore_errors=True)
                continue
            except (OSError, ValueError, TypeError, LookupError, TintypeError):
                continue
            self._pictures[picture.id] = picture
            if picture.state == "waiting":
                unfinished.append(picture)
        self._most = max((picture.number for picture in self._pictures.values()), default=0)
        for picture in unfinished:
            self.start(picture)
        with suppress(OSError, ValueError):
            self._colors = list(json.loads((self._folder / _COLORS).read_bytes()))
