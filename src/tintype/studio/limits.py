"""The limits of the studio."""

from __future__ import annotations

from dataclasses import dataclass

from tintype.photo import DEFAULT_MAX_PIXELS


@dataclass(frozen=True)
class Limits:
    """Limits of the studio; what exceeds one is refused with an error, and the studio goes on.

    Attributes:
        body: most bytes of a photograph's file.
        pixels: most pixels of a photograph.
        photos: most photographs in the session of the page.
        waiting: most tasks that wait for a worker, beside the session's own: each of its
            photographs may wait to be read and to get a new thumbnail.
        seconds: longest time that coloring a photograph may take.
        jobs: most jobs that are kept, done or not.
        requests: most requests per second from one address; 0 for no limit.
    """

    body: int = 500 << 20
    pixels: int = DEFAULT_MAX_PIXELS
    photos: int = 500
    waiting: int = 100
    seconds: float = 120.0
    jobs: int = 200
    requests: float = 200.0
