"""HTTP connections with deadlines and a cap, which uvicorn's own protocol does not have."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass

from uvicorn.protocols.http.h11_impl import H11Protocol

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits of a server's connections.

    Attributes:
        connections: number of open connections; beyond it the one idle longest is closed.
        head_seconds: time from the connection, or from the first byte of a further request, to the
            end of the request's head.
        write_seconds: time within which a client must take some of the response.
    """

    connections: int = 1000
    head_seconds: float = 10.0
    write_seconds: float = 60.0


class LimitedProtocol(H11Protocol):
    """One connection: uvicorn's protocol with TCP_NODELAY and `limits`."""

    limits = ConnectionLimits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Set up a connection; at the cap, close one that idles, or else this one."""
        super().connection_made(transport)
        self._idle_since = time.monotonic()
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        # asyncio sets it on sockets of protocol 6 alone, and a listener's is 0. Without it each
        # answer waits 40 ms for the acknowledgement of its own headers.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.limits.connections:
            others = [
                other
                for other in self.connections
                if isinstance(other, LimitedProtocol) and other is not self and other._is_idle()
            ]
            if not others:
                transport.write(_FULL)
                transport.close()
                return
            longest = min(others, key=lambda other: other._idle_since)
            longest.transport.abort()
            self.connections.discard(longest)  # now, so that the next one does not choose it too
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers of a closed connection."""
        self._head_timer = _cancelled(self._head_timer)
        self._write_timer = _cancelled(self._write_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle bytes of a request; its head has a deadline."""
        super().data_received(data)
        if not self._awaits_head():
            self._head_timer = _cancelled(self._head_timer)
        elif self._head_timer is None and not self.transport.is_closing():
            self._expect_head()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._idle_since = time.monotonic()
        super().on_response_complete()
        if self._awaits_head() and self.conn.trailing_data[0]:  # half of it came before
            self._expect_head()

    def pause_writing(self) -> None:
        """Stop sending until the client has taken more."""
        super().pause_writing()
        self._expect_progress()

    def resume_writing(self) -> None:
        """Continue sending."""
        self._write_timer = _cancelled(self._write_timer)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection once everything is sent."""
        super().timeout_keep_alive_handler()
        if self._write_timer is None:
            self._expect_progress()

    def _awaits_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _is_idle(self) -> bool:
        return self._awaits_head() and self.transport.get_write_buffer_size() == 0

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self.transport.abort)

    def _expect_progress(self, before: int | None = None) -> None:
        """Close the connection if the client has taken nothing since the last check."""
        left = self.transport.get_write_buffer_size()
        if left == before:
            self.transport.abort()
            return
        self._write_timer = self.loop.call_later(
            self.limits.write_seconds, self._expect_progress, left
        )


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
