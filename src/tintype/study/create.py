"""Create a study's folder from photographs."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from tintype.errors import DataError, PhotoError, UnwritablePhotoError
from tintype.photo import Photo
from tintype.study.manifest import (
    FALSE_COLORS,
    MANIFEST,
    PICTURES,
    TOKEN,
    TRUE_COLORS,
    Kind,
    Study,
    StudyPhoto,
    hide_folder,
)
from tintype.study.pictures import (
    RgbImage,
    center_square,
    check_usable,
    encode_png,
    false_colors,
    mean_chroma,
)
from tintype.study.settings import Settings, check_settings
from tintype.study.systems import FolderSystem, System

#: Called with the number of steps done, their total, and a label of the current one.
OnStep = Callable[[int, int, str], None]


@dataclass
class _UsablePhoto:
    """A usable photograph, its centre square already written."""

    path: Path
    true: str
    mean_chroma: float
    colorized: dict[str, str] = field(default_factory=dict)
    kind: Kind = "trial"


def create_study(
    folder: Path,
    photos: Sequence[Path],
    systems: Sequence[System],
    settings: Settings,
    *,
    on_step: OnStep | None = None,
) -> tuple[Study, dict[str, str]]:
    """Create a study in a new folder.

    Every photograph is cropped to its centre square; each system colorizes the luminance of that
    square, so both pictures of a pair show the same pixels. Some photographs are set apart for
    practice and for catch trials, the latter from the more colourful half.

    Args:
        folder: a new or empty folder.
        photos: photographs in colour.
        systems: the systems to judge.
        settings: the study's settings.
        on_step: called before each step, for a progress bar.

    Returns:
        The study, and a dict from each skipped photograph to the reason.

    Raises:
        DataError: a setting is out of range, the folder is not empty, two systems share a name, a
            rater has fewer trials than there are systems, or too few photographs can be used.
        UnwritablePhotoError: the folder cannot be made.
    """
    check_settings(settings)
    names = [system.name for system in systems]
    if len({*names, FALSE_COLORS, TRUE_COLORS}) < len(names) + 2 or not names:
        raise DataError(
            "a study needs at least one system, and each needs a name of its own; given: "
            + (", ".join(names) or "none")
        )
    contenders = len(names) + (settings.kind == "single")
    if settings.trials < contenders:
        raise DataError(
            f"{settings.trials} trials are too few to judge {len(names)} systems"
            f"{' and the truth' if contenders > len(names) else ''}: give more --trials, or fewer "
            "systems."
        )
    check_new_folder(folder)
    place = folder.resolve()  # "." has no name
    beside = place if place.exists() else place.parent
    partial = beside / f".{place.name}.{secrets.token_hex(4)}.partial"
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        for made in (partial, partial / PICTURES):
            made.mkdir(0o700)
    except OSError as error:
        raise UnwritablePhotoError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        study, skipped = _build_study(partial, photos, systems, settings, on_step)
        place.mkdir(0o700, exist_ok=True)
        hide_folder(place)
        # An empty folder is filled, not replaced: it may be some shell's current folder. A folder
        # with a manifest is a study, so the manifest comes last.
        for name in (PICTURES, TOKEN, MANIFEST):
            os.rename(partial / name, place / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(study, folder=folder), skipped


def check_new_folder(folder: Path) -> None:
    """Check that a study can be created in a folder.

    Raises:
        DataError: it is a file or not empty.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(
            f"{folder} exists already. A study is never changed once it is made: give a new folder."
        )


def _build_study(
    folder: Path,
    photos: Sequence[Path],
    systems: Sequence[System],
    settings: Settings,
    on_step: OnStep | None,
) -> tuple[Study, dict[str, str]]:
    step = on_step or (lambda done, total, label: None)
    checksums: dict[str, str] = {}

    def write(rgb: RgbImage) -> str:
        data = encode_png(rgb)
        name = f"{secrets.token_hex(16)}.png"  # not drawn from the seed: a name must tell nothing
        path = folder / PICTURES / name
        path.write_bytes(data)
        path.chmod(0o400)
        checksums[name] = hashlib.sha256(data).hexdigest()
        return name

    candidates, skipped = _read_photos(photos, systems, settings.size, write, step)
    contenders = len(systems) + (settings.kind == "single")
    _assign_kinds(candidates, settings, contenders, skipped)
    for done, candidate in enumerate(candidates):
        step(done, len(candidates), f"colouring {candidate.path.name}")
        with Image.open(folder / PICTURES / candidate.true) as image:
            true = np.asarray(image)
        if candidate.kind == "catch":
            candidate.colorized[FALSE_COLORS] = write(false_colors(true))
            continue
        for system in systems:
            seed = int(np.random.default_rng([settings.seed, 2, done]).integers(2**31))
            candidate.colorized[system.name] = write(system.colorize(candidate.path, true, seed))
    study = Study(
        folder=folder,
        settings=settings,
        systems={system.name: system.origin for system in systems},
        photos=tuple(
            StudyPhoto(name, c.kind, c.true, c.colorized)
            for name, c in zip(
                _display_names([c.path for c in candidates]), candidates, strict=True
            )
        ),
        checksums=checksums,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    ).write()
    # The true pictures were written first: equal times, set in the order of names, hide that.
    now = time.time()
    for name in sorted(checksums):
        os.utime(folder / PICTURES / name, (now, now))
    token = folder / TOKEN
    token.touch(mode=0o600)
    token.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
    return study, skipped


def _display_names(paths: Sequence[Path]) -> list[str]:
    """Return names for the report: file names, or paths where file names are not unique."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        absolute = [Path(os.path.abspath(path)) for path in paths]
        top = os.path.commonpath([path.parent for path in absolute])
        names = [path.relative_to(top).as_posix() for path in absolute]
    # File names need not be UTF-8, and the manifest is.
    return [name.encode(errors="backslashreplace").decode() for name in names]


def _read_photos(
    photos: Sequence[Path],
    systems: Sequence[System],
    size: int,
    write: Callable[[RgbImage], str],
    step: OnStep,
) -> tuple[list[_UsablePhoto], dict[str, str]]:
    """Write the squares of usable photographs; return these, and why others are skipped."""
    candidates: list[_UsablePhoto] = []
    skipped: dict[str, str] = {}
    seen: dict[bytes, Path] = {}
    by_name = any(isinstance(system, FolderSystem) for system in systems)
    called = Counter(path.stem for path in photos)
    for done, path in enumerate(photos):
        step(done, len(photos), f"reading {path.name}")
        try:
            if by_name and called[path.stem] > 1:
                raise PhotoError(
                    f"{path} shares the name {path.stem} with another photograph, and pictures "
                    "colorized elsewhere are found by name: rename it and its picture"
                )
            photo = Photo.open(path)
            check_usable(photo)
            rgb = center_square(photo, size)
            same = seen.setdefault(hashlib.sha256(rgb.tobytes()).digest(), path)
            if same is not path:
                raise PhotoError(f"{path} shows the same picture as {same}")
            for system in systems:
                system.check(path)
        except PhotoError as error:
            skipped[str(path)] = str(error)
        else:
            candidates.append(_UsablePhoto(path, write(rgb), mean_chroma(rgb)))
    return candidates, skipped


def _assign_kinds(
    candidates: list[_UsablePhoto], settings: Settings, contenders: int, skipped: dict[str, str]
) -> None:
    """Choose photographs for practice and, among the more colourful ones, for catch trials."""
    needed = settings.practice_trials + settings.catch_trials + contenders
    if len(candidates) < needed:
        reasons = f" ({len(skipped)} cannot: {next(iter(skipped.values()))})" if skipped else ""
        raise DataError(
            f"{len(candidates)} photographs can be used{reasons}, but {needed} are "
            f"needed: {settings.practice_trials} for practice, {settings.catch_trials} for catch "
            "trials and one for each system. Give more photographs, or smaller "
            "--practice-trials and --catch-trials."
        )
    random = np.random.default_rng([settings.seed, 3])
    by_chroma = sorted(candidates, key=lambda candidate: -candidate.mean_chroma)
    colorful = by_chroma[: max(settings.catch_trials, len(candidates) // 2)]
    for k in random.permutation(len(colorful))[: settings.catch_trials]:
        colorful[int(k)].kind = "catch"
    others = [candidate for candidate in candidates if candidate.kind == "trial"]
    for k in random.permutation(len(others))[: settings.practice_trials]:
        others[int(k)].kind = "practice"
