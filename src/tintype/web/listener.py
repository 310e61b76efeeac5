"""Listen on an address and serve an application there: uvicorn, without access log."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from tintype.errors import DataError
from tintype.web.protocol import ConnectionLimits, LimitedProtocol

_MAX_HEAD_BYTES = 16 * 1024
_BACKLOG = 512
_ACCEPTED_AT_ONCE = 8  # few, so that those over the cap are closed before files run out
_MAX_FILES = 4096
#: For database connections and pictures of 40 threads, Python's own, and those being accepted.
_RESERVED_FILES = 180


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes any that is free.

    Raises:
        DataError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise DataError(
            f"cannot listen on {host}, port {port} ({reason}); choose another --port or --host."
        ) from error


def url_of(host: str, listener: socket.socket) -> str:
    """Return the URL of a listener."""
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_public(host: str) -> bool:
    """Tell whether other machines can reach a server on this host address."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    proxy: bool = False,
    limits: ConnectionLimits | None = None,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Serve an application until a signal ends the process.

    Args:
        app: the application.
        listener: from `listen`.
        proxy: trust the forwarded headers of a reverse proxy on this machine.
        limits: limits of its connections; fewer are accepted if the process may open few files.
        on_stop: called on the signal, before the server waits for open requests.
    """
    limits = limits or ConnectionLimits()
    limits = replace(limits, connections=max(8, min(limits.connections, _spare_files())))
    protocol = type("Protocol", (LimitedProtocol,), {"limits": limits})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_level="warning",
        access_log=False,  # it would keep the visitors' addresses
        server_header=False,
        date_header=False,
        proxy_headers=proxy,
        forwarded_allow_ips="127.0.0.1,::1",
        lifespan="off",
        backlog=_ACCEPTED_AT_ONCE,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
    )
    server = _Server(config)
    server.on_stop = on_stop
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    on_stop: Callable[[], None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self.on_stop is not None:
            self.on_stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():  # asyncio accepts a whole backlog at once
            listener.listen(_BACKLOG)


def _spare_files() -> int:
    """Raise the limit of open files as far as allowed; return how many connections may use."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return _MAX_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files, most = (_MAX_FILES if n == resource.RLIM_INFINITY else n for n in (soft, hard))
    if files < min(_MAX_FILES, most):
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(_MAX_FILES, most), hard))
            files = min(_MAX_FILES, most)
    return files - _RESERVED_FILES
