"""The OpenAPI description of the API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path

from tintype.studio.limits import Limits

JOB_ID = Annotated[str, Path(description="id of a job", max_length=64)]

_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong, and what to do"},
    },
    "required": ["type", "title", "status", "detail"],
}
_JOB = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "photo": {"type": "string"},
        "state": {"enum": ["waiting", "working", "done", "failed", "cancelled"]},
        "stage": {"type": "string"},
        "notes": {"type": "array", "items": {"type": "string"}},
        "error": {"type": "string"},
    },
    "required": ["id", "photo", "state", "stage"],
}
_MODELS = {
    "type": "object",
    "properties": {
        "models": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"enum": ["chroma", "sampler"]},
                    "hints": {"type": "boolean"},
                    "suggestions": {"type": "boolean"},
                    "options": {"type": "object"},
                },
                "required": ["name", "kind", "hints", "suggestions", "options"],
            },
        }
    },
    "required": ["models"],
}
_JSON_TEXT = "application/json"
_PICTURE = {"description": "the photograph in color, or a ZIP of samples", "content": {"*/*": {}}}
_EVENTS = {"description": "states of the job", "content": {"text/event-stream": {}}}
_ERRORS = {
    400: "the form cannot be read",
    404: "there is no such job",
    408: "the request body arrived too slowly",
    409: "the job is not done",
    413: "the file or the picture is too large",
    415: "the body is not multipart/form-data",
    422: "the photograph or the settings cannot be used",
    429: "too many requests or jobs",
    500: "a bug in tintype, or a damaged model",
    503: "too many photographs are waiting, or the work took too long",
}


def described(handler: str, limits: Limits) -> dict[str, Any]:
    """Return the keyword arguments with which FastAPI declares a route.

    Args:
        handler: name of the route's method in `Api`.
        limits: the studio's limits.
    """
    answers: dict[str, tuple[dict[int, Any], tuple[int, ...]]] = {
        "models": ({200: _json(_MODELS)}, (429,)),
        "colorize": ({200: _PICTURE}, (400, 408, 413, 415, 422, 429, 500, 503)),
        "create_job": ({202: _json(_JOB)}, (400, 408, 413, 415, 422, 429, 503)),
        "job": ({200: _json(_JOB)}, (404, 422, 429)),
        "cancel_job": ({204: {"description": "the job was deleted"}}, (404, 422, 429)),
        "events": ({200: _EVENTS}, (404, 422, 429)),
        "result": ({200: _PICTURE}, (404, 409, 413, 422, 429, 500, 503)),
    }
    good, bad = answers[handler]
    problems = {
        status: {
            "description": _ERRORS[status],
            "content": {"application/problem+json": {"schema": _PROBLEM}},
        }
        for status in bad
    }
    declared: dict[str, Any] = {
        "responses": {**good, **problems},
        "status_code": next(iter(good)),
        "operation_id": handler,
    }
    if handler in ("colorize", "create_job"):
        declared["openapi_extra"] = {"requestBody": _form(limits)}
    return declared


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "the record", "content": {_JSON_TEXT: {"schema": schema}}}


def _form(limits: Limits) -> dict[str, Any]:
    numbers = {
        "vividness": {"type": "number", "minimum": 0, "maximum": 1},
        "saturation": {"type": "number", "minimum": 0, "maximum": 10},
        "warmth": {"type": "number", "minimum": -1, "maximum": 1},
        "temperature": {"type": "number", "minimum": 0.001, "maximum": 10},
        "seed": {"type": "integer", "minimum": 0},
        "sample": {
            "type": "integer",
            "minimum": 1,
            "description": "return the sample of this number",
        },
        "samples": {
            "type": "integer",
            "minimum": 1,
            "maximum": 64,
            "description": "return this many samples, in a ZIP",
        },
        "mark": {"type": "boolean"},
        "normalise": {"type": "boolean"},
        "refine": {"type": "boolean"},
        "enlarge": {"enum": ["guided", "bilinear"]},
        "filter": {"enum": ["none", "chroma", "image"]},
    }
    hint = {
        "type": "object",
        "properties": {
            "x": {"type": "number"},
            "y": {"type": "number"},
            "color": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
            "radius": {"type": "number", "exclusiveMinimum": 0},
        },
        "required": ["x", "y", "color"],
    }
    properties = {
        "photo": {
            "type": "string",
            "format": "binary",
            "description": f"the photograph's file, at most {limits.body >> 20} MiB",
        },
        "model": {"type": "string", "description": "a name from /api/v1/models"},
        "hints": {"type": "array", "items": hint, "description": "known colors at points"},
        "settings": {
            "type": "object",
            "description": "NAME.tintype.json; other fields override it",
        },
        **numbers,
    }
    schema = {"type": "object", "properties": properties, "required": ["photo"]}
    encoding = {name: {"contentType": _JSON_TEXT} for name in ("hints", "settings")}
    content = {"multipart/form-data": {"schema": schema, "encoding": encoding}}
    return {"required": True, "content": content}
