"""The options of a coloring, resolved once: from what was asked for to what holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, get_args

from tintype.card import Card
from tintype.errors import SettingError

if TYPE_CHECKING:
    from typing_extensions import Unpack

Filter: TypeAlias = Literal["none", "chroma", "image"]
Enlarge: TypeAlias = Literal["guided", "bilinear"]


class Asked(TypedDict, total=False):
    """What may be asked for, as keywords; see `Options`. None is as if not asked."""

    saturation: float | None
    warmth: float | None
    enlarge: Enlarge | None
    vividness: float | None
    temperature: float | None
    seed: int | None
    sample: int | None
    filter: Filter | None
    refine: bool | None
    mark: bool | None
    normalise: bool | None


@dataclass(frozen=True)
class Options:
    """How a photograph is colored; an option that the model does not take is None.

    Attributes:
        saturation: factor on the chroma, from 0 (gray) to 10; 1 leaves it as predicted.
        warmth: from -1 (colder) to 1 (warmer): shifts b of CIE Lab by up to 10 where the picture is
            colored; 0 leaves it.
        enlarge: how chroma is brought to the photograph's size: ``"guided"`` along the edges of
            the luminance, or ``"bilinear"``.
        vividness: from 0 (safe: muted where unsure) to 1 (vivid: a likely color, sometimes a wrong
            one); of models that predict a distribution.
        temperature: of samplers, from 0.001 to 10: below 1 likelier and calmer colors.
        seed: of samplers, from 0: the same seed gives the same colors again.
        sample: of samplers, from 1: the number of the one that `Colorizer.colorize` makes.
        filter: what the model's own guided filter is applied to: ``"chroma"``, the colored
            ``"image"``, or ``"none"``; of models that have one.
        refine: whether a sampler's second stage is used; of samplers that have one.
        mark: whether the result says in its XMP that its colors are made, and by which model.
        normalise: whether the network sees a faded photograph with its tones stretched, and a
            printed one without its dots, the result having its own lightness all the same; of
            models that were made for it.
    """

    saturation: float = 1.0
    warmth: float = 0.0
    enlarge: Enlarge = "guided"
    vividness: float | None = None
    temperature: float | None = None
    seed: int | None = None
    sample: int | None = None
    filter: Filter | None = None
    refine: bool | None = None
    mark: bool = True
    normalise: bool | None = None

    @classmethod
    def resolve(cls, card: Card, /, **asked: Unpack[Asked]) -> Options:
        """Return the options that hold for a model when these are asked for.

        Raises:
            SettingError: there is none of that name, one is out of range, or not for this model.
        """
        own, samples = card.options, (card.kind == "sampler", "does not sample")
        everything: Mapping[str, Any] = asked
        given = {option: value for option, value in everything.items() if value is not None}
        # Option -> its default where the model takes it, and why it may not.
        defaults: dict[str, tuple[Any, bool, str]] = {
            "saturation": (1.0, True, ""),
            "warmth": (0.0, True, ""),
            "enlarge": (card.enlarge, True, ""),
            "vividness": (1.0, card.has("decode") and "vividness" in own, "gives one chroma"),
            "temperature": (1.0, *samples),
            "seed": (0, *samples),
            "sample": (1, *samples),
            "filter": ("chroma", card.filter is not None, "has no filter of its own"),
            "refine": (True, card.has("refine"), "has no second stage"),
            "mark": (True, True, ""),
            "normalise": (True, card.normalise, "sees tones as they are"),
        }
        if unknown := sorted(everything.keys() - defaults.keys()):
            raise SettingError(
                f"there is no option {unknown[0]!r:.40}; there are {', '.join(defaults)}"
            )
        held = {}
        for option, (default, taken, reason) in defaults.items():
            if taken:
                held[option] = given.get(option, own.get(option, default))
            elif option in given:
                raise SettingError(f"{card.name} {reason}: it takes no {option}")
        _check(held)
        return cls(**held)


def _check(held: dict[str, Any]) -> None:
    """Refuse values out of range, and what is no such value at all."""
    for option, choices in {"enlarge": get_args(Enlarge), "filter": get_args(Filter)}.items():
        if option in held and held[option] not in choices:
            raise SettingError(f"{option} is one of {', '.join(choices)}, not {held[option]!r:.40}")
    numbers: dict[str, tuple[float, float, str]] = {
        "saturation": (0, 10, "a factor from 0 to 10"),
        "warmth": (-1, 1, "a number from -1 (colder) to 1 (warmer)"),
        "vividness": (0, 1, "a number from 0 (safe) to 1 (vivid)"),
        "temperature": (1e-3, 10, "a number from 0.001 to 10"),
    }
    for option, (low, high, words) in numbers.items():
        value = held.get(option, high)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and low <= value <= high):
            raise SettingError(f"{option} is {words}, not {value!r:.40}")
    for option, low in {"seed": 0, "sample": 1}.items():
        if not (type(held.get(option, low)) is int and held.get(option, low) >= low):
            raise SettingError(f"{option} is a whole number from {low}, not {held[option]!r:.40}")
    for option in ("refine", "normalise", "mark"):
        if type(held.get(option, True)) is not bool:
            raise SettingError(f"{option} is True or False, not {held[option]!r:.40}")
