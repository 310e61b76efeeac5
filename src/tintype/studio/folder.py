"""The folder in which the studio keeps photographs, removed when the studio ends.

The folder is locked while its process lives; the next studio removes folders that are not locked,
which killed ones left behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tintype.errors import TintypeError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_PREFIX = "tintype-studio-"
_LOCK = "lock"
_LEAST_FREE = 1 << 30  # bytes that must stay free on the disk


class FullDiskError(TintypeError):
    """The disk has no room for another photograph."""


class WorkFolder:
    """The folder of a running studio.

    Args:
        keep: a folder that stays; None for a temporary one, removed by `close`.

    Attributes:
        path: the folder.
        session: the subfolder for the photographs of the page.

    Raises:
        TintypeError: another studio uses that folder, or it cannot be written.
    """

    def __init__(self, keep: Path | None = None) -> None:
        _remove_leftovers()
        self._keep = keep is not None
        try:
            if keep is None:
                self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            else:
                keep.mkdir(parents=True, exist_ok=True)
                self.path = keep.resolve()
            lock = _locked(self.path / _LOCK)
            if lock is None:
                raise TintypeError(
                    f"another studio uses {self.path}: stop it, or keep this session in another "
                    "folder"
                )
            self._lock = lock
            self.session = self.path / "session"
            self.session.mkdir(exist_ok=True)
            shutil.rmtree(self.path / "jobs", ignore_errors=True)
            (self.path / "jobs").mkdir()
        except OSError as error:
            raise TintypeError(
                f"{error.filename or keep} cannot be written: {error.strerror or error}"
            ) from error

    def check_space(self) -> None:
        """Raise an error if the disk is nearly full.

        Raises:
            FullDiskError: less than 1 GiB is free.
        """
        if shutil.disk_usage(self.path).free < _LEAST_FREE:
            raise FullDiskError(
                "the studio's disk is nearly full: remove photographs or jobs, or free some space"
            )

    def new(self) -> Path:
        """Return a new, empty folder for one request."""
        return Path(tempfile.mkdtemp(dir=self.path / "jobs"))

    def close(self) -> None:
        """Release the lock and remove all but a session that is kept."""
        self._lock.close()
        shutil.rmtree(self.path / "jobs", ignore_errors=True)
        if self._keep:
            (self.path / _LOCK).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def _locked(path: Path) -> BinaryIO | None:
    """Open and lock a file; return None if another process holds the lock."""
    if fcntl is None:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # fails on Windows while another process has it open
            return path.open("xb")
        return None
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _remove_leftovers() -> None:
    """Remove the folders that killed studios of this user left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or (
                hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()
            ):
                continue
            # A studio that is just starting may not have made its lock yet.
            if not (folder / _LOCK).exists():
                continue
            lock = _locked(folder / _LOCK)
            if lock is not None:
                lock.close()
                shutil.rmtree(folder, ignore_errors=True)
