"""Parse what browsers send: forms, and answers as JSON or as forms."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tintype.study.assignment import Side
from tintype.study.records import Layout

_DAY_MS = 24 * 3600 * 1000


class AnswerForm(BaseModel):
    """The body of an answer: which side of which trial, and `Measurements`."""

    model_config = ConfigDict(extra="forbid")

    form_key: str = Field(max_length=64)
    position: int = Field(ge=0, le=100_000)
    choice: Side
    reaction_ms: int | None = Field(default=None, ge=0, le=_DAY_MS)
    exposed_ms: int | None = Field(default=None, ge=0, le=_DAY_MS)
    interrupted: bool = False
    layout: Layout | None = None


async def parse_form(request: Request) -> dict[str, str]:
    """Return the fields of a submitted form.

    Raises:
        HTTPException: 400, it cannot be read.
    """
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=16)
    except ValueError:
        raise HTTPException(400, "This form cannot be read.") from None
    return {name: values[-1] for name, values in fields.items()}


async def parse_answer(request: Request) -> tuple[AnswerForm, bool]:
    """Return an answer, and whether the page's script sent it (JSON) rather than a form.

    Raises:
        HTTPException: 400, it cannot be read.
    """
    scripted = request.headers.get("content-type", "").startswith("application/json")
    try:
        content = await request.json() if scripted else await parse_form(request)
        return AnswerForm.model_validate(content), scripted
    except (ValidationError, ValueError, RecursionError):
        raise HTTPException(400, "This answer cannot be read.") from None


Form = Annotated[dict[str, str], Depends(parse_form)]
ParsedAnswer = Annotated[tuple[AnswerForm, bool], Depends(parse_answer)]
