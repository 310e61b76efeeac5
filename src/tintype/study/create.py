"""Preparing a study: photographs in, a folder that is never changed again out."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from tintype.errors import DataError, PhotoError, UnwritablePhotoError
from tintype.photo import Photo
from tintype.study.manifest import (
    FALSE_COLOURS,
    MANIFEST,
    PICTURES,
    TOKEN,
    Kind,
    Picture,
    Settings,
    Study,
)
from tintype.study.pictures import Rgb, check_true, encode, false_colours, square, strength
from tintype.study.systems import Folder, System

#: Told what is done, of how many, and what is under way.
OnStep = Callable[[int, int, str], None]


@dataclass
class _Candidate:
    """A photograph that can be used: its square, already written, and what choosing needs."""

    path: Path
    true: str
    strength: float
    coloured: dict[str, str] = field(default_factory=dict)
    kind: Kind = "trial"


def create(
    folder: Path,
    photos: Sequence[Path],
    systems: Sequence[System],
    settings: Settings,
    *,
    on_step: OnStep | None = None,
) -> tuple[Study, dict[str, str]]:
    """Prepare a study in a new folder.

    Every photograph becomes its centred square; each system colours the luminance of that square,
    so both sides of a pair show the same pixels. Some photographs, those for catch trials among
    the more colourful half, are set apart for catch trials and practice.

    Args:
        folder: where the study is to be: a new name, or an empty folder.
        photos: photographs in colour.
        systems: whose colours are set against the true ones.
        settings: what is asked, and how.
        on_step: for a progress bar.

    Returns:
        The study, and why photographs were left out, by path.

    Raises:
        DataError: the folder is in use, a name is given twice, a rater has fewer trials than there
            are systems, or too few photographs can be used.
    """
    check_settings(settings)
    names = [system.name for system in systems]
    if not names or len(set(names)) < len(names) or FALSE_COLOURS in names:
        raise DataError(f"each system needs a name of its own, and there must be one: {names}")
    if settings.trials < len(names):
        raise DataError(
            f"with {settings.trials} trials a rater cannot judge all {len(names)} systems: choose "
            "more --trials, or fewer systems."
        )
    refuse_existing(folder)
    place = folder.resolve()  # "." has no name to make another of
    beside = place if place.exists() else place.parent
    partial = beside / f".{place.name}.{secrets.token_hex(4)}.partial"
    try:
        (partial / PICTURES).mkdir(parents=True)
    except OSError as error:
        raise UnwritablePhotoError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        study, refused = _prepared(partial, photos, systems, settings, on_step)
        place.mkdir(exist_ok=True)
        # An empty folder is filled, not replaced: somebody may be in it. The manifest makes it a
        # study, so it comes last.
        for name in (PICTURES, TOKEN, MANIFEST):
            os.rename(partial / name, place / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Study(**{**vars(study), "folder": folder}), refused


def refuse_existing(folder: Path) -> None:
    """Refuse a folder that has something in it.

    Raises:
        DataError: it does.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(
            f"{folder} exists already. A study is never changed once it is made: name a new folder."
        )


def check_settings(settings: Settings) -> None:
    """Refuse settings with which no study can be made.

    Raises:
        DataError: one is out of range.
    """
    wanted = {
        "the size of the pictures is from 32 to 2048 pixels": 32 <= settings.size <= 2048,
        "the exposure is from 0.1 seconds to a minute, or 0 for no limit": (
            settings.exposure_ms == 0 or 100 <= settings.exposure_ms <= 60_000
        ),
        "the number of trials is from 1": settings.trials >= 1,
        "practice and catch trials are counted from 0": min(settings.practice, settings.catch) >= 0,
        "fewer errors are forgiven than there are catch trials": (
            settings.catch == 0 or 0 <= settings.rules.catch_errors < settings.catch
        ),
        "the seed is a whole number from 0": settings.seed >= 0,
        "the question and the title are not empty": bool(settings.question and settings.title),
        "there is something to consent to": bool(settings.consent),
    }
    for rule, holds in wanted.items():
        if not holds:
            raise DataError(f"this makes no study: {rule}.")


def _prepared(
    folder: Path,
    photos: Sequence[Path],
    systems: Sequence[System],
    settings: Settings,
    on_step: OnStep | None,
) -> tuple[Study, dict[str, str]]:
    step = on_step or (lambda done, total, label: None)
    checksums: dict[str, str] = {}

    def write(rgb: Rgb) -> str:
        data = encode(rgb)
        name = f"{secrets.token_hex(16)}.png"  # of no seed: a name tells nothing to anybody
        path = folder / PICTURES / name
        path.write_bytes(data)
        path.chmod(0o444)
        checksums[name] = hashlib.sha256(data).hexdigest()
        return name

    candidates, refused = _candidates(photos, systems, settings.size, write, step)
    _share_out(candidates, settings, len(systems), refused)
    for done, candidate in enumerate(candidates):
        step(done, len(candidates), f"colouring {candidate.path.name}")
        with Image.open(folder / PICTURES / candidate.true) as image:
            true = np.asarray(image)
        if candidate.kind == "catch":
            candidate.coloured[FALSE_COLOURS] = write(false_colours(true))
            continue
        for system in systems:
            seed = int(np.random.default_rng([settings.seed, 2, done]).integers(2**31))
            candidate.coloured[system.name] = write(system.colour(candidate.path, true, seed))
    study = Study(
        folder=folder,
        settings=settings,
        systems={system.name: system.origin for system in systems},
        photos=tuple(
            Picture(name, c.kind, c.true, c.coloured)
            for name, c in zip(_names([c.path for c in candidates]), candidates, strict=True)
        ),
        checksums=checksums,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    ).write()
    token = folder / TOKEN
    token.touch(mode=0o600)
    token.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
    return study, refused


def _names(paths: Sequence[Path]) -> list[str]:
    """What the report calls photographs: their names, with folders where these are not enough."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        absolute = [Path(os.path.abspath(path)) for path in paths]
        top = os.path.commonpath([path.parent for path in absolute])
        names = [path.relative_to(top).as_posix() for path in absolute]
    # A name need not be UTF-8, and the manifest is.
    return [name.encode(errors="backslashreplace").decode() for name in names]


def _candidates(
    photos: Sequence[Path],
    systems: Sequence[System],
    size: int,
    write: Callable[[Rgb], str],
    step: OnStep,
) -> tuple[list[_Candidate], dict[str, str]]:
    """Every photograph that can be used, its square written, and why others cannot."""
    candidates: list[_Candidate] = []
    refused: dict[str, str] = {}
    seen: dict[bytes, Path] = {}
    by_name = any(isinstance(system, Folder) for system in systems)
    called = Counter(path.stem for path in photos)
    for done, path in enumerate(photos):
        step(done, len(photos), f"reading {path.name}")
        try:
            if by_name and called[path.stem] > 1:
                raise PhotoError(
                    f"{path} is not the only photograph called {path.stem}, by which pictures "
                    "coloured elsewhere are found: rename it and its picture"
                )
            photo = Photo.open(path)
            check_true(photo)
            rgb = square(photo, size)
            same = seen.setdefault(hashlib.sha256(rgb.tobytes()).digest(), path)
            if same is not path:
                raise PhotoError(f"{path} shows the same as {same}")
            for system in systems:
                system.check(path)
        except PhotoError as error:
            refused[str(path)] = str(error)
        else:
            candidates.append(_Candidate(path, write(rgb), strength(rgb)))
    return candidates, refused


def _share_out(
    candidates: list[_Candidate], settings: Settings, systems: int, refused: dict[str, str]
) -> None:
    """Set photographs apart for catch trials, the more colourful ones, and for practice."""
    needed = settings.practice + settings.catch + systems
    if len(candidates) < needed:
        reasons = f" ({len(refused)} cannot: {next(iter(refused.values()))})" if refused else ""
        raise DataError(
            f"{len(candidates)} photographs can be used{reasons}, and {needed} are "
            f"needed: {settings.practice} for practice, {settings.catch} for catch trials and one "
            "that counts for each system. Give more, or choose smaller --practice and --catch."
        )
    random = np.random.default_rng([settings.seed, 3])
    by_strength = sorted(candidates, key=lambda candidate: -candidate.strength)
    colourful = by_strength[: max(settings.catch, len(candidates) // 2)]
    for k in random.permutation(len(colourful))[: settings.catch]:
        colourful[int(k)].kind = "catch"
    others = [candidate for candidate in candidates if candidate.kind == "trial"]
    for k in random.permutation(len(others))[: settings.practice]:
        others[int(k)].kind = "practice"
