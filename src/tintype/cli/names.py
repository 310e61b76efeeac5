"""Names of results, by which they are told from photographs."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

COLORIZED = ".colorized"
COMPARE = ".compare"
SAMPLE = ".sample-"  # and its number
SAMPLES = ".samples"
SETTINGS = ".tintype.json"

_OWN = re.compile(rf"({COLORIZED}|{COMPARE}|{SAMPLES}|{SAMPLE}\d+)".replace(".", r"\."))


def source_of_result(path: Path) -> Path | None:
    """Return NAME.EXT for NAME.colorized.EXT and other results; None for any other file.

    Names like NAME.compare.EXT are in use elsewhere: there the mark tells, where it has a place.
    """
    if _OWN.fullmatch(path.suffix):
        original, kind = path.with_suffix(""), path.suffix
    else:
        stem = Path(path.stem)
        original, kind = path.with_name(stem.stem + path.suffix), stem.suffix
    if not _OWN.fullmatch(kind):
        return None
    if kind in (COMPARE, SAMPLES) and path.suffix.lower() != ".bmp":
        from tintype.photo.mark import is_marked

        with suppress(OSError):
            return original if is_marked(path) else None
    return original


def own_result(path: Path) -> Path | None:
    """Return the photograph beside a file whose name is that of its result; None if there is none.

    Somebody else's IMG.compare.jpg is a photograph like any other.
    """
    from tintype.photo.encoding import READ_ONLY

    original = source_of_result(path)
    if original is None:
        return None
    # A GIF's result is a PNG.
    others = [suffix for suffix, written in READ_ONLY.items() if written == original.suffix]
    names = [original, *map(original.with_suffix, others)]
    return next((name for name in names if name.exists()), None)
