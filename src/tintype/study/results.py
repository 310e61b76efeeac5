"""The results of a study: exclusions, scores, comparisons and diagnostics, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from tintype.study.settings import TrialKind
from tintype.study.statistics import ConfidenceInterval
from tintype.study.storage import Source


@dataclass(frozen=True)
class Exclusion:
    """A rater whose answers are excluded.

    Attributes:
        rater: number of the rater's session.
        code: completion code, shown on the thank-you page.
        reasons: why, in words.
        answers: number of the rater's answers to scored trials.
    """

    rater: int
    code: str
    reasons: tuple[str, ...]
    answers: int


@dataclass(frozen=True)
class Quartiles:
    """Quartiles of reaction times in milliseconds."""

    q1: float
    median: float
    q3: float


@dataclass(frozen=True)
class SystemScore:
    """The results of one system.

    Attributes:
        system: its name; of single pictures also that of the true ones.
        origin: where its colours come from, in words.
        answers: number of included answers.
        fooled: number of answers that took its picture for the true one, or called it real.
        score: fooling rate, fooled / answers; of pairs 0.5 is indistinguishable from the truth, of
            single pictures the score of the true ones.
        exact_interval: confidence interval of the score, taking answers as independent.
        bootstrap_interval: confidence interval from a bootstrap over raters; None for fewer than
            two raters.
        raters, photos: number of raters and of photographs that the answers are from.
        alpha: Krippendorff's alpha between raters who saw the same pair; None if undefined.
        reaction_times: of all its answers.
        reaction_times_fooled, reaction_times_correct: of wrong and of correct answers.
    """

    system: str
    origin: str
    answers: int
    fooled: int
    score: float
    exact_interval: ConfidenceInterval
    bootstrap_interval: ConfidenceInterval | None
    raters: int
    photos: int
    alpha: float | None
    reaction_times: Quartiles
    reaction_times_fooled: Quartiles | None
    reaction_times_correct: Quartiles | None


@dataclass(frozen=True)
class Comparison:
    """The comparison of two systems.

    Attributes:
        first, second: their names.
        difference: score of the first minus that of the second.
        interval: confidence interval of the difference, from a bootstrap over raters; None for
            fewer than two raters of either system.
        p_raters: p-value of the permutation test over raters; None if nobody judged both systems.
        p_photos: p-value of the permutation test over photographs; None if none was judged in both.
        p: the larger of the two, so that a small p holds for other raters and other photographs;
            if only one test was possible, its p-value; None if neither was.
        p_holm: p with Holm's correction for the number of comparisons.
    """

    first: str
    second: str
    difference: float
    interval: ConfidenceInterval | None
    p_raters: float | None
    p_photos: float | None
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class PhotoScore:
    """The score of one photograph in one system's colours.

    Attributes:
        photo: index of the photograph in the study.
        name: name of the photograph.
        system: name of the system.
        answers: number of included answers.
        fooled: number of answers that took its picture for the true one, or called it real.
        score: fooled / answers.
    """

    photo: int
    name: str
    system: str
    answers: int
    fooled: int
    score: float


@dataclass(frozen=True)
class Diagnostics:
    """How the included answers were given.

    Attributes:
        without_script: number of answers given without script, hence with unlimited exposure.
        reshown: number of answers to pairs presented more than once, after a reload.
        interrupted: number of answers given after the page was hidden during exposure.
        exposed_ms: median exposure in milliseconds; None if no browser measured it.
        layouts: layout of the pair -> number of answers.
        catch_error_rate: proportion of wrong answers to catch trials; None if there are none.
        left_rate: proportion of answers that chose the left (or upper) picture, or “Real”.
        min_answers_per_pair, max_answers_per_pair: fewest and most answers to a photograph in a
            system's colours.
    """

    without_script: int
    reshown: int
    interrupted: int
    exposed_ms: float | None
    layouts: dict[str, int]
    catch_error_rate: float | None
    left_rate: float
    min_answers_per_pair: int
    max_answers_per_pair: int


@dataclass(frozen=True)
class Report:
    """The results of a study; ``systems`` and what follows are empty without included answers.

    Attributes:
        title, kind, digest: title, kind of trials and digest of the study.
        source: whether its raters are real or simulated.
        enrolled: number of raters who began.
        finished: number of raters who answered every trial.
        included: number of raters whose answers are included.
        excluded: the other raters, each with the reasons.
        includes_unfinished: whether raters who did not finish are included.
        systems: the score of each system, in the order of the study.
        alpha: Krippendorff's alpha over all pairs; None if undefined.
        comparisons: the comparison of every two systems.
        photos: the score of every photograph in every system's colours.
        diagnostics: how the answers were given; None without included answers.
    """

    title: str
    kind: TrialKind
    digest: str
    source: Source
    enrolled: int
    finished: int
    included: int
    excluded: tuple[Exclusion, ...]
    includes_unfinished: bool
    systems: tuple[SystemScore, ...] = ()
    alpha: float | None = None
    comparisons: tuple[Comparison, ...] = ()
    photos: tuple[PhotoScore, ...] = ()
    diagnostics: Diagnostics | None = None
