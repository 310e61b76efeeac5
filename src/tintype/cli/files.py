"""Files that a command is asked for beside photographs: none is replaced unasked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tintype.errors import TintypeError, UnwritablePhotoError


def check_free(paths: Iterable[Path | None], overwrite: bool) -> None:
    """Check before the work that files can be written.

    Args:
        paths: the files; None for one that is not asked for.
        overwrite: whether files that exist may be replaced.

    Raises:
        TintypeError: one exists and was not given up, is protected, or has no folder.
    """
    from tintype.photo.target import check_target

    for path in filter(None, paths):
        try:
            check_target(path, overwrite=overwrite)
        except UnwritablePhotoError as error:
            # The library says what its own argument is called, too.
            raise TintypeError(str(error).replace(" (overwrite=True)", "")) from None
