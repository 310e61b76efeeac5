"""Raters, sessions and answers, as plain data: what storage returns and analysis takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tintype.study.assignment import Side, Trial
from tintype.study.manifest import TRUE_COLORS, Kind

#: Layout of a pair on the screen: side by side, or the left picture above.
Layout = Literal["row", "column"]


@dataclass(frozen=True)
class Measurements:
    """What the rater's browser measured; None where it ran no script.

    Attributes:
        reaction_ms: reaction time in milliseconds, from the frame that showed the pictures to the
            answer.
        exposed_ms: for how many milliseconds the pictures were shown.
        interrupted: whether the page was hidden while they were shown.
        layout: layout of the pair.
    """

    reaction_ms: int | None = None
    exposed_ms: int | None = None
    interrupted: bool = False
    layout: Layout | None = None


@dataclass(frozen=True)
class Answer:
    """One answer, with its trial.

    Attributes:
        position: position of the trial among the rater's, from 0.
        kind, photo, system, true_side: as in `Trial`.
        choice: the answer, as `true_side`.
        measurements: what the browser measured.
        server_ms: milliseconds from the first presentation to the answer, by the server's clock;
            negative if two servers whose clocks differ took part.
        presentations: how often the pair was presented: more than once after a reload.
    """

    position: int
    kind: Kind
    photo: int
    system: str
    true_side: Side
    choice: Side
    measurements: Measurements
    server_ms: int
    presentations: int

    @property
    def fooled(self) -> bool:
        """Return whether the answer is wrong."""
        return self.choice != self.true_side

    @property
    def taken_for_true(self) -> bool:
        """Return whether the system's picture was taken for the true one, or called real."""
        return self.fooled != (self.system == TRUE_COLORS)

    @property
    def reaction_ms(self) -> int:
        """Return the reaction time in milliseconds: the browser's, but at most the server's."""
        measured = self.measurements.reaction_ms
        if measured is None:
            return max(0, self.server_ms)
        return measured if self.server_ms < 0 else min(measured, self.server_ms)


@dataclass(frozen=True)
class Rater:
    """One rater and all answers, as the analysis takes them.

    Attributes:
        number: the session's number in the database.
        code: completion code, shown on the thank-you page.
        finished: whether every trial was answered.
        withdrawn: whether the rater withdrew.
        answers: in the order of the trials.
    """

    number: int
    code: str
    finished: bool
    withdrawn: bool
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Session:
    """A rater's session, as the pages need it.

    Attributes:
        id: its number in the database.
        form_key: token that every form of this session must contain (against CSRF).
        code: completion code, shown on the thank-you page.
        finished: whether every trial was answered.
        withdrawn: whether the rater withdrew.
    """

    id: int
    form_key: str
    code: str
    finished: bool
    withdrawn: bool


@dataclass(frozen=True)
class Pair:
    """The trial that a rater answers next, with the tokens of its pictures.

    Attributes:
        position: position of the trial among the rater's, from 0.
        trial: the trial, with the true side, which is secret.
        left_token, right_token: random names of the two pictures, used for this trial alone; a
            single one has the first.
    """

    position: int
    trial: Trial
    left_token: str
    right_token: str
