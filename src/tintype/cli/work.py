"""Colour one photograph after the other and write the results."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tintype.cli.console import Progress, write_out
from tintype.cli.inputs import Failure
from tintype.cli.outputs import Task
from tintype.cli.report import Report, class_of
from tintype.cli.termination import interruption_behind
from tintype.errors import TintypeError, UnreadablePhotoError, UnwritablePhotoError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from tintype.photo import Photo
    from tintype.runtime.colorizer import Colorizer
    from tintype.runtime.options import Options


_COMPARED = 4_000_000  # most pixels of each half of a comparison
_LONGEST_COMPARED = 8000  # most pixels of its longer side: WebP's limit is 16,383 for both


class Reader:
    """Open photographs, the first one ahead of time.

    Args:
        max_pixels: refuse photographs with more pixels; None for the default limit.
        in_place: refuse photographs that would lose something if they were replaced.
        strict: refuse damaged photographs.
        page: page of a TIFF to read, from 1; None for the first.
    """

    def __init__(
        self, max_pixels: int | None, in_place: bool, strict: bool, page: int | None
    ) -> None:
        self.max_pixels = max_pixels
        self.in_place = in_place
        self._strict = strict
        self._page = page
        self._ahead: tuple[Task, Future[Photo]] | None = None

    def begin(self, task: Task, pool: Executor) -> None:
        """Start to open a photograph in another thread; its errors are raised by `open`."""
        # A pipe may never end: only the main thread, which Ctrl-C interrupts, reads it.
        if task.source is not None and os.path.isfile(task.source):
            self._ahead = task, pool.submit(self._opening(task))

    def open(self, task: Task) -> Photo:
        """Return the photograph.

        Raises:
            PhotoError: it cannot be read, or replacing it would lose something.
        """
        ahead, self._ahead = self._ahead, None
        photo = ahead[1].result() if ahead and ahead[0] is task else self._opening(task)()
        lost = None
        if photo.kind == "color":
            lost = "is in colour, and its own colours would be lost"
        elif photo.left_out:
            lost = f"holds more than would be written back ({photo.left_out[0]})"
        if lost and self.in_place:
            raise UnwritablePhotoError(
                f"{task.name} {lost}: leave out --in-place, or name another --output"
            )
        return photo

    def _opening(self, task: Task) -> Callable[[], Photo]:
        from tintype.photo import DEFAULT_MAX_PIXELS, Photo

        return partial(
            Photo.open,
            sys.stdin.buffer.read() if task.source is None else task.source,
            max_pixels=self.max_pixels or DEFAULT_MAX_PIXELS,
            # Colours that are there take memory, and only comparisons and sheets show them.
            keep_colors=task.compare is not None or task.sheet is not None,
            strict=self._strict,
            page=self._page,
        )


@dataclass(frozen=True)
class Work:
    """Colour photographs with one model and one set of options, and write the results.

    Attributes:
        colorizer: the model.
        options: its options.
        reader: opens the photographs.
        overwrite: replace results that exist.
        skip_existing: keep results that exist.
    """

    colorizer: Colorizer
    options: Options
    reader: Reader
    overwrite: bool
    skip_existing: bool

    def do_all(self, tasks: Sequence[Task], report: Report, progress: Progress) -> None:
        """Do every task; one that fails is reported and stops no other."""
        from tintype.photo.write import remove_leftovers

        for folder in {Path(os.path.realpath(path)).parent for t in tasks for path in t.targets}:
            remove_leftovers(folder)
        replacing = self.overwrite or self.reader.in_place
        done = set() if self.skip_existing or replacing else _done(tasks)
        try:
            for number, task in enumerate(tasks):
                progress.show(number, len(tasks), task.name)
                try:
                    self._do(task, report, progress)
                except BrokenPipeError:
                    raise
                # Whatever happens to one photograph, the others are coloured.
                except Exception as error:
                    if interruption_behind(error) or os.environ.get("TINTYPE_DEBUG"):
                        raise
                    failure = Failure(task.name, _sentence(task, error), class_of(error))
                    report.failed.append(failure)
                    if task not in done or len(done) == 1:
                        progress.say(f"tintype: {failure.error}")
        except KeyboardInterrupt:
            if len(tasks) > 1:
                coloured = f"{len(report.photos)} of {len(tasks)} photographs are coloured"
                progress.say(f"tintype: {coloured}; go on with --skip-existing")
            raise
        if len(done) > 1:
            there = f"{len(done)} of {len(tasks)} photographs have their results already"
            progress.say(
                f"tintype: {there}: --skip-existing colours the others alone, --overwrite replaces"
            )

    def _do(self, task: Task, report: Report, progress: Progress) -> None:
        """Colour one photograph, write its results and report it."""
        started = time.perf_counter()
        self._check_targets(task)
        original = self.reader.open(task)
        for path in task.targets:  # only now, so that a mistyped name makes no folders
            path.parent.mkdir(parents=True, exist_ok=True)
        entry: dict[str, Any] = {"input": task.name, "output": None, "compare": None}
        entry["hints"] = [hint.to_json() for hint in task.hints]
        said, colored = original.notes, None
        if task.samples:
            entry["samples"], said, lost = self._sample(task, original)
            entry["sheet"] = str(task.sheet)
        elif task.output is not None and self._keep_existing(task.output):
            colored = self._result(task.output, original)
            entry["output"], lost = str(task.output), (f"{task.output} was there and is kept",)
        else:
            colored = self.colorizer.colorize(original, self.options, hints=task.hints)
            entry["output"], said = str(task.output or "-"), colored.notes
            lost = self._save(task.output, task, colored)
            for path in task.settings:
                entry["settings"] = self._save_settings(path, task, self.options)
        replaced = ["was in colour: its own colours were replaced"]
        notes = [*said, *(replaced if original.kind == "color" else []), *lost]
        entry |= {
            "kind": original.kind,
            "width": original.width,
            "height": original.height,
            "seconds": round(time.perf_counter() - started, 3),
            "notes": notes,
        }
        report.photos.append(entry)
        if progress.watched:
            progress.say(f"{task.name} -> {task.sheet or task.output or '-'}")
        for note in notes:
            progress.say(f"tintype: {task.name}: {note}")
        if task.compare is not None and colored is not None:
            if not self._keep_existing(task.compare):
                self._compare(task, original, colored, task.compare)
            entry["compare"] = str(task.compare)
            entry["seconds"] = round(time.perf_counter() - started, 3)

    def _check_targets(self, task: Task) -> None:
        """Raise now, before the work, if a result cannot be written."""
        from tintype.photo.target import check_target

        for path in task.targets:
            if self._keep_existing(path) and path not in task.settings:
                continue
            if not path.parent.exists():
                continue
            in_place = self.reader.in_place and path is task.output
            # Settings belong to a result: those of an old one must not stay beside a new one.
            overwrite = self.overwrite or (self.skip_existing and path in task.settings)
            check_target(path, task.source, overwrite=overwrite, in_place=in_place)

    def _keep_existing(self, path: Path) -> bool:
        """Return whether a result of an earlier run is to be kept."""
        return self.skip_existing and path.exists()

    def _result(self, path: Path, original: Photo) -> Photo:
        """Open the result that an earlier run made of a photograph."""
        from tintype.photo import Photo

        result = Photo.open(path, max_pixels=self.reader.max_pixels)
        if result.gray.shape != original.gray.shape:
            raise UnreadablePhotoError(
                f"{path} is {result.width} × {result.height} pixels and the photograph "
                f"{original.width} × {original.height}: it is no result of it; move it away"
            )
        return result

    def _sample(
        self, task: Task, original: Photo
    ) -> tuple[list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]:
        """Write the samples and their sheet; return report entries, notes, and what was lost."""
        from tintype.cli.sheet import contact_sheet, thumbnail

        thumbnails = [("the photograph", thumbnail(original.rgb()))]
        entries, said, lost = [], original.notes, ()
        count = len(task.samples)
        for sample in self.colorizer.sample(original, count, self.options, hints=task.hints):
            path = task.samples[sample.number - 1]
            kept = self._keep_existing(path)
            said, lost = sample.photo.notes, self._save(path, task, sample.photo)
            figures = {key: round(getattr(sample, key), 4) for key in ("nats", "bits")}
            entry = {"output": str(path), "number": sample.number, **figures}
            if task.settings and not kept:
                options = replace(self.options, sample=sample.number)
                own = task.settings[sample.number - 1]
                entry["settings"] = self._save_settings(own, task, options)
            entries.append(entry)
            caption = f"{sample.number}: {sample.bits:.2f} bits"
            thumbnails.append((caption, thumbnail(sample.photo.rgb())))
        assert task.sheet is not None
        try:
            format = _format(task, task.sheet, original)
            contact_sheet(thumbnails).save(task.sheet, format=format, overwrite=self.overwrite)
        except (TintypeError, OSError, MemoryError) as error:
            raise UnwritablePhotoError(
                f"{task.name} was coloured, but the sheet could not be made: {_reason(error)}"
            ) from error
        return entries, said, lost

    def _save_settings(self, path: Path, task: Task, options: Options) -> str:
        """Write the settings that made a result; return the name of their file."""
        from tintype.card import sha256
        from tintype.photo.target import check_target
        from tintype.photo.write import atomic
        from tintype.runtime.settings import Settings

        settings = Settings.of(self.colorizer.card, options, task.hints)
        try:
            if task.source is not None and not self.reader.in_place:
                settings = replace(settings, scan=sha256(task.source), libraries=_libraries())
            check_target(path, overwrite=self.overwrite or self.skip_existing)
            with atomic(Path(os.path.realpath(path))) as file:
                file.write(settings.to_json().encode())
        except (TintypeError, OSError) as error:
            raise UnwritablePhotoError(
                f"{task.name} was coloured, but its settings could not be written: {_reason(error)}"
            ) from error
        return str(path)

    def _save(self, path: Path | None, task: Task, photo: Photo) -> tuple[str, ...]:
        if path is None:
            encoded = io.BytesIO()
            lost = photo.save(encoded)
            write_out(encoded.getvalue())
            return lost
        if self._keep_existing(path):
            return ()
        return photo.save(
            path,
            format=_format(task, path, photo),
            overwrite=self.overwrite,
            in_place=self.reader.in_place,
        )

    def _compare(self, task: Task, original: Photo, colored: Photo, target: Path) -> None:
        try:
            both = side_by_side(original, colored)
            both.save(target, format=_format(task, target, colored), overwrite=self.overwrite)
        except (TintypeError, OSError, MemoryError) as error:
            raise UnwritablePhotoError(
                f"{task.name} was coloured, but the comparison could not be made: {_reason(error)}"
            ) from error


def side_by_side(original: Photo, colored: Photo) -> Photo:
    """Return one picture with the photograph on the left and the coloured one on the right.

    It is for viewing: each half has 8 bits and at most 4,000,000 pixels.
    """
    import numpy as np

    from tintype.cli.sheet import own_picture, thumbnail

    share = min(1.0, (_COMPARED / (original.width * original.height)) ** 0.5)
    size = [max(1, int(side * share)) for side in (original.width, original.height)]
    # Twice this side must fit into every format.
    size = [min(side, _LONGEST_COMPARED) for side in size]
    halves = [np.asarray(thumbnail(photo.rgb(), size)) for photo in (original, colored)]
    return own_picture(np.concatenate(halves, axis=1))


def _libraries() -> dict[str, str]:
    """Return the versions of the libraries that compute a result."""
    from importlib.metadata import version

    return {name: version(name) for name in ("onnxruntime", "numpy", "pillow")}


def _done(tasks: Sequence[Task]) -> set[Task]:
    """Return the tasks whose results all exist."""
    return {t for t in tasks if t.pictures and all(map(os.path.exists, t.pictures))}


def _format(task: Task, path: Path, photo: Photo) -> str | None:
    """Return the format that a result's name asks for; the photograph's own if it has none."""
    from tintype.photo.encoding import requested_format

    return requested_format(path, task.source) or photo.format


def _sentence(task: Task, error: Exception) -> str:
    # The library's advice, in terms of the command's options.
    reason = _reason(error).replace(
        "replace it with --overwrite (overwrite=True)",
        "leave it as it is with --skip-existing, or replace it with --overwrite",
    )
    return reason if task.name in reason else f"{task.name}: {reason}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return str(error) or "not enough memory"
    if isinstance(error, (TintypeError, OSError)):
        return str(error) or type(error).__name__
    return (
        f"this is a bug in tintype ({type(error).__name__}: {error}); "
        "rerun with TINTYPE_DEBUG=1 for the traceback"
    )
