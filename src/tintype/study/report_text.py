"""The report as text for a terminal, and the sentences and number formats of all its forms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tintype.study.results import Quartiles, Report
from tintype.study.statistics import ConfidenceInterval
from tintype.tables import format_table

SIMULATED = "SIMULATED: these answers are of simulated raters; no person judged these pictures."

_SCORES = {
    "pair": "How often the system's picture was taken for the true one (50 %: indistinguishable)",
    "single": "How often a picture was called real (as often as the true ones: indistinguishable)",
}
_TIMES = "Reaction times (median and quartiles, s) and agreement of raters (Krippendorff's alpha)"
_DIFFERENCES = "Differences (p: the larger of two permutation tests, over raters and photographs)"


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
        _SCORES[report.kind],
        ("system", "score", "95 % over raters", "95 % exact", "answers", "raters"),
        (
            (
                score.system,
                format_percent(score.score),
                format_interval(score.bootstrap_interval),
                format_interval(score.exact_interval),
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


def rater_counts(report: Report) -> str:
    """Return how many raters began, finished, are included and are excluded."""
    what = "simulated raters" if report.source == "simulated" else "raters"
    return (
        f"{report.enrolled} {what} began, {report.finished} finished, {report.included} included, "
        f"{len(report.excluded)} excluded"
    )


def diagnostic_notes(report: Report) -> list[str]:
    """Describe how the included answers were given, in sentences."""
    diagnostics = report.diagnostics
    if diagnostics is None:
        return []
    notes = [
        f"Each pair of photograph and system has {diagnostics.min_answers_per_pair} to "
        f"{diagnostics.max_answers_per_pair} answers.",
        f"{'The left (or upper) picture' if report.kind == 'pair' else 'Real'} was chosen in "
        f"{format_percent(diagnostics.left_rate)} of the answers.",
    ]
    if diagnostics.catch_error_rate is not None:
        rate = format_percent(diagnostics.catch_error_rate)
        notes.append(f"{rate} of the catch trials were answered wrongly.")
    if diagnostics.exposed_ms is not None:
        seconds = diagnostics.exposed_ms / 1000
        notes.append(
            f"The pictures were in view for {seconds:.2f} s (median), or until the answer."
        )
    counts = {
        "were given without script, hence with unlimited exposure": diagnostics.without_script,
        "are of pictures that were shown again after a reload": diagnostics.reshown,
        "were given after the page was hidden during exposure": diagnostics.interrupted,
    }
    notes += [f"{count} answers {what}." for what, count in counts.items() if count]
    if len(diagnostics.layouts) > 1:
        row, column = diagnostics.layouts["row"], diagnostics.layouts["column"]
        notes.append(
            f"The pictures lay side by side for {row} answers, one above the other for {column}."
        )
    for pair in report.comparisons:
        lacks = []
        if pair.p_raters is None:
            lacks.append("over raters (nobody judged both)")
        if pair.p_photos is None:
            lacks.append("over photographs (none was judged in the colours of both)")
        if lacks:
            notes.append(f"{pair.first} and {pair.second} were not compared {' nor '.join(lacks)}.")
    if report.included < 20:
        notes.append(
            f"With {report.included} raters the confidence intervals over raters are too "
            "narrow: ask 20 or more."
        )
    return notes


def format_percent(proportion: float) -> str:
    """Format a proportion as a percentage."""
    return f"{100 * proportion:.1f} %"


def format_points(difference: float) -> str:
    """Format a difference of proportions in percentage points."""
    return f"{100 * difference:+.1f}"


def format_interval(interval: ConfidenceInterval | None) -> str:
    """Format a confidence interval of proportions in per cent."""
    return "–" if interval is None else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def format_p_value(p: float | None) -> str:
    """Format a p-value; a dash for a test that was not possible."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_coefficient(value: float | None) -> str:
    """Format a coefficient; a dash if undefined."""
    return "–" if value is None else f"{value:.2f}"
