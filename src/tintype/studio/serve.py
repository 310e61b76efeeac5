"""The server process of the studio."""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from tintype.errors import DataError, TintypeError
from tintype.runtime.session import cores
from tintype.studio.app import Studio
from tintype.studio.limits import Limits
from tintype.web.listener import is_public, listen, serve, url_of

PORT = 8017  #: unless another is asked for


def serve_studio(
    photos: Sequence[Path] = (),
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    keep: Path | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    on_ready: Callable[[str, str | None], None] | None = None,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Serve the studio until a signal ends the process.

    Args:
        photos: that are in the session from the beginning.
        host: address to listen on.
        port: 0 takes any that is free; None 8017, or another where that is taken.
        token: that every request has to know; one is made where other machines can reach the
            host. None for none on this machine.
        keep: a folder in which the session stays.
        workers: how many photographs are worked on at once; by default one a core.
        limits: of the studio.
        on_ready: called with the address once the server listens, and with what there is to say.
        on_end: called as soon as it is told to end.

    Raises:
        DataError: the port is taken.
        TintypeError: the folder or the models cannot be used.
    """
    public = is_public(host)
    token = token or (secrets.token_urlsafe(16) if public else None)
    listener, said = _listen(host, port)
    with listener:
        studio = Studio(
            workers or cores(),
            keep=keep,
            limits=limits,
            token=token,
            own_names_only=not public,
        )
        try:
            for path in photos:
                try:
                    with studio.session.added(path.name) as (_, target):
                        shutil.copyfile(path, target)
                except (OSError, TintypeError) as error:
                    reason = getattr(error, "strerror", None) or error
                    said = f"{said}\n{path}: {reason}" if said else f"{path}: {reason}"
            if on_ready is not None:
                address = url_of(host, listener)
                on_ready(f"{address}?token={token}" if token else address, said)

            def stop() -> None:
                on_end()
                studio.stop()

            serve(studio.app, listener, on_stop=stop)
        finally:
            studio.close()


def _listen(host: str, port: int | None) -> tuple[socket.socket, str | None]:
    """A listening socket, and what to say of its port."""
    try:
        return listen(host, PORT if port is None else port), None
    except DataError:
        if port is not None:
            raise
    return listen(host, 0), f"port {PORT} is taken, perhaps by another studio: this takes another"
