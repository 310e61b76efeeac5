"""What tests of the page have in common."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from selenium.webdriver.common.by import By
from studio.conftest import encoded
from studio.hands import Hands


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


def begin(hands: Hands, **photos: bytes) -> None:
    hands.give("drop", **(photos or {"a.jpg": encoded(size=(300, 200))}))
    hands.ready(len(photos) or 1)


def select(hands: Hands, name: str) -> None:
    """Put a photograph of the strip on the desk."""
    hands.press(frame(name))
    hands.until(lambda: hands.current()["name"] == name)
    hands.settled()


def said(hands: Hands) -> str:
    """What the page says last."""
    return hands.texts("#said")[0]


def frame(name: str) -> str:
    """The frame of a photograph in the filmstrip."""
    return f'#film .frame[title^="{name}"]'


def dot(hands: Hands, index: int = 0) -> list[float]:
    """The middle of a dot on the screen."""
    return hands.js(
        "const b = document.querySelectorAll('.dot')[arguments[0]].getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]",
        index,
    )


def painted(hands: Hands) -> None:
    """Wait for one's own colouring and eight others."""
    hands.until(lambda: len(hands.driver.find_elements(By.CSS_SELECTOR, "[data-painted]")) == 9)
