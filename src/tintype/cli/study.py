"""``tintype study``: the Visual Turing Test, from photographs to its report; needs ``web``."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from tintype.cli import UsageError
from tintype.cli.console import Progress, needs_extra, print_json, print_line
from tintype.cli.inputs import find_photos
from tintype.cli.options import Count, Flag, FromZero, Json, Threads, Whole, whole
from tintype.errors import DataError, TintypeError

if TYPE_CHECKING:
    from tintype.study.manifest import Settings, Study
    from tintype.study.storage import Source
    from tintype.study.systems import System

DATABASE_VARIABLE = "TINTYPE_STUDY_DATABASE"

_PACKAGES = ("fastapi", "jinja2", "pydantic", "sqlalchemy", "starlette", "uvicorn")

study = App(
    name="study",
    help="Let people judge colourings: prepare, serve and analyse a Visual Turing Test.",
    help_format="plaintext",
)

Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
NotNegative = Annotated[float, Parameter(validator=Number(gte=0, lt=math.inf))]
Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]
Database = Annotated[
    str | None,
    Parameter(
        show_default=False,
        env_var=DATABASE_VARIABLE,
        help="URL of the database for the answers, postgresql://USER@HOST/NAME; "
        "a file in the study's folder if not given.",
    ),
]


@study.command(sort_key=0)
def create(
    folder: Path,
    /,
    *,
    real: Annotated[list[str], Parameter(consume_multiple=True, negative="")],
    model: Annotated[Repeated, Parameter(alias="-m", show_default=False)] = (),
    colorized: Annotated[Repeated, Parameter(show_default=False)] = (),
    size: Count = 256,
    exposure: NotNegative = 5.0,
    trials: Count = 50,
    practice_trials: FromZero = 5,
    catch_trials: FromZero = 6,
    max_catch_errors: Annotated[FromZero | None, Parameter(show_default=False)] = None,
    title: str = "True colours",
    question: str | None = None,
    consent: Path | None = None,
    contact: str = "",
    seed: Whole | None = None,
    recursive: Annotated[Flag, Parameter(alias="-r")] = False,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Prepare a study in a new folder, which is never changed again.

    Each photograph is cut to its centred square, and every model colours that
    square. Raters see pairs of the two and say which has the true colours.

    Args:
        folder: where the study is to be: a new name.
        real: photographs in colour: files, folders, patterns like "*.jpg".
        model: a model to judge, NAME@0.5 for another vividness; may be repeated; tint if neither
            this nor --colorized is given.
        colorized: NAME=FOLDER: pictures that another program colorized, under the names of the
            photographs; may be repeated.
        size: side of the pictures, in pixels.
        exposure: for how many seconds a pair is shown; 0 until the answer.
        trials: scored trials for each rater.
        practice_trials: trials with feedback before them.
        catch_trials: trials among them with an obvious answer.
        max_catch_errors: wrong answers to catch trials before a rater is excluded; by default 1, of
            a single one 0.
        title: of the study, as raters see it.
        question: what raters are asked, instead of which picture has the true colours.
        consent: a text file with the paragraphs raters agree to, instead of tintype's.
        contact: whom raters can ask, a sentence.
        seed: of every random choice; a random one if not given. Whoever knows it knows the answers.
        recursive: look into the subfolders of folders.
    """
    words = {"title": title, "question": question, "contact": contact}
    counts = {"trials": trials, "practice_trials": practice_trials, "catch_trials": catch_trials}
    numbers = {"size": size, "exposure_ms": round(1000 * exposure), **counts}
    inputs = find_photos(real, recursive)
    with Progress() as progress, needs_extra("web", "a study", _PACKAGES):
        for line in [*inputs.notes, *(failure.error for failure in inputs.failed)]:
            progress.say(f"tintype: {line}")

        from tintype.study.create import check_new_folder, create_study
        from tintype.study.manifest import check_settings

        settings = _settings(words, numbers, consent, max_catch_errors, seed)
        check_settings(settings)
        check_new_folder(folder)
        systems = _systems(model or (() if colorized else ("tint",)), colorized, size, threads)
        paths = [item.path for item in inputs.photos if item.path]
        made, skipped = create_study(folder, paths, systems, settings, on_step=progress.show)
        for reason in skipped.values():
            progress.say(f"tintype: {reason}")
    _show_study(folder, made, skipped, [failure.error for failure in inputs.failed], json)
    return 1 if inputs.failed or skipped else 0


def _settings(
    words: dict[str, Any],
    numbers: dict[str, Any],
    consent: Path | None,
    max_catch_errors: int | None,
    seed: int | None,
) -> Settings:
    """Return a study's settings, with defaults for what was not said."""
    import secrets

    from tintype.study.manifest import CONSENT, QUESTION, ExclusionRules, Settings

    if max_catch_errors is None:
        max_catch_errors = min(1, max(0, numbers["catch_trials"] - 1))
    if words["question"] is None:
        words["question"] = QUESTION
    return Settings(
        **words,
        **numbers,
        consent=CONSENT if consent is None else _paragraphs(consent),
        seed=secrets.randbits(63) if seed is None else seed,
        rules=ExclusionRules(max_catch_errors),
    )


def _show_study(
    folder: Path, made: Study, skipped: dict[str, str], failed: list[str], json: bool
) -> None:
    """Print what was prepared, and what to do next."""
    counts = {kind: len(made.photos_of_kind(kind)) for kind in ("trial", "practice", "catch")}
    if json:
        print_json(
            {
                "study": str(folder),
                "digest": made.digest,
                "systems": made.systems,
                "photos": counts,
                "trials_per_rater": made.trials_per_rater,
                "raters_for_5_answers": made.raters_needed(5),
                "skipped": skipped,
                "failed": failed,
            }
        )
    else:
        print_line(
            f"{folder}: {counts['trial']} photographs in the colours of {len(made.systems)} "
            f"{'system' if len(made.systems) == 1 else 'systems'}, {counts['practice']} for "
            f"practice, {counts['catch']} for catch trials\n"
            f"{made.trials_per_rater} scored trials for each rater; {made.raters_needed(5)} raters "
            f"give every pair 5 answers\n"
            f"next: tintype study serve {folder}"
        )


@study.command(sort_key=1)
def serve(
    folder: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(converter=whole, validator=Number(gte=0, lte=65535))] = 8000,
    database: Database = None,
    proxy: Flag = False,
    rate_limit: NotNegative = 100.0,
) -> int:
    """Serve a study to raters until Ctrl-C. Several processes may serve the same one.

    Args:
        folder: the study.
        host: the address to listen on; 0.0.0.0 for every network this machine is in.
        port: the port; 0 for any that is free.
        proxy: behind a reverse proxy on this machine: believe what it says of raters' addresses
            and of encryption.
        rate_limit: requests a second that one address may make; 0 for no limits.
    """
    with needs_extra("web", "a study", _PACKAGES):
        from tintype.study.limits import RateLimits
        from tintype.study.manifest import TOKEN
        from tintype.study.serve import is_public, serve_study

        def ready(address: str) -> None:
            print_line(
                f"{address} serves the study to raters\n"
                f"{address}report asks for the token in {folder / TOKEN}"
            )
            if is_public(host):
                _say(
                    f"anyone who reaches this machine on {host} can take part, and nothing is "
                    "encrypted: for raters outside your network put a reverse proxy with HTTPS "
                    "before it (docs/howto/run-a-study.md)"
                )

        serve_study(
            _study(folder),
            host=host,
            port=port,
            database=database,
            proxy=proxy,
            # A page with what belongs to it is half a dozen requests.
            limits=RateLimits(requests=rate_limit, burst=max(10, 5 * rate_limit)),
            on_ready=ready,
        )
    return 0


@study.command(sort_key=2)
def report(
    folder: Path,
    /,
    *,
    database: Database = None,
    simulated: Flag = False,
    include_unfinished: Flag = False,
    html: Path | None = None,
    csv: Path | None = None,
    json: Json = False,
) -> int:
    """Score every system by the answers so far; it may be run while the study is served.

    Args:
        folder: the study.
        simulated: report the answers of study simulate, not those of people.
        include_unfinished: include raters who stopped before the last trial.
        html: write the report here too, as a page that is one file.
        csv: write every answer here too, a row each.
    """
    with needs_extra("web", "a study", _PACKAGES):
        source: Source = "simulated" if simulated else "real"
        kept = None if simulated else database  # simulated answers lie in the study's folder
        return _report(_study(folder), source, kept, include_unfinished, html, csv, json)


@study.command(sort_key=3)
def simulate(
    folder: Path,
    /,
    *,
    raters: Count = 40,
    fooling_rate: Annotated[Repeated, Parameter(show_default=False)] = (),
    careless: Share = 0.1,
    seed: Whole = 1,
    json: Json = False,
) -> int:
    """Simulate raters with known fooling rates, to test the analysis.

    Their answers are kept apart from those of people, in the place of an earlier
    simulation's, and every report of them says SIMULATED.

    Args:
        folder: the study.
        raters: how many.
        fooling_rate: SYSTEM=RATE, how often careful raters are fooled by it, between 0 and 1; may
            be repeated; rates from 0.2 to 0.4 if not given.
        careless: share of raters who answer at random, whom the report should exclude.
        seed: of the simulated raters.
    """
    with needs_extra("web", "a study", _PACKAGES):
        from tintype.study.simulate import RaterPopulation, default_fooling_rates, simulate_raters

        made = _study(folder)
        rates = default_fooling_rates(made) | _rates(fooling_rate)
        population = RaterPopulation(raters, rates, careless=careless, seed=seed)
        with Progress() as progress:
            truth = simulate_raters(
                made, population, lambda done, total: progress.show(done, total, "raters")
            )
        if not json:
            rows = [f"{system} {100 * rate:.1f} %" for system, rate in truth.items()]
            print_line(f"simulated rates on these photographs: {', '.join(rows)}")
        return _report(made, "simulated", None, False, None, None, json, truth)


def _report(
    made: Study,
    source: Source,
    database: str | None,
    include_unfinished: bool,
    html: Path | None,
    csv: Path | None,
    json: bool,
    truth: dict[str, float] | None = None,
) -> int:
    from tintype.study.analysis import analyze
    from tintype.study.presentation import answers_csv, report_html, report_json, report_text
    from tintype.study.storage import AnswerStore

    store = AnswerStore(made, database, source=source, create=False)
    try:
        raters = store.raters()
    finally:
        store.close()
    found = analyze(made, raters, source, include_unfinished=include_unfinished)
    if html is not None:
        _write(html, report_html(made, found))
    if csv is not None:
        _write(csv, answers_csv(made, raters, found))
    if json:
        print_json(report_json(made, found) | ({"true_rates": truth} if truth else {}))
    else:
        print_line(report_text(made, found))
    return 0


def _study(folder: Path) -> Study:
    from tintype.study.manifest import read_study

    return read_study(folder)


def _systems(
    models: Sequence[str], colorized: Sequence[str], size: int, threads: int | None
) -> list[System]:
    from tintype.study.systems import FolderSystem, ModelSystem

    named = []
    for word in colorized:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise UsageError(f"--colorized takes NAME=FOLDER, not {word}")
        named.append(FolderSystem(name, Path(folder), size))
    return [*(ModelSystem(name, threads) for name in models), *named]


def _rates(words: Sequence[str]) -> dict[str, float]:
    rates = {}
    for word in words:
        system, _, rate = word.rpartition("=")
        try:
            rates[system] = float(rate)
        except ValueError:
            raise UsageError(f"--fooling-rate takes SYSTEM=RATE, not {word}") from None
    return rates


def _paragraphs(path: Path) -> tuple[str, ...]:
    """The paragraphs of a text file, which blank lines part."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    parts = [" ".join(part.split()) for part in text.replace("\r\n", "\n").split("\n\n")]
    return tuple(part for part in parts if part)


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TintypeError(f"{path} cannot be written: {error.strerror}") from error


def _say(text: str) -> None:
    Progress().say(f"tintype: {text}")
