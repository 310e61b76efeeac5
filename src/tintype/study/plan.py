"""Who is shown what: each rater's pairs, their sides and their order, from the study's seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tintype.study.manifest import FALSE_COLOURS, Kind, Study

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Trial:
    """One pair as one rater is shown it.

    Attributes:
        kind: whether it is practice, counts, or is a catch trial.
        photo: index of the photograph.
        system: whose colours are set against the true ones.
        true_side: where the true ones are; in a column, left is above.
    """

    kind: Kind
    photo: int
    system: str
    true_side: Side


def plan(study: Study, slot: int, attempt: int = 0) -> list[Trial]:
    """The pairs of one rater, practice first.

    Slots 0, 1, 2, ... go round the photographs in a shuffled order, each taking up where the
    one before ended, and with every round each photograph moves on to the next system. So after
    any number of slots each photograph has been given out in each system's colours equally
    often, to within one; no rater meets a photograph twice; and a rater's systems are balanced.

    Args:
        study: the study.
        slot: which share of the work: it decides the pairs.
        attempt: which rater does it, where one before gave up: decides order and sides anew.
    """
    seed = study.settings.seed
    random = np.random.default_rng([seed, 1, slot, attempt])
    systems = list(study.systems)
    practice = [
        (photo, systems[(k + slot) % len(systems)])
        for k, photo in enumerate(study.of_kind("practice"))
    ]
    sides = _even_sides(len(practice), random)
    trials = [Trial("practice", *pair, side) for pair, side in zip(practice, sides, strict=True)]
    counted = _counted(study, slot, random)
    catches = [
        Trial("catch", int(photo), FALSE_COLOURS, side)
        for photo, side in zip(
            random.permutation(study.of_kind("catch")),
            _even_sides(study.settings.catch, random),
            strict=True,
        )
    ]
    return trials + _interspersed(counted, catches, random)


def pairs_of_slot(study: Study, slot: int) -> list[tuple[int, str]]:
    """The photographs of a slot, each with the system whose colours it is shown in."""
    shuffled = np.random.default_rng([study.settings.seed, 0]).permutation(study.of_kind("trial"))
    systems = list(study.systems)
    pairs = []
    for step in range(slot * study.trials, (slot + 1) * study.trials):
        round_, place = divmod(step, len(shuffled))
        pairs.append((int(shuffled[place]), systems[(place + round_) % len(systems)]))
    return pairs


def _counted(study: Study, slot: int, random: np.random.Generator) -> list[Trial]:
    pairs = pairs_of_slot(study, slot)
    trials = []
    for system in study.systems:  # sides are even within each system
        own = [photo for photo, name in pairs if name == system]
        sides = _even_sides(len(own), random)
        trials += [
            Trial("trial", photo, system, side) for photo, side in zip(own, sides, strict=True)
        ]
    return [trials[k] for k in random.permutation(len(trials))]


def _even_sides(count: int, random: np.random.Generator) -> list[Side]:
    """Left as often as right, to within one, in random order."""
    sides: list[Side] = ["left", "right"]
    first = int(random.integers(2))
    return [sides[(first + int(k)) % 2] for k in random.permutation(count)]


def _interspersed(
    trials: list[Trial], catches: list[Trial], random: np.random.Generator
) -> list[Trial]:
    """Each catch trial somewhere in its own stretch of the trials, none of them first."""
    bounds = np.linspace(0, len(trials), len(catches) + 1).astype(int)
    mixed: list[Trial] = []
    for catch, low, high in zip(catches, bounds[:-1], bounds[1:], strict=True):
        at = int(random.integers(low, high)) + 1 if high > low else int(high)
        mixed += [*trials[low:at], catch, *trials[at:high]]
    return mixed if catches else trials
