"""What all pages of a study share: its answers, templates, cookie and rate limits."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.templating import Jinja2Templates

from tintype.study.manifest import Study
from tintype.study.records import Session
from tintype.study.storage import AnswerStore

_COOKIE_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class RateLimits:
    """Rate limits for each client address; the raters in one laboratory may share an address.

    Attributes:
        requests: requests a second; 0 switches all limits off.
        burst: requests at once.
        new_raters: new sessions a second.
        new_raters_burst: new sessions at once.
    """

    requests: float = 100.0
    burst: float = 500.0
    new_raters: float = 1.0
    new_raters_burst: float = 100.0


class Site:
    """A study as it is served.

    Attributes:
        study: the study.
        store: where its answers are kept.
        cookie: name of the cookie that holds a rater's secret.
    """

    def __init__(self, study: Study, store: AnswerStore) -> None:
        self.study = study
        self.store = store
        self.cookie = f"study-{study.digest[:12]}"  # several studies may share a host
        environment = Environment(
            loader=PackageLoader("tintype.study"), autoescape=True, undefined=StrictUndefined
        )
        environment.globals |= {
            "settings": study.settings,
            "single": study.settings.kind == "single",
            "unit": "pair" if study.settings.kind == "pair" else "picture",
            "pairs": study.trials_per_rater + study.settings.catch_trials,
            "to_json": json.dumps,
            "up": "",
        }
        self._templates = Jinja2Templates(env=environment)

    def render(
        self, request: Request, template: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Return the page that a template makes of values."""
        return self._templates.TemplateResponse(request, template, values, status)

    def session(self, request: Request) -> Session | None:
        """Return the session of the rater who sent a request; None without one."""
        secret = request.cookies.get(self.cookie)
        return self.store.find_session(secret) if secret else None

    def active_session(self, request: Request) -> Session | None:
        """Return the session of the rater who sent a request, unless the rater withdrew."""
        session = self.session(request)
        return None if session is None or session.withdrawn else session

    def remember(self, request: Request, response: Response, secret: str) -> None:
        """Set the cookie with the secret of a rater's session."""
        response.set_cookie(
            self.cookie,
            secret,
            max_age=_COOKIE_SECONDS,
            path=_cookie_path(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )

    def forget(self, request: Request, response: Response) -> None:
        """Delete the cookie of a rater's session."""
        response.delete_cookie(self.cookie, path=_cookie_path(request))


def equal_secrets(given: str, secret: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(given.encode(), secret.encode())


def redirect(page: str) -> RedirectResponse:
    """Redirect by a relative URL, since a proxy may serve the study under any path."""
    return RedirectResponse(page, 303)


def _cookie_path(request: Request) -> str:
    """Return the path that a cookie is limited to."""
    return request.scope.get("root_path") or "/"
