"""Photographs in an object store, through fsspec: list and download them, upload results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tintype.batch.places import name_of, url_of
from tintype.batch.task import Task
from tintype.errors import MissingExtraError, UnreadablePhotoError, UnwritablePhotoError


@lru_cache
def _store(scheme: str) -> Any:
    """Return fsspec's file system of a scheme, one per process."""
    try:
        import fsspec

        return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        raise MissingExtraError("cloud", f"an address that begins with {scheme}://") from error


def _found(path: Path) -> tuple[Any, str]:
    url = url_of(path)
    assert url is not None
    scheme, _, below = url.partition("://")
    return _store(scheme), url if scheme == "https" else below


@contextlib.contextmanager
def _sentences(verb: str, path: Path) -> Iterator[None]:
    """Turn a store's exceptions into tintype's errors, with a one-line message."""
    try:
        yield
    except FileNotFoundError:
        raise UnreadablePhotoError(f"{url_of(path)} does not exist") from None
    except Exception as error:  # each store has exceptions of its own
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        cls = UnwritablePhotoError if verb == "written" else UnreadablePhotoError
        raise cls(f"{url_of(path)} cannot be {verb}: {reason}") from error


def photographs_in(folder: Path, recursive: bool) -> list[Path]:
    """Return the objects in a folder of a store, sorted by name; an object's path gives itself.

    Args:
        folder: the path that stands for the folder's URL, or for an object's.
        recursive: also list subfolders.

    Raises:
        UnreadablePhotoError: nothing is there, or the store refuses access.
        MissingExtraError: the packages for this kind of store are not installed.
    """
    store, where = _found(folder)
    if folder.parts[0] == "https:":  # a web server has no reliable listing
        return [folder]
    with _sentences("read", folder):
        names = store.find(where, maxdepth=None if recursive else 1)
    if not names:
        raise UnreadablePhotoError(f"{url_of(folder)} does not exist, or contains no files")
    return [Path(folder.parts[0], name) for name in sorted(names) if not name.endswith("/")]


def existing(paths: Iterable[Path]) -> set[Path]:
    """Return those of several objects that exist; each of their folders is listed only once.

    Raises:
        UnreadablePhotoError: the store refuses access.
        MissingExtraError: the packages for this kind of store are not installed.
    """
    folders: dict[Path, set[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, set()).add(path)
    there: set[Path] = set()
    for folder, wanted in folders.items():
        store, where = _found(folder)
        with _sentences("read", folder), contextlib.suppress(FileNotFoundError):
            names = store.ls(where, detail=False)
            there |= wanted & {Path(folder.parts[0], name) for name in names}
    return there


class Here:
    """A task with local copies in place of objects in a store.

    Args:
        task: the task, with paths that stand for URLs.
        folder: an empty temporary folder for the copies.

    Attributes:
        task: the same task on local files.
        names: local path -> URL, for messages.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        self._folder = folder
        self.names: dict[str, str] = {}
        self._results: dict[Path, Path] = {}
        self._kept: set[Path] = set()
        self._source, source = task.source, task.source
        if source is not None and url_of(source) is not None:
            source = folder / "photograph" / name_of(source)
            self.names[str(source)] = task.name
        self.task = task.moved(source, self._here)

    def _here(self, path: Path) -> Path:
        url = url_of(path)
        if url is None:
            return path
        local = self._folder / "results" / path.name
        self.names[str(local)] = url
        self._results[local] = path
        return local

    def fetch(self, overwrite: bool, keep: bool) -> None:
        """Download the photograph.

        Args:
            overwrite: whether results that exist in the store may be replaced.
            keep: download pictures that exist too, as results to keep; settings may be replaced.

        Raises:
            PhotoError: it cannot be read, or a result exists and may not be replaced.
        """
        results = {path: local for local, path in self._results.items()}
        there = [] if overwrite else sorted(existing(results))
        if there and not keep:
            path = there[0]
            raise UnwritablePhotoError(
                f"{url_of(path)} exists: leave it as it is with --skip-existing, or replace it "
                "with --overwrite"
            )
        local = self.task.source
        if local is not None and self._source is not None and local != self._source:
            self._download(self._source, local)
        for path in there:
            if results[path] in self.task.pictures:
                self._download(path, results[path])
                self._kept.add(results[path])

    def _download(self, path: Path, local: Path) -> None:
        local.parent.mkdir(exist_ok=True)
        store, where = _found(path)
        with _sentences("read", path):
            store.get_file(where, str(local))

    def send(self) -> None:
        """Upload the results that were made; each arrives whole or not at all.

        Raises:
            UnwritablePhotoError: a result cannot be written.
        """
        for local, path in self._results.items():
            if local.exists() and local not in self._kept:
                store, where = _found(path)
                with _sentences("written", path):
                    store.put_file(str(local), where)


@contextlib.contextmanager
def brought_here(task: Task) -> Iterator[Here]:
    """Yield a task on local copies in a temporary folder, which is removed after the block."""
    with TemporaryDirectory(prefix="tintype-") as folder:
        yield Here(task, Path(folder))
