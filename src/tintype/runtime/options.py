"""The options of coloring: resolve and check those given, and add defaults."""

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
_STRENGTHS = ("vividness", "temperature", "saturation")  # one may serve in another's place


class Asked(TypedDict, total=False):
    """The options that may be given, as keywords; see `Options`. None means not given."""

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
    """All options of coloring a photograph; those that the model does not take are None.

    Attributes:
        saturation: factor on the chroma, from 0 (gray) to 10; 1 leaves it as predicted.
        warmth: from -1 (colder) to 1 (warmer): shifts b of CIE Lab by up to 10, except in gray; 0
            does nothing.
        enlarge: how chroma is upsampled to the photograph's size: ``"guided"``, along the edges of
            the luminance, or ``"bilinear"``.
        vividness: from 0 (safe: muted where unsure) to 1 (vivid: a probable color, sometimes a
            wrong one); for models that predict a distribution.
        temperature: from 0.001 to 10; below 1 colors are more probable and more muted; for
            samplers.
        seed: seed of the noise, from 0; for samplers.
        sample: number, from 1, of the sample that `Colorizer.colorize` returns; for samplers.
        filter: input of the model's guided filter: ``"chroma"``, the colored ``"image"``, or
            ``"none"``; for models that have one.
        refine: use the second stage of a sampler; for samplers that have one.
        mark: state in the XMP metadata that the colors are generated, and by which model.
        normalise: stretch the tones of faded photographs, and descreen printed ones, in the input
            of the network; the lightness of the result does not change; for models that were
            trained for it.
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
        """Return all options of a model, with those given and defaults for the others.

        Args:
            card: card of the model.
            asked: options that are given, by name.

        Raises:
            SettingError: an option does not exist, is out of range, or is not one of the model's.
        """
        own, samples = card.options, (card.kind == "sampler", "does not sample")
        one = "draws its colors" if samples[0] else "gives one chroma"
        everything: Mapping[str, Any] = asked
        given = {option: value for option, value in everything.items() if value is not None}
        # Option -> default, whether the model takes it, and the reason if it does not.
        defaults: dict[str, tuple[Any, bool, str]] = {
            "saturation": (1.0, True, ""),
            "warmth": (0.0, True, ""),
            "enlarge": (card.enlarge, True, ""),
            "vividness": (1.0, card.has("decode") and "vividness" in own, one),
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
                f"there is no option {unknown[0]!r:.40}; the options are {', '.join(defaults)}"
            )
        held = {}
        for option, (default, taken, reason) in defaults.items():
            if taken:
                held[option] = given.get(option, own.get(option, default))
            elif option in given:
                others = [name for name in _STRENGTHS if defaults[name][1]]
                instead = f"; give {' or '.join(others)} instead" if option in _STRENGTHS else ""
                raise SettingError(f"{card.name} {reason}: it takes no {option}{instead}")
        _check(held)
        return cls(**held)


def _check(held: dict[str, Any]) -> None:
    """Refuse values that are out of range or of another type."""
    for option, choices in {"enlarge": get_args(Enlarge), "filter": get_args(Filter)}.items():
        if option in held and held[option] not in choices:
            raise SettingError(
                f"{option} must be one of {', '.join(choices)}, not {held[option]!r:.40}"
            )
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
            raise SettingError(f"{option} must be {words}, not {value!r:.40}")
    for option, low in {"seed": 0, "sample": 1}.items():
        if not (type(held.get(option, low)) is int and held.get(option, low) >= low):
            raise SettingError(
                f"{option} must be a whole number from {low}, not {held[option]!r:.40}"
            )
    for option in ("refine", "normalise", "mark"):
        if type(held.get(option, True)) is not bool:
            raise SettingError(f"{option} must be True or False, not {held[option]!r:.40}")
