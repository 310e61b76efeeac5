"""The assignment of trials: balanced, from the seed, no photograph twice."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tintype.study.assignment import assign_trials, pairs_of_assignment
from tintype.study.manifest import FALSE_COLORS, Study, StudyPhoto
from tintype.study.settings import Settings


def a_study(photos: int = 20, systems: int = 3, **changes: int) -> Study:
    """A study of which nothing is on disk."""
    values = {"trials": 8, "practice_trials": 3, "catch_trials": 4, "seed": 5} | changes
    kinds = (
        ["practice"] * values["practice_trials"]
        + ["catch"] * values["catch_trials"]
        + ["trial"] * photos
    )
    names = [f"system-{k}" for k in range(systems)]
    return Study(
        folder=Path(),
        settings=Settings(**values),
        systems=dict.fromkeys(names, ""),
        photos=tuple(StudyPhoto(f"{k}", kind, "", {}) for k, kind in enumerate(kinds)),
        checksums={},
        created="",
    )


@settings(max_examples=60, deadline=None)
@given(
    photos=st.integers(1, 40),
    systems=st.integers(1, 5),
    trials=st.integers(1, 50),
    assignments=st.integers(1, 30),
)
def test_every_photograph_is_given_out_in_every_system_equally_often(
    photos: int, systems: int, trials: int, assignments: int
) -> None:
    study = a_study(photos, systems, trials=trials)
    pairs = [
        pair for assignment in range(assignments) for pair in pairs_of_assignment(study, assignment)
    ]
    counts = Counter(pairs)
    every = [
        counts[photo, name] for photo in study.photos_of_kind("trial") for name in study.systems
    ]
    assert max(every) - min(every) <= 1
    assert sum(every) == assignments * min(trials, photos)


@settings(max_examples=40, deadline=None)
@given(photos=st.integers(1, 30), systems=st.integers(1, 4), assignment=st.integers(0, 50))
def test_no_rater_meets_a_photograph_twice_and_systems_are_even(
    photos: int, systems: int, assignment: int
) -> None:
    study = a_study(photos, systems)
    trials = assign_trials(study, assignment)
    assert len({trial.photo for trial in trials}) == len(trials)
    own = Counter(trial.system for trial in trials if trial.kind == "trial")
    counts = [own[name] for name in study.systems]
    assert max(counts) - min(counts) <= 2


def test_sides_are_even_within_each_system() -> None:
    study = a_study(40, 2, trials=20)
    for assignment in range(20):
        trials = [trial for trial in assign_trials(study, assignment) if trial.kind == "trial"]
        for name in study.systems:
            sides = [trial.true_side for trial in trials if trial.system == name]
            assert abs(sides.count("left") - sides.count("right")) <= 1


def test_over_all_raters_a_photograph_is_true_on_either_side_equally_often() -> None:
    study = a_study(10, 1, trials=10)
    lefts = sum(
        trial.true_side == "left"
        for assignment in range(400)
        for trial in assign_trials(study, assignment)
        if trial.kind == "trial" and trial.photo == study.photos_of_kind("trial")[0]
    )
    assert 150 < lefts < 250


def test_practice_comes_first_and_catch_trials_are_spread_among_the_rest() -> None:
    study = a_study(40, 2, trials=20, catch_trials=4)
    places: Counter[int] = Counter()
    for assignment in range(50):
        kinds = [trial.kind for trial in assign_trials(study, assignment)]
        assert kinds[:3] == ["practice"] * 3
        rest = kinds[3:]
        assert Counter(rest) == {"trial": 20, "catch": 4}
        assert rest[0] == "trial"
        catches = [place for place, kind in enumerate(rest) if kind == "catch"]
        assert all(0 < after - before <= 11 for before, after in pairwise(catches))
        places.update(catches)
    assert len(places) > 15  # and nobody can tell where


def test_catch_trials_set_false_colours_against_the_true_ones() -> None:
    trials = assign_trials(a_study(), 0)
    assert {t.system for t in trials if t.kind == "catch"} == {FALSE_COLORS}
    assert FALSE_COLORS not in {t.system for t in trials if t.kind != "catch"}


def test_an_assignment_comes_from_the_seed_alone() -> None:
    assert assign_trials(a_study(), 3) == assign_trials(a_study(), 3)
    assert assign_trials(a_study(seed=5), 3) != assign_trials(a_study(seed=6), 3)


def test_whoever_takes_over_an_assignment_gets_its_pairs_in_another_order() -> None:
    study = a_study()
    first, second = assign_trials(study, 2, 0), assign_trials(study, 2, 1)
    assert first != second
    assert {(t.photo, t.system) for t in first} == {(t.photo, t.system) for t in second}


def test_every_rater_has_an_order_of_their_own() -> None:
    study = a_study(8, 2, trials=8)
    orders = {
        tuple(trial.photo for trial in assign_trials(study, assignment)) for assignment in range(30)
    }
    assert len(orders) == 30


@pytest.mark.parametrize("catch", [0, 1, 30])
def test_any_number_of_catch_trials_finds_a_place(catch: int) -> None:
    trials = assign_trials(a_study(10, 2, catch_trials=catch), 1)
    assert Counter(t.kind for t in trials)["catch"] == catch
    assert Counter(t.kind for t in trials)["trial"] == 8
