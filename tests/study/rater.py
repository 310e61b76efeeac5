"""A study served by a process of its own, and raters that speak HTTP to it."""

from __future__ import annotations

import html
import http.client
import json
import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import serving

from tintype.study.manifest import Study

_JSON = {"Content-Type": "application/json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def served(study: Study, *words: str, port: int = 0) -> Any:
    """The study's server in a process of its own, and its address."""
    serve = ("study", "serve", study.folder, "--rate-limit", 0, "--port", port)
    return serving.served(*serve, *words)


class RemoteRater:
    """One rater: a connection, a cookie, and what the server acknowledged.

    Attributes:
        acknowledged: position -> choice of every answer after which the next pair was given out.
    """

    def __init__(self, address: str) -> None:
        self.cookie = ""
        self.acknowledged: dict[int, str] = {}
        self.move(address)

    def move(self, address: str) -> None:
        """Go on at another server of the same study."""
        self._connection = http.client.HTTPConnection(str(urlsplit(address).netloc), timeout=30)

    def begin(self) -> dict[str, Any]:
        response = self._ask("POST", "/consent", urlencode({"agree": "yes"}), _FORM)
        self.cookie = str(response.getheader("Set-Cookie")).partition(";")[0]
        return self.state()

    def state(self) -> dict[str, Any]:
        page = self._ask("GET", "/trial").body.decode()
        found = re.search(r'data-state="([^"]*)"', page)
        return json.loads(html.unescape(found[1])) if found else {"done": True}

    def answer(self, state: dict[str, Any], choice: str) -> dict[str, Any]:
        content = {"form_key": state["form_key"], "position": state["position"], "choice": choice}
        measurements = {"reaction_ms": 700, "exposed_ms": 300, "layout": "row"}
        response = self._ask("POST", "/answer", json.dumps(content | measurements), _JSON)
        assert response.status == 200, response.body
        self.acknowledged[state["position"]] = choice
        return json.loads(response.body)["next"]

    def picture(self, state: dict[str, Any], side: str) -> bytes:
        response = self._ask("GET", f"/{state[side]}")
        assert response.status == 200
        return response.body

    def close(self) -> None:
        self._connection.close()

    def _ask(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        headers = dict(headers or {})
        if self.cookie:
            headers["Cookie"] = self.cookie
        self._connection.request(method, path, body, headers)
        response: Any = self._connection.getresponse()
        response.body = response.read()
        return response
