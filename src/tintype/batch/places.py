"""Places of photographs: files here, and objects in a store, whose URL a path stands for.

The path of s3://bucket/a.jpg is s3:/bucket/a.jpg. What is made of names, where results go and which
of them collide, is so the same for both; only opening, writing and looking take the store.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from tintype.errors import PhotoError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WRITTEN = ("s3", "gs")
_READ = (*_WRITTEN, "https")


def is_url(words: str) -> bool:
    """Tell whether words are the address of something elsewhere, and not a path."""
    return _URL.match(words) is not None


def place(url: str, writing: bool = False) -> Path:
    """Return the path that stands for a URL, or of a file:// the file's own.

    Raises:
        PhotoError: nothing is read from there, or written to there.
    """
    scheme = url.partition("://")[0].lower()
    if scheme == "file":
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise PhotoError(f"{url} is a file of another machine: file:///FOLDER/NAME is one here")
        return Path(unquote(parts.path))
    known = _WRITTEN if writing else _READ
    if "::" in url or scheme not in known:
        verb = "written to" if writing else "read from"
        raise PhotoError(
            f"{url} is no address that photographs are {verb}: "
            f"those of {', '.join(known)} and file are"
        )
    below = url.partition("://")[2].rstrip("/")
    if not below or {"", ".", ".."} & set(below.split("/")):
        raise PhotoError(f"{url} is no plain address: //, . and .. in it are not understood")
    return Path(f"{scheme}:", below)


def url_of(path: Path) -> str | None:
    """Return the URL that a path stands for; None of a file's own."""
    scheme, _, below = path.as_posix().partition(":/")
    return f"{scheme}://{below}" if below and scheme in _READ else None


def shown(path: Path) -> str:
    """Return what to call a file or an object in messages."""
    return url_of(path) or str(path)


def name_of(path: Path) -> str:
    """Return the name of a file or an object, without what a URL asks for."""
    url = url_of(path)
    if url is None:
        return path.name
    from urllib.parse import urlsplit

    return PurePosixPath(urlsplit(url).path).name
