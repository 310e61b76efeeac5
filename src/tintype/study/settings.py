"""The settings of a study, and the default texts that raters read."""

from __future__ import annotations

from dataclasses import dataclass, field

from tintype.errors import DataError

QUESTION = "Which one has the true colours?"

CONSENT = (
    "You are invited to take part in a study of how convincing the colours are that computer "
    "programs give to black-and-white photographs.",
    "You will see pairs of pictures and say, for each pair, which picture has the true colours. "
    "There is nothing to prepare and no special knowledge is needed. You should be able to see "
    "colours without difficulty.",
    "We record which picture you choose, how long you take, whether the pictures lay side by side "
    "or one above the other, and whether the page was hidden meanwhile. We do not ask for your "
    "name, and we keep neither your address on the network nor anything else about you. One cookie "
    "lets you go on where you were if the page is closed; it holds a random number.",
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
            side bias.
    """

    max_catch_errors: int = 1
    min_reaction_ms: int = 300
    max_fast_share: float = 0.25
    side_bias_alpha: float = 0.001


@dataclass(frozen=True)
class Settings:
    """The settings of a study.

    Attributes:
        title: title of the study, as raters see it.
        question: the question of every trial.
        consent: paragraphs of the page on which raters agree to take part.
        contact: whom raters can ask, in words; may be empty.
        size: side of the square pictures in pixels, 32 to 2048.
        exposure_ms: how long a pair is shown in milliseconds, 100 to 60,000; 0 shows it until the
            answer.
        trials: number of scored trials of each rater, from 1.
        practice_trials: number of trials before these, with feedback, which are not scored.
        catch_trials: number of trials among the scored ones whose answer is obvious.
        seed: seed of every random choice, from 0; secret, since it determines the true sides.
        rules: rules that exclude raters.
    """

    title: str = "True colours"
    question: str = QUESTION
    consent: tuple[str, ...] = CONSENT
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
