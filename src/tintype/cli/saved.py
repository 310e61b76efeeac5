"""A folder of settings for ``tintype colorize --settings``: each photograph by its own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tintype.batch.task import Failure, Outcome, Task, class_of
from tintype.cli.inputs import Input, Skipped
from tintype.cli.names import SAMPLE, SETTINGS
from tintype.errors import SettingError, TintypeError

if TYPE_CHECKING:
    from tintype.runtime.settings import Settings

_OF_SAMPLE = re.compile(rf"(.+){re.escape(SAMPLE)}(\d+){re.escape(SETTINGS)}")


@dataclass
class Album:
    """What a folder of settings holds for photographs.

    Attributes:
        files: the file of settings of each photograph that has one.
        skipped: the photographs that have none, or several to choose from.
        notes: sentences to print about all this.
    """

    files: dict[Task, Path] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_settings(folder: Path, tasks: Sequence[Task], photos: Sequence[Input]) -> Album:
    """Find for each photograph NAME its NAME.tintype.json, or its only NAME.sample-K.tintype.json.

    That of a photograph in a subfolder may lie in the same subfolder of `folder`.

    Args:
        folder: the folder of settings.
        tasks, photos: one of each for every photograph, in the same order.

    Raises:
        SettingError: there are photographs, and none has settings.
    """
    album, without = Album(), list[str]()
    samples: dict[Path, dict[str, list[Path]]] = {}
    for task, item in zip(tasks, photos, strict=True):
        stem = item.path.stem if item.path else "-"
        places = dict.fromkeys((folder / item.below.parent, folder))
        exact = [path for at in places if (path := at / f"{stem}{SETTINGS}").exists()]
        for at in places:
            if at not in samples:
                samples[at] = _settings_of_samples(at)
        several = next((found for at in places if (found := samples[at].get(stem))), [])
        if exact or len(several) == 1:
            album.files[task] = (exact or several)[0]
            if not exact:
                album.notes.append(f"{task.name} is made by {several[0]}")
        elif several:
            reason = f"has settings of {len(several)} samples in {several[0].parent}: " + (
                f"keep one there, or give its file, as --settings {several[0]}"
            )
            album.skipped.append(Skipped(task.name, reason))
            album.notes.append(f"{task.name} is skipped: it {reason}")
        else:
            without.append(task.name)
            album.skipped.append(Skipped(task.name, f"has no settings in {folder}"))
    if tasks and not album.files:
        if several := [one for one in album.skipped if one.input not in without]:
            raise SettingError(f"{several[0].input} {several[0].reason}")
        raise SettingError(
            f"{folder} has settings for none of these photographs ({some(without)}): a photograph "
            f"NAME takes NAME{SETTINGS}, which --save-settings writes; give the folder it wrote "
            "to, or leave out --settings"
        )
    if without:
        count = f"{len(without)} of {len(tasks)} photographs"
        album.notes.append(f"{count} skipped, without settings in {folder}: {some(without)}")
    return album


def _settings_of_samples(folder: Path) -> dict[str, list[Path]]:
    """Return NAME -> the files NAME.sample-K.tintype.json in a folder, by K."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := _OF_SAMPLE.fullmatch(path.name):
            found.setdefault(match[1], []).append((int(match[2]), path))
    return {stem: [path for _, path in sorted(paths)] for stem, paths in found.items()}


def grouped(
    tasks: Sequence[Task], album: Album | None, saved: Settings | None
) -> tuple[list[tuple[Settings | None, list[Task]]], list[str], list[Outcome]]:
    """Return the tasks by the settings that hold for them.

    Args:
        tasks: what is to be done.
        album: the folder of settings; each task has its own, whose hints are added.
        saved: without a folder, the settings of every task, if there are any.

    Returns:
        Groups of tasks alike in model and options; notes of photographs that the settings were not
        made from, and of settings that cannot be read; and what came of the photographs of these.
    """
    if album is None:
        one = [(tasks[0], saved)] if saved and len(tasks) == 1 else []
        return [(saved, list(tasks))] if tasks else [], _other_scans(one), []
    from tintype.runtime.settings import read_settings

    groups: dict[str, tuple[Settings | None, list[Task]]] = {}
    known, failed = list[tuple[Task, "Settings"]](), list[Outcome]()
    for task in tasks:
        try:
            own = read_settings(album.files[task])
        except SettingError as error:
            failed.append(failing(task, error))
            continue
        known.append((task, own))
        alike = json.dumps([own.model, dict(own.files), dict(own.options)], sort_keys=True)
        group = groups.setdefault(alike, (own, []))[1]
        group.append(replace(task, hints=task.hints or own.hints))
    notes = [*_other_scans(known), *(one.failure.error for one in failed if one.failure)]
    return list(groups.values()), notes, failed


def failing(task: Task, error: TintypeError) -> Outcome:
    """Return what comes of a photograph whose settings do not serve."""
    return Outcome(task, failure=Failure(task.name, f"{task.name}: {error}", class_of(error)))


def _other_scans(settings: Sequence[tuple[Task, Settings]]) -> list[str]:
    """Return a note of the photographs that settings were not made from; nothing without any."""
    others = [task.name for task, own in settings if _is_other_scan(task, own)]
    if not others:
        return []
    if len(settings) == 1:
        return [
            f"{others[0]} is not the scan that the settings were made from: the result will differ "
            "from the one made then; for the same, give the scan itself, not a coloured copy"
        ]
    return [
        f"{len(others)} of {len(settings)} photographs are not the scans that their settings were "
        f"made from ({some(others)}): the results will differ from those made then; for the same, "
        "give the scans themselves, not coloured copies"
    ]


def _is_other_scan(task: Task, saved: Settings) -> bool:
    """Tell whether settings were made from another file; False if that is not known."""
    from tintype.card import sha256

    if not saved.scan or task.source is None:
        return False
    try:
        return sha256(task.source) != saved.scan
    except OSError:  # said when the photograph is read
        return False


def some(names: Sequence[str]) -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
