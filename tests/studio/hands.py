"""A person before the page of the studio, with a mouse, a keyboard or fingers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

#: Makes files of base64 and gives them to the page in one of the ways there are.
_GIVE = """
const [how, files] = arguments;
const transfer = new DataTransfer();
for (const [name, text] of files) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  transfer.items.add(new File([bytes], name));
}
if (how === "drop") {
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.getElementById("desk").dispatchEvent(
      new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }
} else if (how === "paste") {
  document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}));
} else {
  const input = document.getElementById(how);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change"));
}
"""


class Hands:
    """What a person does and sees."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def js(self, script: str, *words: Any) -> Any:
        return self.driver.execute_script(script, *words)

    def until(self, condition: Callable[[], Any]) -> Any:
        waiting = WebDriverWait(self.driver, 60, 0.03, (StaleElementReferenceException,))
        return waiting.until(lambda _: condition())

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return self.js(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)",
            selector,
        )

    def give(self, how: str, **files: bytes) -> None:
        """Drop, paste or choose (``files``, ``folder``) photographs."""
        named = [[name, base64.b64encode(data).decode()] for name, data in files.items()]
        self.js(_GIVE, how, named)

    def ready(self, count: int) -> None:
        """Wait for so many photographs in color, one of them on the desk."""
        states = "return document.querySelectorAll('#film li[data-state=ready]').length"
        self.until(lambda: self.js(states) == count and self.shown())

    def session(self) -> Any:
        return self.driver.execute_async_script(
            "fetch('session').then((r) => r.json()).then(arguments[0])"
        )

    def photo(self, name: str) -> Any:
        return next(one for one in self.session()["photos"] if one["name"] == name)

    def current(self) -> Any:
        id = self.js("return location.hash.slice(1)")
        return next(one for one in self.session()["photos"] if one["id"] == id)

    def shown(self) -> Any:
        """The settings of the picture on the desk."""
        return json.loads(
            self.js("return document.getElementById('canvas').dataset.shown || null") or "null"
        )

    def settled(self, condition: Callable[[Any], Any] = bool) -> Any:
        """Wait until the choices that hold are the picture's, and are as they should be."""

        def agreed() -> Any:
            settings = self.current()["settings"]
            return settings if self.shown() == settings and condition(settings) else None

        return self.until(agreed)

    def press(self, selector: str) -> None:
        """Click with the mouse."""
        element = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'nearest'})", element)
        element.click()

    def keys(self, *keys: str, on: str | None = None) -> None:
        """Press keys, on an element that has the focus then."""
        if on is not None:
            self.js("arguments[0].focus({focusVisible: true})", self.find(on))
        ActionChains(self.driver).send_keys(*keys).perform()

    def chord(self, *keys: str) -> None:
        """Press a key while Control is held."""
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(*keys).key_up(
            Keys.CONTROL
        ).perform()

    def click(self, x: float, y: float) -> None:
        """Click the canvas at shares of its width and height."""
        self._on_canvas(x, y).click().perform()

    def click_slider(self, selector: str, share: float) -> None:
        """Click a slider at a share of its width."""
        slider = self.find(selector)
        right = round((share - 0.5) * slider.size["width"])
        ActionChains(self.driver).move_to_element_with_offset(slider, right, 0).click().perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag over the canvas."""
        box = self.canvas()
        right, down = ((b - a) * side for a, b, side in zip(start, end, box[2:], strict=True))
        chain = self._on_canvas(*start).click_and_hold()
        chain.move_by_offset(right / 2, down / 2).move_by_offset(right / 2, down / 2)
        chain.release().perform()

    def drag_dot(self, index: int, right: int, down: int) -> None:
        dot = self.driver.find_elements(By.CSS_SELECTOR, ".dot")[index]
        chain = ActionChains(self.driver, duration=50).move_to_element(dot).click_and_hold()
        chain.move_by_offset(right // 2, down // 2).move_by_offset(right // 2, down // 2)
        chain.release().perform()

    def wheel(self, x: float, y: float, amount: int) -> None:
        left, top, width, height = self.canvas()
        place = {"x": left + x * width, "y": top + y * height, "deltaX": 0, "deltaY": amount}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseWheel", **place})

    def touch(self, *moments: Sequence[tuple[float, float]]) -> None:
        """Fingers at shares of the canvas, from moment to moment, and off it again."""
        left, top, width, height = self.canvas()
        for k, moment in enumerate(moments):
            points = [
                {"x": left + x * width, "y": top + y * height, "id": n}
                for n, (x, y) in enumerate(moment)
            ]
            kind = "touchMove" if k else "touchStart"
            event = {"type": kind, "touchPoints": points}
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)
        end = {"type": "touchEnd", "touchPoints": []}
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", end)

    def scale(self) -> int:
        """The zoom in percent, once it is painted."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        )
        return int(self.texts("#scale")[0].split()[0])

    def canvas(self) -> list[float]:
        """Left, top, width and height of the canvas."""
        return self.js(
            "const b = document.getElementById('canvas').getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height]"
        )

    def _on_canvas(self, x: float, y: float) -> ActionChains:
        left, top, width, height = self.canvas()
        chain = ActionChains(self.driver, duration=50)
        chain.w3c_actions.pointer_action.move_to_location(
            round(left + x * width), round(top + y * height)
        )
        return chain
