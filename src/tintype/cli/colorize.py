"""``tintype colorize``: colour photographs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from tintype.cli import UsageError
from tintype.cli.console import Progress, print_json, write_out
from tintype.cli.inputs import Failure, Findings, Skipped, find
from tintype.cli.options import Count, Flag, Json, Samples, Threads, Whole
from tintype.cli.outputs import Job, plan
from tintype.cli.termination import interruption_behind
from tintype.errors import TintypeError, UnreadablePhotoError, UnwritablePhotoError

if TYPE_CHECKING:
    from tintype.photo import Photo
    from tintype.runtime.engine import Colorizer


def colorize(
    photos: Annotated[list[str], Parameter(negative="", allow_leading_hyphen=True)],
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            allow_leading_hyphen=True,
            show_default=lambda _: "NAME.colorized.EXT beside the photograph",
            help="a file; a folder if it exists, ends in /, or there are several photographs; "
            "or - for standard output.",
        ),
    ] = None,
    model: Annotated[str, Parameter(alias="-m")] = "tint",
    vividness: Annotated[
        float | None,
        Parameter(validator=Number(gte=0, lte=1), show_default=lambda _: "the model's own"),
    ] = None,
    saturation: Annotated[float, Parameter(validator=Number(gte=0, lte=10))] = 1.0,
    refine: Annotated[
        Literal["none", "chroma", "image"] | None,
        Parameter(show_default=lambda _: "chroma, where the model has a filter"),
    ] = None,
    samples: Samples | None = None,
    temperature: Annotated[
        float | None,
        Parameter(validator=Number(gt=0, lte=10), show_default=lambda _: "the model's own"),
    ] = None,
    seed: Annotated[
        Whole | None, Parameter(validator=Number(gte=0), show_default=lambda _: "0")
    ] = None,
    compare: Flag = False,
    recursive: Annotated[Flag, Parameter(alias="-r")] = False,
    overwrite: Flag = False,
    skip_existing: Flag = False,
    in_place: Flag = False,
    threads: Threads = None,
    max_pixels: Annotated[Count | None, Parameter(show_default=lambda _: "250 million")] = None,
    json: Json = False,
) -> int:
    """Colour black-and-white photographs.

    A folder stands for the photographs directly in it.
    What comes from standard input goes to standard output unless --output is given.
    A photograph in colour is coloured anew, with a note that says so.
    Names that begin with a hyphen stand behind --.

    Args:
        photos: files, folders, patterns like "*.jpg", or - for standard input.
        model: SYSTEM.TAG, a SYSTEM for its default tag, or a card's path.
        vividness: from 0, the safest colours, to 1, the most vivid.
        saturation: factor on the chroma; 0 gives gray.
        refine: what a model's own filter is applied to; none leaves pixcolor's second stage out.
        samples: write so many different colourings of each photograph, NAME.sample-1.EXT (the
            likeliest) and so on, and NAME.samples.EXT with all of them; for models that sample.
        temperature: of a model that samples: lower is calmer, higher bolder.
        seed: of a model that samples: another seed gives other colours.
        compare: write NAME.compare.EXT too, a picture of before and after side by side.
        recursive: look into the subfolders of folders, except the one of --output.
        overwrite: replace results that exist.
        skip_existing: leave results alone that exist, and photographs that have all of theirs.
        in_place: replace the photographs themselves, except those in colour and those whose files
            hold more than would be written back.
        max_pixels: refuse photographs with more pixels than this.
    """
    # Nothing here is large enough for several threads of numpy's BLAS, which cost 40 ms to start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _check_words(photos if output is None else [*photos, output])
    if in_place and output is not None:
        raise UsageError("--in-place replaces the photographs: leave out --output")
    if samples is not None and (in_place or compare):
        raise UsageError(
            "--samples gives several pictures, and a sheet of them beside the photograph: leave "
            "out --in-place and --compare"
        )
    if skip_existing and (overwrite or in_place):
        raise UsageError("--skip-existing keeps results: leave out --overwrite and --in-place")
    report = Report(model, vividness, saturation, refine, temperature, seed)
    with _reported(report, json), Progress() as progress:
        findings = find(photos, recursive, output)
        jobs = plan(photos, findings.photos, output, in_place, compare, samples)
        _check_pipes(jobs, json)
        report.take(findings)
        for line in [*findings.notes, *(failure.error for failure in findings.failed)]:
            progress.say(f"tintype: {line}")
        if skip_existing:
            jobs = report.without_existing(jobs)
        for skipped in report.skipped if progress.watched else ():
            progress.say(f"{skipped.input} skipped: {skipped.reason}")
        if jobs:
            progress.show(0, len(jobs), "loading the model")
            from tintype.runtime.engine import Colorizer

            colorizer = Colorizer(model, threads=threads)
            report.model = colorizer.card.name
            try:
                held = colorizer.options(
                    vividness=vividness, refine=refine, temperature=temperature, seed=seed
                )
                if samples is not None and colorizer.card.sampling is None:
                    raise ValueError(
                        f"{colorizer.card.name} gives one colouring: --samples is for a model "
                        "that samples, as --model pixcolor"
                    )
            except ValueError as error:
                raise UsageError(str(error)) from error
            report.vividness, report.refine = held["vividness"], held["refine"]
            report.temperature, report.seed = held["temperature"], held["seed"]
            options = {**held, "saturation": saturation}
            work = _Work(colorizer, options, max_pixels, overwrite, in_place, skip_existing)
            _do_all(work, jobs, report, progress)
    return 1 if report.failed else 0


@dataclass
class Report:
    """What --json prints.

    Attributes:
        model: the card's name, or what was asked for where no card was found.
        vividness, saturation, refine, temperature, seed: those that held; None where the model has
            no such thing.
        photos: one entry for each photograph that was coloured and written.
        failed, skipped: one for each that was not, and why.
        left_out: how many pictures in folders are of a kind that is not read, by extension.
        interrupted: whether a signal ended the work.
        error: what else ended it; None if nothing did.
        error_class: the class of that error.
    """

    model: str
    vividness: float | None
    saturation: float
    refine: str | None
    temperature: float | None
    seed: int | None
    photos: list[dict[str, Any]] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    error: str | None = None
    error_class: str | None = None

    def take(self, findings: Findings) -> None:
        """Report what the search for photographs found beside them."""
        self.failed = list(findings.failed)
        self.skipped = list(findings.skipped)
        self.left_out = dict(findings.left_out)

    def without_existing(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of which a result is missing; the others are reported as skipped."""
        missing = []
        for job in jobs:
            # A sheet is written after the colourings on it.
            done = [job.sheet] if job.sheet else job.targets
            if done and all(map(os.path.exists, done)):
                self.skipped.append(Skipped(job.name, f"{done[-1]} exists already"))
            else:
                missing.append(job)
        return missing


@contextlib.contextmanager
def _reported(report: Report, json: bool) -> Iterator[None]:
    """Print the report at the end, whatever the end is, except for wrong usage."""
    try:
        yield
    except UsageError:
        raise
    except BaseException as error:
        report.interrupted = interruption_behind(error) is not None
        if not report.interrupted:
            report.error, report.error_class = str(error), _class(error)
        if json:
            print_json(asdict(report))
        raise
    if json:
        print_json(asdict(report))


@dataclass(frozen=True)
class _Work:
    """How each photograph is coloured and written."""

    colorizer: Colorizer
    options: dict[str, Any]
    max_pixels: int | None
    overwrite: bool
    in_place: bool
    skip_existing: bool

    def do(self, job: Job, report: Report, progress: Progress) -> None:
        """Colour one photograph, write the results, and report on it."""
        started = time.perf_counter()
        self._check_targets(job)
        original = self._open(job)
        if original.kind == "color" and self.in_place:
            raise UnwritablePhotoError(
                f"{job.name} is in colour, and its own colours would be lost: "
                "leave out --in-place, or name another --output"
            )
        if original.left_out and self.in_place:
            raise UnwritablePhotoError(
                f"{job.name} holds more than would be written back ({original.left_out[0]}): "
                "leave out --in-place, or name another --output"
            )
        entry: dict[str, Any] = {"input": job.name, "output": None, "compare": None}
        coloured = None
        if job.samples:
            entry["samples"], lost = self._sample(job, original)
            entry["sheet"] = str(job.sheet)
        elif job.output is not None and self._stays(job.output):
            coloured = self._result(job.output, original)
            entry["output"], lost = str(job.output), (f"{job.output} was there and is kept",)
        else:
            coloured = self.colorizer.colorize(original, **self.options)
            entry["output"] = str(job.output or "-")
            lost = self._save(job.output, job, coloured)
        replaced = ["was in colour: its own colours were replaced"]
        notes = [*original.notes, *(replaced if original.kind == "color" else []), *lost]
        entry |= {
            "kind": original.kind,
            "width": original.width,
            "height": original.height,
            "seconds": round(time.perf_counter() - started, 3),
            "notes": notes,
        }
        report.photos.append(entry)
        if progress.watched:
            progress.say(f"{job.name} -> {job.sheet or job.output or '-'}")
        for note in notes:
            progress.say(f"tintype: {job.name}: {note}")
        if job.compare is not None and coloured is not None:
            if not self._stays(job.compare):
                self._compare(job, original, coloured, job.compare)
            entry["compare"] = str(job.compare)
            entry["seconds"] = round(time.perf_counter() - started, 3)

    def _check_targets(self, job: Job) -> None:
        """Find out before the work, not after it, that its result cannot be kept."""
        from tintype.photo.write import check_target

        for path in job.targets:
            if self._stays(path):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            in_place = self.in_place and path is job.output
            check_target(path, job.source, overwrite=self.overwrite, in_place=in_place)

    def _stays(self, path: Path) -> bool:
        """Whether a result is there that an earlier run wrote before it was cut off."""
        return self.skip_existing and path.exists()

    def _result(self, path: Path, original: Photo) -> Photo:
        """What an earlier run made of a photograph."""
        from tintype.photo import Photo

        result = Photo.open(path, max_pixels=self.max_pixels)
        if result.gray.shape != original.gray.shape:
            raise UnreadablePhotoError(
                f"{path} is {result.width} × {result.height} pixels and the photograph "
                f"{original.width} × {original.height}: no comparison; move that file away"
            )
        return result

    def _open(self, job: Job) -> Photo:
        from tintype.photo import DEFAULT_MAX_PIXELS, Photo

        source = sys.stdin.buffer.read() if job.source is None else job.source
        limit = self.max_pixels or DEFAULT_MAX_PIXELS
        # Only what shows the colours that were there needs them, and they take memory.
        shown = job.compare is not None or job.sheet is not None
        return Photo.open(source, max_pixels=limit, keep_colors=shown)

    def _sample(self, job: Job, original: Photo) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        """Write the colourings and their sheet; what to report of them, and what was lost."""
        from tintype.cli.sheet import contact_sheet, thumbnail

        options = {k: v for k, v in self.options.items() if k != "vividness"}
        thumbnails = [("the photograph", thumbnail(original.rgb()))]
        entries, lost = [], ()
        colourings = self.colorizer.sample(original, len(job.samples), **options)
        for rank, (path, colouring) in enumerate(zip(job.samples, colourings, strict=True), 1):
            lost = self._save(path, job, colouring.photo)
            figures = {key: round(getattr(colouring, key), 4) for key in ("nats", "bits")}
            entries.append({"output": str(path), "number": colouring.number, **figures})
            caption = f"{rank}: {colouring.bits:.2f} bits"
            thumbnails.append((caption, thumbnail(colouring.photo.rgb())))
        assert job.sheet is not None
        try:
            format = _format(job, job.sheet, original)
            contact_sheet(thumbnails).save(job.sheet, format=format, overwrite=self.overwrite)
        except (TintypeError, OSError, MemoryError) as error:
            raise UnwritablePhotoError(
                f"{job.name} was coloured, but the sheet could not be made: {_reason(error)}"
            ) from error
        return entries, lost

    def _save(self, path: Path | None, job: Job, photo: Photo) -> tuple[str, ...]:
        if path is None:
            encoded = io.BytesIO()
            lost = photo.save(encoded)
            write_out(encoded.getvalue())
            return lost
        if self._stays(path):
            return ()
        return photo.save(
            path,
            format=_format(job, path, photo),
            overwrite=self.overwrite,
            in_place=self.in_place,
        )

    def _compare(self, job: Job, original: Photo, coloured: Photo, target: Path) -> None:
        try:
            both = side_by_side(original, coloured)
            both.save(target, format=_format(job, target, coloured), overwrite=self.overwrite)
        except (TintypeError, OSError, MemoryError) as error:
            raise UnwritablePhotoError(
                f"{job.name} was coloured, but the comparison could not be made: {_reason(error)}"
            ) from error


def _do_all(work: _Work, jobs: Sequence[Job], report: Report, progress: Progress) -> None:
    """Do every job; one that fails is reported and stops no other."""
    for number, job in enumerate(jobs):
        progress.show(number, len(jobs), job.name)
        try:
            work.do(job, report, progress)
        except BrokenPipeError:
            raise
        except (TintypeError, OSError, MemoryError) as error:
            report.failed.append(Failure(job.name, _sentence(job, error), _class(error)))
            progress.say(f"tintype: {report.failed[-1].error}")


def _check_words(words: Sequence[str]) -> None:
    for word in words:
        if not word:
            raise UsageError("an empty name was given where a file or a folder is meant")
        if word.startswith("-") and word != "-":
            raise UsageError(f"unknown option {word}; a file of that name is given as ./{word}")


def _check_pipes(jobs: Sequence[Job], json: bool) -> None:
    if any(job.source is None for job in jobs):
        if sys.stdin is None:
            raise UsageError("standard input is closed: pipe a photograph into it")
        if sys.stdin.isatty():
            raise UsageError("standard input is a terminal: pipe a photograph into it")
    if any(not job.targets for job in jobs):
        if json:
            raise UsageError("standard output cannot carry both the photograph and --json")
        if sys.stdout is None:
            raise UsageError("standard output is closed: redirect it, or give --output FILE")
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal: redirect it, or give --output FILE")


def _format(job: Job, path: Path, photo: Photo) -> str | None:
    """The format a result's name asks for, or the photograph's own: NAME.colorized."""
    from tintype.photo.encoding import requested_format

    return requested_format(path, job.source) or photo.format


def side_by_side(original: Photo, coloured: Photo) -> Photo:
    """Before and after as one picture: as it was, with its own tone, left; in new colours right."""
    import numpy as np

    from tintype.photo import Photo

    return Photo.from_array(np.concatenate([original.rgb(), coloured.rgb()], axis=1))


def _sentence(job: Job, error: Exception) -> str:
    reason = _reason(error)
    return reason if job.name in reason else f"{job.name}: {reason}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or "not enough memory"


def _class(error: BaseException) -> str:
    return "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
