"""Decide to which files the results of each photograph go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tintype.cli import UsageError
from tintype.cli.inputs import (
    COLORIZED,
    COMPARE,
    SAMPLE,
    SAMPLES,
    SETTINGS,
    Input,
    is_address,
    is_pattern,
    key,
)
from tintype.errors import UnwritablePhotoError

if TYPE_CHECKING:
    from tintype.runtime.hints import Hint


@dataclass(frozen=True)
class Task:
    """One photograph and where its results go.

    Attributes:
        source: the photograph; None is standard input.
        output: file of the coloured photograph; None is standard output.
        compare: file of before and after side by side; None if not wanted.
        samples: files of several colourings, in the order of their numbers from 1, instead of
            `output`.
        sheet: file of the contact sheet of several colourings; None without `samples`.
        settings: file of the settings that made the result, or one for each of the samples.
        hints: colours that are known.
    """

    source: Path | None
    output: Path | None
    compare: Path | None = None
    samples: tuple[Path, ...] = ()
    sheet: Path | None = None
    settings: tuple[Path, ...] = ()
    hints: tuple[Hint, ...] = ()

    @property
    def pictures(self) -> list[Path]:
        """The files of pictures that are written."""
        return [path for path in (self.output, self.compare, *self.samples, self.sheet) if path]

    @property
    def targets(self) -> list[Path]:
        """All files that are written."""
        return [*self.pictures, *self.settings]

    @property
    def name(self) -> str:
        """The photograph's name in messages."""
        return str(self.source or "-")


def plan_outputs(
    arguments: Sequence[str],
    photos: Sequence[Input],
    output: str | None,
    in_place: bool = False,
    compare: bool = False,
    samples: int | None = None,
    settings: bool = False,
) -> list[Task]:
    """Decide where the results of each photograph go.

    Without `output`, a result goes to NAME.colorized.EXT beside the photograph; that of standard
    input goes to standard output. If `output` is a folder, or has to be one because the arguments
    may stand for several photographs, results go there under the photographs' own names, with
    subfolders as in the input. `samples` go to NAME.sample-1.EXT and so on, and their contact sheet
    to NAME.samples.EXT. With `settings`, NAME.tintype.json is written beside each result, or
    NAME.sample-1.tintype.json and so on.

    Args:
        arguments: the files, folders and patterns that were given.
        photos: the photographs found.
        output: file or folder that was given for the results, ``-`` for standard output.
        in_place: whether results replace the photographs.
        compare: whether before and after are written side by side too.
        samples: number of colourings of each photograph; None for a single one.
        settings: whether the settings of each result are written too.

    Returns:
        A task for each photograph, in the same order.

    Raises:
        UsageError: a result would replace an input, two results would go to one file, the name of
            one has no known format, or standard output would get more than one photograph.
    """
    if output is not None and is_address(output):
        raise UsageError(f"--output {output} is an address: name a file or a folder here")
    if output == "-":
        if len(photos) > 1:
            raise UsageError("standard output takes one photograph; name a folder with --output")
        tasks = [Task(item.path, None) for item in photos]
    else:
        into_folder = output is not None and _is_folder(arguments, output)
        tasks = [_task(item, output, into_folder, in_place, compare) for item in photos]
    if compare and any(task.output is None for task in tasks):
        raise UsageError("--compare writes a second picture; name a file with --output")
    if samples is not None:
        if any(task.output is None for task in tasks):
            raise UsageError("--samples writes several pictures; name a file with --output")
        tasks = [_sampling(task, samples, named=output is not None) for task in tasks]
    if settings:
        if any(not task.pictures for task in tasks):
            raise UsageError("--save-settings writes a second file; name a file with --output")
        tasks = [_with_settings(task, named=output is not None) for task in tasks]
    _refuse_collisions(tasks, in_place)
    return tasks


def _task(
    item: Input, output: str | None, into_folder: bool, in_place: bool, compare: bool
) -> Task:
    source = item.path
    if source is None and (in_place or into_folder):
        raise UsageError(
            "a photograph from standard input needs a file to go to: give --output FILE"
        )
    if source is None and output is None:
        return Task(None, None)
    if source is not None and (in_place or output is None):
        name = _written(source)
        own = name.with_name(f"{name.stem}{COLORIZED}{name.suffix}")
        target = source if in_place else own
    elif into_folder:
        target = name = _written(Path(str(output), item.below))
    else:
        target = name = Path(str(output))
        _check_format(target, source)
    beside = target.with_name(f"{name.stem}{COMPARE}{name.suffix}") if compare else None
    return Task(source, target, beside)


def _written(path: Path) -> Path:
    """Return the name of a photograph's result, with the extension of a format that is written."""
    from tintype.photo.encoding import READ_ONLY

    suffix = READ_ONLY.get(path.suffix.lower())
    return path.with_suffix(suffix) if suffix else path


def _sampling(task: Task, count: int, named: bool) -> Task:
    """Return a task for several colourings, named after the single result."""
    target = task.output
    assert target is not None
    name = target if named or task.source is None else _written(task.source)

    def beside(word: str) -> Path:
        return target.with_name(f"{name.stem}{word}{name.suffix}")

    samples = tuple(beside(f"{SAMPLE}{k}") for k in range(1, count + 1))
    return Task(task.source, None, samples=samples, sheet=beside(SAMPLES))


def _with_settings(task: Task, named: bool) -> Task:
    """Return a task with a file of settings beside each result."""
    results = task.samples or ((task.output,) if task.output else ())
    own = task.source is not None and not named and not task.samples
    stems = [task.source.stem if own and task.source else path.stem for path in results]
    settings = (
        path.with_name(f"{stem}{SETTINGS}") for path, stem in zip(results, stems, strict=True)
    )
    return replace(task, settings=tuple(settings))


def _check_format(target: Path, source: Path | None) -> None:
    """Refuse an output name whose extension is neither the photograph's own nor a known format."""
    from tintype.photo.encoding import requested_format

    try:
        requested_format(target, source)
    except UnwritablePhotoError as error:
        raise UsageError(f"--output {error}") from None


def _is_folder(arguments: Sequence[str], output: str) -> bool:
    from tintype.photo.encoding import format_of

    exists = os.path.isdir(output)
    several = len(arguments) > 1 or any(
        os.path.isdir(argument) or is_pattern(argument) for argument in arguments
    )
    if several and not exists and (os.path.isfile(output) or format_of(output)):
        raise UsageError(
            f"--output {output} is a file, or named like one; for several photographs name a folder"
        )
    return several or exists or output.endswith(("/", os.sep))


def _refuse_collisions(tasks: Sequence[Task], in_place: bool) -> None:
    sources = {key(task.source): task.source for task in tasks if task.source}
    writers: dict[str, Path | None] = {}
    for task in tasks:
        for target in task.targets:
            at = key(target)
            if at in sources and not (in_place and target is task.output):
                raise UsageError(
                    f"the result of {task.name} would replace the input {sources[at]}; "
                    "choose another --output, or --in-place to replace the inputs"
                )
            if at in writers:
                raise UsageError(
                    f"{writers[at]} and {task.name} would both be written to {target}; "
                    "colour them into different folders"
                )
            writers[at] = task.source
