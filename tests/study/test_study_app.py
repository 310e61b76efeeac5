"""The pages: a session from consent to the code."""

from __future__ import annotations

import re
from typing import Any

from study.visitor import Visitor, session_of

from tintype.study.manifest import Study
from tintype.study.storage import AnswerStore


def test_a_session_from_consent_to_the_code(
    visitor: Visitor, store: AnswerStore, study: Study
) -> None:
    assert "agree to take part" in visitor.get("/").text
    response = visitor.post("/consent", data={"agree": "yes"})
    assert response.url.path == "/instructions"
    assert study.settings.question in response.text
    visitor.finish()
    thanks = visitor.get("/trial")
    assert thanks.url.path == "/thanks"
    (rater,) = store.raters()
    assert rater.code in thanks.text
    assert rater.finished
    assert len(rater.answers) == 10
    assert rater.answers[0].measurements.reaction_ms == 800


def test_without_consent_there_is_no_session(visitor: Visitor, store: AnswerStore) -> None:
    response = visitor.post("/consent", data={})
    assert response.status_code == 400
    assert "tick the box" in response.text
    assert store.raters() == []
    for page in ("/instructions", "/trial", "/thanks", "/withdraw"):
        assert visitor.get(page).url.path == "/"


def test_a_browser_that_keeps_no_cookie_is_told_that_it_must(app: Any, store: AnswerStore) -> None:
    visitor = Visitor(app, follow_redirects=False)
    page = visitor.post("/consent", data={"agree": "yes"}).headers["location"]
    visitor.cookies.clear()
    response = visitor.get(f"/{page}")
    assert response.status_code == 400
    assert "needs a cookie" in response.text


def test_a_reload_goes_on_where_it_was(visitor: Visitor) -> None:
    state = visitor.begin()
    state = visitor.answer(state).json()["next"]
    assert visitor.state() == state
    assert visitor.get("/").url.path == "/trial"
    assert visitor.post("/consent", data={"agree": "yes"}).url.path == "/trial"


def test_a_second_press_a_retry_and_the_back_button_change_nothing(
    visitor: Visitor, store: AnswerStore
) -> None:
    first = visitor.begin()
    second = visitor.answer(first, "left").json()["next"]
    assert visitor.answer(first, "right").json()["next"] == second
    assert store.raters()[0].answers[0].choice == "left"
    assert len(store.raters()[0].answers) == 1


def test_practice_alone_has_feedback(visitor: Visitor, store: AnswerStore) -> None:
    state = visitor.begin()
    told = []
    while not state["done"]:
        pair = store.next_pair(session_of(store, visitor))
        assert pair is not None
        reply = visitor.answer(state).json()
        told.append(reply["feedback"])
        if state["practice"]:
            assert reply["feedback"] == {
                "correct": pair.trial.true_side == "left",
                "true_side": pair.trial.true_side,
            }
        state = reply["next"]
    assert told[2:] == [None] * 8


def test_everything_works_without_script(visitor: Visitor, store: AnswerStore) -> None:
    visitor.post("/consent", data={"agree": "yes"})
    pages = []
    while True:
        page = visitor.get("/trial")
        if page.url.path == "/thanks":
            break
        form = re.search(r"<noscript>(.*)</noscript>", page.text, re.DOTALL)
        assert form is not None
        pages.append(form[1])
        assert len(re.findall(r'<img src="picture/\w+"', form[1])) == 2
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', form[1]))
        data = {**fields, "choice": "right"}
        assert visitor.post("/answer", data=data, follow_redirects=False).status_code == 303
    assert ["Practice: that was" in page for page in pages] == [False, True, True] + [False] * 7
    (rater,) = store.raters()
    assert rater.finished
    assert {answer.choice for answer in rater.answers} == {"right"}
    assert {answer.measurements.exposed_ms for answer in rater.answers} == {None}
    assert {answer.presentations for answer in rater.answers} == {1}  # none was shown again


def test_whoever_withdraws_is_left_out_and_may_not_go_on(
    visitor: Visitor, store: AnswerStore
) -> None:
    state = visitor.begin()
    assert "Stop and withdraw" in visitor.get("/withdraw").text
    cookies = dict(visitor.cookies)
    assert visitor.post("/withdraw", data={"form_key": "wrong"}).status_code == 403
    assert "withdrawn" in visitor.post("/withdraw", data={"form_key": state["form_key"]}).text
    assert store.raters()[0].withdrawn
    visitor.cookies.update(cookies)
    assert visitor.answer(state).status_code == 403
    assert visitor.get("/trial").url.path == "/"


def test_another_person_can_begin_on_the_same_device(visitor: Visitor, store: AnswerStore) -> None:
    visitor.begin()
    visitor.finish()
    assert visitor.post("/leave").url.path == "/"
    visitor.begin()
    assert [rater.finished for rater in store.raters()] == [True, False]
