"""From answers to scores: whose answers count, how often each system fooled them, how surely."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tintype.study.manifest import Study
from tintype.study.records import Answer, Rater
from tintype.study.statistics import (
    Interval,
    clustered_bootstrap,
    even_choice,
    holm,
    krippendorff_alpha,
    percentile_interval,
    sign_flip_test,
    wilson,
)
from tintype.study.storage import Source


@dataclass(frozen=True)
class Exclusion:
    """A rater whose answers do not count.

    Attributes:
        rater: the number of the session.
        code: what the thank-you page gave out.
        reasons: in words.
        answers: how many of those that would count were given.
    """

    rater: int
    code: str
    reasons: tuple[str, ...]
    answers: int


@dataclass(frozen=True)
class Quartiles:
    """Reaction times in milliseconds: of a quarter, a half and three quarters of the answers."""

    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class SystemScore:
    """How one system fared.

    Attributes:
        system: its name.
        origin: where its colours come from.
        answers: how many counted.
        fooled: how many of them took its picture for the true one.
        score: the Visual Turing Test score, fooled / answers; 0.5 is indistinguishable.
        wilson: interval of the score that takes all answers for independent.
        clustered: interval from a bootstrap over raters; None where fewer than two judged it.
        raters, photos: how many the answers are of.
        agreement: Krippendorff's alpha between raters who saw the same pair; None if undefined.
        reactions: of all its answers.
        reactions_fooled, reactions_right: of those that were fooled and those that were not.
    """

    system: str
    origin: str
    answers: int
    fooled: int
    score: float
    wilson: Interval
    clustered: Interval | None
    raters: int
    photos: int
    agreement: float | None
    reactions: Quartiles
    reactions_fooled: Quartiles | None
    reactions_right: Quartiles | None


@dataclass(frozen=True)
class Comparison:
    """Two systems set against each other.

    Attributes:
        first, second: their names.
        difference: score of the first less that of the second.
        interval: of the difference, from a bootstrap over raters; None where fewer than two judged
            either system.
        p_raters: of the permutation test over raters; None where nobody judged both systems.
        p_photos: of the permutation test over photographs; None where none was judged in both.
        p: the larger of both: the difference holds for other raters and for other photographs. The
            only one where one test could not be made; None where neither could.
        p_holm: p, adjusted for the number of comparisons that were tested.
    """

    first: str
    second: str
    difference: float
    interval: Interval | None
    p_raters: float | None
    p_photos: float | None
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class PhotoScore:
    """How one photograph fared in one system's colours."""

    photo: int
    name: str
    system: str
    answers: int
    fooled: int
    score: float


@dataclass(frozen=True)
class Conditions:
    """What is to be known of the answers that count.

    Attributes:
        without_script: given with the pictures in view without limit.
        shown_again: whose pair was given out more than once, after a reload.
        interrupted: with the page hidden while the pictures were there.
        exposed_ms: median time for which the pictures were there; None if nobody measured it.
        layouts: how the pictures lay -> answers.
        catch_errors: share of the catch trials that were answered wrongly.
        left_chosen: share of answers that chose the left (or upper) picture.
        fewest, most: answers to any one pair of photograph and system.
    """

    without_script: int
    shown_again: int
    interrupted: int
    exposed_ms: float | None
    layouts: dict[str, int]
    catch_errors: float | None
    left_chosen: float
    fewest: int
    most: int


@dataclass(frozen=True)
class Report:
    """All that a study says; ``systems`` and what follows are empty until answers count.

    Attributes:
        title, digest: of the study.
        source: whether its raters are real or simulated.
        enrolled: how many began.
        finished: how many answered everything.
        counted: how many raters' answers count.
        excluded: those of the others, and why.
        unfinished_counted: whether raters who did not finish count.
        systems: one score each, in the order of the study.
        agreement: Krippendorff's alpha over all pairs.
        comparisons: of each two systems.
        photos: the scores of single photographs.
        conditions: None until answers count.
    """

    title: str
    digest: str
    source: Source
    enrolled: int
    finished: int
    counted: int
    excluded: tuple[Exclusion, ...]
    unfinished_counted: bool
    systems: tuple[SystemScore, ...] = ()
    agreement: float | None = None
    comparisons: tuple[Comparison, ...] = ()
    photos: tuple[PhotoScore, ...] = ()
    conditions: Conditions | None = None


def analyse(
    study: Study,
    raters: Sequence[Rater],
    source: Source,
    *,
    unfinished: bool = False,
    resamples: int = 10_000,
) -> Report:
    """Score every system by the answers of the raters that count.

    Args:
        study: the study.
        raters: everyone who took part.
        source: whether they are real.
        unfinished: whether those count who answered some trials but not all.
        resamples: of the bootstrap.
    """
    excluded = []
    counted: list[tuple[Rater, list[Answer]]] = []
    for rater in raters:
        own = [answer for answer in rater.answers if answer.kind == "trial"]
        reasons = exclusion_reasons(study, rater, unfinished)
        if reasons:
            excluded.append(Exclusion(rater.number, rater.code, tuple(reasons), len(own)))
        else:
            counted.append((rater, own))
    report = Report(
        title=study.settings.title,
        digest=study.digest,
        source=source,
        enrolled=len(raters),
        finished=sum(rater.finished for rater in raters),
        counted=len(counted),
        excluded=tuple(excluded),
        unfinished_counted=unfinished,
    )
    if not counted:
        return report
    answers = [own for _, own in counted]
    table = _Table(study, answers)
    shares = clustered_bootstrap(table.fooled, table.counts, resamples)
    return Report(
        **{
            **vars(report),
            "systems": tuple(
                _score(study, table, k, shares[:, k])
                for k, name in enumerate(study.systems)
                if table.counts[:, k].sum()
            ),
            "agreement": krippendorff_alpha(table.ratings(None)),
            "comparisons": _comparisons(study, table, shares),
            "photos": table.photos(),
            "conditions": _conditions([rater for rater, _ in counted], table),
        }
    )


def exclusion_reasons(study: Study, rater: Rater, unfinished: bool = False) -> list[str]:
    """Why a rater's answers do not count, in words; empty if they do. See `Rules`."""
    settings, rules = study.settings, study.settings.rules
    if rater.withdrawn:
        return ["withdrew"]
    own = [answer for answer in rater.answers if answer.kind == "trial"]
    if not own:
        return ["answered none of the trials that count"]
    reasons = []
    if not rater.finished and not unfinished:
        reasons.append(f"did not finish ({len(own)} of {study.trials} trials)")
    catches = [answer for answer in rater.answers if answer.kind == "catch"]
    wrong = sum(answer.fooled for answer in catches)
    if wrong > rules.catch_errors:
        reasons.append(f"{wrong} of {len(catches)} catch trials wrong")
    fast = sum(answer.reaction_ms < rules.fast_ms for answer in own)
    if fast > rules.fast_share * len(own):
        reasons.append(f"{fast} of {len(own)} answers within {rules.fast_ms} ms: too fast")
    left = sum(answer.choice == "left" for answer in own)
    if even_choice(left, len(own)) < rules.side_p:
        side = "left" if 2 * left > len(own) else "right"
        reasons.append(f"{max(left, len(own) - left)} of {len(own)} answers {side}: one-sided")
    if settings.exposure_ms and any(answer.measured.exposed_ms is None for answer in own):
        reasons.append("saw pictures without the limit of time (no script)")
    return reasons


class _Table:
    """Counted answers by rater, system and photograph."""

    def __init__(self, study: Study, answers: Sequence[Sequence[Answer]]) -> None:
        self.study = study
        self.answers = answers
        self.place = {name: k for k, name in enumerate(study.systems)}
        shape = (len(answers), len(self.place))
        self.counts, self.fooled = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.pairs: dict[tuple[int, str], list[tuple[int, bool]]] = defaultdict(list)
        for rater, own in enumerate(answers):
            for answer in own:
                k = self.place[answer.system]
                self.counts[rater, k] += 1
                self.fooled[rater, k] += answer.fooled
                self.pairs[answer.photo, answer.system].append((rater, answer.fooled))

    def of_system(self, system: str) -> list[Answer]:
        return [answer for own in self.answers for answer in own if answer.system == system]

    def raters(self, place: int) -> int:
        """How many judged the system in this place."""
        return int(np.count_nonzero(self.counts[:, place]))

    def ratings(self, system: str | None) -> NDArray[np.float64]:
        """(raters, pairs): 1 fooled, 0 not, NaN not asked; of one system, or of all."""
        pairs = [key for key in self.pairs if system in (None, key[1])]
        ratings = np.full((len(self.answers), len(pairs)), np.nan)
        for unit, key in enumerate(pairs):
            for rater, fooled in self.pairs[key]:
                ratings[rater, unit] = fooled
        return ratings

    def photos(self) -> tuple[PhotoScore, ...]:
        scores = []
        for (photo, system), answers in sorted(self.pairs.items()):
            fooled = sum(fooled for _, fooled in answers)
            name = self.study.photos[photo].name
            scores.append(
                PhotoScore(photo, name, system, len(answers), fooled, fooled / len(answers))
            )
        return tuple(scores)

    def differences_of_raters(self, first: int, second: int) -> NDArray[np.float64]:
        """Of each rater who judged both systems, the difference of their shares."""
        both = (self.counts[:, first] > 0) & (self.counts[:, second] > 0)
        shares = self.fooled[both] / np.maximum(self.counts[both], 1)
        return shares[:, first] - shares[:, second]

    def differences_of_photos(self, first: str, second: str) -> list[float]:
        """Of each photograph that was judged in both systems' colours, the same."""
        scores = {(score.photo, score.system): score.score for score in self.photos()}
        return [
            scores[photo, first] - scores[photo, second]
            for photo, system in scores
            if system == first and (photo, second) in scores
        ]


def _score(study: Study, table: _Table, place: int, shares: NDArray[np.float64]) -> SystemScore:
    name = list(study.systems)[place]
    answers = table.of_system(name)
    count, fooled = len(answers), sum(answer.fooled for answer in answers)
    raters = table.raters(place)
    reactions = _quartiles(answers)
    assert reactions is not None
    return SystemScore(
        system=name,
        origin=study.systems[name],
        answers=count,
        fooled=fooled,
        score=fooled / count,
        wilson=wilson(fooled, count),
        clustered=percentile_interval(shares) if raters > 1 else None,
        raters=raters,
        photos=len({answer.photo for answer in answers}),
        agreement=krippendorff_alpha(table.ratings(name)),
        reactions=reactions,
        reactions_fooled=_quartiles([answer for answer in answers if answer.fooled]),
        reactions_right=_quartiles([answer for answer in answers if not answer.fooled]),
    )


def _quartiles(answers: Sequence[Answer]) -> Quartiles | None:
    if not answers:
        return None
    times = [answer.reaction_ms for answer in answers]
    return Quartiles(*map(float, np.quantile(times, [0.25, 0.5, 0.75])))


def _comparisons(
    study: Study, table: _Table, shares: NDArray[np.float64]
) -> tuple[Comparison, ...]:
    totals = table.counts.sum(0)
    scores = table.fooled.sum(0) / np.maximum(totals, 1)
    names = [name for name, total in zip(study.systems, totals, strict=True) if total]
    found = []
    for first, second in itertools.combinations(names, 2):
        i, j = table.place[first], table.place[second]
        p_raters = sign_flip_test(table.differences_of_raters(i, j))
        p_photos = sign_flip_test(table.differences_of_photos(first, second))
        several = min(table.raters(i), table.raters(j)) > 1
        interval = percentile_interval(shares[:, i] - shares[:, j]) if several else None
        difference = float(scores[i] - scores[j])
        p = max((p for p in (p_raters, p_photos) if p is not None), default=None)
        found.append(Comparison(first, second, difference, interval, p_raters, p_photos, p, p))
    adjusted = iter(holm([pair.p for pair in found if pair.p is not None]))
    return tuple(pair if pair.p is None else replace(pair, p_holm=next(adjusted)) for pair in found)


def _conditions(raters: Sequence[Rater], table: _Table) -> Conditions:
    answers = [answer for own in table.answers for answer in own]
    catches = [answer for rater in raters for answer in rater.answers if answer.kind == "catch"]
    exposed = [a.measured.exposed_ms for a in answers if a.measured.exposed_ms is not None]
    layouts = Counter(a.measured.layout for a in answers if a.measured.layout is not None)
    of_pair = [
        len(table.pairs.get((photo, system), ()))
        for photo in table.study.of_kind("trial")
        for system in table.study.systems
    ]
    return Conditions(
        without_script=len(answers) - len(exposed),
        shown_again=sum(answer.presentations > 1 for answer in answers),
        interrupted=sum(answer.measured.interrupted for answer in answers),
        exposed_ms=float(np.median(exposed)) if exposed else None,
        layouts=dict(layouts),
        catch_errors=float(np.mean([a.fooled for a in catches])) if catches else None,
        left_chosen=float(np.mean([answer.choice == "left" for answer in answers])),
        fewest=min(of_pair),
        most=max(of_pair),
    )
