"""Whole sessions in headless Chromium: by keyboard and by touch, on a phone and on a desktop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="drives a browser")

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from study.browser import DESKTOP, MARKS, PHONE, browser, tap
from study.material import small_study
from study.rater import served

from tintype.study.manifest import Study
from tintype.study.records import Rater
from tintype.study.storage import AnswerStore

pytestmark = MARKS


#: Two pairs each for practice, for the measure and for the catch: each way from one to the next.
PAIRS = 6


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path, photos=6, practice_trials=2, trials=2, catch_trials=2)


@pytest.fixture
def address(study: Study) -> Iterator[str]:
    with served(study) as (_, address):
        yield address


@pytest.fixture
def hands(address: str, tmp_path: Path) -> Iterator[Hands]:
    """A rater at the keyboard, before the first pair."""
    with browser(tmp_path / "profile") as driver:
        hands = Hands(driver, touch=False)
        hands.begin(address)
        yield hands


class Hands:
    """A rater before a browser."""

    def __init__(self, driver: Any, touch: bool) -> None:
        self.driver, self.touch = driver, touch
        self.count = 0

    def until(self, condition: Callable[[Any], Any]) -> Any:
        # A page may go on to the next between finding an element and reading it.
        passing = (NoSuchElementException, StaleElementReferenceException)
        return WebDriverWait(self.driver, 60, 0.02, passing).until(condition)

    def seen(self, name: str) -> bool:
        return self.driver.execute_script(
            "const e = document.getElementById(arguments[0]);"
            "return Boolean(e) && !e.hidden && e.getClientRects().length > 0",
            name,
        )

    def press(self, selector: str) -> None:
        """Press a button or a link."""
        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        if not self.touch:
            self.driver.execute_script("arguments[0].focus()", element)
            space = element.get_attribute("type") == "checkbox"
            self.key(Keys.SPACE if space else Keys.ENTER)
            return
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        tap(self.driver, *self.centre(element))

    def centre(self, element: Any) -> tuple[float, float]:
        box = self.driver.execute_script(
            "const r = arguments[0].getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]",
            element,
        )
        return box[0], box[1]

    def key(self, key: str) -> None:
        ActionChains(self.driver).send_keys(key).perform()

    def asked(self) -> bool:
        """Whether an answer is taken."""
        return self.driver.execute_script(
            "const e = document.getElementById('left'); return Boolean(e) && !e.disabled"
        )

    def shown(self) -> bool:
        """Whether the pictures are in view."""
        return self.driver.execute_script(
            "return document.getElementById('pair').classList.contains('shown')"
        )

    def choose(self, side: str) -> None:
        """Choose a side, each time by another key."""
        if self.touch:
            element = self.driver.find_element(By.ID, side)
            tap(self.driver, *self.centre(element))
        else:
            keys = {"left": ("f", Keys.ARROW_LEFT), "right": ("j", Keys.ARROW_RIGHT)}[side]
            self.key(keys[self.count % 2])

    def begin(self, address: str) -> None:
        self.driver.get(address)
        self.press("input[name=agree]")
        self.press("button.go")
        self.until(lambda d: "/instructions" in d.current_url)
        self.press("a.go")
        self.until(lambda _: self.seen("start"))

    def counted(self) -> str:
        """Which pair it is, in the page's words."""
        return self.driver.execute_script(
            "return document.getElementById('count')?.textContent ?? ''"
        )

    def present_next(self) -> bool:
        """Start, or go to the next pair; whether there is one."""
        self.until(
            lambda d: (
                self.seen("start")
                or self.seen("next")
                or self.asked()
                or "/thanks" in d.current_url
            )
        )
        if "/thanks" in self.driver.current_url:
            return False
        for button in ("start", "next"):
            if self.seen(button):
                self.press(f"#{button}")
                return self.go_on_after(button)
        return True

    def go_on_after(self, button: str) -> bool:
        self.until(lambda _: not self.seen(button))
        return self.present_next()

    def finish(self) -> None:
        while self.present_next():
            self.until(lambda _: self.asked())
            before = self.counted()
            self.choose("left" if self.count % 2 else "right")
            self.count += 1
            self.until(
                lambda d, before=before: (
                    "/thanks" in d.current_url
                    or self.seen("next")
                    or self.seen("start")
                    or self.counted() != before
                )
            )


def the_rater(study: Study) -> Rater:
    store = AnswerStore(study)
    (rater,) = store.raters()
    store.close()
    return rater


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("touch", [False, True], ids=["keyboard", "touch"])
def test_a_whole_session(
    size: tuple[int, int], touch: bool, study: Study, address: str, tmp_path: Path
) -> None:
    with browser(tmp_path / "profile", size, touch=touch) as driver:
        hands = Hands(driver, touch)
        hands.begin(address)
        assert fits(driver)
        hands.finish()
        code = driver.find_element(By.CSS_SELECTOR, ".code output").text
        complaints = [e for e in driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    rater = the_rater(study)
    assert code == rater.code
    assert complaints == []
    assert rater.finished
    assert [answer.choice for answer in rater.answers] == ["right", "left"] * (PAIRS // 2)
    for answer in rater.answers:
        assert answer.presentations == 1
        assert answer.measurements.layout == ("column" if size == PHONE else "row")
        assert answer.measurements.reaction_ms is not None
        assert 0 <= answer.measurements.reaction_ms <= answer.server_ms


@pytest.mark.parametrize(("size", "touch"), [(PHONE, True), (DESKTOP, False)])
def test_a_whole_session_of_single_pictures(
    size: tuple[int, int], touch: bool, tmp_path: Path
) -> None:
    study = small_study(tmp_path, kind="single", photos=7, trials=3, systems=("one", "two"))
    with (
        served(study) as (_, address),
        browser(tmp_path / "profile", size, touch=touch) as driver,
    ):
        hands = Hands(driver, touch)
        hands.begin(address)
        assert fits(driver)
        hands.press("#start")
        hands.until(lambda _: hands.asked())
        assert fits(driver)
        hands.choose("left")
        hands.until(lambda _: hands.seen("next"))
        said = driver.find_element(By.ID, "status").text
        hands.finish()
        complaints = [e for e in driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    rater = the_rater(study)
    assert complaints == []
    assert rater.finished
    first = rater.answers[0]
    assert said.startswith("Not right. A machine" if first.fooled else "Right. It is real")
    assert {answer.measurements.layout for answer in rater.answers} == {"row"}


def fits(driver: Any) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_pictures_disappear_after_the_exposure(study: Study, hands: Hands) -> None:
    hands.press("#start")
    hands.until(lambda _: hands.asked())
    hands.until(lambda _: not hands.shown())
    hidden = hands.driver.execute_script(
        "return getComputedStyle(document.getElementById('left-picture')).visibility"
    )
    assert hidden == "hidden"
    assert "Which one was it?" in hands.driver.find_element(By.ID, "status").text
    hands.choose("left")
    hands.until(lambda _: hands.seen("next"))
    assert "true colours" in hands.driver.find_element(By.ID, "status").text
    (answer,) = the_rater(study).answers
    assert answer.measurements.exposed_ms is not None
    assert answer.measurements.exposed_ms >= 300 - 10
    assert answer.reaction_ms > answer.measurements.exposed_ms


def test_keys_before_the_pictures_and_after_the_answer_do_nothing(
    study: Study, hands: Hands
) -> None:
    hands.key("f")
    hands.press("#start")
    hands.key("f")
    hands.until(lambda _: hands.asked())
    hands.key("j")
    hands.until(lambda _: hands.seen("next"))
    hands.key("f")
    hands.key("f")
    time.sleep(0.3)
    assert [answer.choice for answer in the_rater(study).answers] == ["right"]


def test_a_reload_and_the_back_button_resume(study: Study, address: str, hands: Hands) -> None:
    hands.press("#start")
    hands.until(lambda _: hands.asked())
    hands.choose("left")
    hands.until(lambda _: hands.seen("next"))
    hands.driver.refresh()
    hands.until(lambda _: hands.seen("start"))
    assert hands.driver.find_element(By.ID, "ready-title").text == "Welcome back"
    assert hands.driver.find_element(By.ID, "count").text == "Practice pair 2 of 2"
    hands.driver.back()
    hands.driver.get(address)
    assert hands.driver.current_url.endswith("/trial")
    hands.finish()
    rater = the_rater(study)
    assert [answer.position for answer in rater.answers] == list(range(PAIRS))
    assert rater.answers[1].presentations >= 2


def test_a_page_that_was_left_behind_catches_up(study: Study, hands: Hands) -> None:
    (cookie,) = hands.driver.get_cookies()
    store = AnswerStore(study)
    session = store.find_session(cookie["value"])
    assert session is not None
    store.record_answer(session, 0, "left")  # as another tab would
    store.close()
    hands.press("#start")
    hands.until(
        lambda d: (
            d.execute_script("return document.getElementById('count')?.textContent")
            == "Practice pair 2 of 2"
            and hands.seen("start")
        )
    )
    assert hands.driver.find_element(By.ID, "ready-title").text == "Welcome back"


def test_a_session_without_script(study: Study, address: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", PHONE, scripts=False) as driver:
        driver.get(address)
        driver.find_element(By.NAME, "agree").click()
        driver.find_element(By.CSS_SELECTOR, "button.go").click()
        wait = WebDriverWait(driver, 60)
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, "a.go"))
        driver.find_element(By.CSS_SELECTOR, "a.go").click()
        for position in range(PAIRS):
            place = f".plain input[name=position][value='{position}']"
            wait.until(lambda d, place=place: d.find_elements(By.CSS_SELECTOR, place))
            assert len(driver.find_elements(By.CSS_SELECTOR, "noscript img")) == 2
            driver.find_element(By.CSS_SELECTOR, "noscript button[value=right]").click()
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".code"))
        assert driver.current_url.endswith("/thanks")
    rater = the_rater(study)
    assert rater.finished
    assert {answer.measurements.exposed_ms for answer in rater.answers} == {None}


def test_an_answer_waits_for_a_server_that_went_away(study: Study, tmp_path: Path) -> None:
    with served(study) as (process, address), browser(tmp_path / "profile") as driver:
        hands = Hands(driver, touch=False)
        hands.begin(address)
        hands.press("#start")
        hands.until(lambda _: hands.asked())
        process.kill()
        process.wait()
        hands.choose("left")
        hands.until(lambda d: "not saved yet" in d.find_element(By.ID, "status").text)
        port = int(address.rstrip("/").rpartition(":")[2])
        with served(study, port=port):
            hands.until(lambda _: hands.seen("next"))
    assert len(the_rater(study).answers) == 1
