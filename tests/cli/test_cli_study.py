"""``tintype study``: create, rehearse, report; and what it says when it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cli.painting import Painter
from scenes import scene

pytest.importorskip("sqlalchemy", reason="needs the extra web")

SMALL = ("--size", 32, "--trials", 4, "--practice-trials", 1, "--catch-trials", 2)


class StudyPainter(Painter):
    """The same, asked as a study asks."""

    def __init__(self, model: str, threads: int | None = None) -> None:
        super().__init__(model, threads)
        self.card.files = {"tint.test.onnx": "f0"}


@pytest.fixture
def photos(painter: type[Painter], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine colour photographs in a folder of the current one."""
    monkeypatch.setattr("tintype.runtime.named.Colorizer", StudyPainter)
    monkeypatch.delenv("TINTYPE_STUDY_DATABASE", raising=False)
    Path("photos").mkdir()
    for k in range(9):
        scene(k, 40, 44).save(f"photos/{k}.png")
    return Path("photos")


@pytest.fixture
def made(photos: Path, run: Any) -> Path:
    assert run("study", "create", "s", "--real", photos, *SMALL).status == 0
    return Path("s")


def test_create_says_what_it_made_and_what_comes_next(photos: Path, run: Any) -> None:
    result = run("study", "create", "s", "--real", photos, *SMALL)
    assert (result.status, result.err) == (0, "")
    assert "6 photographs in the colours of 1 system, 1 for practice, 2 for catch" in result.out
    assert "8 raters give every picture 5 answers" in result.out
    assert "next: tintype study serve s" in result.out


def test_create_in_json_and_with_all_that_can_be_said(photos: Path, run: Any) -> None:
    Path("consent.txt").write_text("First\nparagraph.\n\n\nSecond.\n")
    words = ("-m", "tint", "-m", "tint@0.2", "--consent", "consent.txt", "--exposure", 0)
    result = run("study", "create", "s", "--real", photos, *SMALL, *words, "--seed", 3, "--json")
    assert result.status == 0
    assert result.json["photos"] == {"trial": 6, "practice": 1, "catch": 2}
    assert list(result.json["systems"]) == ["tint", "tint@0.2"]
    from tintype.study.manifest import read_study

    settings = read_study(Path("s")).settings
    assert settings.consent == ("First paragraph.", "Second.")
    assert (settings.exposure_ms, settings.seed) == (0, 3)


def test_photographs_that_are_left_out_are_named_and_change_the_status(
    photos: Path, run: Any
) -> None:
    scene(0, 40, 44).convert("L").save(photos / "gray.png")
    result = run("study", "create", "s", "--real", photos, "missing*.png", *SMALL)
    assert result.status == 1
    assert "gray.png is gray" in result.err
    assert "missing*.png: no file matches" in result.err
    assert Path("s/study.json").exists()


def test_two_studies_do_not_share_a_seed_unless_told_to(photos: Path, run: Any) -> None:
    from tintype.study.manifest import read_study

    for name in ("a", "b"):
        run("study", "create", name, "--real", photos, *SMALL)
    assert read_study(Path("a")).settings.seed != read_study(Path("b")).settings.seed


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("s", "--real", "photos", "-m", "unknown"), 1, "No model is called 'unknown'"),
        (("photos", "--real", "photos"), 1, "never changed once it is made"),
        (("s", "--real", "-"), 2, "Unknown option"),
        (("s", "--real", "photos", "--colorized", "theirs"), 2, "NAME=FOLDER"),
        (("s", "--real", "photos", "--colorized", "a=nowhere"), 1, "nowhere"),
        (("s", "--real", "photos", "--consent", "nowhere"), 1, "cannot be read as text"),
        (("s", "--real", "photos", "--exposure", "0.01"), 1, "these settings cannot be used"),
        (("s", "--real", "photos", "--exposure", "inf"), 2, "Must be < inf"),
        (
            ("s", "--real", "photos", "--catch-trials", "2", "--max-catch-errors", "2"),
            1,
            "max_catch_errors must be",
        ),
        (("s", "--real", "photos", "--trials", "1.5"), 2, "not a whole number"),
        (("s", "--real", "photos"), 1, "0 photographs can be used (9 cannot: "),
    ],
)
def test_a_study_that_cannot_be_made_says_why_and_leaves_nothing(
    words: tuple[str, ...], status: int, said: str, photos: Path, run: Any
) -> None:
    result = run("study", "create", *words)
    assert result.status == status
    assert said in result.err
    assert [path.name for path in Path().iterdir()] == ["photos"]


def test_a_rehearsal_is_reported_as_one(made: Path, run: Any) -> None:
    result = run("study", "simulate", made, "--raters", 12, "--fooling-rate", "tint=0.3")
    assert result.status == 0
    assert "simulated rates on these photographs: tint" in result.out
    assert "SIMULATED" in result.out
    record = run("study", "simulate", made, "--raters", 5, "--json").json
    assert record["simulated"]
    assert record["report"]["enrolled"] == 5
    assert 0 < record["true_rates"]["tint"] < 1


def test_the_report_is_written_in_every_form(
    made: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("study", "simulate", made, "--raters", 12, "--careless", 0)
    # A rehearsal lies in the folder, wherever the answers of people are kept.
    monkeypatch.setenv("TINTYPE_STUDY_DATABASE", "postgresql://nowhere/x")
    words = ("--html", "report.html", "--csv", "answers.csv")
    result = run("study", "report", made, "--simulated", *words)
    assert (result.status, result.err) == (0, "")
    assert "<title>SIMULATED: True colours</title>" in Path("report.html").read_text()
    assert len(Path("answers.csv").read_text().splitlines()) == 1 + 12 * 7
    if os.name == "posix":  # they tell which pictures are true
        assert {Path(name).stat().st_mode & 0o777 for name in words[1::2]} == {0o600}
    Path("report.html").write_text("mine")
    for again in (words[:2], words[2:]):
        refused = run("study", "report", made, "--simulated", *again)
        assert refused.status == 1
        assert f"{again[1]} exists: choose another name, or replace it with --over" in refused.err
    assert Path("report.html").read_text() == "mine"
    assert run("study", "report", made, "--simulated", *words, "--overwrite").status == 0
    assert "<title>SIMULATED" in Path("report.html").read_text()
    failed = run("study", "report", made, "--simulated", "--html", "no/folder/report.html")
    assert failed.status == 1
    assert "cannot be written" in failed.err


def test_people_and_rehearsal_are_reported_apart(made: Path, run: Any) -> None:
    run("study", "simulate", made, "--raters", 3)
    result = run("study", "report", made)
    assert result.status == 1
    assert "has no real answers yet" in result.err


def test_errors_are_forgiven_only_where_there_are_several_catch_trials(
    photos: Path, run: Any
) -> None:
    from tintype.study.manifest import read_study

    forgiven = []
    for count in (0, 1, 2):
        words = (*SMALL[:-1], count)
        run("study", "create", f"s{count}", "--real", photos, *words)
        forgiven.append(read_study(Path(f"s{count}")).settings.rules.max_catch_errors)
    assert forgiven == [0, 0, 1]


def test_a_page_is_served_however_few_requests_a_second_are_allowed(
    made: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        "tintype.study.serve.serve_study", lambda _, **options: given.update(options)
    )
    run("study", "serve", made, "--rate-limit", 0.1)
    assert (given["limits"].requests, given["limits"].burst) == (0.1, 10)


@pytest.mark.parametrize("command", ["serve", "report", "simulate"])
def test_what_is_no_study_is_an_error(command: str, painter: Any, run: Any) -> None:
    result = run("study", command, "nowhere")
    assert result.status == 1
    assert "nowhere holds no study" in result.err


@pytest.mark.parametrize("words", ["tint", "tint=often", "other=0.3"])
def test_rates_that_make_no_sense_are_refused(words: str, made: Path, run: Any) -> None:
    result = run("study", "simulate", made, "--fooling-rate", words)
    assert result.status in (1, 2)
    assert "tint" in result.err
