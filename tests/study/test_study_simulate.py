"""The rehearsal: its raters' true rates are found, and it is never taken for the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from study.material import small_study

from tintype.errors import DataError
from tintype.study.analysis import analyze
from tintype.study.manifest import Study
from tintype.study.results import Report
from tintype.study.simulate import RaterPopulation, default_fooling_rates, simulate_raters
from tintype.study.storage import AnswerStore

RATES = {"one": 0.2, "two": 0.4}


def rehearsed(study: Study, population: RaterPopulation) -> tuple[dict[str, float], Report]:
    truth = simulate_raters(study, population)
    store = AnswerStore(study, source="simulated", create=False)
    try:
        return truth, analyze(study, store.raters(), "simulated", resamples=2000)
    finally:
        store.close()


@pytest.mark.slow
def test_the_analysis_recovers_the_true_rates(tmp_path: Path) -> None:
    study = small_study(tmp_path, photos=24, trials=20, practice_trials=0)
    inside = []
    for seed in range(4):
        truth, report = rehearsed(study, RaterPopulation(30, RATES, careless=0.0, seed=seed))
        for score in report.systems:
            assert score.score == pytest.approx(truth[score.system], abs=0.08)
            assert score.bootstrap_interval is not None
            inside.append(
                score.bootstrap_interval.low <= truth[score.system] <= score.bootstrap_interval.high
            )
        (pair,) = report.comparisons
        assert pair.p_holm is not None
        assert pair.p_holm < 0.01
    assert sum(inside) >= 6  # of 8 intervals of 95 %


@pytest.mark.slow
def test_equal_systems_are_seldom_found_different(tmp_path: Path) -> None:
    study = small_study(tmp_path, photos=20, trials=16, practice_trials=0, catch_trials=0)
    found = 0
    for seed in range(10):
        _, report = rehearsed(study, RaterPopulation(8, {"one": 0.3, "two": 0.3}, seed=seed))
        (pair,) = report.comparisons
        assert pair.p_holm is not None
        found += pair.p_holm < 0.05
    assert found <= 2


@pytest.mark.slow
def test_careless_raters_are_excluded(tmp_path: Path) -> None:
    study = small_study(tmp_path, photos=30, trials=20, practice_trials=0, catch_trials=6)
    _, report = rehearsed(study, RaterPopulation(40, RATES, careless=0.5, seed=1))
    assert len(report.excluded) >= 12
    assert all("faster than" in e.reasons[-1] or "catch" in e.reasons[0] for e in report.excluded)


def test_a_rehearsal_is_apart_from_real_answers(study: Study, store: AnswerStore) -> None:
    _, session = store.enroll()
    store.present_next(session)
    store.record_answer(session, 0, "left")
    before = store.raters()
    simulate_raters(study, RaterPopulation(3, RATES))
    simulate_raters(study, RaterPopulation(2, RATES))  # in the place of the first
    assert store.raters() == before
    rehearsal = AnswerStore(study, source="simulated")
    assert len(rehearsal.raters()) == 2
    rehearsal.close()
    url = f"sqlite:///{study.folder / 'simulated.sqlite'}"
    with pytest.raises(DataError, match="never mixed"):
        AnswerStore(study, url)


def test_the_same_seed_gives_the_same_rehearsal(study: Study) -> None:
    first = rehearsed(study, RaterPopulation(6, RATES, seed=3))
    again = rehearsed(study, RaterPopulation(6, RATES, seed=3))
    other = rehearsed(study, RaterPopulation(6, RATES, seed=4))
    assert first[0] == again[0]
    assert first[1].systems == again[1].systems != other[1].systems


@pytest.mark.parametrize(
    "rates", [{}, {"one": 0.3}, {**RATES, "three": 0.1}, {"one": 0.0, "two": 0.3}]
)
def test_rates_that_make_no_sense_are_refused(rates: dict[str, float], study: Study) -> None:
    with pytest.raises(DataError):
        simulate_raters(study, RaterPopulation(2, rates))


def test_there_are_rates_to_begin_with(study: Study) -> None:
    assert default_fooling_rates(study) == pytest.approx({"one": 0.2, "two": 0.4})
