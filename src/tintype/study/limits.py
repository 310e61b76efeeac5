"""Limits of what is asked of a study at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
from fastapi import HTTPException

_TURN_SECONDS = 4.0


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


class WritingTurns:
    """Let so many requests write at once that those that read always find a thread."""

    def __init__(self) -> None:
        self._turns = anyio.Semaphore(16)  # of the framework's 40 threads

    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, without a thread; raise 503 if that takes long."""
        with anyio.move_on_after(_TURN_SECONDS) as waiting:
            await self._turns.acquire()
        if waiting.cancelled_caught:
            raise unavailable()
        try:
            yield
        finally:
            self._turns.release()


def unavailable() -> HTTPException:
    """Return the error that asks a rater to try again; the pages' script does so by itself."""
    text = "The study cannot be reached at this moment. Nothing is lost; try again in a while."
    return HTTPException(503, text, {"Retry-After": "3"})
