"""The options of a coloring, resolved once: from what was asked for to what holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from tintype.card import Card
from tintype.errors import SettingError

Filter: TypeAlias = Literal["none", "chroma", "image"]
Enlarge: TypeAlias = Literal["guided", "bilinear"]


class Asked(TypedDict, total=False):
    """What may be asked for, as keywords; see `Options`. None is as if not asked."""

    saturation: float | None
    enlarge: Enlarge | None
    vividness: float | None
    temperature: float | None
    seed: int | None
    filter: Filter | None
    refine: bool | None


@dataclass(frozen=True)
class Options:
    """How a photograph is colored; an option that the model does not take is None.

    Attributes:
        saturation: factor on the chroma, from 0 (gray) to 10; 1 leaves it as predicted.
        enlarge: how chroma is brought to the photograph's size: ``"guided"`` along the edges of
            the luminance, or ``"bilinear"``.
        vividness: from 0 (safe: muted where unsure) to 1 (vivid: a likely color, sometimes a wrong
            one); of models that predict a distribution.
        temperature: of samplers, above 0 up to 10: below 1 likelier and calmer colors.
        seed: of samplers, from 0: the same seed gives the same colors again.
        filter: what the model's own guided filter is applied to: ``"chroma"``, the colored
            ``"image"``, or ``"none"``; of models that have one.
        refine: whether a sampler's second stage is used; of samplers that have one.
    """

    saturation: float = 1.0
    enlarge: Enlarge = "guided"
    vividness: float | None = None
    temperature: float | None = None
    seed: int | None = None
    filter: Filter | None = None
    refine: bool | None = None

    @classmethod
    def resolve(
        cls,
        card: Card,
        *,
        saturation: float | None = None,
        enlarge: Enlarge | None = None,
        vividness: float | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        filter: Filter | None = None,
        refine: bool | None = None,
    ) -> Options:
        """Return the options that hold for a model when these are asked for.

        Raises:
            SettingError: one is out of range, or not for this model.
        """
        name, own = card.name, card.options
        takes: dict[str, tuple[bool, Any, str]] = {
            "vividness": (card.has("decode"), 1.0, "predicts one chroma"),
            "temperature": (card.kind == "sampler", 1.0, "does not sample"),
            "seed": (card.kind == "sampler", 0, "does not sample"),
            "filter": (card.filter is not None, "chroma", "has no filter of its own"),
            "refine": (card.has("refine"), True, "has no second stage"),
        }
        held: dict[str, Any] = {
            "saturation": own.get("saturation", 1.0) if saturation is None else saturation,
            "enlarge": card.enlarge if enlarge is None else enlarge,
        }
        asked = {"vividness": vividness, "temperature": temperature, "seed": seed}
        asked |= {"filter": filter, "refine": refine}
        for option, value in asked.items():
            taken, default, reason = takes[option]
            if taken:
                held[option] = own.get(option, default) if value is None else value
            elif value is not None:
                raise SettingError(f"{name} {reason}: it takes no {option}")
        _check(held)
        return cls(**held)


def _check(held: dict[str, Any]) -> None:
    """Refuse values out of range."""
    words = {"enlarge": get_args(Enlarge), "filter": get_args(Filter)}
    for option, choices in words.items():
        if option in held and held[option] not in choices:
            raise SettingError(f"{option} is one of {', '.join(choices)}, not {held[option]!r}")
    if not 0 <= held["saturation"] <= 10:
        raise SettingError(f"saturation is a factor from 0 to 10, not {held['saturation']}")
    if not 0 <= held.get("vividness", 0) <= 1:
        raise SettingError(
            f"vividness is a number from 0 (safe) to 1 (vivid), not {held['vividness']}"
        )
    if not 0 < held.get("temperature", 1) <= 10:
        raise SettingError(
            f"temperature is a number above 0, at most 10, not {held['temperature']}"
        )
    if not (type(held.get("seed", 0)) is int and held.get("seed", 0) >= 0):
        raise SettingError(f"seed is a whole number from 0, not {held['seed']}")
    if type(held.get("refine", True)) is not bool:
        raise SettingError(f"refine is True or False, not {held['refine']!r}")
