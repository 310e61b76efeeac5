"""The assignment of trials to raters: pairs, sides and order, drawn from the study's seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tintype.study.manifest import FALSE_COLORS, TRUE_COLORS, Kind, Study

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Trial:
    """A two-alternative forced-choice trial: what one rater is shown, and the right answer.

    Attributes:
        kind: practice, scored trial or catch trial.
        photo: index of the photograph.
        system: whose colours are shown: of a pair, beside the true ones.
        true_side: the right answer: of a pair, the side of the true colours (in a column, left is
            above); of a single picture, left for real and right for a machine.
    """

    kind: Kind
    photo: int
    system: str
    true_side: Side


def assign_trials(study: Study, assignment: int, attempt: int = 0) -> list[Trial]:
    """Return the trials of one assignment in order, practice first.

    The photographs are shuffled once and dealt in that order, round after round: each assignment
    starts where the one before ended, and in each round every photograph moves on to the next
    system. So after any number of assignments each photograph was shown in each system's colours
    equally often, to within one; no rater sees a photograph twice; and each rater sees all systems
    about equally often.

    Args:
        study: the study.
        assignment: its number, from 0; it decides the pairs.
        attempt: how many raters abandoned this assignment before; it decides order and sides.
    """
    seed = study.settings.seed
    random = np.random.default_rng([seed, 1, assignment, attempt])
    systems = list(study.systems)
    if study.settings.kind == "single":  # every second one is true
        systems = [name for system in systems for name in (system, TRUE_COLORS)]
    practice = [
        (photo, systems[(k + assignment) % len(systems)])
        for k, photo in enumerate(study.photos_of_kind("practice"))
    ]
    trials = _with_sides(study, "practice", practice, random)
    scored = _scored_trials(study, assignment, random)
    false = [
        (int(photo), FALSE_COLORS) for photo in random.permutation(study.photos_of_kind("catch"))
    ]
    catches = _with_sides(study, "catch", false, random)
    return trials + _insert_catch_trials(scored, catches, random)


def pairs_of_assignment(study: Study, assignment: int) -> list[tuple[int, str]]:
    """Return the scored photographs of an assignment, as indices, each with its system."""
    shuffled = np.random.default_rng([study.settings.seed, 0]).permutation(
        study.photos_of_kind("trial")
    )
    systems = study.contenders
    pairs = []
    for step in range(
        assignment * study.trials_per_rater, (assignment + 1) * study.trials_per_rater
    ):
        round_, place = divmod(step, len(shuffled))
        pairs.append((int(shuffled[place]), systems[(place + round_) % len(systems)]))
    return pairs


def _scored_trials(study: Study, assignment: int, random: np.random.Generator) -> list[Trial]:
    pairs = pairs_of_assignment(study, assignment)
    trials = []
    for system in study.contenders:  # so that sides are balanced within each system
        trials += _with_sides(study, "trial", [pair for pair in pairs if pair[1] == system], random)
    return [trials[k] for k in random.permutation(len(trials))]


def _with_sides(
    study: Study, kind: Kind, pairs: list[tuple[int, str]], random: np.random.Generator
) -> list[Trial]:
    """Return trials of photographs and systems: of pairs, with sides at random."""
    if study.settings.kind == "single":
        return [
            Trial(kind, photo, system, "left" if system == TRUE_COLORS else "right")
            for photo, system in pairs
        ]
    sides = _balanced_sides(len(pairs), random)
    return [Trial(kind, *pair, side) for pair, side in zip(pairs, sides, strict=True)]


def _balanced_sides(count: int, random: np.random.Generator) -> list[Side]:
    """Return left and right equally often, to within one, in random order."""
    sides: list[Side] = ["left", "right"]
    first = int(random.integers(2))
    return [sides[(first + int(k)) % 2] for k in random.permutation(count)]


def _insert_catch_trials(
    trials: list[Trial], catches: list[Trial], random: np.random.Generator
) -> list[Trial]:
    """Insert one catch trial at random into each of as many equal parts, never as the first."""
    bounds = np.linspace(0, len(trials), len(catches) + 1).astype(int)
    mixed: list[Trial] = []
    for catch, low, high in zip(catches, bounds[:-1], bounds[1:], strict=True):
        at = int(random.integers(low, high)) + 1 if high > low else int(high)
        mixed += [*trials[low:at], catch, *trials[at:high]]
    return mixed if catches else trials
