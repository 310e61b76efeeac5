"""Rate limits by a token bucket for each client address."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

_MAX_CLIENTS = 10_000


@dataclass
class RateLimiter:
    """Limit the rate of requests by a token bucket for each client address. Thread-safe.

    Attributes:
        rate: tokens that are added per second; 0 for no limit.
        burst: capacity of a bucket, in tokens.
        clock: returns the time in seconds.
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _tokens: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allow(self, address: str) -> bool:
        """Take a token; return False if the bucket is empty."""
        if self.rate == 0:
            return True
        with self._lock:
            now = self.clock()
            tokens, at = self._tokens.pop(address, (self.burst, now))
            tokens = min(self.burst, tokens + (now - at) * self.rate)
            allowed = tokens >= 1
            self._tokens[address] = (tokens - allowed, now)
            if len(self._tokens) > _MAX_CLIENTS:
                self._tokens.popitem(last=False)
        return allowed
