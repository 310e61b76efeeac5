"""The web application of a study: pages for raters and for its owner.

Raters get pages, one script, one style sheet, and the two pictures of their current trial under
random names. The true side never leaves the server but in the feedback on practice trials.
"""

from __future__ import annotations

import hmac
import json
import logging
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as StarletteHTTPException

from tintype.errors import TintypeError
from tintype.study.analysis import analyze
from tintype.study.assignment import Side, Trial
from tintype.study.forms import Form, ParsedAnswer
from tintype.study.limits import RateLimits, unavailable
from tintype.study.manifest import Study, read_owner_token
from tintype.study.presentation import answers_csv, report_csp, report_html, report_json
from tintype.study.records import Measurements, Pair, Session
from tintype.study.storage import AnswerStore
from tintype.web.limiter import RateLimiter
from tintype.web.protection import ProtectionMiddleware, client_address

_log = logging.getLogger("tintype.study")

_MAX_BODY_BYTES = 8192  # an answer has some 200
_COOKIE_SECONDS = 30 * 24 * 3600
_NO_COOKIE = (
    "This page needs a cookie, to know which pair you are at, and your browser has kept none. "
    "Allow cookies for this page, then begin again."
)
#: Messages of the framework, reworded for raters.
_FRAMEWORK_MESSAGES = {
    "Not Found": "There is no such page.",
    "Method Not Allowed": "This page cannot be asked for in this way.",
}
_STATIC = {
    "study.css": "text/css; charset=utf-8",
    "study.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def create_app(
    study: Study,
    store: AnswerStore,
    limits: RateLimits | None = None,
    *,
    own_names_only: bool = False,
) -> ProtectionMiddleware:
    """Create the ASGI application that serves a study.

    Args:
        study: the study.
        store: its answers.
        limits: rate limits for each address.
        own_names_only: as in `ProtectionMiddleware`.

    Raises:
        DataError: the study's owner token is missing.
    """
    limits = limits or RateLimits()
    pages = _Handlers(study, store, limits)
    app = FastAPI(
        title=study.settings.title,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would name the Host that was asked for, not a proxy's path
    )
    for path, methods, page in (
        ("/", ["GET", "HEAD"], pages.consent),
        ("/consent", ["GET"], pages.retry_consent),
        ("/consent", ["POST"], pages.enroll),
        ("/instructions", ["GET"], pages.instructions),
        ("/trial", ["GET"], pages.trial),
        ("/answer", ["POST"], pages.answer),
        ("/picture/{token}", ["GET"], pages.picture),
        ("/thanks", ["GET"], pages.thanks),
        ("/withdraw", ["GET"], pages.confirm_withdrawal),
        ("/withdraw", ["POST"], pages.withdraw),
        ("/leave", ["POST"], pages.leave),
        ("/report", ["GET"], pages.report_form),
        ("/report", ["POST"], pages.report),
        ("/static/{name}", ["GET"], pages.static),
        ("/health", ["GET"], pages.health),
    ):
        app.add_api_route(path, page, methods=methods, response_model=None)
    # Starlette's class, from which FastAPI's derives: the framework's own errors too.
    app.add_exception_handler(StarletteHTTPException, pages.error_page)
    for kind in (SQLAlchemyError, TintypeError, OSError):
        app.add_exception_handler(kind, pages.unavailable)
    # Wraps the application: added as a middleware it would not see unhandled errors.
    return ProtectionMiddleware(
        app,
        RateLimiter(limits.requests, limits.burst),
        max_body_bytes=_MAX_BODY_BYTES,
        own_names_only=own_names_only,
    )


class _Handlers:
    """The request handlers, one method a page.

    Those that wait for the disk are plain functions, which the framework runs in threads.
    """

    def __init__(self, study: Study, store: AnswerStore, limits: RateLimits) -> None:
        self._study = study
        self._store = store
        self._token = read_owner_token(study)
        self._cookie = f"study-{study.digest[:12]}"  # several studies may share a host
        unlimited = limits.requests == 0
        self._enrollment_limiter = RateLimiter(
            0 if unlimited else limits.new_raters, limits.new_raters_burst
        )
        self._report_limiter = RateLimiter(0.2, 10)
        self._templates = Environment(
            loader=PackageLoader("tintype.study"), autoescape=True, undefined=StrictUndefined
        )
        static = files("tintype.study") / "static"
        self._static = {name: (static / name).read_bytes() for name in _STATIC}

    # Raters

    def consent(self, request: Request) -> Response:
        """Show the consent page; redirect a rater with a session to where it stands."""
        session = self._session(request)
        if session is not None and not session.withdrawn:
            return _redirect("thanks" if session.finished else "trial")
        return self._render("consent.html", forgotten=False)

    def retry_consent(self) -> Response:
        """Redirect a reload of the rejected consent form."""
        return _redirect("./")

    def enroll(self, request: Request, form: Form) -> Response:
        """Start a session, if consent was given."""
        session = self._session(request)
        if session is not None and not session.withdrawn:
            return _redirect("thanks" if session.finished else "trial")
        if form.get("agree") != "yes":
            return self._render("consent.html", 400, forgotten=True)
        if not self._enrollment_limiter.allow(client_address(request.scope)):
            raise HTTPException(429, "Many people begin at this moment; try again in a minute.")
        secret, _ = self._store.enroll()
        response = _redirect("instructions?begun=1")
        response.set_cookie(
            self._cookie,
            secret,
            max_age=_COOKIE_SECONDS,
            path=_cookie_path(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return response

    def instructions(self, request: Request) -> Response:
        """Show the instructions."""
        if self._session(request) is None:
            if (
                "begun" in request.query_params
            ):  # the cookie was refused: do not ask for consent again
                raise HTTPException(400, _NO_COOKIE)
            return _redirect("./")
        return self._render("instructions.html")

    def trial(self, request: Request) -> Response:
        """Present the next trial."""
        session = self._session(request)
        if session is None or session.withdrawn:
            return _redirect("./")
        last = self._store.last_practice(session)
        pair = self._store.present_next(session)
        if pair is None:
            return _redirect("thanks")
        return self._render(
            "trial.html",
            state=self._state(session, pair),
            feedback=None if last is None else _feedback(*last),
        )

    def answer(self, request: Request, given: ParsedAnswer) -> Response:
        """Record an answer and reply with the next trial, and feedback after practice."""
        answer, scripted = given
        session = self._session(request)
        if (
            session is None
            or session.withdrawn
            or not _equal_secrets(answer.form_key, session.form_key)
        ):
            raise HTTPException(403, "This answer belongs to no rater here; reload the page.")
        measurements = Measurements(
            answer.reaction_ms if scripted else None,
            answer.exposed_ms if scripted else None,
            answer.interrupted,
            answer.layout,
        )
        practice = answer.position < self._study.settings.practice_trials
        before = self._store.next_pair(session) if practice else None
        pair = self._store.record_answer(
            session, answer.position, answer.choice, measurements, present_next=scripted
        )
        if not scripted:
            return _redirect("thanks" if pair is None else "trial")
        feedback = None
        if before and before.position == answer.position:
            feedback = _feedback(before.trial, answer.choice)
        return JSONResponse({"feedback": feedback, "next": self._state(session, pair)})

    def picture(self, request: Request, token: str) -> Response:
        """Return one of the two pictures of the rater's current trial."""
        secret = request.cookies.get(self._cookie)
        pair = self._store.next_pair_by_secret(secret) if secret else None
        if pair is None:
            raise HTTPException(404, "There is no such picture.")
        true, colorized = self._study.pair_files(pair.trial.photo, pair.trial.system)
        # Read both whichever is requested, so that caching does not tell them apart by time.
        contents = {"true": true.read_bytes(), "colorized": colorized.read_bytes()}
        left_true = pair.trial.true_side == "left"
        for name, side in ((pair.left_token, left_true), (pair.right_token, not left_true)):
            if _equal_secrets(token, name):
                return Response(contents["true" if side else "colorized"], media_type="image/png")
        raise HTTPException(404, "There is no such picture.")

    def thanks(self, request: Request) -> Response:
        """Show the thank-you page with the completion code."""
        session = self._session(request)
        if session is None or session.withdrawn:
            return _redirect("./")
        if not session.finished:
            return _redirect("trial")
        return self._render("thanks.html", code=session.code)

    def confirm_withdrawal(self, request: Request) -> Response:
        """Ask to confirm the withdrawal."""
        session = self._session(request)
        if session is None or session.withdrawn:
            return _redirect("./")
        return self._render("withdraw.html", form_key=session.form_key, done=False)

    def withdraw(self, request: Request, form: Form) -> Response:
        """Withdraw a rater from the study."""
        session = self._session(request)
        if session is None or not _equal_secrets(form.get("form_key", ""), session.form_key):
            raise HTTPException(403, "This form belongs to no rater here.")
        self._store.withdraw(session)
        response = self._render("withdraw.html", form_key="", done=True)
        response.delete_cookie(self._cookie, path=_cookie_path(request))
        return response

    def leave(self, request: Request) -> Response:
        """Forget the session, so that another person can take part on this device."""
        response = _redirect("./")
        response.delete_cookie(self._cookie, path=_cookie_path(request))
        return response

    # The owner

    def report_form(self) -> Response:
        """Ask for the owner's token."""
        return self._render("owner.html", wrong=False)

    def report(self, request: Request, form: Form) -> Response:
        """Return the report as HTML, JSON or CSV, given the owner's token."""
        if not self._report_limiter.allow(client_address(request.scope)):
            raise HTTPException(429, "Too many attempts; wait a minute.")
        if not _equal_secrets(form.get("token", ""), self._token):
            return self._render("owner.html", 403, wrong=True)
        raters = self._store.raters()
        report = analyze(self._study, raters, self._store.source)
        match form.get("format", "html"):
            case "json":
                return JSONResponse(report_json(self._study, report))
            case "csv":
                content = answers_csv(self._study, raters, report)
                named = {"Content-Disposition": 'attachment; filename="answers.csv"'}
                return Response(content, media_type="text/csv; charset=utf-8", headers=named)
        page = report_html(self._study, report)
        return HTMLResponse(page, headers={"Content-Security-Policy": report_csp(page)})

    # Everyone

    async def static(self, name: str) -> Response:
        """Return the script, the style sheet or the icon."""
        if name not in _STATIC:
            raise HTTPException(404, "There is no such file.")
        return Response(self._static[name], media_type=_STATIC[name])

    async def health(self) -> Response:
        """Return a health check."""
        return Response("ok\n", media_type="text/plain")

    def error_page(self, request: Request, error: Exception) -> Response:
        """Return an HTTP error as a page, or as JSON to the script."""
        status = getattr(error, "status_code", 500)
        detail = getattr(error, "detail", "")
        text = _FRAMEWORK_MESSAGES.get(detail, detail)
        headers = getattr(error, "headers", None) or {}
        if request.headers.get("content-type", "").startswith("application/json"):
            return JSONResponse({"error": text}, status, headers)
        up = "../" * (request.url.path.count("/") - 1)
        page = self._render("message.html", status, message=text, up=up)
        page.headers.update(headers)
        return page

    def unavailable(self, request: Request, error: Exception) -> Response:
        """Return status 503 for an error of the database, the disk or the report."""
        # Not the whole error of the database: it has the rater's keys.
        _log.warning("a request was answered with 503: %s", _reason(error))
        return self.error_page(request, unavailable())

    def _session(self, request: Request) -> Session | None:
        secret = request.cookies.get(self._cookie)
        return self._store.find_session(secret) if secret else None

    def _state(self, session: Session, pair: Pair | None) -> dict[str, Any]:
        """Return all that the browser is told of a trial."""
        if pair is None:
            return {"done": True}
        settings = self._study.settings
        practice = pair.trial.kind == "practice"
        return {
            "done": False,
            "form_key": session.form_key,
            "position": pair.position,
            "practice": practice,
            "number": pair.position + 1 - (0 if practice else settings.practice_trials),
            "of": settings.practice_trials
            if practice
            else self._study.trials_per_rater + settings.catch_trials,
            "left": f"picture/{pair.left_token}",
            "right": f"picture/{pair.right_token}",
            "exposure_ms": settings.exposure_ms,
        }

    def _render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        settings = self._study.settings
        page = self._templates.get_template(template).render(
            settings=settings,
            pairs=self._study.trials_per_rater + settings.catch_trials,
            to_json=json.dumps,
            **{"up": "", **values},
        )
        return HTMLResponse(page, status)


def _feedback(trial: Trial, choice: Side) -> dict[str, Any]:
    """Return the feedback on a practice trial."""
    return {"correct": choice == trial.true_side, "true_side": trial.true_side}


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _equal_secrets(given: str, secret: str) -> bool:
    """Compare secrets in constant time."""
    return hmac.compare_digest(given.encode(), secret.encode())


def _redirect(page: str) -> RedirectResponse:
    """Redirect by a relative URL, since a proxy may serve the study under any path."""
    return RedirectResponse(page, 303)


def _cookie_path(request: Request) -> str:
    """Return the path that cookies are limited to."""
    return request.scope.get("root_path") or "/"
