"""The pages of raters: consent, instructions, trials, thanks and withdrawal.

Raters get the two pictures of their current trial under random names. A study of single pictures
gives one, and buttons for left, real, and right, a machine. The server tells the right answer only
in the feedback on practice trials.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from tintype.study.assignment import Side, Trial
from tintype.study.forms import Form, ParsedAnswer
from tintype.study.records import Measurements, Pair, Session
from tintype.study.site import RateLimits, Site, equal_secrets, redirect
from tintype.web.limiter import RateLimiter
from tintype.web.protection import client_address

_NO_COOKIE = (
    "This page needs a cookie to remember where you are, and your browser did not keep it. "
    "Allow cookies for this page, then begin again."
)


class RaterPages:
    """The request handlers, one method a page.

    They wait for the disk, so they are not async: the framework runs them in threads.
    """

    def __init__(self, site: Site, limits: RateLimits) -> None:
        self._site, self._study, self._store = site, site.study, site.store
        unlimited = limits.requests == 0
        self._enrollment_limiter = RateLimiter(
            0 if unlimited else limits.new_raters, limits.new_raters_burst
        )

    def routes(self) -> APIRouter:
        """Return the routes that lead to the pages."""
        router = APIRouter()
        for path, methods, page in (
            ("/", ["GET", "HEAD"], self.consent),
            ("/consent", ["GET"], self.retry_consent),
            ("/consent", ["POST"], self.enroll),
            ("/instructions", ["GET"], self.instructions),
            ("/trial", ["GET"], self.trial),
            ("/answer", ["POST"], self.answer),
            ("/picture/{token}", ["GET"], self.picture),
            ("/thanks", ["GET"], self.thanks),
            ("/withdraw", ["GET"], self.confirm_withdrawal),
            ("/withdraw", ["POST"], self.withdraw),
            ("/leave", ["POST"], self.leave),
        ):
            router.add_api_route(path, page, methods=methods, response_model=None)
        return router

    def consent(self, request: Request) -> Response:
        """Show the consent page; redirect a rater who has a session to its current page."""
        session = self._site.active_session(request)
        if session is not None:
            return redirect("thanks" if session.finished else "trial")
        return self._site.render(request, "consent.html", forgotten=False)

    def retry_consent(self) -> Response:
        """Redirect a reload of the rejected consent form."""
        return redirect("./")

    def enroll(self, request: Request, form: Form) -> Response:
        """Start a session, if consent was given."""
        session = self._site.active_session(request)
        if session is not None:
            return redirect("thanks" if session.finished else "trial")
        if form.get("agree") != "yes":
            return self._site.render(request, "consent.html", 400, forgotten=True)
        if not self._enrollment_limiter.allow(client_address(request.scope)):
            raise HTTPException(
                429, "Many people are starting right now; please try again in a minute."
            )
        secret, _ = self._store.enroll()
        response = redirect("instructions?begun=1")
        self._site.remember(request, response, secret)
        return response

    def instructions(self, request: Request) -> Response:
        """Show the instructions."""
        if self._site.session(request) is None:
            if (
                "begun" in request.query_params
            ):  # the cookie was refused: another consent form would not help
                raise HTTPException(400, _NO_COOKIE)
            return redirect("./")
        return self._site.render(request, "instructions.html")

    def trial(self, request: Request) -> Response:
        """Present the next trial."""
        session = self._site.active_session(request)
        if session is None:
            return redirect("./")
        last = self._store.last_practice(session)
        pair = self._store.present_next(session)
        if pair is None:
            return redirect("thanks")
        return self._site.render(
            request,
            "trial.html",
            state=self._state(session, pair),
            feedback=None if last is None else _feedback(*last),
        )

    def answer(self, request: Request, parsed: ParsedAnswer) -> Response:
        """Record an answer; reply with the next trial, and with feedback on a practice trial."""
        answer, scripted = parsed
        session = self._site.active_session(request)
        if session is None or not equal_secrets(answer.form_key, session.form_key):
            raise HTTPException(
                403, "This answer does not belong to your session; reload the page."
            )
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
            return redirect("thanks" if pair is None else "trial")
        feedback = None
        if before and before.position == answer.position:
            feedback = _feedback(before.trial, answer.choice)
        return JSONResponse({"feedback": feedback, "next": self._state(session, pair)})

    def picture(self, request: Request, token: str) -> Response:
        """Return a picture of the rater's current trial."""
        session = self._site.session(request)
        pair = self._store.next_pair(session) if session is not None else None
        if pair is None:
            raise HTTPException(404, "There is no such picture.")
        true, colorized = self._study.pair_files(pair.trial.photo, pair.trial.system)
        # Both are read, so that the time of the reply does not tell which one the disk had cached.
        contents = {"true": true.read_bytes(), "colorized": colorized.read_bytes()}
        left_true = pair.trial.true_side == "left"
        shown = [(pair.left_token, left_true), (pair.right_token, not left_true)]
        if self._study.settings.kind == "single":
            shown = [(pair.left_token, False)]
        for name, is_true in shown:
            if equal_secrets(token, name):
                content = contents["true" if is_true else "colorized"]
                return Response(content, media_type="image/png")
        raise HTTPException(404, "There is no such picture.")

    def thanks(self, request: Request) -> Response:
        """Show the thank-you page with the completion code."""
        session = self._site.active_session(request)
        if session is None:
            return redirect("./")
        if not session.finished:
            return redirect("trial")
        return self._site.render(request, "thanks.html", code=session.code)

    def confirm_withdrawal(self, request: Request) -> Response:
        """Ask to confirm the withdrawal."""
        session = self._site.active_session(request)
        if session is None:
            return redirect("./")
        return self._site.render(request, "withdraw.html", form_key=session.form_key, done=False)

    def withdraw(self, request: Request, form: Form) -> Response:
        """Withdraw a rater from the study."""
        session = self._site.session(request)
        if session is None or not equal_secrets(form.get("form_key", ""), session.form_key):
            raise HTTPException(403, "This form does not belong to your session; reload the page.")
        self._store.withdraw(session)
        response = self._site.render(request, "withdraw.html", form_key="", done=True)
        self._site.forget(request, response)
        return response

    def leave(self, request: Request) -> Response:
        """Forget the session, so that another person can take part on this device."""
        response = redirect("./")
        self._site.forget(request, response)
        return response

    def _state(self, session: Session, pair: Pair | None) -> dict[str, Any]:
        """Return what the page's script needs to know of a trial."""
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
            "right": f"picture/{pair.right_token}" if settings.kind == "pair" else None,
            "exposure_ms": settings.exposure_ms,
        }


def _feedback(trial: Trial, choice: Side) -> dict[str, Any]:
    """Return the feedback on a practice trial."""
    return {"correct": choice == trial.true_side, "true_side": trial.true_side}
