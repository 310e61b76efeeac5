"""Limits of what is asked of a study at once."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import HTTPException


@dataclass(frozen=True)
class RateLimits:
    """Rate limits for each client address; the raters of a laboratory may share one.

    Attributes:
        requests: requests a second; 0 disables all limits.
        burst: requests at once.
        new_raters: new sessions a second.
        new_raters_burst: new sessions at once.
    """

    requests: float = 100.0
    burst: float = 500.0
    new_raters: float = 1.0
    new_raters_burst: float = 100.0


def unavailable() -> HTTPException:
    """Return the error that asks a rater to try again; the pages' script does so by itself."""
    text = "The study cannot be reached at this moment. Nothing is lost; try again in a while."
    return HTTPException(503, text, {"Retry-After": "3"})
