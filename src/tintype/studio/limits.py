"""What the studio takes on at most."""

from __future__ import annotations

from dataclasses import dataclass

from tintype.photo import DEFAULT_MAX_PIXELS


@dataclass(frozen=True)
class Limits:
    """Limits of the studio, past which it says so and goes on.

    Attributes:
        body: bytes of a photograph's file.
        pixels: of a photograph.
        photos: in the session of the page.
        waiting: photographs, before more are refused.
        seconds: in which one is colored.
        jobs: that are kept, done or not.
        requests: a second from one address; 0 for no limit.
    """

    body: int = 500 << 20
    pixels: int = DEFAULT_MAX_PIXELS
    photos: int = 500
    waiting: int = 100
    seconds: float = 120.0
    jobs: int = 200
    requests: float = 200.0
