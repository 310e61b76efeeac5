"""A rater before the pages, without a browser."""

from __future__ import annotations

import re
from typing import Any

from starlette.testclient import TestClient

from tintype.study.records import Session
from tintype.study.storage import AnswerStore

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


def session_of(store: AnswerStore, visitor: Visitor) -> Session:
    (secret,) = visitor.cookies.values()
    session = store.find_session(secret)
    assert session is not None
    return session
