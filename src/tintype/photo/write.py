"""Write a photograph atomically, and replace no file unless asked to."""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, get_args

from tintype.errors import UnwritablePhotoError
from tintype.photo.encode import encode
from tintype.photo.encoding import Format, requested_format
from tintype.photo.picture import Picture
from tintype.photo.target import check_target, is_stream, unwritable_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_LEFTOVER = re.compile(r"\.tintype-[0-9a-f]{16}\.tmp")

# Windows would change line ends without it; elsewhere there is no such flag.
_O_BINARY: int = getattr(os, "O_BINARY", 0)


def save(
    photo: Picture,
    target: str | os.PathLike[str] | BinaryIO | None,
    format: str | None,
    overwrite: bool,
    in_place: bool,
) -> tuple[str, ...]:
    """Write a photograph; see `Photo.save`."""
    if target is None:
        if not in_place or photo.path is None:
            raise UnwritablePhotoError("say where to write the photograph: give save() a path")
        target = photo.path
    if not isinstance(target, (str, os.PathLike)):
        return _save_to_file(photo, target, _chosen_format(photo, None, format))
    path = Path(target)
    chosen = _chosen_format(photo, path, format)
    check_target(target, photo.path, overwrite=overwrite, in_place=in_place)
    if is_stream(path):
        return _save_to_stream(photo, path, chosen)
    try:
        with atomic(path) as file:
            notes = encode(photo, chosen, file)
            check_target(path, photo.path, overwrite=overwrite, in_place=in_place)
    except (OSError, ValueError) as error:
        raise unwritable_error(path, error) from error
    return notes


def write_whole(path: Path, content: bytes, private: bool = False) -> None:
    """Write a file whole or not at all; a device, a pipe or an open file is written to.

    Args:
        path: the file; one that exists is replaced.
        content: all of it.
        private: let its owner alone read it.

    Raises:
        UnwritablePhotoError: it cannot be written.
    """
    try:
        with open(path, "ab") if is_stream(path) else atomic(path, private) as file:
            file.write(content)
    except (OSError, ValueError) as error:
        raise unwritable_error(path, error) from error


def _save_to_file(photo: Picture, file: BinaryIO, format: Format) -> tuple[str, ...]:
    if isinstance(file, io.TextIOBase) or not hasattr(file, "write"):
        raise UnwritablePhotoError(
            "a photograph is bytes: give save() a path, or a file that is open for writing bytes, "
            "as open(path, 'wb')"
        )
    if getattr(file, "closed", False):
        raise UnwritablePhotoError("the file is closed: give save() one that is open")
    encoded = io.BytesIO()
    notes = encode(photo, format, encoded)
    try:
        _write_all(file, encoded.getbuffer())
    except BrokenPipeError:
        raise
    # A text file that is no TextIOBase raises only the last of these.
    except (OSError, ValueError, TypeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnwritablePhotoError(f"the photograph cannot be written: {why}") from error
    return notes


def _save_to_stream(photo: Picture, path: Path, format: Format) -> tuple[str, ...]:
    try:
        # Append: the previous contents of an open file are kept.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _O_BINARY)
    except OSError as error:
        raise unwritable_error(path, error) from error
    with io.FileIO(descriptor, "w") as file:
        return _save_to_file(photo, file, format)


def _chosen_format(photo: Picture, path: Path | None, format: str | None) -> Format:
    if format is not None:
        upper = {"JPG": "JPEG", "TIF": "TIFF", "JP2": "JPEG2000"}.get(
            format.upper(), format.upper()
        )
        for known in get_args(Format):
            if upper == known:
                return known
        raise UnwritablePhotoError(
            f"{format} is no format that tintype writes: "
            "choose JPEG, PNG, WebP, TIFF, AVIF, BMP or JPEG2000"
        )
    requested = requested_format(path, photo.path) if path else None
    return requested or photo.format or "PNG"


def _write_all(file: BinaryIO | io.RawIOBase, left: memoryview) -> None:
    """Write to a file that may take fewer bytes than it is given."""
    while left:
        taken = file.write(left)
        if taken is None and not isinstance(file, io.RawIOBase):
            return  # an object whose method returns no count is assumed to take all bytes
        if not taken:
            raise OSError("it takes no more bytes")
        left = left[taken:]


class _CheckedFile(io.BufferedRandom):
    """A file without ``fileno``: given one, Pillow writes itself and misses a full disk."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


@contextmanager
def atomic(path: Path, private: bool = False) -> Iterator[BinaryIO]:
    """Yield a file to write, which is moved to ``path`` when complete and removed on failure.

    Args:
        path: the file that is made, or replaced.
        private: let its owner alone read it.
    """
    # A link is followed, not replaced, as by any program that writes a file.
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".tintype-{secrets.token_hex(8)}.tmp")
    lock = None
    try:
        # The permissions of any new file, or those of the one that is replaced.
        mode = 0o600 if private else 0o666
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_BINARY, mode)
        lock = _locked(descriptor)
        with _CheckedFile(io.FileIO(descriptor, "r+")) as file:
            if path.exists() and not private:
                with suppress(OSError):  # not every file system has permissions
                    os.chmod(temporary, path.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder.

    Whoever writes such a file holds a lock on it, which goes with the process; on Windows a file
    that is open cannot be removed.
    """
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _LEFTOVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    descriptor = os.open(entry.path, os.O_RDWR | _O_BINARY)
                    try:
                        if fcntl is not None:
                            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                            os.unlink(entry.path)
                    finally:
                        os.close(descriptor)
                    if fcntl is None:
                        os.unlink(entry.path)


def _locked(descriptor: int) -> int | None:
    """Lock an open file; the lock lasts until the returned object is closed too."""
    if fcntl is None:
        return None
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.dup(descriptor)
    return None
