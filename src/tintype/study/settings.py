"""The settings of a study, and the words that raters read unless others are given."""

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
        max_catch_errors: wrong answers to catch trials up to which a rater is included.
        min_reaction_ms: an answer with a shorter reaction time is too fast.
        max_fast_share: proportion of answers that may be too fast.
        side_bias_alpha: significance level of the two-sided exact binomial test for side bias.
    """

    max_catch_errors: int = 1
    min_reaction_ms: int = 300
    max_fast_share: float = 0.25
    side_bias_alpha: float = 0.001


@dataclass(frozen=True)
class Settings:
    """The settings of a study.

    Attributes:
        title: of the study, as raters see it.
        question: the question of every trial.
        consent: paragraphs of the page on which raters agree to take part.
        contact: whom raters can ask, in words; may be empty.
        size: side of the square pictures in pixels.
        exposure_ms: exposure of a pair; 0 shows it until the answer.
        trials: scored trials of each rater.
        practice: pairs with feedback before them, which never count.
        catch: pairs among them whose answer is obvious.
        seed: of every random choice; secret, since it determines the true sides.
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
        "the size of the pictures is from 32 to 2048 pixels": 32 <= settings.size <= 2048,
        "the exposure is from 0.1 seconds to a minute, or 0 for no limit": (
            settings.exposure_ms == 0 or 100 <= settings.exposure_ms <= 60_000
        ),
        "the number of trials is from 1": settings.trials >= 1,
        "practice and catch trials are counted from 0": min(
            settings.practice_trials, settings.catch_trials
        )
        >= 0,
        "fewer catch errors are allowed than there are catch trials": (
            settings.catch_trials == 0
            or 0 <= settings.rules.max_catch_errors < settings.catch_trials
        ),
        "the shares of the rules are from 0 to 1": (
            0 <= settings.rules.max_fast_share <= 1 and 0 <= settings.rules.side_bias_alpha <= 1
        ),
        "the seed is a whole number from 0": settings.seed >= 0,
        "the question and the title are not empty": bool(settings.question and settings.title),
        "there is something to consent to": bool(settings.consent),
    }
    for rule, holds in rules.items():
        if not holds:
            raise DataError(f"these settings make no study: {rule}.")
