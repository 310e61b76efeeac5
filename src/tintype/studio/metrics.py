"""Metrics of the server, in the text format of Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)  # upper bounds, in seconds


class Metrics:
    """ASGI middleware that counts and times requests by route.

    Args:
        app: the application, which notes the route in the scope.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._within: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request and record its status and duration."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_seen)
        finally:
            # The route's pattern, not the path: clients could make up labels without end.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if route != "none" else "none"
            seconds = time.perf_counter() - started
            self._requests[method, route, status] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]
            for bound in _BOUNDS:
                self._within[route, bound] += seconds <= bound

    def text(self, gauges: Mapping[str, tuple[str, str, float]]) -> str:
        """Return all metrics as text.

        Args:
            gauges: further metrics: name -> (type, help text, value).
        """
        lines = [
            "# HELP tintype_requests_total Requests answered.",
            "# TYPE tintype_requests_total counter",
        ]
        for (method, route, status), count in sorted(self._requests.items()):
            labels = f'method="{method}",route="{route}",status="{status}"'
            lines.append(f"tintype_requests_total{{{labels}}} {count}")
        name = "tintype_request_seconds"
        lines += [f"# HELP {name} Seconds from request to response.", f"# TYPE {name} histogram"]
        for route in sorted(self._seconds):
            count = sum(n for (_, own, _), n in self._requests.items() if own == route)
            for bound in _BOUNDS:
                within = self._within[route, bound]
                lines.append(f'{name}_bucket{{route="{route}",le="{bound}"}} {within}')
            lines.append(f'{name}_bucket{{route="{route}",le="+Inf"}} {count}')
            lines.append(f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}')
            lines.append(f'{name}_count{{route="{route}"}} {count}')
        for name, (kind, help, value) in gauges.items():
            lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}", f"{name} {value:g}"]
        return "\n".join(lines) + "\n"
