"""A photograph of the page's session, and what may be wrong with one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tintype.errors import TintypeError
from tintype.runtime.settings import printable


class NoPhotoError(TintypeError):
    """There is no such photograph."""


class TwiceError(TintypeError):
    """The same photograph is there already."""


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
        again: whether another try may help.
        digest: SHA-256 of its file, where it came from the page.
        facts: width, height and more, once it is read.
        history: settings that were chosen, as tables, the first of them the beginning.
        at: which of these holds.
        version: goes up when its thumbnail changes.
        revision: goes up with every change, so that an answer which comes late is known to be old.
    """

    id: str
    name: str
    number: int
    state: str = "waiting"
    stage: str = ""
    error: str = ""
    again: bool = False
    digest: str = ""
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
        del record["history"], record["at"], record["digest"]
        return record | {
            "settings": self.settings,
            "undo": self.at,
            "redo": len(self.history) - 1 - self.at,
        }


def shown_name(name: str) -> str:
    """Return what a client calls a file, as one line that names no folder."""
    last = name.replace("\\", "/").rpartition("/")[2].strip() or "photograph"
    stem, dot, ending = last.rpartition(".")
    short = last if len(last) <= 80 else f"{stem[:60]}…{dot}{ending[-10:]}"
    return printable(short).strip("'")
