"""The page of a study's owner: the report, given the secret token."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tintype.study.forms import Form
from tintype.study.manifest import read_owner_token
from tintype.study.site import Site, equal_secrets
from tintype.web.limiter import RateLimiter
from tintype.web.protection import client_address


class OwnerPages:
    """The request handlers, one method a page.

    Raises:
        DataError: the study's owner token is missing.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._study, self._store = site, site.study, site.store
        self._token = read_owner_token(site.study)
        self._report_limiter = RateLimiter(0.2, 10)

    def routes(self) -> APIRouter:
        """Return the routes that lead to the pages."""
        router = APIRouter()
        router.add_api_route("/report", self.report_form, methods=["GET"], response_model=None)
        router.add_api_route("/report", self.report, methods=["POST"], response_model=None)
        return router

    def report_form(self, request: Request) -> Response:
        """Ask for the owner's token."""
        return self._site.render(request, "owner.html", wrong=False)

    def report(self, request: Request, form: Form) -> Response:
        """Return the report as HTML, JSON or CSV, given the owner's token."""
        if not self._report_limiter.allow(client_address(request.scope)):
            raise HTTPException(429, "Too many attempts; try again in a minute.")
        if not equal_secrets(form.get("token", ""), self._token):
            return self._site.render(request, "owner.html", 403, wrong=True)

        from tintype.study.analysis import analyze  # here, since it imports scipy: about a second
        from tintype.study.presentation import answers_csv, report_csp, report_html, report_json

        raters = self._store.raters()
        report = analyze(self._study, raters, self._store.source)
        match form.get("format", "html"):
            case "json":
                return JSONResponse(report_json(self._study, report))
            case "csv":
                content = answers_csv(self._study, raters, report)
                headers = {"Content-Disposition": 'attachment; filename="answers.csv"'}
                return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
        page = report_html(self._study, report)
        return HTMLResponse(page, headers={"Content-Security-Policy": report_csp(page)})
