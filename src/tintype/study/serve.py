"""The server process of a study."""

from __future__ import annotations

from collections.abc import Callable

from tintype.study.app import create_app
from tintype.study.limits import RateLimits
from tintype.study.manifest import Study, hide_folder, verify_pictures
from tintype.study.storage import AnswerStore
from tintype.web.listener import is_public, listen, serve, url_of


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
        # On an address of this machine alone nobody else's name is right, but a proxy's.
        app = create_app(study, store, limits, own_names_only=not (proxy or is_public(host)))
        with listen(host, port) as listener:
            if on_ready is not None:
                on_ready(url_of(host, listener))
            serve(app, listener, proxy=proxy)
    finally:
        store.close()
