"""The page in headless Chromium: by mouse, by keyboard, by touch."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="drives a browser")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from studio.conftest import encoded, served
from studio.hands import Hands
from studio.page import begin, dot, emptied, frame, painted, said, select
from study.browser import MARKS, browser

from tintype.cli import main

pytestmark = MARKS


def test_photographs_are_dropped_pasted_and_chosen_and_each_is_coloured(hands: Hands) -> None:
    slow = encoded("PNG", (2000, 1500))
    hands.give("drop", **{"slow.png": slow, "b.png": encoded("PNG")})
    hands.give("paste", **{"c.webp": encoded("WEBP")})
    hands.give("files", **{"d.tif": encoded("TIFF"), "broken.jpg": encoded()[:99]})
    hands.give("folder", **{"e.jpg": encoded(), "letter.txt": b"no photograph"})
    assert "1 file left out" in hands.until(lambda: said(hands))
    hands.ready(5)
    assert hands.current()["name"] == "slow.png"  # the first, though others were sooner
    names = sorted(hands.texts("#film .name"))
    assert names == ["b.png", "broken.jpg", "c.webp", "d.tif", "e.jpg", "slow.png"]
    hands.until(lambda: hands.texts("#summary") == ["5 coloured, 1 failed"])
    hands.give("drop", **{"b.png": encoded("PNG")})
    hands.until(lambda: said(hands) == "b.png is in the session already.")
    tall = "return arguments[0].map((s) => document.querySelector(s).offsetHeight)"
    broken, good = hands.js(tall, [frame("broken.jpg"), frame("b.png")])
    assert broken < good + 30  # what is wrong with it takes one line
    hands.press(frame("broken.jpg"))
    assert hands.texts("#notice-words")[0].startswith("broken.jpg is cut short")
    assert not hands.find("#again").is_displayed()  # it stays as it is
    select(hands, "c.webp")
    order = hands.texts("#film .name")
    hands.keys("n", on="#canvas")
    hands.until(lambda: hands.current()["name"] == order[order.index("c.webp") + 1])
    hands.keys("p", "p", on="#canvas")
    hands.until(lambda: hands.current()["name"] == order[order.index("c.webp") - 1])


def test_the_strip_is_one_stop_and_what_is_removed_can_be_put_back(hands: Hands) -> None:
    begin(hands, **{f"{name}.jpg": encoded() for name in "abc"})
    assert hands.js("return document.querySelectorAll('#film [tabindex=\"0\"]').length") == 1
    hands.keys(Keys.ARROW_DOWN, on=frame("a.jpg"))
    hands.until(lambda: hands.current()["name"] == "b.jpg")
    hands.keys(Keys.DELETE)
    hands.until(lambda: hands.texts("#film .name") == ["a.jpg", "c.jpg"])
    assert hands.js("return document.activeElement.title") == "c.jpg"
    hands.press("#said-act")
    hands.until(lambda: hands.texts("#film .name") == ["a.jpg", "b.jpg", "c.jpg"])
    hands.press('[aria-label="Remove c.jpg"]')
    hands.until(lambda: hands.texts("#film .name") == ["a.jpg", "b.jpg"])


def test_work_is_cancelled_and_begun_again(hands: Hands) -> None:
    slow = encoded("PNG", (6000, 4000))  # there is one worker: one after the other
    hands.give("files", **{f"slow{k}.png": slow for k in range(3)})
    shown = "return [...document.querySelectorAll('#film progress')].some(p => p.checkVisibility())"
    hands.until(lambda: hands.js(shown))
    hands.give("files", **{"b.jpg": encoded()})
    cancel = '[data-state=waiting] [aria-label="Cancel b.jpg"]'
    hands.until(lambda: hands.js("return document.querySelector(arguments[0])", cancel))
    hands.press(cancel)
    hands.until(lambda: "cancelled" in hands.texts("#film .state"))
    hands.press(frame("b.jpg"))
    hands.press("#again")
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
    assert abs(dot(hands)[0] - left) < 3  # all of it is seen: there is no way to go
    hands.press("#zoom-in")
    hands.press("#zoom-in")
    hands.until(lambda: hands.scale() > 2 * fitting)
    left = dot(hands)[0]
    hands.drag((0.3, 0.7), (0.4, 0.7))
    hands.until(lambda: abs(dot(hands)[0] - left - 0.1 * hands.canvas()[2]) < 3)
    for _ in range(3):  # it stays in its frame
        hands.drag((0.1, 0.7), (0.9, 0.7))
    hands.until(lambda: dot(hands)[0] < hands.canvas()[0] + hands.canvas()[2])


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


def test_results_are_saved_and_made_again_by_the_command(hands: Hands, tmp_path: Path) -> None:
    way = {"behavior": "allow", "downloadPath": str(tmp_path)}
    hands.driver.execute_cdp_cmd("Browser.setDownloadBehavior", way)
    begin(hands, **{"a.jpg": encoded(size=(300, 200)), "b.png": encoded("PNG")})
    hands.give("files", **{"broken.jpg": encoded()[:99]})
    hands.until(lambda: hands.texts("#summary") == ["2 coloured, 1 failed"])
    hands.keys(Keys.HOME, on="#vividness")
    hands.settled(lambda s: s["options"]["vividness"] == 0)
    hands.click(0.4, 0.4)
    hands.press("#gray")
    hands.settled(lambda s: s["hints"])
    assert hands.texts("#copy") == ["Copy look to the other photograph"]
    hands.press("#copy")
    hands.until(lambda: "copied to 1 photograph." in said(hands))
    assert hands.photo("b.png")["settings"]["options"]["vividness"] == 0
    hands.press("#said-act")
    hands.until(lambda: "1 photograph as before" in said(hands))
    assert hands.photo("b.png")["settings"]["options"]["vividness"] == 0.5
    for selector, name in (("#save", "a.colorized.jpg"), ("#save-settings", "a.tintype.json")):
        hands.press(selector)
        hands.until((tmp_path / name).exists)
    (tmp_path / "a.jpg").write_bytes(encoded(size=(300, 200)))
    words = ["--settings", str(tmp_path / "a.tintype.json"), "-o", str(tmp_path / "out")]
    assert main(["colorize", str(tmp_path / "a.jpg"), *words]) == 0
    result = (tmp_path / "a.colorized.jpg").read_bytes()
    assert (tmp_path / "out").read_bytes() == result
    hands.press("#save-all")
    hands.until(lambda: list(tmp_path.glob("tintype-2*.zip")))
    assert "without 1: broken.jpg is cut short" in said(hands)
    with zipfile.ZipFile(next(tmp_path.glob("tintype-2*.zip"))) as whole:
        assert sorted(whole.namelist()) == [
            *("a.colorized.jpg", "a.tintype.json", "b.colorized.png", "b.tintype.json"),
            "failed.txt",
        ]
        assert whole.read("a.colorized.jpg") == result
        assert all(entry.date_time[0] > 2000 for entry in whole.infolist())


def test_a_reload_loses_nothing(hands: Hands) -> None:
    begin(hands, **{"a.jpg": encoded(size=(300, 200)), "b.jpg": encoded()})
    select(hands, "b.jpg")
    hands.click(0.4, 0.4)
    hands.press("#gray")
    settings = hands.settled(lambda s: s["hints"])
    hands.press("[value=side] + span")
    hands.press("#zoom-in")
    hands.press("#others")
    painted(hands)
    scale = hands.scale()
    hands.driver.refresh()
    hands.ready(2)
    hands.settled(lambda s: s == settings)
    painted(hands)
    assert hands.current()["name"] == "b.jpg"
    assert hands.find("[value=side]").is_selected()
    assert hands.scale() == scale
    assert len(hands.driver.find_elements(By.CSS_SELECTOR, ".dot")) == 1
    thumbnail = hands.find(f"{frame('b.jpg')} img").get_attribute("src")
    hands.press("#undo")
    hands.settled(lambda s: not s["hints"])
    image = f"{frame('b.jpg')} img"
    hands.until(lambda: hands.find(image).get_attribute("src") != thumbnail)


def test_a_studio_that_ends_is_noticed(desktop: Any, tmp_path: Path) -> None:
    with served("--port", "0", temporary=tmp_path) as (process, address):
        desktop.get(address)
        hands = Hands(desktop)
        begin(hands)
        process.terminate()
        hands.until(lambda: said(hands) == "The studio has ended; start it again.")
        hands.press("#save")
        assert said(hands) in ("Making the file …", "The studio has ended; start it again.")
    desktop.get("about:blank")
    desktop.get_log("browser")  # refused connections


def test_fingers_scroll_pan_pinch_slide_and_move_dots(tmp_path: Path, address: str) -> None:
    with browser(tmp_path, (360, 740), touch=True) as driver:
        points = {"enabled": True, "maxTouchPoints": 2}
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", points)
        hands = emptied(driver, address)
        begin(hands)
        top = "return scrollY"
        hands.touch([(0.3, 0.9)], [(0.3, 0.7)], [(0.3, 0.4)], [(0.3, 0.1)])
        hands.until(lambda: hands.js(top) > 20)  # the photograph holds no finger
        # Scrolling goes on by itself for a while.
        hands.until(lambda: hands.js("const y = scrollY; scrollTo(0, 0); return y") == 0)
        fitting = hands.scale()
        hands.touch([(0.4, 0.5), (0.6, 0.5)], [(0.3, 0.5), (0.7, 0.5)], [(0.2, 0.5), (0.8, 0.5)])
        hands.until(lambda: hands.scale() > 2 * fitting)
        hands.touch([(0.3, 0.3)])
        hands.until(lambda: hands.find("#gray").is_displayed())
        palette = "return document.getElementById('palette').offsetHeight"
        assert hands.js(palette) < 150
        scrolled = hands.js(top)
        hands.press("#gray")
        assert hands.js(top) == scrolled
        hint = hands.settled(lambda s: s["hints"])["hints"][0]
        x, y = dot(hands)
        hands.touch([(0.2, 0.6)], [(0.25, 0.65)], [(0.3, 0.7)])
        hands.until(lambda: dot(hands)[0] > x + 20 and dot(hands)[1] > y + 10)
        hands.touch([(0.5, 0.8)], [(0.6, 0.8)], [(0.7, 0.8)])
        hands.until(lambda: 65 < float(hands.find("#split").get_attribute("value")) < 75)
        left, top, width, height = hands.canvas()
        x, y = (
            (a - b) / c for a, b, c in zip(dot(hands), (left, top), (width, height), strict=True)
        )
        hands.touch([(x, y)], [(x + 0.1, y)], [(x + 0.2, y)])
        hands.settled(lambda s: s["hints"][0]["x"] > hint["x"])


def test_nothing_lies_beside_the_window_and_everything_has_a_name(hands: Hands) -> None:
    begin(hands)
    for width in (360, 768, 1440):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        hands.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert hands.js("return document.documentElement.scrollWidth") <= width
        assert hands.find("#canvas").is_displayed()
    hands.keys("?", on="#canvas")
    assert hands.js("return document.activeElement.id") == "keys-title"
    hands.keys(Keys.ESCAPE)
    nameless = hands.js(
        "return [...document.querySelectorAll('button, a, input:not([hidden]), select, canvas')]"
        ".filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.title ||"
        " e.labels?.length || e.closest('#gallery button') || e.closest('[hidden]')))"
        ".map((e) => e.outerHTML)"
    )
    assert nameless == []
