"""Colours chosen and corrected on the page, in headless Chromium."""

from __future__ import annotations

import pytest

pytest.importorskip("selenium", reason="drives a browser")

from selenium.webdriver.common.keys import Keys
from studio.conftest import encoded
from studio.hands import Hands
from studio.page import begin, painted, said, select
from study.browser import MARKS

pytestmark = MARKS


def test_the_look_is_chosen_with_sliders_and_taken_back(hands: Hands) -> None:
    begin(hands)
    hands.keys(Keys.END, on="#vividness")
    hands.settled(lambda s: s["options"]["vividness"] == 1)
    hands.keys(*[Keys.ARROW_LEFT] * 3)
    hands.settled(lambda s: s["options"]["vividness"] == 0.97)
    hands.click_slider("#warmth", 0.9)
    warmer = hands.settled(lambda s: s["options"]["warmth"] > 0.5)
    hands.click_slider("#saturation", 0.75)
    hands.settled(lambda s: s["options"] != warmer["options"])
    hands.press("#undo")
    hands.press("#undo")
    hands.settled(lambda s: s["options"]["warmth"] == 0)
    hands.keys(Keys.HOME, on="#saturation")
    hands.settled(lambda s: s["options"]["saturation"] == 0)
    hands.press("#undo")
    hands.settled(lambda s: s["options"]["saturation"] == 1)
    hands.chord("z")  # three presses of a key were one change
    hands.settled(lambda s: s["options"]["vividness"] == 1)
    hands.chord("y")
    hands.settled(lambda s: s["options"]["vividness"] == 0.97)
    hands.press("#reset")
    hands.settled(lambda s: s["options"]["vividness"] == 0.5)
    hands.keys("plain", on="#model")
    hands.settled(lambda s: s["model"] == "plain.small")
    assert not hands.find("#vividness").is_enabled()
    assert not hands.find("#can").is_displayed()
    hands.click(0.4, 0.4)
    assert said(hands) == "plain.small takes no colours from you; tint.small does."
    assert not hands.find("#palette").is_displayed()
    hands.press("#said-act")
    hands.settled(lambda s: s["model"] == "tint.small")
    assert hands.find("#can").is_displayed()


def test_one_of_eight_other_colourings_is_chosen(hands: Hands) -> None:
    begin(hands)
    hands.press("#others")
    painted(hands)
    hands.press("#gallery button:nth-child(4)")
    settings = hands.settled(lambda s: s["model"] == "tint_sampler.small")
    assert "Others: 3 of 8" in hands.texts("#others-said")
    assert hands.find("#gallery [aria-pressed=true]") == hands.find("#gallery button:nth-child(4)")
    assert "the model is tint_sampler.small now" in said(hands)
    hands.keys(Keys.ARROW_RIGHT, Keys.ENTER, on="#gallery button:nth-child(4)")
    hands.settled(lambda s: s["sample"] != settings["sample"])
    hands.press("#gallery button:first-child")  # one's own
    hands.settled(lambda s: s["model"] == "tint.small")
    hands.keys(Keys.ESCAPE)
    assert not hands.find("#others-box").is_displayed()
    assert hands.js("return document.activeElement.id") == "others"


def test_a_colour_is_corrected_by_mouse(hands: Hands) -> None:
    begin(hands, **{"a.jpg": encoded(size=(300, 200)), "b.jpg": encoded(size=(200, 200))})
    hands.click(0.4, 0.4)
    hands.until(lambda: hands.find("#likely button").is_displayed())
    likely = hands.find("#likely button")
    color = likely.get_attribute("data-color")
    assert "% likely" in likely.get_attribute("aria-label")
    likely.click()
    hands.settled(lambda s: [hint["color"] for hint in s["hints"]] == [color])
    x = hands.current()["settings"]["hints"][0]["x"]
    hands.drag_dot(0, 60, 0)
    hands.settled(lambda s: s["hints"][0]["x"] > x)
    hands.press(".dot")
    hands.js(
        "const e = document.getElementById('free'); e.value = '#3366aa';"
        "e.dispatchEvent(new Event('change'))"
    )
    hands.settled(lambda s: s["hints"][0]["color"] == "#3366aa")
    hands.click(0.6, 0.6)
    hands.press("#pick")
    hands.click(0.45, 0.5)
    hands.settled(lambda s: len(s["hints"]) == 2)
    hands.press(".dot:nth-child(2)")
    hands.press("#delete-dot")
    hands.settled(lambda s: len(s["hints"]) == 1)
    other = "b.jpg" if hands.current()["name"] == "a.jpg" else "a.jpg"
    select(hands, other)
    hands.settled(lambda s: not s["hints"])
    hands.click(0.6, 0.4)
    assert hands.find("#used button:nth-child(2)").get_attribute("data-color") == "#3366aa"
    hands.press("#used button:nth-child(2)")
    hands.settled(lambda s: s["hints"][0]["color"] == "#3366aa")


def test_a_colour_is_corrected_by_keyboard(hands: Hands) -> None:
    begin(hands)
    hands.keys(Keys.ARROW_RIGHT, Keys.ENTER, on="#canvas")
    hands.until(lambda: hands.js("return document.activeElement.closest('#palette') !== null"))
    hands.until(lambda: hands.texts("#likely button"))
    hands.keys(Keys.ENTER, on="#likely button")
    place = hands.settled(lambda s: s["hints"])["hints"][0]
    assert place["x"] > 150
    hands.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, on=".dot")
    moved = hands.settled(lambda s: s["hints"][0]["x"] < place["x"])
    assert moved["hints"][0]["y"] == place["y"]
    hands.keys(Keys.ENTER, on=".dot")
    hands.keys(Keys.ENTER, on="#gray")
    hands.settled(lambda s: s["hints"][0]["color"] == "#808080")
    hands.keys(Keys.ENTER, on="#canvas")
    hands.keys(Keys.ENTER, on="#pick")
    hands.keys(Keys.ARROW_UP, Keys.ENTER)
    hands.settled(lambda s: len(s["hints"]) == 2)
    hands.keys(Keys.DELETE, on=".dot")
    hands.settled(lambda s: len(s["hints"]) == 1)
    hands.chord("z")
    hands.settled(lambda s: len(s["hints"]) == 2)
    hands.keys(Keys.ENTER, on="#canvas")
    hands.keys(Keys.ESCAPE)
    assert not hands.find("#palette").is_displayed()
