"""A study of single pictures: who sees what, what is right, and the share called real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from study.material import small_study
from study.visitor import Visitor, session_of

from tintype.errors import DataError
from tintype.study.analysis import analyze, exclusion_reasons
from tintype.study.app import create_app
from tintype.study.assignment import assign_trials
from tintype.study.manifest import FALSE_COLORS, TRUE_COLORS, Study
from tintype.study.presentation import report_html
from tintype.study.records import Answer, Measurements, Rater
from tintype.study.report_text import report_text
from tintype.study.simulate import RaterPopulation, default_fooling_rates, simulate_raters
from tintype.study.statistics import exact_interval
from tintype.study.storage import AnswerStore


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path, kind="single")


def a_rater(study: Study, number: int, called_real: dict[str, str]) -> Rater:
    """A rater who called pictures of each system real (1) or not (0)."""
    answers: list[Answer] = []
    photos = study.photos_of_kind("trial")
    for system, marks in called_real.items():
        side = "left" if system == TRUE_COLORS else "right"
        for mark in marks:
            k = len(answers)
            choice = "left" if mark == "1" else "right"
            seen = Measurements(1000, 300, False, "row")
            photo = photos[k % len(photos)]
            answers.append(Answer(k, "trial", photo, system, side, choice, seen, 5000, 1))
    return Rater(number, f"CODE{number}", True, False, tuple(answers))


def test_every_system_and_the_truth_are_shown_alike(study: Study) -> None:
    practice, scored, catches = (
        [t for n in range(4) for t in assign_trials(study, n) if t.kind == kind]
        for kind in ("practice", "trial", "catch")
    )
    shown = [trial.system for trial in scored]
    assert {shown.count(name) for name in ("one", "two", TRUE_COLORS)} == {8}
    for trial in practice + scored + catches:
        assert trial.true_side == ("left" if trial.system == TRUE_COLORS else "right")
    assert [trial.system for trial in practice].count(TRUE_COLORS) == len(practice) / 2
    assert {trial.system for trial in catches} == {FALSE_COLORS}


def test_a_rater_is_given_one_picture(study: Study) -> None:
    store = AnswerStore(study)
    visitor = Visitor(create_app(study, store))
    state: dict[str, Any] = visitor.begin()
    while not state["done"]:
        pair = store.next_pair(session_of(store, visitor))
        assert pair is not None
        assert state["right"] is None
        assert visitor.get(f"/picture/{pair.right_token}").status_code == 404
        _, shown = study.pair_files(pair.trial.photo, pair.trial.system)
        assert visitor.get(f"/{state['left']}").content == shown.read_bytes()
        reply = visitor.answer(state, "left").json()
        if state["practice"]:
            assert reply["feedback"]["correct"] == (pair.trial.system == TRUE_COLORS)
        state = reply["next"]
    (rater,) = store.raters()
    store.close()
    assert rater.finished
    assert all(answer.taken_for_true for answer in rater.answers)
    assert exclusion_reasons(study, rater)[0] == "2 of 2 catch trials wrong"


def test_the_share_called_real_stands_beside_that_of_the_true_ones(study: Study) -> None:
    marks = {"one": "1000", "two": "0000", TRUE_COLORS: "1110"}
    report = analyze(study, [a_rater(study, k, marks) for k in range(3)], "real")
    assert [(s.system, s.score) for s in report.systems] == [
        ("one", 1 / 4),
        ("two", 0),
        (TRUE_COLORS, 3 / 4),
    ]
    assert report.systems[0].exact_interval == exact_interval(3, 12)
    assert "called real" in report_text(report)
    page = report_html(study, report)
    assert "75.0 %: indistinguishable" in page
    assert page.count("<figcaption>true colours") == 0  # nobody is fooled by the truth


def test_only_who_always_answers_the_same_has_a_side_bias(study: Study) -> None:
    mostly = a_rater(study, 1, {"one": "0" * 20, TRUE_COLORS: "1"})
    assert exclusion_reasons(study, mostly) == []
    always = a_rater(study, 2, {"one": "0" * 20, TRUE_COLORS: "0"})
    assert exclusion_reasons(study, always) == ["21 of 21 answers on the other button: side bias"]


def test_a_rehearsal_finds_its_rates(study: Study) -> None:
    rates = default_fooling_rates(study)
    assert rates == {"one": 0.2, "two": 0.4, TRUE_COLORS: 0.8}
    truth = simulate_raters(study, RaterPopulation(30, rates, careless=0))
    store = AnswerStore(study, source="simulated", create=False)
    report = analyze(study, store.raters(), "simulated", resamples=100)
    store.close()
    for score in report.systems:
        assert score.score == pytest.approx(truth[score.system], abs=0.15)


def test_the_truth_counts_among_the_trials(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 systems and the truth"):
        small_study(tmp_path, kind="single", trials=2)
    with pytest.raises(DataError, match="a name of its own"):
        small_study(tmp_path / "b", systems=(TRUE_COLORS,))
