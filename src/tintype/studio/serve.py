"""The server process of the studio."""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from tintype.errors import DataError, TintypeError
from tintype.runtime.session import cores
from tintype.studio.app import Studio
from tintype.studio.limits import Limits
from tintype.web.listener import is_public, listen, serve, url_of

PORT = 8017  #: the default port


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
        photos: files to add to the session at the start.
        host: address to listen on.
        port: port to listen on; 0 for any free one; None for 8017, or any free one if it is taken.
        token: a secret that every request has to carry. None for no token on this machine, and
            for a random one where other machines can reach the host.
        keep: a folder that keeps the session; None for a temporary one.
        workers: number of worker processes; None for one per core.
        limits: the studio's limits; None for the default ones.
        on_ready: called once the server listens, with its address and a message for the user, if
            there is one.
        on_end: called as soon as a signal asks the server to end.

    Raises:
        DataError: the server cannot listen there, as where the port is taken.
        TintypeError: the folder cannot be used, or no model is installed.
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
                on_ready(f"{address}?token={quote(token, safe='')}" if token else address, said)

            def stop() -> None:
                on_end()
                studio.stop()

            serve(studio.app, listener, on_stop=stop)
        finally:
            studio.close()


def _listen(host: str, port: int | None) -> tuple[socket.socket, str | None]:
    """Return a listening socket, and a message if it has another port than the default."""
    try:
        return listen(host, PORT if port is None else port), None
    except DataError:
        if port is not None:
            raise
    return listen(host, 0), f"port {PORT} is in use, perhaps by another studio: taking another"
