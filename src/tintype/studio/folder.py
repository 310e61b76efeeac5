"""Where the studio keeps photographs: a folder of its own, gone when it ends.

A lock on the folder goes with the process. What a dead one left is removed by the next start.
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
_LEAST_FREE = 1 << 30  # bytes of the disk


class FullDiskError(TintypeError):
    """There is no room for another photograph."""


class WorkFolder:
    """The folder of a running studio.

    Args:
        keep: a folder that stays; None for one that is gone at the end.

    Attributes:
        path: the folder.
        session: the folder in it for the photographs of the page.

    Raises:
        TintypeError: another studio has that folder, or it cannot be written.
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
                    f"another studio keeps its photographs in {self.path}: end it, or name "
                    "another folder"
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
        """Refuse another photograph while the disk is nearly full.

        Raises:
            FullDiskError: it is.
        """
        if shutil.disk_usage(self.path).free < _LEAST_FREE:
            raise FullDiskError(
                "the disk of the studio is nearly full: remove photographs or jobs, or make room"
            )

    def new(self) -> Path:
        """Return a new empty folder, for one request."""
        return Path(tempfile.mkdtemp(dir=self.path / "jobs"))

    def close(self) -> None:
        """Remove what need not stay."""
        self._lock.close()
        shutil.rmtree(self.path / "jobs", ignore_errors=True)
        if self._keep:
            (self.path / _LOCK).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def _locked(path: Path) -> BinaryIO | None:
    """Open and lock a file; None where another process has it."""
    if fcntl is None:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # on Windows an open file cannot be removed
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
    """Remove the folders of studios that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or (
                hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()
            ):
                continue
            # One without a lock may be about to get it.
            if not (folder / _LOCK).exists():
                continue
            lock = _locked(folder / _LOCK)
            if lock is not None:
                lock.close()
                shutil.rmtree(folder, ignore_errors=True)
