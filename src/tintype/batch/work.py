"""Colour one photograph of many and write the results."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tintype.batch.places import url_of
from tintype.batch.task import Failure, Outcome, Task, class_of
from tintype.errors import (
    PhotoError,
    TintypeError,
    UnreadablePhotoError,
    UnwritablePhotoError,
    interruption_behind,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from tintype.photo import Photo
    from tintype.runtime.colorizer import Colorizer
    from tintype.runtime.options import Options


_COMPARED = 4_000_000  # most pixels of each half of a comparison
_LONGEST_COMPARED = 8000  # most pixels of its longer side: WebP's limit is 16,383 for both


class Reader:
    """Open photographs; the first one can be opened ahead, while the model loads.

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
        """Start to open a photograph in another thread; `open` returns it or raises its error."""
        # A pipe may never end: only the main thread, which Ctrl-C interrupts, reads it.
        if task.source is not None and os.path.isfile(task.source):
            self._ahead = task, pool.submit(self._opening(task))

    def open(self, task: Task) -> Photo:
        """Return the photograph of a task.

        Raises:
            PhotoError: it cannot be read, or replacing it in place would lose something.
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
            # The photograph's own colours take memory, and only comparisons and sheets show them.
            keep_colors=task.compare is not None or task.sheet is not None,
            strict=self._strict,
            page=self._page,
        )


@dataclass(frozen=True)
class Work:
    """Colour photographs with one model and one set of options, and write the results.

    Attributes:
        colorizer: the loaded model.
        options: the model's options.
        reader: opens the photographs.
        overwrite: replace results that exist.
        skip_existing: keep results that exist.
        entropy: also compute the mean entropy of the model's predictions.
    """

    colorizer: Colorizer
    options: Options
    reader: Reader
    overwrite: bool
    skip_existing: bool
    entropy: bool = False

    def do(self, task: Task) -> Outcome:
        """Color one photograph, write the results and return the outcome.

        An error is returned in the outcome, so that one photograph's fault never ends the others;
        only an interruption is raised, and with TINTYPE_DEBUG set every error.
        """
        started = time.perf_counter()
        outcome = Outcome(task)
        try:
            work = self._with_options_of(outcome) if task.asked else self
            if task.elsewhere:
                work._do_elsewhere(outcome, started)
            else:
                work._do(outcome, started)
        except Exception as error:
            if interruption_behind(error) or os.environ.get("TINTYPE_DEBUG"):
                raise
            outcome.failure = Failure(task.name, _sentence(task, error), class_of(error))
        outcome.seconds = round(time.perf_counter() - started, 3)
        outcome.remarks = self.colorizer.device.said()
        return outcome

    def _with_options_of(self, outcome: Outcome) -> Work:
        """Return the same work with the options of a photograph's own, noted in its outcome."""
        held = {name: value for name, value in asdict(self.options).items() if value is not None}
        options = self.colorizer.options(**{**held, **dict(outcome.task.asked)})
        outcome.options = asdict(options)
        return replace(self, options=options)

    def _do_elsewhere(self, outcome: Outcome, started: float) -> None:
        """Do a task with local copies of what is in an object store."""
        from tintype.batch.remote import brought_here

        task = outcome.task
        with brought_here(task) as here:
            try:
                here.fetch(self.overwrite, self.skip_existing)
                outcome.task = here.task
                try:
                    self._do(outcome, started)
                finally:  # upload the result even if the comparison failed
                    entry, outcome.entry = outcome.entry, None
                    if entry is not None:
                        here.send()
                        outcome.entry = called(entry, here.names)
            except PhotoError as error:
                raise type(error)(called(str(error), here.names)) from error
            finally:
                outcome.task = task

    def _do(self, outcome: Outcome, started: float) -> None:
        task = outcome.task
        self._check_targets(task)
        original = self.reader.open(task)
        for path in task.targets:  # only now, so that a mistyped source makes no folders
            path.parent.mkdir(parents=True, exist_ok=True)
        entry: dict[str, Any] = {"input": task.name, "output": None, "compare": None}
        entry["hints"] = [hint.to_json() for hint in task.hints]
        said, colored = original.notes, None
        if task.samples:
            entry["samples"], said, lost = self._sample(task, original)
            entry["sheet"] = str(task.sheet)
        elif task.output is not None and self._keep_existing(task.output):
            colored = self._result(task.output, original)
            entry["output"], lost = str(task.output), (f"{task.output} existed and was kept",)
        else:
            colored = self._color(original, outcome)
            entry["output"], said = str(task.output or "-"), colored.notes
            lost = self._save(task.output, colored, outcome)
            for path in task.settings:
                entry["settings"] = self._save_settings(path, task, self.options)
        replaced = ["was in colour: its own colours were replaced"]
        entry |= {
            "kind": original.kind,
            "width": original.width,
            "height": original.height,
            "seconds": round(time.perf_counter() - started, 3),
            "notes": [*said, *(replaced if original.kind == "color" else []), *lost],
        }
        outcome.entry = entry
        if task.compare is not None and colored is not None:
            if not self._keep_existing(task.compare):
                self._compare(task, original, colored, task.compare)
            entry["compare"] = str(task.compare)
            entry["seconds"] = round(time.perf_counter() - started, 3)

    def _color(self, original: Photo, outcome: Outcome) -> Photo:
        hints = outcome.task.hints
        if not self.entropy:
            return self.colorizer.colorize(original, self.options, hints=hints)
        colored, outcome.entropy = self.colorizer.colorize_with_entropy(
            original, self.options, hints=hints
        )
        return colored

    def _check_targets(self, task: Task) -> None:
        """Raise an error before the work begins if a result cannot be written."""
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
        """Open the result that an earlier run wrote; raise if its size is another."""
        from tintype.photo import Photo

        result = Photo.open(path, max_pixels=self.reader.max_pixels)
        if result.gray.shape != original.gray.shape:
            raise UnreadablePhotoError(
                f"{path} is {result.width} × {result.height} pixels and the photograph "
                f"{original.width} × {original.height}: it is not its result; move it away"
            )
        return result

    def _sample(
        self, task: Task, original: Photo
    ) -> tuple[list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]:
        """Write samples and contact sheet; return report entries, notes and what was lost."""
        from tintype.batch.sheet import contact_sheet, thumbnail

        thumbnails = [("the photograph", thumbnail(original.rgb()))]
        entries, said, lost = [], original.notes, ()
        count = len(task.samples)
        for sample in self.colorizer.sample(original, count, self.options, hints=task.hints):
            path = task.samples[sample.number - 1]
            kept = self._keep_existing(path)
            said, lost = sample.photo.notes, self._save(path, sample.photo, Outcome(task))
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
            if not self._keep_existing(task.sheet):
                contact_sheet(thumbnails).save(task.sheet, format=format, overwrite=self.overwrite)
        except (TintypeError, OSError, MemoryError) as error:
            raise UnwritablePhotoError(
                f"{task.name} was coloured, but the sheet could not be made: {_reason(error)}"
            ) from error
        return entries, said, lost

    def _save_settings(self, path: Path, task: Task, options: Options) -> str:
        """Write the settings file of a result and return its name."""
        from tintype.card import sha256
        from tintype.photo.target import check_target
        from tintype.photo.write import write_whole
        from tintype.runtime.settings import Settings

        settings = Settings.of(self.colorizer.card, options, task.hints)
        try:
            if task.source and not url_of(task.source) and not self.reader.in_place:
                settings = replace(settings, scan=sha256(task.source), libraries=_libraries())
            check_target(path, overwrite=self.overwrite or self.skip_existing)
            write_whole(path, settings.to_json().encode())
        except (TintypeError, OSError) as error:
            raise UnwritablePhotoError(
                f"{task.name} was coloured, but its settings could not be written: {_reason(error)}"
            ) from error
        return str(path)

    def _save(self, path: Path | None, photo: Photo, outcome: Outcome) -> tuple[str, ...]:
        if path is None:
            encoded = io.BytesIO()
            lost = photo.save(encoded)
            outcome.encoded = encoded.getvalue()
            return lost
        if self._keep_existing(path):
            return ()
        return photo.save(
            path,
            format=_format(outcome.task, path, photo),
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

    from tintype.batch.sheet import own_picture, thumbnail

    share = min(1.0, (_COMPARED / (original.width * original.height)) ** 0.5)
    size = [max(1, int(side * share)) for side in (original.width, original.height)]
    # Two halves side by side must fit into every format.
    size = [min(side, _LONGEST_COMPARED) for side in size]
    halves = [np.asarray(thumbnail(photo.rgb(), size)) for photo in (original, colored)]
    return own_picture(np.concatenate(halves, axis=1))


def _format(task: Task, path: Path, photo: Photo) -> str | None:
    """Return the format that a result's extension names; without one, the photograph's own."""
    from tintype.photo.encoding import requested_format

    return requested_format(path, task.source) or photo.format


def called(said: Any, names: Mapping[str, str]) -> Any:
    """Return a text, or a list or dict of such, with file names replaced.

    Args:
        said: what is said of the files.
        names: name -> the name to put in its place.
    """
    if isinstance(said, str):
        for here, there in names.items():
            said = said.replace(here, there)
    elif isinstance(said, list):
        return [called(part, names) for part in said]
    elif isinstance(said, dict):
        return {key: called(part, names) for key, part in said.items()}
    return said


def _sentence(task: Task, error: Exception) -> str:
    # The library advises in terms of its arguments; users of the command need its options.
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


def _libraries() -> dict[str, str]:
    """Return the versions of the libraries that compute a result."""
    from importlib.metadata import version

    return {name: version(name) for name in ("onnxruntime", "numpy", "pillow")}
