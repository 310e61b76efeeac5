"""Decide to which files the results of each photograph go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tintype.batch.places import name_of, place, shown, url_of
from tintype.batch.task import Task
from tintype.cli import UsageError
from tintype.cli.inputs import MANIFESTS, Input, is_address, is_pattern, key
from tintype.cli.names import COLORIZED, COMPARE, SAMPLE, SAMPLES, SETTINGS
from tintype.errors import PhotoError, UnwritablePhotoError


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
        output = _at_address(output)
    if in_place and any(item.path and url_of(item.path) for item in photos):
        raise UsageError("--in-place replaces files here, and no objects: name an --output")
    if output == "-":
        if len(photos) > 1:
            raise UsageError("standard output takes one photograph; name a folder with --output")
        tasks = [Task(item.path, None) for item in photos]
    else:
        into_folder = output is not None and _is_folder(arguments, output)
        if not into_folder and any(item.placed for item in photos):
            raise UsageError("the manifest says where results go: name their folder with --output")
        tasks = [
            replace(_task(item, output, into_folder, in_place, compare), asked=item.asked)
            for item in photos
        ]
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


def _at_address(output: str) -> str:
    """The path that stands for a URL; a folder's ends like one."""
    try:
        found = place(output, writing=True)
    except PhotoError as error:
        raise UsageError(f"--output {error}") from None
    return f"{found}{os.sep}" if output.endswith("/") else str(found)


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
    if source is not None and output is None and source.parts[0] == "https:":
        raise UsageError(f"the result of {item.path and shown(item.path)} needs a place: --output")
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
        os.path.isdir(argument)
        or is_pattern(argument)
        or argument.lower().endswith(MANIFESTS)
        or _is_folder_elsewhere(argument)
        for argument in arguments
    )
    if several and not exists and (os.path.isfile(output) or format_of(output)):
        raise UsageError(
            f"--output {output} is a file, or named like one; for several photographs name a folder"
        )
    return several or exists or output.endswith(("/", os.sep))


def _is_folder_elsewhere(argument: str) -> bool:
    """Whether a URL is that of a folder, as far as its name says it."""
    from tintype.photo.encoding import READ_ONLY, format_of

    if not is_address(argument):
        return False
    try:
        at = place(argument)
    except PhotoError:
        return False
    name = Path(name_of(at))
    return (
        os.path.isdir(at)
        if url_of(at) is None
        else not (
            format_of(name.name) or name.suffix.lower() in READ_ONLY or at.parts[0] == "https:"
        )
    )


def _refuse_collisions(tasks: Sequence[Task], in_place: bool) -> None:
    sources = {key(task.source): task.source for task in tasks if task.source}
    writers: dict[str, str] = {}
    for task in tasks:
        for target in task.targets:
            at = key(target)
            if at in sources and not (in_place and target is task.output):
                raise UsageError(
                    f"the result of {task.name} would replace the input {shown(sources[at])}; "
                    "choose another --output, or --in-place to replace the inputs"
                )
            if at in writers:
                raise UsageError(
                    f"{writers[at]} and {task.name} would both be written to {shown(target)}; "
                    "colour them into different folders"
                )
            writers[at] = task.name
