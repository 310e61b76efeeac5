"""Simulated raters with known fooling rates, to test the analysis and its statistical power.

Their answers are kept in a database of their own; it and every report are marked as simulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from tintype.errors import DataError
from tintype.study.assignment import Side, Trial
from tintype.study.manifest import TRUE_COLORS, Study
from tintype.study.records import Measurements
from tintype.study.storage import DATABASE_FILES, AnswerStore

_NORMAL = NormalDist()


@dataclass(frozen=True)
class RaterPopulation:
    """A population of raters to simulate.

    A rater takes a photograph in a system's colours for true with probability Phi(m + u + v) (a
    probit model): m belongs to the system; u, of the rater, and v, of the photograph, are drawn
    from normal distributions. m makes the mean over all raters and photographs the given rate.

    Attributes:
        raters: number of raters.
        fooling_rates: name of each contender -> its fooling rate, in (0, 1): of the truth among
            single pictures, how often it is called real.
        rater_sd, photo_sd: standard deviations of u and v.
        careless: proportion of raters who answer at random and too fast, in [0, 1].
        seed: seed of the simulation.
    """

    raters: int
    fooling_rates: Mapping[str, float]
    rater_sd: float = 0.3
    photo_sd: float = 0.5
    careless: float = 0.1
    seed: int = 0


def default_fooling_rates(study: Study) -> dict[str, float]:
    """Return a fooling rate for each system, 0.2 to 0.4 in equal steps; 0.8 for the truth."""
    names = list(study.systems)
    rates = {name: 0.2 + 0.2 * k / max(1, len(names) - 1) for k, name in enumerate(names)}
    return {name: rates.get(name, 0.8) for name in study.contenders}


def simulate_raters(
    study: Study,
    population: RaterPopulation,
    on_rater: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Simulate raters who answer the study, replacing an earlier simulation.

    Args:
        study: the study.
        population: the raters.
        on_rater: called with the number of raters done and of all, for a progress bar.

    Returns:
        Name of each contender -> its true fooling rate: the mean over this study's photographs of
        the probability that a careful rater is fooled.

    Raises:
        DataError: a rate is missing, out of range, or not of a system of the study.
    """
    _check(study, population)
    for suffix in ("", "-wal", "-shm"):
        (study.folder / (DATABASE_FILES["simulated"] + suffix)).unlink(missing_ok=True)
    random = np.random.default_rng([population.seed, 4])
    photos = random.normal(0, population.photo_sd, len(study.photos))
    clock = _Clock()
    store = AnswerStore(study, source="simulated", clock=clock)
    try:
        for rater in range(population.raters):
            own = random.normal(0, population.rater_sd)
            careless = random.random() < population.careless
            _answer_all(store, clock, population, photos, own, careless, random)
            if on_rater is not None:
                on_rater(rater + 1, population.raters)
    finally:
        store.close()
    spread = math.hypot(1, population.rater_sd)
    counted = photos[study.photos_of_kind("trial")]
    return {
        system: float(
            np.mean([_NORMAL.cdf((_probit_mean(population, system) + v) / spread) for v in counted])
        )
        for system in study.contenders
    }


class _Clock:
    """A simulated clock, in milliseconds."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def _check(study: Study, population: RaterPopulation) -> None:
    if set(population.fooling_rates) != set(study.contenders):
        raise DataError(
            f"each system of the study needs a fooling rate ({', '.join(study.contenders)}), and "
            f"nothing else; given: {', '.join(population.fooling_rates) or 'none'}"
        )
    if not all(0 < rate < 1 for rate in population.fooling_rates.values()):
        raise DataError("fooling rates must lie between 0 and 1, for example 0.3")


def _probit_mean(population: RaterPopulation, system: str) -> float:
    """Return m of `RaterPopulation`."""
    spread = math.sqrt(1 + population.rater_sd**2 + population.photo_sd**2)
    return _NORMAL.inv_cdf(population.fooling_rates[system]) * spread


def _answer_all(
    store: AnswerStore,
    clock: _Clock,
    population: RaterPopulation,
    photos: np.ndarray,
    own: float,
    careless: bool,
    random: np.random.Generator,
) -> None:
    """Simulate one rater from consent to the last answer."""
    _, session = store.enroll()
    pair = store.present_next(session)
    while pair is not None:
        trial = pair.trial
        if careless:
            chance, reaction = 0.5, int(random.uniform(120, 400))
        else:
            chance, reaction = 0.01, int(1200 * math.exp(random.normal(0, 0.4)))
            if trial.kind != "catch":
                middle = _probit_mean(population, trial.system)
                chance = _NORMAL.cdf(middle + own + photos[trial.photo])
        clock.now += reaction + 50  # 50 ms for the network
        exposed = min(reaction, store.study.settings.exposure_ms or reaction)
        measurements = Measurements(reaction, exposed, False, "row")
        taken_for_true = random.random() < chance
        choice = _choice(trial, fooled=taken_for_true != (trial.system == TRUE_COLORS))
        pair = store.record_answer(session, pair.position, choice, measurements)


def _choice(trial: Trial, fooled: bool) -> Side:
    if not fooled:
        return trial.true_side
    return "left" if trial.true_side == "right" else "right"
