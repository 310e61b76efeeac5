"""Check where a photograph may be written, before any work; no file is replaced unasked."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tintype.errors import UnwritablePhotoError
from tintype.photo.paths import open_error_reason

# Names of open files, in folders without links.
_OPEN_FILE = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/\d+/(task/\d+/)?fd/\d+")


def check_target(
    target: str | os.PathLike[str],
    source: Path | None = None,
    *,
    overwrite: bool = False,
    in_place: bool = False,
) -> None:
    """Raise an error if a photograph could not be saved to a path, before any work is done.

    Args:
        target: where it will be saved.
        source: the photograph's own file.
        overwrite: whether a file that exists may be replaced.
        in_place: whether the photograph's own file may be replaced.

    Raises:
        UnwritablePhotoError: it exists and was not given up, is protected, or has no folder.
    """
    if not os.fspath(target):
        raise UnwritablePhotoError("an empty name was given: name a file to write")
    path = Path(target)
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise unwritable_error(path, error) from error
    else:
        if is_stream(path):
            return
        _check_existing(path, source, overwrite, in_place)
    folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        missing = FileNotFoundError(0, f"there is no folder {folder}: make it first")
        raise unwritable_error(path, missing)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnwritablePhotoError(
            f"{path} cannot be written: the folder {folder} is write-protected; "
            "allow writing in it, or choose another"
        )


def _check_existing(path: Path, source: Path | None, overwrite: bool, in_place: bool) -> None:
    if path.is_dir():
        raise UnwritablePhotoError(f"{path} is a folder: name a file in it")
    own = source is not None and source.exists() and path.samefile(source)
    if own and not in_place:
        raise UnwritablePhotoError(
            f"{path} is the photograph itself: write to another file, "
            "or replace it with --in-place (in_place=True)"
        )
    if not own and not overwrite:
        raise UnwritablePhotoError(
            f"{path} exists: choose another name, or replace it with --overwrite (overwrite=True)"
        )
    # A write-protected file could be replaced, but its owner wants it unchanged.
    if not os.access(path, os.W_OK):
        raise UnwritablePhotoError(
            f"{path} is write-protected; allow writing to it, or choose another name"
        )


def is_stream(path: Path) -> bool:
    """Tell whether a path leads to a device, a pipe or an open file: written to, never replaced."""
    if not path.exists() or path.is_dir():
        return False
    name = f"{os.path.realpath(path.parent)}/{path.name}"
    return not path.is_file() or _OPEN_FILE.fullmatch(name) is not None


def unwritable_error(path: Path, error: OSError | ValueError) -> UnwritablePhotoError:
    """Return the error that says why a path cannot be written."""
    if isinstance(error, PermissionError):
        why = "the folder or the file is protected: check their permissions"
    else:
        why = open_error_reason(path, error)
    return UnwritablePhotoError(f"{path} cannot be written: {why}")
