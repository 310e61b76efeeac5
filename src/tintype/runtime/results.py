"""What a model says of a photograph beside its coloring."""

from __future__ import annotations

from dataclasses import dataclass

from tintype.photo import Photo


@dataclass(frozen=True)
class Sample:
    """One of several colorings of a photograph.

    Attributes:
        photo: the photograph in color.
        number: which sample of the seed it is, from 1.
        nats: its log-likelihood under the model.
        bits: the same as bits per chroma value: the lower, the likelier.
    """

    photo: Photo
    number: int
    nats: float
    bits: float


@dataclass(frozen=True)
class Score:
    """How likely a model holds the colors of a photograph to be.

    Attributes:
        bits: mean bits per chroma value; 0 is certain, and 5 what 32 levels cost without any
            knowledge.
        bits_by_channel: the same for each channel of the model's space, e.g. Cb and Cr.
        nats: log-likelihood of all values.
        values: how many there are, two to a cell of the model's grid.
    """

    bits: float
    bits_by_channel: tuple[float, float]
    nats: float
    values: int


@dataclass(frozen=True)
class Suggestion:
    """A color that a model holds possible at a place.

    Attributes:
        color: ``"#8a3324"``, at the photograph's own lightness there.
        probability: of it and the colors around it, from 0 to 1.
    """

    color: str
    probability: float
