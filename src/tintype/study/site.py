"""What all pages of a study share: its answers, its templates and its cookie."""

from __future__ import annotations

import hmac
import json
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.templating import Jinja2Templates

from tintype.study.manifest import Study
from tintype.study.records import Session
from tintype.study.storage import AnswerStore

_COOKIE_SECONDS = 30 * 24 * 3600


class Site:
    """A study as it is served.

    Attributes:
        study: the study.
        store: its answers.
        cookie: the name of the cookie that holds a rater's secret.
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
            "pairs": study.trials_per_rater + study.settings.catch_trials,
            "to_json": json.dumps,
            "up": "",
        }
        self._templates = Jinja2Templates(env=environment)

    def render(
        self, request: Request, template: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Return a page."""
        return self._templates.TemplateResponse(request, template, values, status)

    def session(self, request: Request) -> Session | None:
        """Return the rater's session; None without one."""
        secret = request.cookies.get(self.cookie)
        return self.store.find_session(secret) if secret else None

    def remember(self, request: Request, response: Response, secret: str) -> None:
        """Let a rater's browser keep the secret of its session."""
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
        """Let a rater's browser forget its session."""
        response.delete_cookie(self.cookie, path=_cookie_path(request))


def equal_secrets(given: str, secret: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(given.encode(), secret.encode())


def redirect(page: str) -> RedirectResponse:
    """Redirect by a relative URL, since a proxy may serve the study under any path."""
    return RedirectResponse(page, 303)


def _cookie_path(request: Request) -> str:
    """Return the path that cookies are limited to."""
    return request.scope.get("root_path") or "/"
