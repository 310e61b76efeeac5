"""Headless Chromium, driven as a rater's hands would."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MARKS = [  # of a file whose tests drive it
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium: apt-get install chromium chromium-driver"
    ),
]

PHONE, DESKTOP = (390, 844), (1280, 800)

_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--disable-extensions"),
)


@contextlib.contextmanager
def browser(
    profile: Path, size: tuple[int, int] = DESKTOP, *, touch: bool = False, scripts: bool = True
) -> Iterator[webdriver.Chrome]:
    """A fresh browser with a window of this size; with `touch` it is a phone's."""
    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in (*_QUIET, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
        options.add_argument(argument)
    if not scripts:
        options.add_experimental_option(
            "prefs", {"profile.managed_default_content_settings.javascript": 2}
        )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        metrics = {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 2 if touch else 1,
            "mobile": touch,
        }
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        if touch:
            driver.execute_cdp_cmd(
                "Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1}
            )
        yield driver
    finally:
        driver.quit()


def tap(driver: webdriver.Chrome, x: float, y: float) -> None:
    """A finger on the screen, and off it again."""
    points = [{"x": round(x), "y": round(y)}]
    driver.execute_cdp_cmd(
        "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points}
    )
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
