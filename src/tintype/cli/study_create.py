"""``tintype study create``: make a study of photographs, models and settings."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from tintype.cli import UsageError
from tintype.cli.console import Progress, needs_extra, print_json, print_line
from tintype.cli.inputs import find_files
from tintype.cli.options import Count, FromZero, Json, Recursive, Repeated, Threads, Whole
from tintype.errors import DataError

if TYPE_CHECKING:
    from tintype.study.manifest import Study
    from tintype.study.settings import Settings
    from tintype.study.systems import System

#: Packages of the ``web`` extra that a study needs.
PACKAGES = ("fastapi", "jinja2", "pydantic", "scipy", "sqlalchemy", "starlette", "uvicorn")

NotNegative = Annotated[float, Parameter(validator=Number(gte=0, lt=math.inf))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What raters see and are asked.

    Args:
        kind: show a pair, of which one picture has the true colours, or a single picture, which
            may be true, and ask whether it is real or coloured by a machine.
        size: side of the pictures, in pixels.
        exposure: seconds for which pictures are shown; 0 shows them until the answer.
        trials: number of scored trials for each rater.
        practice_trials: number of trials with feedback before these.
        catch_trials: number of trials with an obvious answer among the scored ones.
        max_catch_errors: wrong answers to catch trials that a rater may give; a rater with more is
            excluded; if not given, 1, or 0 with a single catch trial.
        title: title of the study, as raters see it.
        question: the question, in other words.
        consent: a text file with the paragraphs raters agree to, instead of tintype's.
        contact: a sentence that says whom raters can ask.
        seed: seed of every random choice; random if not given. It is secret: it tells the true
            sides.
    """

    kind: Literal["pair", "single"] = "pair"
    size: Count = 256
    exposure: NotNegative = 5.0
    trials: Count = 50
    practice_trials: FromZero = 5
    catch_trials: FromZero = 6
    max_catch_errors: Annotated[FromZero | None, Parameter(show_default=False)] = None
    title: str = "True colours"
    question: str | None = None
    consent: Path | None = None
    contact: str = ""
    seed: Whole | None = None

    def settings(self) -> Settings:
        """Return the study's settings, with defaults for options that were not given.

        Raises:
            DataError: one is out of range, or the consent file cannot be read.
        """
        from tintype.study.settings import (
            QUESTIONS,
            ExclusionRules,
            Settings,
            check_settings,
            consent,
        )

        max_catch_errors = self.max_catch_errors
        if max_catch_errors is None:
            max_catch_errors = 1 if self.catch_trials > 1 else 0
        settings = Settings(
            kind=self.kind,
            title=self.title,
            question=QUESTIONS[self.kind] if self.question is None else self.question,
            consent=consent(self.kind) if self.consent is None else _paragraphs(self.consent),
            contact=self.contact,
            size=self.size,
            exposure_ms=round(1000 * self.exposure),
            trials=self.trials,
            practice_trials=self.practice_trials,
            catch_trials=self.catch_trials,
            seed=secrets.randbits(63) if self.seed is None else self.seed,
            rules=ExclusionRules(max_catch_errors),
        )
        check_settings(settings)
        return settings


_DEFAULTS = StudyOptions()


def create(
    folder: Path,
    /,
    *,
    real: Annotated[list[str], Parameter(consume_multiple=True, negative="")],
    model: Annotated[Repeated, Parameter(alias="-m", show_default=False)] = (),
    colorized: Annotated[Repeated, Parameter(show_default=False)] = (),
    options: StudyOptions = _DEFAULTS,
    recursive: Recursive = False,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Make a study in a new folder, which is never changed again.

    Each photograph is cropped to its centre square, and every model colours that
    square. Raters see the two side by side and say which has the true colours, or,
    with --kind single, one of them and say whether it is real.

    Args:
        folder: the folder to make.
        real: photographs in colour: files, folders, patterns like "*.jpg".
        model: a model to judge, NAME@0.5 for another vividness and the other forms that evaluate
            takes; may be repeated; tint if neither this nor --colorized is given.
        colorized: NAME=FOLDER: pictures that the program NAME colorized, with the file names of the
            photographs; may be repeated.
    """
    inputs = find_files(real, recursive, "study create")
    with Progress() as progress, needs_extra("web", "a study", PACKAGES):
        progress.note(inputs.remarks)

        from tintype.study.create import check_new_folder, create_study

        settings = options.settings()
        check_new_folder(folder)
        systems = _systems(model or (() if colorized else ("tint",)), colorized, settings, threads)
        made, skipped = create_study(folder, inputs.paths, systems, settings, on_step=progress.show)
        progress.note(skipped.values())
    if json:
        failed = [failure.error for failure in inputs.failed]
        print_json({"study": str(folder), **_summary(made), "skipped": skipped, "failed": failed})
    else:
        _say_what_next(folder, made)
    return 1 if inputs.failed or skipped else 0


def _summary(made: Study) -> dict[str, object]:
    kinds = ("trial", "practice", "catch")
    return {
        "digest": made.digest,
        "systems": made.systems,
        "photos": {kind: len(made.photos_of_kind(kind)) for kind in kinds},
        "trials_per_rater": made.trials_per_rater,
        "raters_for_5_answers": made.raters_needed(5),
    }


def _say_what_next(folder: Path, made: Study) -> None:
    systems = f"{len(made.systems)} {'system' if len(made.systems) == 1 else 'systems'}"
    trial, practice, catch = (
        len(made.photos_of_kind(kind)) for kind in ("trial", "practice", "catch")
    )
    print_line(
        f"{folder}: {trial} photographs in the colours of {systems}, {practice} for practice, "
        f"{catch} for catch trials\n"
        f"{made.trials_per_rater} scored trials for each rater; {made.raters_needed(5)} raters "
        f"give every picture 5 answers\n"
        f"next: tintype study serve {folder}"
    )


def _systems(
    models: Sequence[str], colorized: Sequence[str], settings: Settings, threads: int | None
) -> list[System]:
    from tintype.study.systems import FolderSystem, ModelSystem

    named = []
    for word in colorized:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"--colorized must be NAME=FOLDER, not {word}")
        named.append(FolderSystem(name, Path(folder), settings.size))
    return [*(ModelSystem(name, threads) for name in models), *named]


def _paragraphs(path: Path) -> tuple[str, ...]:
    """Return the paragraphs of a text file, which blank lines separate."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    parts = [" ".join(part.split()) for part in text.replace("\r\n", "\n").split("\n\n")]
    return tuple(part for part in parts if part)
