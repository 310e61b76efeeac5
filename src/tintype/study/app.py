"""The pages of a study, for raters and for its owner.

Raters get pages, one script, one style sheet, and the two pictures of the pair they are at, under
names that mean nothing. Which of them is true is known here and goes out with the feedback on
practice pairs alone.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException as StarletteHTTPException

from tintype.errors import TintypeError
from tintype.study.analysis import analyze
from tintype.study.assignment import Side, Trial
from tintype.study.manifest import Study, owner_token
from tintype.study.presentation import answers_csv, report_csp, report_html, report_json
from tintype.study.protection import Buckets, Protection, address_of
from tintype.study.records import Layout, Measured
from tintype.study.storage import Pair, Session, Store

_MONTH = 30 * 24 * 3600
_DAY_MS = 24 * 3600 * 1000
_NO_COOKIE = (
    "This page needs a cookie, to know which pair you are at, and your browser has kept none. "
    "Allow cookies for this page, then begin again."
)
#: What the framework says by itself, in words for raters.
_FRAMEWORKS = {
    "Not Found": "There is no such page.",
    "Method Not Allowed": "This page cannot be asked for in this way.",
}
_STATIC = {
    "study.css": "text/css; charset=utf-8",
    "study.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Limits:
    """How much one address may ask for; a laboratory's raters may share one.

    Attributes:
        requests: a second, of any kind; 0 sets no limit of any kind.
        burst: of requests at once.
        raters: new ones a second.
        raters_burst: of new ones at once.
    """

    requests: float = 100.0
    burst: float = 500.0
    raters: float = 1.0
    raters_burst: float = 100.0


class GivenAnswer(BaseModel):
    """What a rater's browser sends."""

    model_config = ConfigDict(extra="forbid")

    form_key: str = Field(max_length=64)
    position: int = Field(ge=0, le=100_000)
    choice: Side
    reaction_ms: int | None = Field(default=None, ge=0, le=_DAY_MS)
    exposed_ms: int | None = Field(default=None, ge=0, le=_DAY_MS)
    interrupted: bool = False
    layout: Layout | None = None


def create_app(study: Study, store: Store, limits: Limits | None = None) -> Protection:
    """The application that serves a study, an ASGI application.

    Raises:
        DataError: the study's owner token is missing.
    """
    limits = limits or Limits()
    pages = _Pages(study, store, limits)
    app = FastAPI(title=study.settings.title, openapi_url=None, docs_url=None, redoc_url=None)
    for path, methods, page in (
        ("/", ["GET", "HEAD"], pages.consent),
        ("/consent", ["GET"], pages.home),
        ("/consent", ["POST"], pages.consented),
        ("/instructions", ["GET"], pages.instructions),
        ("/trial", ["GET"], pages.trial),
        ("/answer", ["POST"], pages.answer),
        ("/picture/{token}", ["GET"], pages.picture),
        ("/thanks", ["GET"], pages.thanks),
        ("/withdraw", ["GET"], pages.withdrawal),
        ("/withdraw", ["POST"], pages.withdraw),
        ("/leave", ["POST"], pages.leave),
        ("/report", ["GET"], pages.report_form),
        ("/report", ["POST"], pages.report),
        ("/static/{name}", ["GET"], pages.static),
        ("/health", ["GET"], pages.health),
    ):
        app.add_api_route(path, page, methods=methods, response_model=None)
    # The framework's own refusals too, which are of the class that FastAPI's derives from.
    app.add_exception_handler(StarletteHTTPException, pages.refused)
    app.add_exception_handler(DBAPIError, pages.unavailable)
    app.add_exception_handler(TintypeError, pages.unavailable)
    # Around all of it, not as a middleware: those stand within what answers an unforeseen error.
    return Protection(app, Buckets(limits.requests, limits.burst))


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form that a browser sent."""
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=16)
    except ValueError:
        raise HTTPException(400, "This form cannot be read.") from None
    return {name: values[-1] for name, values in fields.items()}


async def _given(request: Request) -> tuple[GivenAnswer, bool]:
    """An answer, and whether a script sent it: as JSON, or else as a form."""
    scripted = request.headers.get("content-type", "").startswith("application/json")
    try:
        content = await request.json() if scripted else await _form(request)
        return GivenAnswer.model_validate(content), scripted
    except (ValidationError, ValueError, RecursionError):
        raise HTTPException(400, "This is no answer that can be read.") from None


Form = Annotated[dict[str, str], Depends(_form)]
Given = Annotated[tuple[GivenAnswer, bool], Depends(_given)]


class _Pages:
    """The pages, with what they need: one method a page.

    They are plain functions, which the framework runs in threads: what they wait for is the disk.
    """

    def __init__(self, study: Study, store: Store, limits: Limits) -> None:
        self._study = study
        self._store = store
        self._token = owner_token(study)
        self._cookie = f"study-{study.digest[:12]}"  # several studies may share a host
        unlimited = limits.requests == 0
        self._new_raters = Buckets(0 if unlimited else limits.raters, limits.raters_burst)
        self._owners = Buckets(0.2, 10)
        self._templates = Environment(
            loader=PackageLoader("tintype.study"), autoescape=True, undefined=StrictUndefined
        )
        static = files("tintype.study") / "static"
        self._static = {name: (static / name).read_bytes() for name in _STATIC}

    # Raters

    def consent(self, request: Request) -> Response:
        """What the study is about; whoever takes part already goes on."""
        session = self._session(request)
        if session is not None and not session.withdrawn:
            return _go("thanks" if session.finished else "trial")
        return self._page("consent.html", forgotten=False)

    def home(self) -> Response:
        """For whoever reloads the page that asked to agree once more."""
        return _go("./")

    def consented(self, request: Request, form: Form) -> Response:
        """A new rater, if consent was given."""
        session = self._session(request)
        if session is not None and not session.withdrawn:
            return _go("thanks" if session.finished else "trial")
        if form.get("agree") != "yes":
            return self._page("consent.html", 400, forgotten=True)
        if not self._new_raters.take(address_of(request.scope)):
            raise HTTPException(429, "Many people begin at this moment; try again in a minute.")
        secret, _ = self._store.enrol()
        response = _go("instructions?begun=1")
        response.set_cookie(
            self._cookie,
            secret,
            max_age=_MONTH,
            path=_folder_of(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return response

    def instructions(self, request: Request) -> Response:
        """How it is done."""
        if self._session(request) is None:
            if "begun" in request.query_params:  # else who just agreed would be asked to agree
                raise HTTPException(400, _NO_COOKIE)
            return _go("./")
        return self._page("instructions.html")

    def trial(self, request: Request) -> Response:
        """The pair a rater is at."""
        session = self._session(request)
        if session is None or session.withdrawn:
            return _go("./")
        last = self._store.last_practice(session)
        pair = self._store.present(session)
        if pair is None:
            return _go("thanks")
        return self._page(
            "trial.html",
            state=self._state(session, pair),
            feedback=None if last is None else _feedback(*last),
        )

    def answer(self, request: Request, given: Given) -> Response:
        """Keep an answer; the next pair goes out when it is safe."""
        answer, scripted = given
        session = self._session(request)
        if session is None or session.withdrawn or not _same(answer.form_key, session.form_key):
            raise HTTPException(403, "This answer belongs to no rater here; reload the page.")
        measured = Measured(
            answer.reaction_ms if scripted else None,
            answer.exposed_ms if scripted else None,
            answer.interrupted,
            answer.layout,
        )
        practice = answer.position < self._study.settings.practice
        before = self._store.pair(session) if practice else None
        pair = self._store.answer(session, answer.position, answer.choice, measured, go_on=scripted)
        if not scripted:
            return _go("thanks" if pair is None else "trial")
        feedback = None
        if before and before.position == answer.position:
            feedback = _feedback(before.trial, answer.choice)
        return JSONResponse({"feedback": feedback, "next": self._state(session, pair)})

    def picture(self, request: Request, token: str) -> Response:
        """One of the two pictures of the pair a rater is at."""
        secret = request.cookies.get(self._cookie)
        pair = self._store.pair_of(secret) if secret else None
        if pair is None:
            raise HTTPException(404, "There is no such picture.")
        true, coloured = self._study.files_of(pair.trial.photo, pair.trial.system)
        # Both are read whichever is asked for: were one of them not in memory, neither would be.
        contents = {"true": true.read_bytes(), "coloured": coloured.read_bytes()}
        left_true = pair.trial.true_side == "left"
        for name, side in ((pair.left_token, left_true), (pair.right_token, not left_true)):
            if _same(token, name):
                return Response(contents["true" if side else "coloured"], media_type="image/png")
        raise HTTPException(404, "There is no such picture.")

    def thanks(self, request: Request) -> Response:
        """The end, with the code that proves it."""
        session = self._session(request)
        if session is None or session.withdrawn:
            return _go("./")
        if not session.finished:
            return _go("trial")
        return self._page("thanks.html", code=session.code)

    def withdrawal(self, request: Request) -> Response:
        """Whether the rater means it."""
        session = self._session(request)
        if session is None or session.withdrawn:
            return _go("./")
        return self._page("withdraw.html", form_key=session.form_key, done=False)

    def withdraw(self, request: Request, form: Form) -> Response:
        """Leave a rater out of the study."""
        session = self._session(request)
        if session is None or not _same(form.get("form_key", ""), session.form_key):
            raise HTTPException(403, "This form belongs to no rater here.")
        self._store.withdraw(session)
        response = self._page("withdraw.html", form_key="", done=True)
        response.delete_cookie(self._cookie, path=_folder_of(request))
        return response

    def leave(self, request: Request) -> Response:
        """Let another person take part on this device."""
        response = _go("./")
        response.delete_cookie(self._cookie, path=_folder_of(request))
        return response

    # The owner

    def report_form(self) -> Response:
        """Where the owner's token is asked for."""
        return self._page("owner.html", wrong=False)

    def report(self, request: Request, form: Form) -> Response:
        """The report, for whoever has the owner's token."""
        if not self._owners.take(address_of(request.scope)):
            raise HTTPException(429, "Too many attempts; wait a minute.")
        if not _same(form.get("token", ""), self._token):
            return self._page("owner.html", 403, wrong=True)
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

    def static(self, name: str) -> Response:
        """The script, the style sheet and the icon."""
        if name not in _STATIC:
            raise HTTPException(404, "There is no such file.")
        return Response(self._static[name], media_type=_STATIC[name])

    def health(self) -> Response:
        """For whoever watches over the server."""
        return Response("ok\n", media_type="text/plain")

    def refused(self, request: Request, error: Exception) -> Response:
        """What went wrong, on a page or for a script."""
        status = getattr(error, "status_code", 500)
        said = getattr(error, "detail", "")
        text = _FRAMEWORKS.get(said, said)
        if request.headers.get("content-type", "").startswith("application/json"):
            return JSONResponse({"error": text}, status)
        up = "../" * (request.url.path.count("/") - 1)
        page = self._page("message.html", status, message=text, up=up)
        page.headers.update(getattr(error, "headers", None) or {})
        return page

    def unavailable(self, request: Request, error: Exception) -> Response:
        """The database or the report failed: nothing was kept, and it is worth another try."""
        text = "The study cannot be reached at this moment. Nothing is lost; try again in a while."
        return self.refused(request, HTTPException(503, text))

    def _session(self, request: Request) -> Session | None:
        secret = request.cookies.get(self._cookie)
        return self._store.session(secret) if secret else None

    def _state(self, session: Session, pair: Pair | None) -> dict[str, Any]:
        """All that a rater's browser is told of the pair the rater is at."""
        if pair is None:
            return {"done": True}
        settings = self._study.settings
        practice = pair.trial.kind == "practice"
        return {
            "done": False,
            "form_key": session.form_key,
            "position": pair.position,
            "practice": practice,
            "number": pair.position + 1 - (0 if practice else settings.practice),
            "of": settings.practice if practice else self._study.trials + settings.catch,
            "left": f"picture/{pair.left_token}",
            "right": f"picture/{pair.right_token}",
            "exposure_ms": settings.exposure_ms,
        }

    def _page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        settings = self._study.settings
        page = self._templates.get_template(template).render(
            settings=settings,
            pairs=self._study.trials + settings.catch,
            to_json=json.dumps,
            **{"up": "", **values},
        )
        return HTMLResponse(page, status)


def _feedback(trial: Trial, choice: Side) -> dict[str, Any]:
    """What a rater is told after a practice pair, and after no other."""
    return {"right": choice == trial.true_side, "true_side": trial.true_side}


def _same(given: str, secret: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), secret.encode())


def _go(page: str) -> RedirectResponse:
    """Off to a page in the same folder: a proxy may serve the study under any path."""
    return RedirectResponse(page, 303)


def _folder_of(request: Request) -> str:
    """The path cookies are for."""
    return request.scope.get("root_path") or "/"
