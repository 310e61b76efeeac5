from dataclasses import asdict

import pytest

from tintype.errors import SettingError
from tintype.runtime.options import Options
from tintype.runtime.registry import find_model

HELD = {
    "plain": {},
    "tint": {"vividness": 0.8},
    "filtered": {"filter": "chroma"},
    "tint_sampler": {"temperature": 0.8, "seed": 0, "sample": 1, "refine": True},
    "faded": {"normalise": True},
    "tint_sampler.plain": {"temperature": 0.8, "seed": 0, "sample": 1},
}
ASKED = {"vividness": 0.3, "filter": "image", "temperature": 1.5, "seed": 7, "refine": False}
ASKED |= {"sample": 3, "normalise": False}


@pytest.mark.parametrize("name", HELD)
def test_a_model_takes_its_own_options_and_no_others(name):
    card = find_model(name)
    none = dict.fromkeys(ASKED)
    held = {"saturation": 1.0, "warmth": 0.0, "enlarge": "guided", "mark": True}
    assert asdict(Options.resolve(card)) == {**none, **held, **HELD[name]}
    assert Options.resolve(card, **none) == Options.resolve(card)
    for option, value in ASKED.items():
        if option in HELD[name]:
            assert getattr(Options.resolve(card, **{option: value}), option) == value
        else:
            with pytest.raises(SettingError, match=f"takes no {option}"):
                Options.resolve(card, **{option: value})
    with pytest.raises(SettingError, match="no option 'vividnes'"):
        Options.resolve(card, **{"vividnes": 1})  # noqa: PIE804 (the checker knows the names)
    both = Options.resolve(card, saturation=0.5, enlarge="bilinear")
    assert (both.saturation, both.enlarge) == (0.5, "bilinear")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("tint", "vividness", 1.1),
        ("tint", "vividness", float("nan")),
        ("tint", "saturation", -0.1),
        ("tint", "saturation", "much"),
        ("tint", "warmth", -1.1),
        ("tint", "warmth", True),
        ("tint", "enlarge", "magic"),
        ("tint", "enlarge", [1]),
        ("tint_sampler", "sample", 0),
        ("filtered", "filter", "guess"),
        ("tint_sampler", "temperature", 0),
        ("tint_sampler", "seed", -1),
        ("tint_sampler", "seed", 1.5),
        ("tint_sampler", "refine", "none"),
        ("faded", "normalise", 1),
    ],
)
def test_what_is_out_of_range_is_said(name, option, value):
    with pytest.raises(SettingError, match=option):
        Options.resolve(find_model(name), **{option: value})
