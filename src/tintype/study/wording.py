"""A report's figures and findings in words, for every form of it."""

from __future__ import annotations

from tintype.study.results import Report
from tintype.study.statistics import ConfidenceInterval

SIMULATED = "SIMULATED: answers of simulated raters. This is no Visual Turing Test."


def rater_counts(report: Report) -> str:
    """Count the raters by what became of them."""
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
        f"The left (or upper) picture was chosen in {format_percent(diagnostics.left_rate)} of the "
        "answers.",
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
        "were given without script, the pictures in view without limit": diagnostics.without_script,
        "are of pairs that were shown again after a reload": diagnostics.reshown,
        "were given after the page was hidden during exposure": diagnostics.interrupted,
    }
    notes += [f"{count} answers {what}." for what, count in counts.items() if count]
    if len(diagnostics.layouts) > 1:
        row, column = diagnostics.layouts["row"], diagnostics.layouts["column"]
        notes.append(
            f"The pictures lay side by side for {row} answers, one above other for {column}."
        )
    for pair in report.comparisons:
        lacks = []
        if pair.p_raters is None:
            lacks.append("over raters (none judged both)")
        if pair.p_photos is None:
            lacks.append("over photographs (none was judged in the colours of both)")
        if lacks:
            notes.append(f"{pair.first} and {pair.second} are not tested {', nor '.join(lacks)}.")
    if report.included < 20:
        notes.append(
            f"With {report.included} raters the confidence intervals over raters are too "
            "narrow: gather 20 or more."
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
    """Format a p-value; a dash for a test that could not be made."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_coefficient(value: float | None) -> str:
    """Format a coefficient; a dash if undefined."""
    return "–" if value is None else f"{value:.2f}"
