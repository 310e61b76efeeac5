import pytest
from tiny_models import chroma_model

from tintype.card import read_card
from tintype.errors import CorruptModelError, UnknownModelError
from tintype.runtime import registry
from tintype.runtime.registry import (
    WEIGHTS_VARIABLE,
    find_model,
    list_cards,
    list_models,
    list_untrained,
    parse_model_option,
)
from tintype.runtime.session import verify


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_bare_system_means_its_small_tag_or_its_first(folder):
    for tag in ("big", "small", "tiny"):
        chroma_model(folder, f"mine.{tag}")
    for tag in ("two", "one"):
        chroma_model(folder, f"other.{tag}")
    assert find_model("mine").name == "mine.small"
    assert find_model("mine.big").tag == "big"
    assert find_model("other").name == "other.one"
    assert find_model(folder / "mine.tiny.onnx").name == "mine.tiny"
    assert {"mine.big", "mine.small", "mine.tiny"} <= {card.name for card in list_models()}


def test_one_card_is_read_for_one_name(folder, monkeypatch):
    for name in ("mine.big", "mine.small", "other.small"):
        chroma_model(folder, name)
    read = []
    monkeypatch.setattr(registry, "read_card", lambda path: read.append(path) or read_card(path))
    find_model("mine")
    assert read == [folder / "mine.small.json"]


def test_a_named_folder_hides_the_package(folder):
    chroma_model(folder, "tint.small", description="My own.")
    assert find_model("tint").description == "My own."
    assert [card.description for card in list_models() if card.name == "tint.small"] == ["My own."]


def test_unknown_names_get_near_ones(folder):
    chroma_model(folder, "tint.small")
    with pytest.raises(UnknownModelError, match="did you mean tint"):
        find_model("tnit")
    with pytest.raises(UnknownModelError, match=r"there are: .*tint"):
        find_model("xyzzy")
    with pytest.raises(UnknownModelError, match=r"\.json beside it"):
        find_model(folder / "missing.onnx")


@pytest.mark.parametrize("name", ["pixcolor", "pixcolor.small", "cic", "adversarial"])
def test_a_paper_without_weights_says_how_to_train_it(folder, monkeypatch, name):
    monkeypatch.setattr(registry, "_SHIPPED", folder)
    system = name.split(".")[0]
    with pytest.raises(UnknownModelError, match="no weights ship yet") as caught:
        find_model(name)
    assert f"tintype train {system} --data FOLDER --out RUN" in str(caught.value)
    assert f"tintype export RUN --name {system}.mine" in str(caught.value)
    assert ("tint_sampler samples" in str(caught.value)) == (system == "pixcolor")
    assert system in [paper.name for paper in list_untrained()]
    chroma_model(folder, f"{system}.mine")
    assert find_model(system).tag == "mine"
    assert system not in [paper.name for paper in list_untrained()]


def test_a_damaged_card_disables_no_other_model(folder):
    chroma_model(folder, "mine.small")
    (folder / "bad.small.json").write_text("{}")
    (folder / "bad.small.onnx").write_bytes(b"")
    assert find_model("mine").name == "mine.small"
    cards, damaged = list_cards()
    assert "mine.small" in {card.name for card in cards}
    assert any(str(folder / "bad.small.json") in str(error) for error in damaged)
    for name in ("bad", "bad.small"):
        with pytest.raises(CorruptModelError, match="not a model card"):
            find_model(name)


def test_a_card_under_another_name_is_refused(folder):
    card = chroma_model(folder, "mine.small")
    card.path.rename(folder / "yours.small.json")
    card.file().rename(folder / "yours.small.onnx")
    with pytest.raises(CorruptModelError, match=r"card of mine\.small"):
        find_model("yours")


def test_other_files_in_a_folder_of_models_do_not_matter(folder):
    chroma_model(folder, "mine.small")
    (folder / "mine.package.json").write_text("{}")
    (folder / ".mine.hidden.123.json").write_text("{")
    assert find_model("mine").name == "mine.small"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tint", ("tint", {})),
        ("tint@0.5", ("tint", {"vividness": 0.5})),
        ("patchwise@none", ("patchwise", {"filter": "none"})),
        ("tint_sampler@no-refine", ("tint_sampler", {"refine": False})),
        ("tint.small@bilinear", ("tint.small", {"enlarge": "bilinear"})),
        ("a.onnx@truth28+refine", ("a.onnx", {"truth": True, "refine": True})),
        ("truth28+refine", ("tint_sampler", {"truth": True, "refine": True})),
        ("at@home/tint.small.onnx", ("at@home/tint.small.onnx", {})),
    ],
)
def test_an_option_may_stand_behind_a_name(name, expected):
    assert parse_model_option(name) == expected


def test_every_shipped_model_is_whole_and_within_its_budget(monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE)
    cards, damaged = list_cards()
    assert not damaged
    assert {"tint.small", "tint_sampler.small"} <= {card.name for card in cards}
    total = 0
    for card in cards:
        verify(card)
        sizes = [(card.path.parent / name).stat().st_size for name in card.files]
        assert sum(sizes) <= 16e6
        total += sum(sizes)
        for field in ("start", "data", "commands"):
            assert field in card.training
        assert card.scores.get("rows"), f"{card.name} ships without measured scores"
    assert total <= 60e6
