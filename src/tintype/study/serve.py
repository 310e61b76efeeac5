"""The server process of a study."""

from __future__ import annotations

from collections.abc import Callable

from tintype.study.app import create_app
from tintype.study.manifest import Study, hide_folder, verify_pictures
from tintype.study.site import RateLimits
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
        port: port to listen on; 0 takes any free one.
        database: URL of the database for the answers; None keeps them in the study's folder.
        proxy: trust the forwarded headers of a reverse proxy on this machine.
        limits: rate limits for each client address.
        on_ready: called with the URL of the study once the server listens.

    Raises:
        DataError: the study was changed, the database cannot be used, or the port is taken.
        MissingExtraError: the database's driver is not installed.
    """
    hide_folder(study.folder)  # again, since copying loses permissions
    verify_pictures(study)
    store = AnswerStore(study, database)
    try:
        # On a loopback address requests for other host names are refused, except behind a proxy.
        app = create_app(study, store, limits, own_names_only=not (proxy or is_public(host)))
        with listen(host, port) as listener:
            if on_ready is not None:
                on_ready(url_of(host, listener))
            serve(app, listener, proxy=proxy)
    finally:
        store.close()
