"""The pages: a session from consent to code, and nothing given away on the road."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from study.material import small_study

from tintype.study.app import create_app
from tintype.study.manifest import FALSE_COLORS, Study, read_owner_token
from tintype.study.records import Session
from tintype.study.site import RateLimits
from tintype.study.storage import AnswerStore
from tintype.web.limiter import RateLimiter

HTTPS = "https://study.example"


class Visitor(TestClient):
    """A browser: cookies kept, redirects followed, forms sent from the study's own pages."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, base_url=HTTPS, **options)
        self.headers["sec-fetch-site"] = "same-origin"

    def begin(self) -> dict[str, Any]:
        self.post("/consent", data={"agree": "yes"})
        return self.state()

    def state(self) -> dict[str, Any]:
        import html
        import json

        found = re.search(r'data-state="([^"]*)"', self.get("/trial").text)
        assert found is not None
        return json.loads(html.unescape(found[1]))

    def answer(self, state: dict[str, Any], choice: str = "left", **changes: Any) -> Any:
        answer = {"form_key": state["form_key"], "position": state["position"], "choice": choice}
        measurements = {
            "reaction_ms": 800,
            "exposed_ms": 300,
            "interrupted": False,
            "layout": "row",
        }
        return self.post("/answer", json=answer | measurements | changes)

    def finish(self) -> None:
        state = self.state()
        while not state["done"]:
            state = self.answer(state).json()["next"]


@pytest.fixture
def app(study: Study, store: AnswerStore) -> Any:
    return create_app(study, store)


@pytest.fixture
def visitor(app: Any) -> Visitor:
    return Visitor(app)


@pytest.fixture
def visitors(app: Any) -> Iterator[Visitor]:
    return iter(lambda: Visitor(app), None)


def session_of(store: AnswerStore, visitor: Visitor) -> Session:
    (secret,) = visitor.cookies.values()
    session = store.find_session(secret)
    assert session is not None
    return session


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


def test_pages_say_nothing_of_what_is_true(tmp_path: Path) -> None:
    study = small_study(tmp_path, systems=("machine-a", "machine-b"))
    store = AnswerStore(study)
    visitor = Visitor(create_app(study, store))
    secrets = [*study.systems, FALSE_COLORS, "catch", "true_side", "seed"]
    secrets += [photo.name for photo in study.photos]
    secrets += [name.removesuffix(".png") for name in study.checksums]
    state = visitor.begin()
    while not state["done"]:
        response = visitor.answer(state)
        said = response.text + str(response.headers)
        if not state["practice"]:
            said += visitor.get("/trial").text
            assert [word for word in secrets if word in said] == []
        state = response.json()["next"]
    store.close()


def test_pages_of_all_pairs_that_count_are_alike(visitor: Visitor) -> None:
    """Catch trials too: but for numbers and the names of pictures there is no difference."""
    state, pages = visitor.begin(), set()
    while not state["done"]:
        if not state["practice"]:
            page = visitor.get("/trial").text.replace(state["form_key"], "KEY")
            page = re.sub(r"<p>Practice: .*?</p>", "", page)  # of the pair before the first
            page = re.sub(r"picture/[0-9a-f]{32}", "picture/TOKEN", page)
            pages.add(re.sub(r"\d+", "N", page).replace("\n", ""))
        state = visitor.answer(state).json()["next"]
    assert len(pages) == 1


def test_answers_to_both_pictures_of_a_pair_are_alike(
    visitor: Visitor, study: Study, store: AnswerStore
) -> None:
    state = visitor.begin()
    headers, bodies = set(), []
    while not state["done"]:
        pair = store.next_pair(session_of(store, visitor))
        assert pair is not None
        left, right = (visitor.get(f"/{state[side]}") for side in ("left", "right"))
        true, coloured = (
            path.read_bytes() for path in study.pair_files(pair.trial.photo, pair.trial.system)
        )
        if pair.trial.true_side == "right":
            true, coloured = coloured, true
        assert (left.content, right.content) == (true, coloured)
        headers |= {tuple(sorted(response.headers.items())) for response in (left, right)}
        bodies += [left.content, right.content]
        state = visitor.answer(state).json()["next"]
    assert len(headers) == 1
    (only,) = headers
    names = {name for name, _ in only}
    assert not names & {"etag", "last-modified", "content-disposition", "server", "date"}
    assert dict(only)["cache-control"] == "no-store"
    assert len({len(body) for body in bodies}) == 1


def test_both_pictures_are_read_whichever_is_asked_for(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that many raters were shown would come from memory, and the other from disk."""
    state = visitor.begin()
    read: list[str] = []
    plain = Path.read_bytes

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    visitor.get(f"/{state['left']}")
    visitor.get(f"/{state['right']}")
    assert len(read) == 4
    assert read[:2] == read[2:]


def test_names_of_pictures_are_drawn_anew_for_every_rater_and_pair(visitors: Any) -> None:
    names, firsts = [], []
    for _ in range(12):
        visitor = next(visitors)
        state = visitor.begin()
        while not state["done"]:
            names += [state["left"], state["right"]]
            firsts.append(state["left"] < state["right"])
            state = visitor.answer(state).json()["next"]
    assert len(set(names)) == len(names) == 240


def test_names_and_places_do_not_tell_the_true_side(tmp_path: Path) -> None:
    """Whoever guesses by any of these is right as often as a coin, to within chance of 1e-6."""
    study = small_study(tmp_path)
    store = AnswerStore(study, source="simulated")
    right: dict[str, list[bool]] = {"order of names": [], "last digit": [], "position": []}
    for _ in range(120):
        _, session = store.enroll()
        pair = store.present_next(session)
        while pair is not None:
            left_true = pair.trial.true_side == "left"
            right["order of names"].append((pair.left_token < pair.right_token) == left_true)
            right["last digit"].append((int(pair.left_token[-1], 16) % 2 == 0) == left_true)
            right["position"].append((pair.position % 2 == 0) == left_true)
            pair = store.record_answer(session, pair.position, "left")
    store.close()
    for guess, hits in right.items():
        deviation = abs(sum(hits) - len(hits) / 2) / (len(hits) ** 0.5 / 2)
        assert deviation < 4.9, guess


def test_raters_see_the_pictures_of_their_own_present_pair_alone(visitors: Any) -> None:
    one, two, stranger = next(visitors), next(visitors), next(visitors)
    state, other = one.begin(), two.begin()
    assert one.get(f"/{state['left']}").status_code == 200
    assert one.get(f"/{other['left']}").status_code == 404
    assert stranger.get(f"/{state['left']}").status_code == 404
    one.answer(state)
    assert one.get(f"/{state['left']}").status_code == 404
    assert one.get("/picture/nonsense").status_code == 404


def test_raters_cannot_answer_for_others(visitors: Any, store: AnswerStore) -> None:
    one, two = next(visitors), next(visitors)
    state, other = one.begin(), two.begin()
    assert one.answer(other).status_code == 403
    assert one.answer(state, form_key="0" * 32).status_code == 403
    assert next(visitors).answer(state).status_code == 403
    assert all(rater.answers == () for rater in store.raters())


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "both"},
        {"position": -1},
        {"position": "x"},
        {"reaction_ms": -5},
        {"reaction_ms": 10**12},
        {"layout": "spiral"},
        {"more": 1},
        {"form_key": "k" * 100},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    change: dict[str, Any], visitor: Visitor, store: AnswerStore
) -> None:
    state = visitor.begin()
    response = visitor.answer(state, **change)
    assert response.status_code == 400
    assert "error" in response.json()
    assert store.raters()[0].answers == ()


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{", b"[]", b"x" * 8000, b"[" * 8000])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_any_bytes_in_the_place_of_an_answer_are_refused(
    body: bytes, kind: str, visitor: Visitor
) -> None:
    visitor.begin()
    response = visitor.post("/answer", content=body, headers={"content-type": kind})
    assert response.status_code == 400


def test_bodies_have_a_limit(visitor: Visitor) -> None:
    visitor.begin()
    assert visitor.post("/answer", content=b"x" * 9000).status_code == 413
    pieces = (b"x" * 1000 for _ in range(20))
    assert visitor.post("/answer", content=pieces).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://["},
    ],
)
def test_forms_from_other_sites_are_refused(headers: dict[str, str], visitor: Visitor) -> None:
    del visitor.headers["sec-fetch-site"]
    for page in ("/consent", "/answer", "/withdraw", "/leave", "/report"):
        assert visitor.post(page, headers=headers).status_code == 403
    own = visitor.post("/consent", data={"agree": "yes"}, headers={"origin": HTTPS})
    assert own.url.path == "/instructions"


@pytest.mark.parametrize(
    "page", ["/", "/report", "/static/study.js", "/static/study.css", "/nowhere", "/a/b/c"]
)
def test_every_answer_has_strict_headers(page: str, visitor: Visitor) -> None:
    headers = visitor.get(page).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_an_error_nobody_foresaw_has_them_too(
    app: Any, store: AnswerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "enroll", lambda: 1 / 0)
    response = Visitor(app, raise_server_exceptions=False).post("/consent", data={"agree": "yes"})
    assert response.status_code == 500
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_what_is_asked_for_in_a_wrong_way_gets_a_page(visitor: Visitor) -> None:
    response = visitor.get("/leave")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert "cannot be opened in this way" in response.text
    assert visitor.get("/consent").url.path == "/"
    assert visitor.head("/").status_code == 200


def test_pages_reach_nothing_but_the_study(visitor: Visitor) -> None:
    visitor.begin()
    for page in ("/instructions", "/trial", "/withdraw", "/report", "/nowhere"):
        text = visitor.get(page).text
        assert "http://" not in text
        assert "https://" not in text
        assert "style=" not in text
        assert not re.search(r"<script(?![^>]* src=)", text)
        assert not re.search(r"\son\w+=", text)


def test_links_of_a_page_that_is_not_there_lead_home(visitor: Visitor) -> None:
    page = visitor.get("/a/b/c")
    assert page.status_code == 404
    assert 'href="../../static/study.css"' in page.text
    assert visitor.get("/docs").status_code == visitor.get("/openapi.json").status_code == 404


def test_the_cookie_is_for_the_server_alone(visitor: Visitor, study: Study) -> None:
    response = visitor.post("/consent", data={"agree": "yes"}, follow_redirects=False)
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"study-{study.digest[:12]}=")
    assert {"httponly", "secure", "samesite=lax"} <= set(cookie.lower().split("; "))
    plain = TestClient(visitor.app, base_url="http://10.0.0.5:8000")
    response = plain.post("/consent", data={"agree": "yes"}, follow_redirects=False)
    assert "secure" not in response.headers["set-cookie"].lower()


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


def test_the_report_needs_the_owners_token(visitor: Visitor, study: Study) -> None:
    visitor.begin()
    visitor.finish()
    token = read_owner_token(study)
    assert "Owner’s token" in visitor.get("/report").text
    for wrong in ("", "wrong", token[:-1], token + "é"):
        response = visitor.post("/report", data={"token": wrong})
        assert response.status_code == 403
        assert study.digest not in response.text
    page = visitor.post("/report", data={"token": token})
    assert study.digest in page.text
    assert "sha256-" in page.headers["content-security-policy"]
    record = visitor.post("/report", data={"token": token, "format": "json"}).json()
    assert (record["simulated"], record["report"]["enrolled"]) == (False, 1)
    table = visitor.post("/report", data={"token": token, "format": "csv"})
    assert table.text.count("\n") == 11
    assert table.headers["content-type"].startswith("text/csv")


def test_the_token_cannot_be_guessed_at_leisure(visitor: Visitor) -> None:
    statuses = [visitor.post("/report", data={"token": "x"}).status_code for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2


def test_an_address_has_a_limit_of_requests_and_of_raters(study: Study, store: AnswerStore) -> None:
    limited = Visitor(create_app(study, store, RateLimits(0.001, 5, 0.001, 2)))
    assert [limited.get("/health").status_code for _ in range(6)] == [200] * 5 + [429]
    many = create_app(study, store, RateLimits(1000, 1000, 0.001, 2))
    statuses = [Visitor(many).post("/consent", data={"agree": "yes"}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    unlimited = Visitor(create_app(study, store, RateLimits(0)))
    assert {unlimited.get("/health").status_code for _ in range(50)} == {200}


def test_buckets_fill_again_and_forget_those_who_came_first() -> None:
    now = [0.0]
    buckets = RateLimiter(2, 3, clock=lambda: now[0])
    assert [buckets.allow("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.allow("b")
    now[0] += 1
    assert [buckets.allow("a") for _ in range(3)] == [True, True, False]
    for k in range(20_000):
        buckets.allow(str(k))
    assert len(buckets._tokens) <= 10_000


def test_requests_at_the_same_time_share_a_bucket() -> None:
    class Slow(OrderedDict):
        def pop(self, key: Any, default: Any = None) -> Any:
            found = super().pop(key, default)
            time.sleep(0.01)
            return found

    buckets = RateLimiter(0.001, 1, _tokens=Slow())
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(buckets.allow, ["a"] * 8)) == 1


def test_a_database_that_fails_is_said_to_and_nothing_is_lost(
    visitor: Visitor, store: AnswerStore, study: Study
) -> None:
    state = visitor.begin()
    store.close()
    for path in study.folder.glob("answers.sqlite*"):
        path.rename(path.with_name(path.name + ".away"))
    (study.folder / "answers.sqlite").mkdir()
    patient = Visitor(visitor.app, raise_server_exceptions=False)
    patient.cookies.update(visitor.cookies)
    assert patient.answer(state).status_code == 503
    assert "Nothing is lost" in patient.get("/trial").text
    (study.folder / "answers.sqlite").rmdir()
    for path in study.folder.glob("*.away"):
        path.rename(path.with_name(path.name.removesuffix(".away")))
    assert patient.answer(state).status_code == 200
