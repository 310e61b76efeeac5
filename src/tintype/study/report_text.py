"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tintype.study.results import Quartiles, Report
from tintype.study.wording import (
    SIMULATED,
    diagnostic_notes,
    format_coefficient,
    format_interval,
    format_p_value,
    format_percent,
    format_points,
    rater_counts,
)
from tintype.tables import format_table

_SCORES = "How often the system's picture was taken for the true one (50 %: indistinguishable)"
_TIMES = "Reaction times (median and quartiles, s) and agreement of raters (Krippendorff's alpha)"
_DIFFERENCES = "Differences (p: permutation tests over raters and over photographs, the larger)"


def report_text(report: Report) -> str:
    """Format the report for a terminal."""
    parts = [f"{report.title}: {rater_counts(report)}"]
    if report.source == "simulated":
        parts.insert(0, SIMULATED)
    for exclusion in report.excluded:
        parts.append(f"  excluded: rater {exclusion.rater}, {'; '.join(exclusion.reasons)}")
    if report.diagnostics is None:
        return "\n".join([*parts, "No answers are included yet."])
    parts += _section(
        _SCORES,
        ("system", "score", "95 % over raters", "95 % Wilson", "answers", "raters"),
        (
            (
                score.system,
                format_percent(score.score),
                format_interval(score.bootstrap_interval),
                format_interval(score.wilson_interval),
                str(score.answers),
                str(score.raters),
            )
            for score in report.systems
        ),
    )
    rows = [
        (score.system, *_seconds(score.reaction_times), format_coefficient(score.alpha))
        for score in report.systems
    ]
    rows.append(("all", "", "", format_coefficient(report.alpha)))
    parts += _section(_TIMES, ("system", "median", "quartiles", "alpha"), rows)
    if report.comparisons:
        parts += _section(
            _DIFFERENCES,
            ("systems", "difference", "95 % over raters", "p", "p (Holm)"),
            (
                (
                    f"{pair.first} - {pair.second}",
                    format_points(pair.difference),
                    format_interval(pair.interval),
                    format_p_value(pair.p),
                    format_p_value(pair.p_holm),
                )
                for pair in report.comparisons
            ),
        )
    return "\n".join([*parts, "", *diagnostic_notes(report)])


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["", title, format_table([head, *rows], right=True)]


def _seconds(times: Quartiles) -> tuple[str, str]:
    q1, median, q3 = (f"{ms / 1000:.2f}" for ms in (times.q1, times.median, times.q3))
    return median, f"{q1} to {q3}"
