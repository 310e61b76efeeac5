"""Scores, comparisons and exclusions against answers worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from study.material import small_study

from tintype.study.analysis import analyze, exclusion_reasons
from tintype.study.manifest import FALSE_COLORS, Study
from tintype.study.presentation import (
    answers_csv,
    report_csp,
    report_html,
    report_json,
)
from tintype.study.records import Answer, Measurements, Rater
from tintype.study.report_text import SIMULATED, report_text
from tintype.study.statistics import exact_interval

SEEN = Measurements(reaction_ms=1000, exposed_ms=300, layout="row")


def an_answer(
    study: Study,
    position: int,
    fooled: bool,
    system: str = "one",
    kind: str = "trial",
    measurements: Measurements = SEEN,
    **changes: object,
) -> Answer:
    photos = study.photos_of_kind(kind)
    true = "left" if position % 2 else "right"
    other = "right" if position % 2 else "left"
    answer = Answer(
        position=position,
        kind=kind,
        photo=photos[position % len(photos)],
        system=system if kind == "trial" else FALSE_COLORS,
        true_side=true,
        choice=other if fooled else true,
        measurements=measurements,
        server_ms=5000,
        presentations=1,
    )
    return replace(answer, **changes)


def a_rater(study: Study, number: int, one: str = "", two: str = "", **changes: object) -> Rater:
    """A rater who was fooled (1) or not (0) by systems one and two, and by no catch trial."""
    words = [("one", mark) for mark in one] + [("two", mark) for mark in two]
    answers = [an_answer(study, k, mark == "1", system) for k, (system, mark) in enumerate(words)]
    answers += [an_answer(study, 20 + k, False, kind="catch") for k in range(2)]
    return replace(Rater(number, f"CODE{number}", True, False, tuple(answers)), **changes)


def test_a_score_is_the_share_of_answers_that_were_fooled(study: Study) -> None:
    raters = [a_rater(study, 1, "110", "000"), a_rater(study, 2, "101", "100")]
    report = analyze(study, raters, "real")
    one, two = report.systems
    assert (one.system, one.answers, one.fooled, one.score) == ("one", 6, 4, 4 / 6)
    assert (two.fooled, two.score, two.raters, two.photos) == (1, 1 / 6, 2, 3)
    assert one.exact_interval == exact_interval(4, 6)
    assert one.bootstrap_interval == (4 / 6, 4 / 6)  # both raters alike
    assert report.included == report.finished == report.enrolled == 2


def test_a_difference_is_tested_over_raters_and_over_photographs(study: Study) -> None:
    raters = [a_rater(study, k, "111", "000") for k in range(6)]
    (pair,) = analyze(study, raters, "real").comparisons
    assert (pair.first, pair.second, pair.difference, pair.interval) == ("one", "two", 1, (1, 1))
    assert pair.p_raters == 2 / 2**6
    # The two systems were never judged on the same photograph: there is no test of these.
    assert pair.p_photos is None
    assert pair.p == pair.p_holm == pair.p_raters


def test_a_test_that_cannot_be_made_is_no_p_value(tmp_path: Path) -> None:
    study = small_study(tmp_path, systems=("one", "two", "three"))
    raters = [a_rater(study, k, "111", "000") for k in range(6)]
    raters.append(Rater(6, "CODE6", True, False, (an_answer(study, 6, True, "three"),)))
    report = analyze(study, raters, "real")
    tested, *untested = report.comparisons
    assert tested.p_holm == tested.p == 2 / 2**6  # the others do not count as comparisons
    assert [(pair.p_raters, pair.p_photos, pair.p, pair.p_holm) for pair in untested] == [
        (None, None, None, None)
    ] * 2
    text = report_text(report)
    assert "one and three were not compared over raters (nobody judged both) nor over" in text
    assert re.search(r"one - three +[+-][\d.]+ +– +– +–\n", text)
    assert "<td>–</td>" in report_html(study, report)


def test_there_is_no_interval_over_raters_where_one_judged(study: Study) -> None:
    raters = [a_rater(study, 1, "10", "01"), a_rater(study, 2, "10")]
    report = analyze(study, raters, "real")
    one, two = report.systems
    assert one.bootstrap_interval is not None
    assert two.bootstrap_interval is None
    assert report.comparisons[0].interval is None
    assert "fewer than two raters judged the system" in report_html(study, report)


def test_photographs_are_compared_where_both_systems_were_judged(study: Study) -> None:
    def turned(rater: Rater) -> Rater:
        swap = {"one": "two", "two": "one"}
        answers = [
            replace(a, system=swap.get(a.system, a.system), choice=a.choice) for a in rater.answers
        ]
        return replace(rater, number=rater.number + 100, answers=tuple(answers))

    raters = [a_rater(study, k, "111", "000") for k in range(4)]
    raters += [turned(a_rater(study, k, "000", "111")) for k in range(4)]
    (pair,) = analyze(study, raters, "real").comparisons
    assert pair.difference == 1
    assert pair.p_photos == 2 / 2**6
    assert pair.p == max(pair.p_raters, pair.p_photos)


def test_single_photographs_have_scores(study: Study) -> None:
    report = analyze(study, [a_rater(study, 1, "10"), a_rater(study, 2, "11")], "real")
    assert [(p.system, p.answers, p.fooled, p.score) for p in report.photos] == [
        ("one", 2, 2, 1.0),
        ("one", 2, 1, 0.5),
    ]
    assert [p.name for p in report.photos] == [
        study.photos[k].name for k in study.photos_of_kind("trial")[:2]
    ]


def test_agreement_is_over_pairs_that_several_raters_saw(study: Study) -> None:
    same = [a_rater(study, k, "1010") for k in range(3)]
    assert analyze(study, same, "real").alpha == 1
    alone = analyze(study, [a_rater(study, 1, "1010")], "real")
    assert alone.alpha is None
    assert alone.systems[0].bootstrap_interval is None


def test_reaction_times_are_the_browsers_unless_it_claims_too_much(study: Study) -> None:
    assert an_answer(study, 0, True, server_ms=-2000).reaction_ms == 1000  # clocks that differ
    times = [(1000, 5000), (None, 4000), (9000, 3000)]
    answers = [
        an_answer(study, k, k == 0, measurements=replace(SEEN, reaction_ms=ours), server_ms=server)
        for k, (ours, server) in enumerate(times)
    ]
    assert [answer.reaction_ms for answer in answers] == [1000, 4000, 3000]
    report = analyze(study, [Rater(1, "C", True, False, tuple(answers))], "real")
    assert report.systems[0].reaction_times.median == 3000
    assert report.systems[0].reaction_times_fooled is not None
    assert report.systems[0].reaction_times_fooled.median == 1000


@pytest.mark.parametrize(
    ("rater", "reason"),
    [
        (lambda study: a_rater(study, 1, "01", withdrawn=True), "withdrew"),
        (lambda study: a_rater(study, 1), "answered no scored trial"),
        (lambda study: a_rater(study, 1, "01", finished=False), "did not finish (2 of 6"),
        (lambda study: caught(study, 2), "2 of 2 catch trials wrong"),
        (lambda study: in_haste(study, 3), "3 of 6 answers faster than 300 ms"),
        (lambda study: one_sided(study, 20), "20 of 20 answers on the left: side bias"),
        (lambda study: scriptless(study), "with unlimited exposure"),
    ],
)
def test_raters_who_are_excluded_are_reported_with_the_reason(
    rater: Callable[[Study], Rater], reason: str, study: Study
) -> None:
    bad = rater(study)
    report = analyze(study, [bad, a_rater(study, 2, "0011")], "real")
    assert report.included == 1
    (exclusion,) = report.excluded
    assert (exclusion.rater, len(exclusion.reasons)) == (1, 1)
    assert reason in exclusion.reasons[0]
    assert report.systems[0].answers == 4


def test_what_the_rules_forgive_counts(study: Study) -> None:
    for rater in (caught(study, 1), in_haste(study, 1), one_sided(study, 8)):
        assert exclusion_reasons(study, rater) == []
    assert (
        exclusion_reasons(study, a_rater(study, 1, "01", finished=False), include_unfinished=True)
        == []
    )


def test_pictures_without_limit_are_fine_in_a_study_without_limit(tmp_path: Path) -> None:
    unlimited = small_study(tmp_path, exposure_ms=0)
    assert exclusion_reasons(unlimited, scriptless(unlimited)) == []


def caught(study: Study, wrong: int) -> Rater:
    rater = a_rater(study, 1, "0101")
    flipped = [an_answer(study, 20 + k, k < wrong, kind="catch") for k in range(2)]
    return replace(rater, answers=(*rater.answers[:-2], *flipped))


def in_haste(study: Study, fast: int) -> Rater:
    quick = replace(SEEN, reaction_ms=299)
    answers = [
        an_answer(study, k, False, measurements=quick if k < fast else SEEN) for k in range(6)
    ]
    return Rater(1, "C", True, False, tuple(answers))


def one_sided(study: Study, count: int) -> Rater:
    answers = [an_answer(study, k, False, choice="left") for k in range(count)]
    return Rater(1, "C", True, False, tuple(answers))


def scriptless(study: Study) -> Rater:
    rater = a_rater(study, 1, "0101")
    return replace(
        rater, answers=tuple(replace(a, measurements=Measurements()) for a in rater.answers)
    )


def test_what_happened_besides_is_told(study: Study) -> None:
    rater = a_rater(study, 1, "0101")
    first, second, *rest = rater.answers
    changed = (
        replace(first, presentations=2),
        replace(second, measurements=replace(SEEN, interrupted=True, layout="column")),
        *rest,
    )
    report = analyze(study, [replace(rater, answers=changed)], "real")
    assert report.diagnostics is not None
    assert (report.diagnostics.reshown, report.diagnostics.interrupted) == (1, 1)
    assert report.diagnostics.layouts == {"row": 3, "column": 1}
    assert (report.diagnostics.min_answers_per_pair, report.diagnostics.max_answers_per_pair) == (
        0,
        1,
    )
    text = report_text(report)
    assert "1 answers are of pictures that were shown again" in text
    assert "ask 20 or more" in text


def test_every_form_of_a_report_of_a_rehearsal_says_so(study: Study) -> None:
    raters = [a_rater(study, k, "110", "010") for k in range(3)]
    for source in ("simulated", "real"):
        report = analyze(study, raters, source)
        page = report_html(study, report)
        said = [
            SIMULATED in report_text(report),
            SIMULATED in page and "SIMULATED: True colours</title>" in page,
            report_json(study, report).get("notice") == SIMULATED,
            report_json(study, report)["simulated"],
            all(line.startswith("SIMULATED,") for line in table(study, raters, report)[1:]),
        ]
        assert said == [source == "simulated"] * 5


def table(study: Study, raters: list[Rater], report: object) -> list[str]:
    return answers_csv(study, raters, report).splitlines()


def test_the_table_has_a_row_for_every_answer_but_those_withdrawn(study: Study) -> None:
    raters = [
        a_rater(study, 1, "10", "01"),
        a_rater(study, 2, "11", withdrawn=True),
        a_rater(study, 3, "0", finished=False),
    ]
    report = analyze(study, raters, "real")
    rows = list(csv.DictReader(io.StringIO(answers_csv(study, raters, report))))
    assert [row["rater"] for row in rows] == ["1"] * 6 + ["3"] * 3
    assert {row["exclusion_reasons"] for row in rows if row["rater"] == "3"} == {
        "did not finish (1 of 6 trials)"
    }
    first = rows[0]
    assert (first["system"], first["fooled"], first["reaction_ms"]) == ("one", "1", "1000")
    assert first["true_side"] != first["choice"]


def test_json_holds_everything_but_the_seed(study: Study) -> None:
    report = analyze(study, [a_rater(study, 1, "10", "01")], "real")
    record = json.loads(json.dumps(report_json(study, report)))
    assert record["report"]["systems"][0]["score"] == 0.5
    assert "seed" not in json.dumps(record)


class Needs(HTMLParser):
    """What a page loads, and which tags it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.styled = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.styled += "style" in values
        self.loaded += [str(values[key]) for key in ("src", "href") if key in values]
        if tag not in ("meta", "img", "br", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_that_loads_nothing(study: Study) -> None:
    hostile = replace(study, settings=replace(study.settings, title="<script>alert(1)</script>"))
    raters = [a_rater(study, k, "110", "010") for k in range(3)]
    page = report_html(hostile, analyze(hostile, raters, "real"))
    needs = Needs()
    needs.feed(page)
    assert needs.open == []
    assert needs.styled == 0
    assert needs.loaded
    assert all(source.startswith("data:image/jpeg;base64,") for source in needs.loaded)
    assert "<script" not in page
    assert "style-src 'sha256-" in report_csp(page)


def test_a_study_nobody_answered_yet_has_a_report_too(study: Study) -> None:
    report = analyze(study, [], "real")
    assert "No answers are included yet" in report_text(report)
    assert "No answers are included yet" in report_html(study, report)
    assert report_json(study, report)["report"]["systems"] == []
    assert len(table(study, [], report)) == 1
