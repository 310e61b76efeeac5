"""The server process of a study: uvicorn on a socket, without access log."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable

import uvicorn

from tintype.errors import DataError
from tintype.study.app import RateLimits, create_app
from tintype.study.manifest import Study, hide_folder, verify_pictures
from tintype.study.storage import AnswerStore


def serve_study(
    study: Study,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    database: str | None = None,
    proxy: bool = False,
    limits: RateLimits | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a study until a signal ends the process.

    Several processes may serve one study at once.

    Args:
        study: the study; its pictures are checked first.
        host: address to listen on.
        port: 0 takes any that is free.
        database: URL of the database for the answers; None keeps them in the study's folder.
        proxy: trust the forwarded headers of a reverse proxy on this machine.
        limits: rate limits for each address.
        on_ready: called with the address once the server listens.

    Raises:
        DataError: the study was changed, the database cannot be used, or the port is taken.
        MissingExtraError: the database's driver is not installed.
    """
    hide_folder(study.folder)  # a copy has lost its permissions
    verify_pictures(study)
    store = AnswerStore(study, database)
    try:
        app = create_app(study, store, limits)
        with _bind_socket(host, port) as listener:
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,  # it would keep the raters' addresses
                server_header=False,
                date_header=False,
                proxy_headers=proxy,
                forwarded_allow_ips="127.0.0.1,::1",
                lifespan="off",
                timeout_keep_alive=30,
                timeout_graceful_shutdown=5,
            )
            if on_ready is not None:
                on_ready(_url(host, listener.getsockname()[1]))
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        store.close()


def is_public(host: str) -> bool:
    """Return whether other machines can reach a server on this host address."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _bind_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise DataError(
            f"cannot listen on {host}, port {port} ({reason}); choose another --port or --host."
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
