"""What the pages refuse, how often they may be asked, and with what headers they answer."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient
from study.visitor import HTTPS, Visitor

from tintype.study.app import create_app
from tintype.study.manifest import Study, read_owner_token
from tintype.study.site import RateLimits
from tintype.study.storage import AnswerStore
from tintype.web.limiter import RateLimiter


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
