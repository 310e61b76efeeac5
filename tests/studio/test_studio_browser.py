"""The page in headless Chromium: by mouse, by keyboard, by touch."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="drives a browser")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from studio.conftest import encoded, served
from studio.hands import Hands
from study.browser import MARKS, browser

from tintype.cli import main

pytestmark = MARKS


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("--port", "0", temporary=tmp_path_factory.mktemp("t")) as (_, address):
        yield address


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile"), (1280, 800)) as driver:
        yield driver


def emptied(driver: Any, address: str) -> Hands:
    """The page, with no photographs."""
    driver.get("about:blank")
    for photo in json.loads(urllib.request.urlopen(f"{address}session").read())["photos"]:
        place = f"{address}session/photos/{photo['id']}"
        urllib.request.urlopen(urllib.request.Request(place, method="DELETE"))
    driver.get(address)
    hands = Hands(driver)
    hands.until(lambda: hands.texts("#model option"))
    return hands


@pytest.fixture
def hands(desktop: Any, address: str) -> Iterator[Hands]:
    hands = emptied(desktop, address)
    yield hands
    bad = [line for line in desktop.get_log("browser") if "favicon" not in line["message"]]
    # What a person is told with a status is no fault of the page.
    assert [line for line in bad if "status of 4" not in line["message"]] == []


def begin(hands: Hands, **photos: bytes) -> None:
    hands.give("drop", **(photos or {"a.jpg": encoded(size=(300, 200))}))
    hands.ready(len(photos) or 1)


def test_photographs_are_dropped_pasted_and_chosen_and_each_is_coloured(hands: Hands) -> None:
    hands.give("drop", **{"a.jpg": encoded(), "b.png": encoded("PNG")})
    hands.give("paste", **{"c.webp": encoded("WEBP")})
    hands.give("files", **{"d.tif": encoded("TIFF"), "broken.jpg": encoded()[:99]})
    hands.give("folder", **{"e.jpg": encoded(), "letter.txt": b"no photograph"})
    hands.ready(5)
    names = sorted(hands.texts("#film .name"))
    assert names == ["a.jpg", "b.png", "broken.jpg", "c.webp", "d.tif", "e.jpg"]
    error = hands.until(lambda: [e for e in hands.texts("#film .error") if e])
    assert error[0].startswith("broken.jpg is cut short")
    hands.press('[aria-label="Remove broken.jpg"]')
    hands.until(lambda: "broken.jpg" not in hands.texts("#film .name"))
    hands.press(frame("c.webp"))
    hands.until(lambda: hands.current()["name"] == "c.webp")
    order = hands.texts("#film .name")
    hands.keys("n", on="#canvas")
    hands.until(lambda: hands.current()["name"] == order[order.index("c.webp") + 1])
    hands.keys("p", "p", on="#canvas")
    hands.until(lambda: hands.current()["name"] == order[order.index("c.webp") - 1])


def frame(name: str) -> str:
    """The frame of a photograph in the filmstrip."""
    return f'#film li:has([title="{name}"]) .frame'


def test_work_is_cancelled_and_begun_again(hands: Hands) -> None:
    slow = encoded("PNG", (6000, 4000))  # there is one worker: one after the other
    hands.give("files", **{f"slow{k}.png": slow for k in range(3)})
    hands.until(lambda: hands.texts("#film .name"))
    hands.give("files", **{"b.jpg": encoded()})
    cancel = '[data-state=waiting] [aria-label="Cancel b.jpg"]'
    hands.until(lambda: hands.js("return document.querySelector(arguments[0])", cancel))
    hands.press(cancel)
    hands.until(lambda: "cancelled" in hands.texts("#film .state"))
    assert hands.find("#film progress").is_displayed()
    hands.press("#film [data-state=cancelled] .again")
    hands.ready(4)


def test_a_photograph_is_looked_at_by_mouse(hands: Hands) -> None:
    begin(hands)
    assert hands.find("[value=slider]").is_selected()
    hands.drag((0.5, 0.3), (0.75, 0.3))
    assert 70 < float(hands.find("#split").get_attribute("value")) < 80
    hands.press("[value=side] + span")
    assert not hands.find("#split").is_displayed()
    hands.press("[value=slider] + span")
    fitting = hands.scale()
    hands.press("#zoom-one")
    hands.until(lambda: hands.scale() == 100)
    hands.wheel(0.3, 0.3, -400)
    hands.until(lambda: hands.scale() > 200)
    hands.press("#zoom-fit")
    hands.until(lambda: hands.scale() == fitting)
    hands.click(0.4, 0.4)
    hands.press("#gray")
    hands.settled(lambda s: s["hints"])
    left = dot(hands)[0]
    hands.drag((0.3, 0.5), (0.4, 0.5))
    hands.until(lambda: abs(dot(hands)[0] - left - 0.1 * hands.canvas()[2]) < 3)


def dot(hands: Hands, index: int = 0) -> list[float]:
    """The middle of a dot on the screen."""
    return hands.js(
        "const b = document.querySelectorAll('.dot')[arguments[0]].getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]",
        index,
    )


def test_a_photograph_is_looked_at_by_keyboard(hands: Hands) -> None:
    begin(hands)
    fitting = hands.scale()
    hands.keys("1", on="#canvas")
    hands.until(lambda: hands.scale() == 100)
    hands.keys("+", "+")
    hands.until(lambda: hands.scale() > 150)
    hands.keys("-", "0")
    hands.until(lambda: hands.scale() == fitting)
    hands.keys("]", "]", "]")
    hands.until(lambda: float(hands.find("#split").get_attribute("value")) == 56)
    hands.keys(Keys.ARROW_LEFT, on="#split")
    hands.until(lambda: float(hands.find("#split").get_attribute("value")) == 55)
    hands.keys(Keys.ARROW_RIGHT, on="[value=slider]")
    assert hands.find("[value=side]").is_selected()
    hands.keys("?", on="#canvas")
    assert hands.find("#keys").is_displayed()
    hands.keys(Keys.ESCAPE)
    assert not hands.find("#keys").is_displayed()


def test_tiles_of_a_large_photograph_are_those_of_the_whole(hands: Hands) -> None:
    begin(hands, **{"large.png": encoded("PNG", (3000, 2000))})
    requested = (
        "return performance.getEntriesByType('resource')"
        ".filter((e) => e.name.endsWith('/show')).length"
    )
    count = hands.js(requested)
    hands.keys("1", on="#canvas")
    hands.until(lambda: hands.js(requested) > count + 3)
    assert hands.current()["facts"]["preview"] == [1224, 816]


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
    hands.chord("z")
    hands.settled(lambda s: s["options"]["vividness"] == 0.98)
    hands.chord("y")
    hands.settled(lambda s: s["options"]["vividness"] == 0.97)
    hands.press("#reset")
    hands.settled(lambda s: s["options"]["vividness"] == 0.5)
    hands.keys("plain", on="#model")
    hands.settled(lambda s: s["model"] == "plain.small")
    assert not hands.find("#vividness").is_displayed()
    hands.click(0.4, 0.4)
    assert (
        "plain.small takes no colours from you: choose tint.small"
        in hands.texts("#palette-note")[0]
    )
    assert not hands.find("#free").is_displayed()


def test_one_of_eight_other_colourings_is_chosen(hands: Hands) -> None:
    begin(hands)
    hands.press("#others")
    hands.until(lambda: len(hands.driver.find_elements(By.CSS_SELECTOR, "[data-painted]")) == 8)
    hands.press("#gallery button:nth-child(3)")
    settings = hands.settled(lambda s: s["model"] == "tint_sampler.small")
    assert settings["sample"] >= 1
    assert hands.find("#gallery [aria-pressed=true]") == hands.find("#gallery button:nth-child(3)")
    hands.keys(Keys.ENTER, on="#gallery button:nth-child(5)")
    hands.settled(lambda s: s["sample"] != settings["sample"])


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
    hands.press(frame(other))
    hands.until(lambda: hands.current()["name"] == other)
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


def test_results_are_saved_and_made_again_by_the_command(hands: Hands, tmp_path: Path) -> None:
    begin(hands, **{"a.jpg": encoded(size=(300, 200)), "b.png": encoded("PNG")})
    hands.keys(Keys.HOME, on="#vividness")
    hands.settled(lambda s: s["options"]["vividness"] == 0)
    hands.click(0.4, 0.4)
    hands.press("#gray")
    hands.settled(lambda s: s["hints"])
    hands.press("#copy")
    hands.until(lambda: "copied to 1 photograph." in hands.texts("#said")[0])
    assert all(p["settings"]["options"]["vividness"] == 0 for p in hands.session()["photos"])
    name = hands.current()["name"]
    (tmp_path / name).write_bytes(encoded(size=(300, 200)) if name == "a.jpg" else encoded("PNG"))
    settings = urllib.request.urlopen(hands.find("#save-settings").get_attribute("href"))
    stem = name.partition(".")[0]
    assert f"{stem}.tintype.json" in settings.headers["content-disposition"]
    (tmp_path / f"{stem}.tintype.json").write_bytes(settings.read())
    result = urllib.request.urlopen(hands.find("#save").get_attribute("href")).read()
    words = ["--settings", str(tmp_path / f"{stem}.tintype.json"), "-o", str(tmp_path / "out")]
    assert main(["colorize", str(tmp_path / name), *words]) == 0
    assert (tmp_path / "out").read_bytes() == result
    archive = urllib.request.urlopen(hands.find("#save-all").get_attribute("href")).read()
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        assert sorted(whole.namelist()) == [
            *("a.colorized.jpg", "a.tintype.json", "b.colorized.png", "b.tintype.json")
        ]
        assert result in [whole.read(entry) for entry in whole.namelist()]


def test_a_reload_loses_nothing(hands: Hands) -> None:
    begin(hands)
    hands.click(0.4, 0.4)
    hands.press("#gray")
    settings = hands.settled(lambda s: s["hints"])
    hands.driver.refresh()
    hands.ready(1)
    hands.settled(lambda s: s == settings)
    assert len(hands.driver.find_elements(By.CSS_SELECTOR, ".dot")) == 1
    hands.press("#undo")
    hands.settled(lambda s: not s["hints"])


def test_fingers_pan_pinch_slide_and_move_dots(tmp_path: Path, address: str) -> None:
    with browser(tmp_path, (390, 844), touch=True) as driver:
        points = {"enabled": True, "maxTouchPoints": 2}
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", points)
        hands = emptied(driver, address)
        begin(hands)
        fitting = hands.scale()
        hands.touch([(0.4, 0.5), (0.6, 0.5)], [(0.3, 0.5), (0.7, 0.5)], [(0.2, 0.5), (0.8, 0.5)])
        hands.until(lambda: hands.scale() > 2 * fitting)
        hands.touch([(0.3, 0.3)])
        hands.until(lambda: hands.find("#gray").is_displayed())
        hands.press("#gray")
        hint = hands.settled(lambda s: s["hints"])["hints"][0]
        x, y = dot(hands)
        hands.touch([(0.2, 0.6)], [(0.25, 0.65)], [(0.3, 0.7)])
        hands.until(lambda: dot(hands)[0] > x + 20 and dot(hands)[1] > y + 20)
        hands.touch([(0.5, 0.8)], [(0.6, 0.8)], [(0.7, 0.8)])
        hands.until(lambda: 65 < float(hands.find("#split").get_attribute("value")) < 75)
        left, top, width, height = hands.canvas()
        x, y = (
            (a - b) / c for a, b, c in zip(dot(hands), (left, top), (width, height), strict=True)
        )
        hands.touch([(x, y)], [(x + 0.1, y)], [(x + 0.2, y)])
        hands.settled(lambda s: s["hints"][0]["x"] > hint["x"])


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_lies_beside_the_window_and_everything_has_a_name(hands: Hands, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    hands.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    begin(hands)
    assert hands.js("return document.documentElement.scrollWidth") <= width
    nameless = hands.js(
        "return [...document.querySelectorAll('button, a, input:not([hidden]), select, canvas')]"
        ".filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.title ||"
        " e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []
