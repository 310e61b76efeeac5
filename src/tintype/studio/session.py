"""The session of the page: its photographs and their settings, kept on disk.

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
from tintype.studio.asked import record_of, renewed, settings_of
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
_MOST_STATES = 200  # most settings of a photograph that are kept for undo
_MOST_COLORS = 12
_REMOVED_SECONDS = 60.0  # how long a removed photograph can be put back
#: Kinds of errors after which another try of the same file may succeed.
_PASSING = ("late", "memory", "died", "disk", "bug", "cancelled")


class Session:
    """The photographs of the page, each in a folder of its own. Thread-safe.

    Args:
        folder: the session's folder; photographs that an earlier studio left there are loaded.
        pool: the worker processes.
        limits: the studio's limits.
    """

    def __init__(self, folder: Path, pool: WorkerPool, limits: Limits) -> None:
        self._folder, self._pool, self._limits = folder, pool, limits
        self._lock = threading.RLock()
        self._pictures: dict[str, Picture] = {}
        self._removed: dict[str, tuple[Picture, threading.Timer]] = {}
        self._works: dict[str, Work] = {}  # that read and color a photograph
        self._thumbnails: dict[str, Work] = {}
        self._copied: dict[str, dict[str, Any]] = {}  # by id, the settings that the last copy set
        self._listeners: dict[asyncio.Queue[Any], asyncio.AbstractEventLoop] = {}
        self._colors: list[str] = []
        self._default = record_of(settings_of({})[1])
        self._load()

    def pictures(self) -> list[Picture]:
        """Return the photographs in the order of their numbers."""
        with self._lock:
            return sorted(self._pictures.values(), key=lambda picture: picture.number)

    def picture(self, id: str) -> Picture:
        """Return the photograph of an id.

        Raises:
            NoPhotoError: no photograph has that id.
        """
        with self._lock:
            try:
                return self._pictures[id]
            except KeyError:
                raise NoPhotoError(
                    "there is no such photograph: it may have been removed"
                ) from None

    def folder(self, picture: Picture) -> Path:
        """Return the folder of a photograph."""
        return self._folder / picture.id

    def to_json(self) -> dict[str, Any]:
        """Return the photographs and the colors last used for hints, for the page."""
        pictures = [picture.to_json() for picture in self.pictures()]
        return {"photos": pictures, "colors": self._colors}

    def check_room(self) -> None:
        """Raise an error if the session is full.

        Raises:
            SessionFullError: the session has as many photographs as its limits allow.
        """
        if len(self._pictures) >= self._limits.photos:
            raise SessionFullError(
                f"the session is full with {self._limits.photos} photographs: remove some first"
            )

    @contextmanager
    def added(self, name: str, number: int = 0) -> Iterator[tuple[Picture, Path]]:
        """Yield a new photograph and the path to write its file to; start to color it afterwards.

        Args:
            name: the name of its file.
            number: its place in the order of the session, from 1; 0 for the last.

        Raises:
            SessionFullError: the session is full.
            TwiceError: a photograph of that name and digest is in the session.
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
                raise TwiceError(f"{picture.name} is in the session already")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._pictures[id] = picture
        self.start(picture)

    def start(self, picture: Picture) -> None:
        """Start to read and color a photograph, or start again.

        Settings that cannot be used any more give way to such as can.
        """
        picture.history = [renewed(record) for record in picture.history]
        task = {
            "do": "open",
            "folder": str(self.folder(picture)),
            "name": picture.name,
            "pixels": self._limits.pixels,
            "settings": picture.settings,
        }
        self._abandon(picture)
        self._change(picture, state="waiting", stage="", error="")
        try:
            work = self._pool.submit(
                task,
                urgency=1,
                counted=False,
                on_stage=lambda stage: self._change(picture, state="working", stage=stage),
            )
        except QueueFullError:  # the studio ends: the next one goes on
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
        """Remove a photograph and stop the work on it; it can be put back for a minute."""
        timer = threading.Timer(_REMOVED_SECONDS, self._delete, [picture.id])
        timer.daemon = True
        with self._lock:
            if self._pictures.pop(picture.id, None) is None:
                return
            self._removed[picture.id] = picture, timer
            (self.folder(picture) / _RECORD).unlink(missing_ok=True)
        self._abandon(picture)
        self._tell({"removed": picture.id})
        timer.start()

    def put_back(self, id: str) -> Picture:
        """Undo the removal of a photograph, and return it.

        Raises:
            NoPhotoError: it was not removed, or more than a minute ago.
        """
        with self._lock:
            if id not in self._removed:
                raise NoPhotoError("it was removed over a minute ago and is deleted: add it again")
            picture, timer = self._removed.pop(id)
            timer.cancel()
            self._pictures[id] = picture
        if picture.facts:
            self._change(picture)
        else:
            self.start(picture)
        return picture

    def choose(self, picture: Picture, record: dict[str, Any]) -> None:
        """Set new settings for a photograph, and remember the colors of new hints.

        Args:
            picture: the photograph.
            record: settings as in NAME.tintype.json, of which any may be missing.

        Raises:
            TintypeError: the settings are not valid.
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
        """Move in the history of settings: -1 undoes a change, 1 redoes one."""
        at = min(max(picture.at + steps, 0), len(picture.history) - 1)
        if at != picture.at:
            self._change(picture, at=at)

    def repainted(self, picture: Picture) -> None:
        """Tell the page that a photograph has a new thumbnail."""
        self._change(picture, version=picture.version + 1)

    def copy(self, picture: Picture) -> int:
        """Give a photograph's model and options to all others; return how many take them.

        Hints and the number of a sample belong to one photograph and are not copied. A photograph
        that has hints is left as it is if the model takes none.
        """
        self._copied = {}
        wanted = {**picture.settings, "sample": None}
        for other in self.pictures():
            if other is picture or other.state in ("failed", "cancelled"):
                continue
            own = other.settings
            sample = own["sample"] if own["model"] == wanted["model"] else None
            with suppress(TintypeError):  # the model takes no hints, and it has some
                self.choose(other, {**wanted, "sample": sample, "hints": own["hints"]})
                if other.settings is not own:
                    self._copied[other.id] = other.settings
                    self._refresh(other)
        return len(self._copied)

    def undo_copy(self) -> int:
        """Undo the last copy in photographs unchanged since; return how many those are."""
        copied, self._copied = self._copied, {}
        taken = [one for one in self.pictures() if one.settings is copied.get(one.id)]
        for picture in taken:
            self.move(picture, -1)
            self._refresh(picture)
        return len(taken)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Any]]:
        """Yield a queue of the changes for the running event loop; None in it marks the end."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield queue
        finally:
            del self._listeners[queue]

    def close(self) -> None:
        """Tell all listeners that the session ends, and delete removed photographs for good."""
        for id in list(self._removed):
            self._delete(id)
        self._tell(None)

    def _delete(self, id: str) -> None:
        """Delete the folder of a photograph that was removed and not put back."""
        with self._lock:
            removed = self._removed.pop(id, None)
        if removed is not None:
            removed[1].cancel()
            shutil.rmtree(self.folder(removed[0]), ignore_errors=True)

    def _abandon(self, picture: Picture) -> None:
        """Stop the work on a photograph, if there is some, and take no notice of its end."""
        with self._lock:
            works = [works.pop(picture.id, None) for works in (self._works, self._thumbnails)]
        for work in works:
            if work is not None:
                work.abandon()

    def _refresh(self, picture: Picture) -> None:
        """Make a new thumbnail in the background, in place of one that waits to be made."""
        if not picture.facts:
            return
        words = {"settings": picture.settings, "out": "", "thumbnail": True}
        task = {"do": "show", "folder": str(self.folder(picture)), "name": picture.name, **words}
        try:
            work = self._pool.submit(task, counted=False)
        except QueueFullError:  # the studio ends
            return
        with self._lock:
            other = self._thumbnails.get(picture.id)
            if other is not None and words["settings"] != picture.settings:
                other = work  # a later call was faster, with the settings of now
            else:
                self._thumbnails[picture.id] = work
        if other is not None:
            other.cancel()
        work.add_done_callback(lambda _: self._refreshed(picture, work))

    def _refreshed(self, picture: Picture, work: Work) -> None:
        with self._lock:
            if self._thumbnails.get(picture.id) is work:
                del self._thumbnails[picture.id]
        if not work.cancelled():
            self.repainted(picture)

    def _opened(self, picture: Picture, work: Work) -> None:
        with self._lock:
            if self._works.get(picture.id) is not work:
                return
            del self._works[picture.id]
        if self._pool.closed and (work.cancelled() or work.exception() is not None):
            return  # its record says that it waits: a studio that keeps the session goes on
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
            if picture.settings != work.task["settings"]:  # changed while it was worked on
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
        """Load the photographs that an earlier studio left; start unfinished ones again."""
        unfinished = []
        for folder in self._folder.iterdir():
            if not folder.is_dir():
                continue
            for pattern in ("show-*", "result-*", "*.tmp"):
                for left in folder.glob(pattern):
                    left.unlink(missing_ok=True)
            try:
                picture = self._kept(folder)
            except FileNotFoundError:  # it was removed, or its upload was not complete
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._pictures[picture.id] = picture
            if picture.state == "waiting":
                unfinished.append(picture)
        self._most = max((picture.number for picture in self._pictures.values()), default=0)
        for picture in unfinished:
            self.start(picture)
        with suppress(OSError, ValueError):
            self._colors = list(json.loads((self._folder / _COLORS).read_bytes()))

    def _kept(self, folder: Path) -> Picture:
        """Return a photograph that an earlier studio left; as failed where it cannot be used."""
        picture = Picture(folder.name, folder.name, 0, history=[self._default])
        try:
            kept = Picture(**json.loads((folder / _RECORD).read_bytes()))
            settings, picture = kept.settings, kept
            settings_of(settings)
            return picture
        except FileNotFoundError:
            raise
        except TintypeError as error:
            reason = f"its settings cannot be used here: {error}"
        except (OSError, ValueError, TypeError, LookupError):
            reason = "its name and its settings cannot be read"
        picture.state, picture.facts, picture.again = "failed", {}, True  # opened again on demand
        picture.error = f"{picture.name}: {reason}. Trying again takes settings that can be used."
        return picture
