"""The API is what its OpenAPI document says, for whatever it is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from studio.misbehaving import misbehaving

from tintype.studio.app import Studio
from tintype.studio.limits import Limits

pytestmark = pytest.mark.heavy

HEADERS = {"Host": "localhost"}
EXAMPLES = int(os.environ.get("TINTYPE_EXAMPLES", "1000"))  # of each operation
JOB = "/api/v1/jobs/{id}"


@pytest.fixture(scope="module")
def document(named: None) -> Iterator[Any]:
    """The document, as who sends requests made up of it reads it."""
    schemathesis = pytest.importorskip("schemathesis", reason="sends requests made up")
    limits = Limits(body=4 << 20, pixels=1_000_000, seconds=20, requests=0, jobs=100_000)
    studio = Studio(2, limits=limits, setup=misbehaving)
    yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", studio.app, headers=HEADERS)
    studio.close()


@pytest.mark.parametrize(
    ("path", "method"),
    [
        *(("/api/v1/models", "GET"), ("/api/v1/colorize", "POST"), ("/api/v1/jobs", "POST")),
        *((JOB, "GET"), (JOB, "DELETE"), (f"{JOB}/events", "GET"), (f"{JOB}/result", "GET")),
    ],
)
def test_nothing_that_is_sent_is_answered_otherwise(document: Any, path: str, method: str) -> None:
    from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

    # Whether a file is a photograph, and suits the options, no document can say.
    excluded = [negative_data_rejection, positive_data_acceptance]

    @given(case=document[path][method].as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def answered(case: Any) -> None:
        case.call_and_validate(headers=HEADERS, excluded_checks=excluded)

    answered()
