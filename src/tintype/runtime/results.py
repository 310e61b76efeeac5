"""Results of a model: samples, scores and suggestions."""

from __future__ import annotations

from dataclasses import dataclass

from tintype.photo import Photo


@dataclass(frozen=True)
class Sample:
    """A sample: one of several colorings of a photograph.

    Attributes:
        photo: the photograph in color.
        number: number of the sample for its seed, from 1.
        nats: log-likelihood under the model, in nats.
        bits: negative log-likelihood in bits per chroma value; lower is more probable.
    """

    photo: Photo
    number: int
    nats: float
    bits: float


@dataclass(frozen=True)
class Score:
    """The likelihood of a photograph's own colors under a model.

    Attributes:
        bits: negative log-likelihood in bits per chroma value; 0 is certain, 5 is a uniform guess
            among 32 levels.
        bits_by_channel: the same for each channel of the model's color space, e.g. Cb and Cr.
        nats: log-likelihood of all values, in nats.
        values: number of chroma values, two per cell.
    """

    bits: float
    bits_by_channel: tuple[float, float]
    nats: float
    values: int


@dataclass(frozen=True)
class Suggestion:
    """A probable color of a pixel.

    Attributes:
        color: color in sRGB, e.g. ``"#8a3324"``, at the lightness of the photograph.
        probability: probability of this and similar colors, from 0 to 1.
    """

    color: str
    probability: float
