"""The settings of a study, and the default texts that raters read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tintype.errors import DataError

#: What a trial shows: a pair of pictures, one of them true, or a single one, true or not.
TrialKind = Literal["pair", "single"]

QUESTIONS: dict[TrialKind, str] = {
    "pair": "Which one has the true colours?",
    "single": "Real, or coloured by a machine?",
}
_TASKS = {
    "pair": (
        "You will see pairs of pictures and say, for each pair, which picture has the true "
        "colours.",
        "We record which picture you choose, how long you take, whether the pictures lay side by "
        "side or one above the other, and whether the page was hidden meanwhile.",
    ),
    "single": (
        "You will see pictures one by one and say of each whether its colours are real or made by "
        "a machine.",
        "We record what you answer, how long you take, and whether the page was hidden meanwhile.",
    ),
}


def consent(kind: TrialKind) -> tuple[str, ...]:
    """Return the paragraphs that raters agree to, if a study has none of its own."""
    task, recorded = _TASKS[kind]
    return (
        "You are invited to take part in a study of how convincing the colours are that computer "
        "programs give to black-and-white photographs.",
        f"{task} There is nothing to prepare and no special knowledge is needed. You should be "
        "able to see colours without difficulty.",
        f"{recorded} We do not ask for your name, and we keep neither your address on the network "
        "nor anything else about you. One cookie lets you go on where you were if the page is "
        "closed; it holds a random number.",
        "Taking part is voluntary. You may stop at any time, without giving a reason; if you press "
        "“Stop and withdraw”, your answers are left out of the study.",
    )


@dataclass(frozen=True)
class ExclusionRules:
    """The rules that exclude raters, fixed before the first answer.

    Attributes:
        max_catch_errors: most wrong answers to catch trials of an included rater.
        min_reaction_ms: an answer with a shorter reaction time, in milliseconds, is too fast.
        max_fast_share: largest proportion of too fast answers of an included rater, in [0, 1].
        side_bias_alpha: significance level, in [0, 1], of the two-sided exact binomial test for
            side bias; of single pictures, only of answers that are all the same.
    """

    max_catch_errors: int = 1
    min_reaction_ms: int = 300
    max_fast_share: float = 0.25
    side_bias_alpha: float = 0.001


@dataclass(frozen=True)
class Settings:
    """The settings of a study.

    Attributes:
        kind: what a trial shows.
        title: title of the study, as raters see it.
        question: the question of every trial.
        consent: paragraphs of the page on which raters agree to take part.
        contact: whom raters can ask, in words; may be empty.
        size: side of the square pictures in pixels, 32 to 2048.
        exposure_ms: how long pictures are shown in milliseconds, 100 to 60,000; 0 shows them until
            the answer.
        trials: number of scored trials of each rater, from 1.
        practice_trials: number of trials before these, with feedback, which are not scored.
        catch_trials: number of trials among the scored ones whose answer is obvious.
        seed: seed of every random choice, from 0; secret, since it determines the true sides.
        rules: rules that exclude raters.
    """

    kind: TrialKind = "pair"
    title: str = "True colours"
    question: str = QUESTIONS["pair"]
    consent: tuple[str, ...] = consent("pair")
    contact: str = ""
    size: int = 256
    exposure_ms: int = 5000
    trials: int = 50
    practice_trials: int = 5
    catch_trials: int = 6
    seed: int = 0
    rules: ExclusionRules = field(default_factory=ExclusionRules)


def check_settings(settings: Settings) -> None:
    """Check the ranges of a study's settings.

    Raises:
        DataError: one is out of range.
    """
    rules = {
        "pictures must have 32 to 2048 pixels a side": 32 <= settings.size <= 2048,
        "the exposure must be 0.1 to 60 seconds, or 0 for no limit": (
            settings.exposure_ms == 0 or 100 <= settings.exposure_ms <= 60_000
        ),
        "there must be at least 1 scored trial": settings.trials >= 1,
        "the numbers of practice and catch trials cannot be negative": (
            settings.practice_trials >= 0 and settings.catch_trials >= 0
        ),
        "max_catch_errors must be 0 or more, and below the number of catch trials": (
            settings.catch_trials == 0
            or 0 <= settings.rules.max_catch_errors < settings.catch_trials
        ),
        "max_fast_share and side_bias_alpha must be between 0 and 1": (
            0 <= settings.rules.max_fast_share <= 1 and 0 <= settings.rules.side_bias_alpha <= 1
        ),
        "the seed cannot be negative": settings.seed >= 0,
        "the question and the title cannot be empty": bool(settings.question and settings.title),
        "the text to consent to cannot be empty": bool(settings.consent),
    }
    for rule, holds in rules.items():
        if not holds:
            raise DataError(f"these settings cannot be used: {rule}.")
