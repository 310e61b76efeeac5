"""``tintype models`` and ``tintype doctor``, on a model made for the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import bins_model

from tintype.card import Card

SCORES = {
    "dataset": "the test's",
    "photographs": 2,
    "true_colorful": 40.0,
    "rows": [
        {
            "model": "gray",
            "ab_rmse": 15.5,
            "rmse_vs_gray": 1.0,
            "psnr": 23.0,
            "colorful": 0.0,
            "delta_cf": 40.0,
            "hist_a": 0.1,
            "hist_b": 0.2,
        }
    ],
}


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """The only model there is, its weights intact."""
    training = {"steps": 3, "data": {"photographs": 7}}
    card = bins_model(tmp_path, "tint.tiny", training=training, scores=SCORES)
    monkeypatch.setattr("tintype.runtime.registry._SHIPPED", tmp_path)
    monkeypatch.delenv("TINTYPE_WEIGHTS", raising=False)
    return card


def test_models_are_listed(card: Card, run: Any) -> None:
    result = run("models")
    assert result.status == 0
    assert result.out.splitlines()[1].split() == ["tint.tiny", "0.0", "For", "a", "test."]


def test_papers_whose_weights_do_not_ship_are_listed_with_how_to_train_them(
    card: Card, run: Any
) -> None:
    lines = run("models").out.splitlines()
    assert any(line.startswith("pixcolor ") and "No weights ship yet" in line for line in lines)
    assert "tintype train NAME --data FOLDER --out RUN" in lines[-1]
    assert not any("tintype train" in line for line in lines[:-1])
    untrained = run("models", "--json").json["untrained"]
    assert {"adversarial", "cic", "letcolor", "pic", "pixcolor"} == {
        paper["name"] for paper in untrained
    }
    result = run("models", "pixcolor")
    assert result.status == 1
    assert "no weights ship yet" in result.err
    assert "tint_sampler" in result.err


def test_a_model_is_described_for_its_users(card: Card, run: Any) -> None:
    described = run("models", "tint").out
    lines = described.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["name", "description"]
    for said in ("CC0-1.0", "measured on the test's", "15.500", str(card.path), "0.0 MB"):
        assert said in described
    assert card.files[card.file().name] not in described  # no recipe, no checksums
    assert lines[-1].endswith("tintype models tint.tiny --json")


def test_models_as_json(card: Card, run: Any) -> None:
    assert run("models", "--json").json["models"][0]["name"] == "tint.tiny"
    assert run("models", "tint.tiny", "--json").json["training"]["steps"] == 3


def test_an_unknown_model_is_named_with_its_neighbours(card: Card, run: Any) -> None:
    result = run("models", "tint.tinny")
    assert result.status == 1
    assert "tint.tiny" in result.err


def test_the_doctor_finds_a_whole_installation_well(card: Card, run: Any) -> None:
    report = run("doctor", "--json")
    assert report.status == 0
    assert report.json["healthy"]
    assert report.json["packages"]["numpy"]
    assert "cpu" in report.json["providers"]
    assert report.json["threads"] >= 1
    assert report.json["models"] == [
        {"name": "tint.tiny", "path": str(card.path), "status": "intact"}
    ]
    out = run("doctor").out
    assert "tint.tiny" in out
    assert out.splitlines()[-1] == "Everything is in order for colouring photographs."


def test_the_doctor_finds_damaged_weights(card: Card, run: Any) -> None:
    card.file().write_bytes(b"weight!")
    result = run("doctor")
    assert result.status == 1
    verdict = "Not in order: tint.tiny damaged, see above. Install tintype again."
    assert result.out.splitlines()[-1] == verdict
    assert not run("doctor", "--json").json["healthy"]


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_a_card_that_cannot_be_read_hides_no_other(command: str, card: Card, run: Any) -> None:
    broken = card.path.with_name("tint.broken.json")
    broken.write_text("{")
    broken.with_suffix(".onnx").touch()
    result = run(command)
    assert "tint.tiny" in result.out
    assert str(broken) in result.out + result.err
    assert result.status == (1 if command == "doctor" else 0)
    report = run(command, "--json").json
    assert [model["name"] for model in report["models"]] == ["tint.tiny"]
    assert str(broken) in report["damaged"][0]


def test_the_doctor_lists_the_folders_searched(card: Card, run: Any, monkeypatch: Any) -> None:
    missing = card.path.parent / "nowhere"
    monkeypatch.setenv("TINTYPE_WEIGHTS", str(missing))
    assert run("doctor", "--json").json["folders"] == [
        {"path": str(missing), "exists": False},
        {"path": str(card.path.parent), "exists": True},
    ]
    assert f"{missing}: does not exist" in run("doctor").out


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_the_help_names_the_variable(command: str, run: Any) -> None:
    assert "TINTYPE_WEIGHTS" in run(command, "--help").out


def test_the_doctor_misses_models_that_are_not_there(
    run: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr("tintype.runtime.registry._SHIPPED", tmp_path)
    monkeypatch.delenv("TINTYPE_WEIGHTS", raising=False)
    result = run("doctor")
    assert result.status == 1
    assert "no models are installed" in result.out
