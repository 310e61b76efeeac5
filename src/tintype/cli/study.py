"""``tintype study``: run a Visual Turing Test; needs the ``web`` extra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from tintype.cli import UsageError
from tintype.cli.console import Progress, needs_extra, print_json, print_line
from tintype.cli.files import check_free
from tintype.cli.options import Count, Flag, Json, Repeated, Whole, whole
from tintype.cli.study_create import PACKAGES, NotNegative, create

if TYPE_CHECKING:
    from tintype.study.manifest import Study
    from tintype.study.storage import Source

DATABASE_VARIABLE = "TINTYPE_STUDY_DATABASE"

study = App(
    name="study",
    help="Let people judge colourings: prepare, serve and analyse a Visual Turing Test.",
    help_format="plaintext",
)

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


study.command(create, sort_key=0)


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
        host: the address to listen on; 0.0.0.0 for all networks of this machine.
        port: the port to listen on; 0 for any free one.
        proxy: trust the headers of a reverse proxy on this machine, which say the raters' addresses
            and whether the connection is encrypted.
        rate_limit: requests a second allowed for one address; 0 for no limits.
    """
    with needs_extra("web", "a study", PACKAGES):
        from tintype.study.manifest import TOKEN
        from tintype.study.serve import is_public, serve_study
        from tintype.study.site import RateLimits

        def ready(address: str) -> None:
            print_line(
                f"{address} serves the study to raters\n"
                f"{address}report asks for the token in {folder / TOKEN}"
            )
            if is_public(host):
                Progress().say(
                    f"tintype: anyone who reaches this machine on {host} can take part, and "
                    "nothing is encrypted: for raters outside your network, put a reverse proxy "
                    "with HTTPS in front (docs/how-to/run-a-study.md)"
                )

        serve_study(
            _study(folder),
            host=host,
            port=port,
            database=database,
            proxy=proxy,
            # A page with its pictures and scripts takes half a dozen requests.
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
    overwrite: Flag = False,
    json: Json = False,
) -> int:
    """Score every system by the answers so far, also while the study is served.

    Args:
        folder: the study.
        simulated: report the simulated answers, not those of people.
        include_unfinished: include raters who stopped before the last trial.
        html: also write the report to this file, as one self-contained page.
        csv: also write all answers to this file, one row each.
        overwrite: replace files that exist with the report and the answers.
    """
    check_free([html, csv], overwrite)
    with needs_extra("web", "a study", PACKAGES):
        source: Source = "simulated" if simulated else "real"
        url = None if simulated else database  # simulated answers are in the study's folder
        return _report(_study(folder), source, url, include_unfinished, html, csv, json)


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

    Their answers are kept apart from those of people and replace those of an earlier
    simulation. Every report of them says SIMULATED.

    Args:
        folder: the study.
        raters: number of raters.
        fooling_rate: SYSTEM=RATE, how often careful raters are fooled by the system, between 0 and
            1; may be repeated; rates from 0.2 to 0.4 if not given. Of single pictures the system
            "true colours" has one too, how often they are called real; 0.8 if not given.
        careless: share of raters who answer at random, whom the report should exclude.
        seed: seed of the simulation.
    """
    with needs_extra("web", "a study", PACKAGES):
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
    from tintype.photo.write import write_whole
    from tintype.study.analysis import analyze
    from tintype.study.presentation import answers_csv, report_html, report_json
    from tintype.study.report_text import report_text
    from tintype.study.storage import AnswerStore

    store = AnswerStore(made, database, source=source, create=False)
    try:
        raters = store.raters()
    finally:
        store.close()
    found = analyze(made, raters, source, include_unfinished=include_unfinished)
    if html is not None:
        write_whole(html, report_html(made, found).encode(), private=True)
    if csv is not None:
        write_whole(csv, answers_csv(made, raters, found).encode(), private=True)
    if json:
        print_json(report_json(made, found) | ({"true_rates": truth} if truth else {}))
    else:
        print_line(report_text(found))
    return 0


def _study(folder: Path) -> Study:
    from tintype.study.manifest import read_study

    return read_study(folder)


def _rates(words: Sequence[str]) -> dict[str, float]:
    rates = {}
    for word in words:
        system, _, rate = word.rpartition("=")
        try:
            rates[system] = float(rate)
        except ValueError:
            raise UsageError(f"--fooling-rate must be SYSTEM=RATE, not {word}") from None
    return rates
