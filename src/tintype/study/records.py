"""What a study gathers, as plain data: between the storage that keeps it and the analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tintype.study.assignment import Side
from tintype.study.manifest import Kind

#: How the pair lay on the rater's screen: beside each other, or the left one above.
Layout = Literal["row", "column"]


@dataclass(frozen=True)
class Measured:
    """What the rater's browser measured; None of everything where it ran no script.

    Attributes:
        reaction_ms: from the frame in which the pictures appeared to the answer.
        exposed_ms: for how long they were there.
        interrupted: whether the page was hidden meanwhile.
        layout: how they lay.
    """

    reaction_ms: int | None = None
    exposed_ms: int | None = None
    interrupted: bool = False
    layout: Layout | None = None


@dataclass(frozen=True)
class Answer:
    """One answer, and what was asked.

    Attributes:
        position: of the trial among the rater's, from 0.
        kind, photo, system, true_side: as in `Trial`.
        choice: the picture that was taken for the true one.
        measured: by the browser.
        server_ms: from when the pair was first given out to when its answer arrived; below 0 where
            two machines did so whose clocks differ.
        presentations: how often the pair was given out: more than once after a reload.
    """

    position: int
    kind: Kind
    photo: int
    system: str
    true_side: Side
    choice: Side
    measured: Measured
    server_ms: int
    presentations: int

    @property
    def fooled(self) -> bool:
        """Whether the system's picture was taken for the true one."""
        return self.choice != self.true_side

    @property
    def reaction_ms(self) -> int:
        """From seeing to answering, by the browser's clock, or the server's where it has none.

        A browser's claim of more time than passed on the server is not believed; nor is the server
        where its time ran backwards.
        """
        measured = self.measured.reaction_ms
        if measured is None:
            return max(0, self.server_ms)
        return measured if self.server_ms < 0 else min(measured, self.server_ms)


@dataclass(frozen=True)
class Rater:
    """One person's session.

    Attributes:
        number: of the session in its database.
        code: what the thank-you page gives out.
        finished: whether every trial was answered.
        withdrawn: whether the person asked to be left out.
        answers: in the order they were given.
    """

    number: int
    code: str
    finished: bool
    withdrawn: bool
    answers: tuple[Answer, ...]
