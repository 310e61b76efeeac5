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


def sources_of_result(path: Path) -> list[Path]:
    """Return the names that the photograph of NAME.colorized.EXT and other results may have.

    NAME.EXT is the first; a GIF or a HEIC has results of another EXT. There are none for any other
    file. Names like NAME.compare.EXT are in use elsewhere: there the mark tells, where it has a
    place.
    """
    if _OWN.fullmatch(path.suffix):
        original, kind = path.with_suffix(""), path.suffix
    else:
        stem = Path(path.stem)
        original, kind = path.with_name(stem.stem + path.suffix), stem.suffix
    if not _OWN.fullmatch(kind):
        return []
    if kind in (COMPARE, SAMPLES) and path.suffix.lower() != ".bmp":
        from tintype.photo.mark import is_marked

        with suppress(OSError):
            if not is_marked(path):
                return []
    from tintype.photo.encoding import READ_ONLY

    others = [suffix for suffix, written in READ_ONLY.items() if written == original.suffix]
    spelled = [form for suffix in others for form in (suffix, suffix.upper())]
    return [original, *map(original.with_suffix, spelled)]


def own_result(path: Path) -> Path | None:
    """Return the photograph beside a file whose name is that of its result; None if there is none.

    Somebody else's IMG.compare.jpg is a photograph like any other.
    """
    return next((name for name in sources_of_result(path) if name.exists()), None)
