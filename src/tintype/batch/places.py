"""Locations of photographs: local files, and objects in a store, whose URLs are kept as paths.

s3://bucket/a.jpg becomes the path s3:/bucket/a.jpg. So the code that names results and finds those
that collide is the same for both; only reading, writing and listing differ.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from tintype.errors import PhotoError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WRITTEN = ("s3", "gs")
_READ = (*_WRITTEN, "https")


def is_url(words: str) -> bool:
    """Return whether a text is a URL and not a path."""
    return _URL.match(words) is not None


def place(url: str, writing: bool = False) -> Path:
    """Return the path that stands for a URL; for file://, the path of that file.

    Args:
        url: a URL.
        writing: whether something is to be written there; else it is read.

    Raises:
        PhotoError: the scheme is not supported for that, or the URL is malformed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme == "file":
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise PhotoError(
                f"{url} is on another machine: for a file on this one give file:///FOLDER/NAME"
            )
        return Path(unquote(parts.path))
    known = _WRITTEN if writing else _READ
    if "::" in url or scheme not in known:
        verb = "written to" if writing else "read from"
        raise PhotoError(
            f"photographs cannot be {verb} {url}: give an address that begins with "
            f"{', '.join(f'{one}://' for one in known)} or file://"
        )
    below = url.partition("://")[2].rstrip("/")
    if not below or {"", ".", ".."} & set(below.split("/")):
        raise PhotoError(f"{url} cannot be used: after SCHEME:// give a path without //, . and ..")
    return Path(f"{scheme}:", below)


def url_of(path: Path) -> str | None:
    """Return the URL that a path stands for; None if it is the path of a file."""
    scheme, _, below = path.as_posix().partition(":/")
    return f"{scheme}://{below}" if below and scheme in _READ else None


def shown(path: Path) -> str:
    """Return how messages name a file or an object: its path or its URL."""
    return url_of(path) or str(path)


def name_of(path: Path) -> str:
    """Return the file name of a path or of a URL, without the URL's query."""
    url = url_of(path)
    if url is None:
        return path.name
    from urllib.parse import urlsplit

    return PurePosixPath(urlsplit(url).path).name
