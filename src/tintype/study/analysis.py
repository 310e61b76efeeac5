"""The analysis of a study: exclusions, scores, confidence intervals and comparisons."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tintype.study.manifest import Study
from tintype.study.records import Answer, Rater
from tintype.study.results import (
    Comparison,
    Diagnostics,
    Exclusion,
    PhotoScore,
    Quartiles,
    Report,
    SystemScore,
)
from tintype.study.statistics import (
    binomial_test,
    cluster_bootstrap,
    exact_interval,
    holm_adjust,
    krippendorff_alpha,
    paired_permutation_test,
    percentile_interval,
)
from tintype.study.storage import Source


def analyze(
    study: Study,
    raters: Sequence[Rater],
    source: Source,
    *,
    include_unfinished: bool = False,
    resamples: int = 10_000,
) -> Report:
    """Score every system by the answers of the included raters.

    Args:
        study: the study.
        raters: everyone who took part.
        source: whether the raters are real or simulated.
        include_unfinished: include raters who did not answer all trials.
        resamples: number of bootstrap resamples.

    Returns:
        The report; without scores if no rater is included.
    """
    excluded = []
    included: list[tuple[Rater, list[Answer]]] = []
    for rater in raters:
        own = [answer for answer in rater.answers if answer.kind == "trial"]
        reasons = exclusion_reasons(study, rater, include_unfinished)
        if reasons:
            excluded.append(Exclusion(rater.number, rater.code, tuple(reasons), len(own)))
        else:
            included.append((rater, own))
    report = Report(
        title=study.settings.title,
        kind=study.settings.kind,
        digest=study.digest,
        source=source,
        enrolled=len(raters),
        finished=sum(rater.finished for rater in raters),
        included=len(included),
        excluded=tuple(excluded),
        includes_unfinished=include_unfinished,
    )
    if not included:
        return report
    answers = [own for _, own in included]
    table = _AnswerTable(study, answers)
    resampled = cluster_bootstrap(table.fooled, table.counts, resamples)
    return replace(
        report,
        systems=tuple(
            _system_score(study, table, k, resampled[:, k])
            for k in range(len(study.contenders))
            if table.counts[:, k].sum()
        ),
        alpha=krippendorff_alpha(table.ratings(None)),
        comparisons=_comparisons(study, table, resampled),
        photos=table.photos(),
        diagnostics=_diagnostics([rater for rater, _ in included], table),
    )


def exclusion_reasons(study: Study, rater: Rater, include_unfinished: bool = False) -> list[str]:
    """Return why the `ExclusionRules` exclude a rater, in words; empty if they do not."""
    settings, rules = study.settings, study.settings.rules
    if rater.withdrawn:
        return ["withdrew"]
    own = [answer for answer in rater.answers if answer.kind == "trial"]
    if not own:
        return ["answered no scored trial"]
    reasons = []
    if not rater.finished and not include_unfinished:
        reasons.append(f"did not finish ({len(own)} of {study.trials_per_rater} trials)")
    catches = [answer for answer in rater.answers if answer.kind == "catch"]
    wrong = sum(answer.fooled for answer in catches)
    if wrong > rules.max_catch_errors:
        reasons.append(f"{wrong} of {len(catches)} catch trials wrong")
    fast = sum(answer.reaction_ms < rules.min_reaction_ms for answer in own)
    if fast > rules.max_fast_share * len(own):
        reasons.append(f"{fast} of {len(own)} answers faster than {rules.min_reaction_ms} ms")
    left = sum(answer.choice == "left" for answer in own)
    most = max(left, len(own) - left)
    # Of single pictures most are a machine's, so an uneven choice may be a good one.
    uneven = settings.kind == "pair" or most == len(own)
    if uneven and binomial_test(left, len(own)) < rules.side_bias_alpha:
        sides = ("left", "right") if settings.kind == "pair" else ("button “Real”", "other button")
        side = sides[0] if most == left else sides[1]
        reasons.append(f"{most} of {len(own)} answers on the {side}: side bias")
    if settings.exposure_ms and any(answer.measurements.exposed_ms is None for answer in own):
        reasons.append("saw pictures with unlimited exposure (browser without script)")
    return reasons


class _AnswerTable:
    """Included answers by rater, system and photograph."""

    def __init__(self, study: Study, answers: Sequence[Sequence[Answer]]) -> None:
        self.study = study
        self.answers = answers
        self.system_index = {name: k for k, name in enumerate(study.contenders)}
        shape = (len(answers), len(self.system_index))
        self.counts, self.fooled = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.pairs: dict[tuple[int, str], list[tuple[int, bool]]] = defaultdict(list)
        for rater, own in enumerate(answers):
            for answer in own:
                k = self.system_index[answer.system]
                self.counts[rater, k] += 1
                self.fooled[rater, k] += answer.taken_for_true
                self.pairs[answer.photo, answer.system].append((rater, answer.taken_for_true))

    def of_system(self, system: str) -> list[Answer]:
        """Return the answers to pairs of a system."""
        return [answer for own in self.answers for answer in own if answer.system == system]

    def raters(self, system_index: int) -> int:
        """Return the number of raters who judged a system."""
        return int(np.count_nonzero(self.counts[:, system_index]))

    def ratings(self, system: str | None) -> NDArray[np.float64]:
        """Return ratings (raters, pairs): 1 fooled, 0 not, NaN missing; None takes all systems."""
        pairs = [key for key in self.pairs if system in (None, key[1])]
        ratings = np.full((len(self.answers), len(pairs)), np.nan)
        for unit, key in enumerate(pairs):
            for rater, fooled in self.pairs[key]:
                ratings[rater, unit] = fooled
        return ratings

    def photos(self) -> tuple[PhotoScore, ...]:
        """Return the score of every photograph in every system's colours."""
        scores = []
        for (photo, system), answers in sorted(self.pairs.items()):
            fooled = sum(fooled for _, fooled in answers)
            name = self.study.photos[photo].name
            scores.append(
                PhotoScore(photo, name, system, len(answers), fooled, fooled / len(answers))
            )
        return tuple(scores)

    def rater_differences(self, first: int, second: int) -> NDArray[np.float64]:
        """Return the difference of scores of each rater who judged both systems."""
        both = (self.counts[:, first] > 0) & (self.counts[:, second] > 0)
        scores = self.fooled[both] / np.maximum(self.counts[both], 1)
        return scores[:, first] - scores[:, second]

    def photo_differences(self, first: str, second: str) -> list[float]:
        """Return the difference of scores of each photograph judged in both systems' colours."""
        scores = {(score.photo, score.system): score.score for score in self.photos()}
        return [
            scores[photo, first] - scores[photo, second]
            for photo, system in scores
            if system == first and (photo, second) in scores
        ]


def _system_score(
    study: Study, table: _AnswerTable, system_index: int, resampled: NDArray[np.float64]
) -> SystemScore:
    name = study.contenders[system_index]
    answers = table.of_system(name)
    count, fooled = len(answers), sum(answer.taken_for_true for answer in answers)
    raters = table.raters(system_index)
    reaction_times = _quartiles(answers)
    assert reaction_times is not None
    return SystemScore(
        system=name,
        origin=study.systems.get(name, "the photographs themselves"),
        answers=count,
        fooled=fooled,
        score=fooled / count,
        exact_interval=exact_interval(fooled, count),
        bootstrap_interval=percentile_interval(resampled) if raters > 1 else None,
        raters=raters,
        photos=len({answer.photo for answer in answers}),
        alpha=krippendorff_alpha(table.ratings(name)),
        reaction_times=reaction_times,
        reaction_times_fooled=_quartiles([answer for answer in answers if answer.fooled]),
        reaction_times_correct=_quartiles([answer for answer in answers if not answer.fooled]),
    )


def _quartiles(answers: Sequence[Answer]) -> Quartiles | None:
    if not answers:
        return None
    times = [answer.reaction_ms for answer in answers]
    return Quartiles(*map(float, np.quantile(times, [0.25, 0.5, 0.75])))


def _comparisons(
    study: Study, table: _AnswerTable, resampled: NDArray[np.float64]
) -> tuple[Comparison, ...]:
    totals = table.counts.sum(0)
    scores = table.fooled.sum(0) / np.maximum(totals, 1)
    names = [name for name, total in zip(study.contenders, totals, strict=True) if total]
    comparisons = []
    for first, second in itertools.combinations(names, 2):
        i, j = table.system_index[first], table.system_index[second]
        p_raters = paired_permutation_test(table.rater_differences(i, j))
        p_photos = paired_permutation_test(table.photo_differences(first, second))
        several = min(table.raters(i), table.raters(j)) > 1
        interval = percentile_interval(resampled[:, i] - resampled[:, j]) if several else None
        difference = float(scores[i] - scores[j])
        p = max((p for p in (p_raters, p_photos) if p is not None), default=None)
        comparisons.append(
            Comparison(first, second, difference, interval, p_raters, p_photos, p, p)
        )
    adjusted = iter(holm_adjust([pair.p for pair in comparisons if pair.p is not None]))
    return tuple(
        pair if pair.p is None else replace(pair, p_holm=next(adjusted)) for pair in comparisons
    )


def _diagnostics(raters: Sequence[Rater], table: _AnswerTable) -> Diagnostics:
    answers = [answer for own in table.answers for answer in own]
    catches = [answer for rater in raters for answer in rater.answers if answer.kind == "catch"]
    exposed = [a.measurements.exposed_ms for a in answers if a.measurements.exposed_ms is not None]
    layouts = Counter(a.measurements.layout for a in answers if a.measurements.layout is not None)
    answers_per_pair = [
        len(table.pairs.get((photo, system), ()))
        for photo in table.study.photos_of_kind("trial")
        for system in table.study.contenders
    ]
    return Diagnostics(
        without_script=len(answers) - len(exposed),
        reshown=sum(answer.presentations > 1 for answer in answers),
        interrupted=sum(answer.measurements.interrupted for answer in answers),
        exposed_ms=float(np.median(exposed)) if exposed else None,
        layouts=dict(layouts),
        catch_error_rate=float(np.mean([a.fooled for a in catches])) if catches else None,
        left_rate=float(np.mean([answer.choice == "left" for answer in answers])),
        min_answers_per_pair=min(answers_per_pair),
        max_answers_per_pair=max(answers_per_pair),
    )
