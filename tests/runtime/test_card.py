import hashlib
import json

import pytest

from tintype.errors import CorruptModelError, UnknownModelError
from tintype.runtime.card import (
    WEIGHTS_VARIABLE,
    Card,
    Decoding,
    InputSize,
    Patches,
    Refinement,
    Sampling,
    find,
    list_models,
    read_card,
    survey,
    verify,
)


def write(folder, name, **changes):
    fields = {
        "name": name,
        "description": "For a test.",
        "space": "lab",
        "output": "bins",
        "stride": 4,
        "size": InputSize(192),
        "decoding": Decoding(rebalancing=(1.0,) * 312 + (2.0,)),
        "licence": "none",
        "training": {"steps": 3},
        "scores": {},
        "upsampling": "guided",
        "files": {f"{name}.onnx": hashlib.sha256(b"weights").hexdigest()},
    }
    Card(**{**fields, **changes}).write(folder / f"{name}.json")
    (folder / f"{name}.onnx").write_bytes(b"weights")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_card_reads_back_as_it_was_written(folder):
    write(folder, "mine.first")
    card = read_card(folder / "mine.first.json")
    assert card.decoding.rebalancing[-2:] == (1.0, 2.0)
    assert card.path == folder / "mine.first.json"
    card.write(folder / "again.json")
    assert read_card(folder / "again.json") == card


def test_a_card_of_patches_and_a_filter_reads_back(folder):
    chroma = {"space": "yuv", "output": "chroma", "stride": 1, "decoding": None}
    parts = {"patches": Patches(64, 4, 7), "refinement": Refinement(40, 1e-4)}
    write(folder, "mine.first", **chroma, **parts)
    card = read_card(folder / "mine.first.json")
    assert (card.patches, card.refinement) == (parts["patches"], parts["refinement"])


def test_a_card_from_before_patches_and_filters_reads(folder):
    write(folder, "mine.first")
    record = json.loads((folder / "mine.first.json").read_text())
    del record["patches"], record["refinement"]
    (folder / "mine.first.json").write_text(json.dumps(record))
    assert read_card(folder / "mine.first.json").patches is None


def test_a_bare_system_means_its_small_tag(folder):
    for tag in ("big", "small", "tiny"):
        write(folder, f"mine.{tag}")
    write(folder, "other.only")
    assert find("mine").name == "mine.small"
    assert find("mine.big").tag == "big"
    assert find("other").name == "other.only"
    assert {"mine.big", "mine.small", "mine.tiny", "other.only"} <= {c.name for c in list_models()}


def test_a_named_folder_hides_the_package(folder):
    shipped = find("tint.small").path
    write(folder, "tint.small", description="My own.")
    assert find("tint").description == "My own."
    assert find("tint").path != shipped


def test_unknown_names_get_near_ones(folder):
    with pytest.raises(UnknownModelError, match="did you mean tint"):
        find("tnit")
    with pytest.raises(UnknownModelError, match=r"there are: .*tint"):
        find("xyzzy")
    with pytest.raises(UnknownModelError, match=r"\.json beside it"):
        find(folder / "missing.onnx")


@pytest.mark.parametrize("content", ["", "{", "[]", 100_000 * "[", '{"name": "x"}', '{"size": 3}'])
def test_what_is_no_card_is_said(folder, content):
    (folder / "bad.json").write_text(content)
    with pytest.raises(CorruptModelError, match=r"bad\.json is not a model card"):
        find(folder / "bad.json")


def test_a_damaged_card_disables_no_other_model(folder):
    write(folder, "mine.small")
    (folder / "bad.small.json").write_text("{}")
    (folder / "bad.small.onnx").write_bytes(b"")
    assert find("mine").name == "mine.small"
    cards, damaged = survey()
    assert "mine.small" in {card.name for card in cards}
    assert [str(folder / "bad.small.json") in str(error) for error in damaged] == [True]
    for name in ("bad", "bad.small"):
        with pytest.raises(CorruptModelError, match="not a model card"):
            find(name)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 7},
        {"name": "mine"},
        {"stride": 0},
        {"size": {"short_side": "x", "multiple": 32, "longest": 768}},
        {"decoding": {"rebalancing": [], "temperature": 0}},
        {"decoding": {"rebalancing": [], "safe": 0, "vivid": 1}},
        {"decoding": {"rebalancing": [], "vividness": 5}},
        {"scores": 3},
        {"decoding": None},
        {"decoding": []},
        {"output": "chroma"},
        {"patches": {}},
        {"patches": {"side": 64, "frame": 4, "fringe": 7}},  # with a stride of 4
        {"stride": 1, "patches": {"side": 8, "frame": 4, "fringe": 0}},
        {"refinement": {"radius": 40, "eps": 1e-4}},  # in Lab
        {"space": "yuv", "refinement": {"radius": 40, "eps": 0}},
        {"space": "yuv", "refinement": {"radius": 0.5, "eps": 1e-4}},
        {"refinement": []},
    ],
)
def test_impossible_values_are_found_when_the_card_is_read(folder, changes):
    write(folder, "mine.small")
    record = json.loads((folder / "mine.small.json").read_text())
    (folder / "mine.small.json").write_text(json.dumps({**record, **changes}))
    with pytest.raises(CorruptModelError, match="not a model card"):
        read_card(folder / "mine.small.json")


def test_other_files_in_a_folder_of_models_do_not_matter(folder):
    write(folder, "mine.small")
    (folder / "package.json").write_text("{}")
    (folder / ".mine.hidden.123.json").write_text("{")
    assert find("mine").name == "mine.small"


def test_only_weights_that_the_card_answers_for_are_trusted(folder):
    write(folder, "mine.small")
    verify(find("mine"))
    (folder / "mine.small.onnx").write_bytes(b"other")
    with pytest.raises(CorruptModelError, match="damaged"):
        verify(find("mine"))
    write(folder, "mine.small", files={})
    with pytest.raises(CorruptModelError, match="no checksum"):
        verify(find("mine"))


def test_impossible_rebalancing_weights_are_refused(folder):
    for weights in ((1.0, 2.0), (0.0,) * 313):
        write(folder, "mine.small", decoding=Decoding(rebalancing=weights))
        with pytest.raises(CorruptModelError, match="313"):
            find("mine")


def test_vividness_moves_rebalancing_and_temperature_together():
    decoding = Decoding(safe=1.5, vivid=-0.5, temperature=0.3, safe_temperature=1.2)
    assert decoding.at(0) == (1.5, 1.2)
    assert decoding.at(0.5) == pytest.approx((0.5, 0.6))
    assert decoding.at(1) == pytest.approx((-0.5, 0.3))
    assert Decoding(temperature=0.38).at(0)[1] == Decoding(temperature=0.38).at(1)[1] == 0.38


def test_decoding_and_size_that_cannot_be_are_refused(folder):
    sampler = {"output": "sampler", "decoding": None, "sampling": Sampling(32, 0.2, 0.8)}
    for changes, said in (
        ({"decoding": Decoding(safe_temperature=-1.0)}, "temperature"),
        ({"decoding": Decoding(temperature=0.0, safe_temperature=1.0)}, "temperature"),
        ({"size": InputSize(192, filter="guess")}, "triangle"),
        ({"size": InputSize(192, other_sides=(96, 0))}, "above 0"),
        ({"size": InputSize(192, other_sides=(True,))}, "above 0"),
        ({"size": InputSize(192, other_sides=96)}, "its other_sides a list"),
        ({"size": None}, "the size is a table"),
        ({"size": InputSize(192, other_sides=(96,)), "patches": Patches(64, 4, 4)}, "one size"),
        ({"size": InputSize(192, other_sides=(96,)), **sampler}, "one size"),
        ({"size": InputSize(192, other_sides=(96,)), "output": "finer"}, "one size"),
    ):
        write(folder, "mine.small", **changes)
        with pytest.raises(CorruptModelError, match=said):
            find("mine")


def test_a_card_of_a_later_version_is_refused_by_name(folder):
    write(folder, "mine.small")
    record = json.loads((folder / "mine.small.json").read_text())
    (folder / "mine.small.json").write_text(json.dumps({**record, "novelty": 1}))
    with pytest.raises(CorruptModelError, match="novelty"):
        find("mine")


def test_every_shipped_model_is_whole_and_within_its_budget():
    cards = list_models()
    assert "tint.small" in {card.name for card in cards}
    total = 0
    for card in cards:
        verify(card)
        sizes = [(card.path.parent / name).stat().st_size for name in card.files]
        assert sum(sizes) <= 16e6
        total += sum(sizes)
        for field in ("photographs", "start", "data", "minutes"):
            assert field in card.training
        if card.output == "finer":  # colours nothing by itself: what it adds to what it is given
            assert card.training["test"]["loss"] < card.training["test"]["raw"]
        else:
            assert card.scores.get("rows"), f"{card.name} ships without measured scores"
    assert total <= 60e6
