"""A photograph of the page's session, and the session's errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tintype.errors import TintypeError
from tintype.runtime.settings import printable


class NoPhotoError(TintypeError):
    """The session has no such photograph."""


class TwiceError(TintypeError):
    """The session has the same photograph already."""


class SessionFullError(TintypeError):
    """The session takes no more photographs."""


@dataclass
class Picture:
    """A photograph of the session.

    Attributes:
        id: its id, which is also the name of its folder.
        name: the name of its file, as its owner calls it.
        number: its place in the order of the session, from 1.
        state: ``"waiting"``, ``"working"``, ``"ready"``, ``"failed"`` or ``"cancelled"``.
        stage: what is being done while it is worked on, as "reading".
        error: why it failed; "" if it did not.
        again: whether another try may succeed.
        digest: SHA-256 of its file in hexadecimal; "" if the page did not send it.
        facts: what `Engine.open` returns, width and height among it; empty until it is read.
        history: the settings chosen so far, oldest first, as dicts.
        at: index in `history` of the settings in use; undo and redo move it.
        version: goes up when its thumbnail changes.
        revision: goes up with every change, so that the page can ignore answers that come late.
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
        """The settings in use."""
        return self.history[self.at]

    def to_json(self) -> dict[str, Any]:
        """Return the record that the page is sent."""
        record = asdict(self)
        del record["history"], record["at"], record["digest"]
        return record | {
            "settings": self.settings,
            "undo": self.at,
            "redo": len(self.history) - 1 - self.at,
        }


def shown_name(name: str) -> str:
    """Return the name that a client gave a file, shortened, on one line and without folders."""
    last = name.replace("\\", "/").rpartition("/")[2].strip() or "photograph"
    stem, dot, ending = last.rpartition(".")
    short = last if len(last) <= 80 else f"{stem[:60]}…{dot}{ending[-10:]}"
    return printable(short).strip("'")
