"""``tintype colorize``: colour photographs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tintype.batch.task import Outcome, Task
from tintype.batch.work import Reader, Work
from tintype.cli import UsageError
from tintype.cli.console import Progress
from tintype.cli.hints import HintOptions, asked
from tintype.cli.inputs import Inputs, Skipped, find_photos, key
from tintype.cli.options import ColorOptions, Count, Flag, Json, MachineOptions, Samples
from tintype.cli.outputs import plan_outputs
from tintype.cli.report import Report, reported
from tintype.cli.saved import Album, failing, grouped, some
from tintype.cli.work import do_all, workers
from tintype.errors import SettingError, TintypeError

if TYPE_CHECKING:
    from tintype.batch.results import Results
    from tintype.card import Card
    from tintype.runtime.colorizer import Colorizer
    from tintype.runtime.options import Options
    from tintype.runtime.settings import Settings


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Which photographs are read.

    Args:
        recursive: look into subfolders too, except the --output folder.
        strict: refuse damaged photographs, instead of colouring the part that can be read.
        page: read this page of a TIFF, from 1; if not given, the first, with a note of the others.
        max_pixels: refuse photographs with more pixels than this.
    """

    recursive: Annotated[Flag, Parameter(alias="-r")] = False
    strict: Flag = False
    page: Count | None = None
    max_pixels: Annotated[Count | None, Parameter(show_default=lambda _: "250 million")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written, and where.

    Args:
        samples: write this many different colourings of each photograph, NAME.sample-1.EXT and so
            on, and NAME.samples.EXT, a sheet of all of them, the likeliest (often the grayest)
            first; for models that sample.
        compare: also write NAME.compare.EXT, before and after side by side.
        overwrite: replace results that exist.
        skip_existing: keep results that exist, and skip photographs whose results all exist.
        in_place: replace the photographs themselves; photographs in colour, damaged ones, and files
            that hold more than would be written back are refused.
        results: write a line for each photograph to this file, JSON or, by its name, .parquet:
            source, result, seconds, model and checksum, options, notes, error, and the mean entropy
            of the model's bins in bits, which says how unsure it was. With --skip-existing lines
            are added.
    """

    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            allow_leading_hyphen=True,
            show_default=lambda _: "NAME.colorized.EXT beside the photograph",
            help="a file; a folder if it exists, ends in /, or there are several photographs; "
            "or - for standard output.",
        ),
    ] = None
    samples: Samples | None = None
    compare: Flag = False
    overwrite: Flag = False
    skip_existing: Flag = False
    in_place: Flag = False
    results: Path | None = None

    def check(self, sample: int | None) -> None:
        """Check that no options contradict each other, or the number of a sample.

        Raises:
            UsageError: some do.
        """
        if self.in_place and self.output is not None:
            raise UsageError("--in-place replaces the photographs: leave out --output")
        if self.samples is not None and (self.in_place or self.compare):
            raise UsageError(
                "--samples gives several pictures, and a sheet of them beside the photograph: "
                "leave out --in-place and --compare"
            )
        if self.samples is not None and sample is not None:
            raise UsageError(
                "give either --samples, for several colourings, or --sample, for one by its number"
            )
        if self.skip_existing and (self.overwrite or self.in_place):
            raise UsageError("--skip-existing keeps results: leave out --overwrite and --in-place")

    @property
    def replaces_or_keeps(self) -> bool:
        """Whether results that exist are no errors."""
        return self.overwrite or self.skip_existing or self.in_place

    def work(self, options: Options, reader: Reader) -> Callable[[Colorizer], Work]:
        """Return what is done with a model, once it is loaded."""
        return partial(
            Work,
            options=options,
            reader=reader,
            overwrite=self.overwrite,
            skip_existing=self.skip_existing,
            entropy=self.results is not None,
        )

    def open_results(self, tasks: Sequence[Task]) -> Results | None:
        """Return the results file, if one is asked for.

        Raises:
            UsageError: it is a photograph or its result.
            UnwritablePhotoError: it exists and is not given up, or is no results file.
        """
        if self.results is None:
            return None
        from tintype.batch.results import Results

        own = key(self.results)
        taken = (path for task in tasks for path in (task.source, *task.targets) if path)
        if any(key(path) == own for path in taken):
            raise UsageError(f"--results {self.results} is a photograph: name another file")
        return Results(self.results, self.overwrite, self.skip_existing)


_NO_OPTIONS, _NO_HINTS, _ONE_MACHINE = ColorOptions(), HintOptions(), MachineOptions()
_ALL_INPUTS, _USUAL_OUTPUTS = InputOptions(), OutputOptions()


def colorize(
    photos: Annotated[list[str], Parameter(negative="", allow_leading_hyphen=True)],
    /,
    *,
    to: OutputOptions = _USUAL_OUTPUTS,
    model: Annotated[
        str | None, Parameter(alias="-m", show_default=lambda _: "tint; for samples, tint_sampler")
    ] = None,
    options: ColorOptions = _NO_OPTIONS,
    hints: HintOptions = _NO_HINTS,
    taken: InputOptions = _ALL_INPUTS,
    machine: MachineOptions = _ONE_MACHINE,
    json: Json = False,
) -> int:
    """Colour black-and-white photographs.

    A folder stands for the photographs directly in it.
    A photograph from standard input goes to standard output, or to --output.
    A photograph in colour is coloured as if it were black and white, with a note.
    Put names that begin with a hyphen after --.

    Args:
        photos: files, folders, patterns like "*.jpg", or - for standard input.
        model: a model's name, tint or in full tint.small, or the path of its .onnx file.
    """
    # Nothing here is large enough for several threads of numpy's BLAS, which cost 40 ms to start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _check_usage(photos, to, options, machine)
    sampling = to.samples is not None or options.sample is not None
    model_or_default = model or ("tint_sampler" if sampling else "tint")
    report = Report(model_or_default, options.asked())
    with reported(report, json), Progress() as progress:
        saved = hints.saved()
        if saved is not None and model is None:
            report.model = model_or_default = saved.model
        inputs, tasks, unmatched, album = _plan(photos, to, taken.recursive, hints, saved)
        _check_pipes(tasks, json, machine.cluster)
        report.merge(inputs)
        results, planned = to.open_results(tasks), tasks
        if to.skip_existing:
            tasks = report.without_existing(tasks)
        _say(inputs, report, unmatched, album, progress)
        groups, notes, unread = grouped(tasks, album, saved)
        progress.note(notes)
        with (
            results.writing(tasks, planned) if results else nullcontext(),
            workers(machine if groups else _ONE_MACHINE, progress.say) as crew,
        ):
            _fail(unread, report, results)
            for own, group in groups:
                progress.show(0, len(group), "loading the model")
                reader = Reader(taken.max_pixels, to.in_place, taken.strict, taken.page)
                name = model or (own.model if own else model_or_default)
                try:
                    card = crew.load(name, reader, group[0])
                    held = _held(card, asked(options.asked(), own), to.samples, report)
                    _check_model(card, group, own, progress)
                except TintypeError as error:
                    if album is None:
                        raise
                    progress.say(f"tintype: {some([task.name for task in group])}: {error}")
                    _fail([failing(task, error) for task in group], report, results)
                    continue
                if results is not None:
                    results.describe(card, report.options)
                outcomes = crew.do(to.work(held, reader), group)
                do_all(outcomes, group, not to.replaces_or_keeps, report, progress, results)
        if not json and (line := _sum_up(photos, tasks, report)):
            progress.say(f"tintype: {line}")
    return 1 if report.failed else 0


def _plan(
    photos: Sequence[str],
    to: OutputOptions,
    recursive: bool,
    hints: HintOptions,
    saved: Settings | None,
) -> tuple[Inputs, list[Task], list[Skipped], Album | None]:
    """Return the inputs, a task for each to colour, hints that match none, and their settings."""
    inputs = find_photos(photos, recursive, to.output, elsewhere=True)
    tasks = plan_outputs(
        photos,
        inputs.photos,
        to.output,
        to.in_place,
        to.compare,
        to.samples,
        hints.save_settings,
    )
    tasks, unmatched = hints.give(tasks, inputs.photos, saved)
    album = hints.album(tasks, inputs.photos)
    return inputs, tasks if album is None else list(album.files), unmatched, album


def _fail(outcomes: Sequence[Outcome], report: Report, results: Results | None) -> None:
    """Report photographs that no model was loaded for."""
    if results is not None:
        results.describe(None, {})
    for outcome in outcomes:
        report.add(outcome)
        if results is not None:
            results.add(outcome)


def _sum_up(words: Sequence[str], tasks: Sequence[Task], report: Report) -> str:
    """Return a summary for folders, patterns and several photographs; "" for one, or for a pipe."""
    everything = len(report.photos) + len(report.failed) + len(report.skipped)
    piped = bool(tasks) and not any(task.targets for task in tasks)
    many = everything > 1 or any(map(os.path.isdir, words))
    return report.summary(tasks) if many and not piped else ""


def _say(
    inputs: Inputs,
    report: Report,
    unmatched: Sequence[Skipped],
    album: Album | None,
    progress: Progress,
) -> None:
    """Print notes of the search for photographs and settings, and which hints match none."""
    for line in [*inputs.notes, *(failure.error for failure in inputs.failed)]:
        progress.say(f"tintype: {line}")
    for skipped in report.skipped if progress.watched else ():
        progress.say(f"{skipped.input} skipped: {skipped.reason}")
    for skipped in unmatched:
        progress.say(f"tintype: {skipped.input}: {skipped.reason}")
    report.skipped += unmatched
    if album is not None:
        progress.note(album.notes)
        report.skipped += album.skipped


def _held(card: Card, options: Mapping[str, Any], samples: int | None, report: Report) -> Options:
    """Return the options resolved for the model, and put both into the report."""
    from tintype.runtime.options import Options

    report.model = card.name
    try:
        held = Options.resolve(card, **options)
    except SettingError as error:
        raise UsageError(str(error)) from error
    if samples is not None and card.kind != "sampler":
        raise UsageError(
            f"{card.name} gives one colouring: for --samples give a model that samples, "
            "such as --model tint_sampler"
        )
    report.options = asdict(held)
    return held


def _check_model(
    card: Card, tasks: Sequence[Task], saved: Settings | None, progress: Progress
) -> None:
    """Refuse hints for a model that takes none, and settings of another model."""
    if saved is not None:
        import tintype
        from tintype.runtime.settings import printable

        saved.check_model(card)
        if saved.version not in ("", tintype.__version__):
            made = f"tintype {printable(saved.version)} made the settings, this is"
            progress.say(f"tintype: {made} {tintype.__version__}: the result may differ")
    if any(task.hints for task in tasks):
        from tintype.runtime.seen import check_takes_hints

        try:
            check_takes_hints(card)
        except SettingError as error:
            raise UsageError(str(error)) from error


def _check_usage(
    photos: Sequence[str], to: OutputOptions, options: ColorOptions, machine: MachineOptions
) -> None:
    """Refuse odd names, and options that contradict each other, before anything is read."""
    for word in photos if to.output is None else [*photos, to.output]:
        if not word:
            raise UsageError("an empty name was given in place of a file or a folder")
        if word.startswith("-") and word != "-":
            raise UsageError(
                f"unknown option {word}; a file of that name is given as ./{word}. "
                "See: tintype colorize --help"
            )
    to.check(options.sample)
    machine.check(to.in_place)


def _check_pipes(tasks: Sequence[Task], json: bool, cluster: str | None) -> None:
    if cluster and any(task.source is None or not task.targets for task in tasks):
        raise UsageError("--cluster takes files and addresses, not standard input or output")
    if any(task.source is None for task in tasks):
        if sys.stdin is None:
            raise UsageError("standard input is closed: pipe a photograph into it")
        if sys.stdin.isatty():
            raise UsageError("standard input is a terminal: pipe a photograph into it")
    if any(not task.targets for task in tasks):
        if json:
            raise UsageError("standard output cannot carry both the photograph and --json")
        if sys.stdout is None:
            raise UsageError("standard output is closed: redirect it, or give --output FILE")
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal: redirect it, or give --output FILE")
