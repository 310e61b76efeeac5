import json

import pytest
from tiny_models import bins_model, chroma_model, sampler_model, write

from tintype.card import FORMAT, GuidedFilter, Size, read_card
from tintype.errors import CorruptModelError


@pytest.mark.parametrize("make", [chroma_model, bins_model, sampler_model])
def test_a_card_reads_back_as_it_was_written(tmp_path, make):
    card = make(tmp_path)
    card.write(tmp_path / "again.json")
    assert read_card(tmp_path / "again.json") == card
    assert card.system == card.name.split(".")[0]
    assert card.file("decode").name == f"{card.name}.decode.onnx"
    assert card.has("decode") == (make is bins_model)


def test_a_filter_and_a_square_size_read_back(tmp_path):
    own = {"space": "yuv", "filter": GuidedFilter(40, 1e-4), "size": Size(224, shape="square")}
    card = chroma_model(tmp_path, **own)
    assert (card.filter, card.size.shape) == (own["filter"], "square")


@pytest.mark.parametrize("content", ["", "{", "[]", 100_000 * "[", '{"name": "x"}', '{"size": 3}'])
def test_what_is_no_card_is_said(tmp_path, content):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(CorruptModelError, match=r"bad\.json is not a model card"):
        read_card(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 1}, "its format is 1; this version reads 2"),
        ({"format": None}, "this version reads"),
        ({"novelty": 1}, "novelty"),
        ({"name": 7}, "printable text"),
        ({"name": "mine"}, "SYSTEM.TAG"),
        ({"name": "../mine.small"}, "SYSTEM.TAG"),
        ({"kind": "bins"}, "kind must be one of chroma, sampler"),
        ({"space": "rgb"}, "space must be one of"),
        ({"enlarge": "magic"}, "enlarge must be one of"),
        ({"size": 3}, "not a model card"),
        ({"size": {"short_side": "x"}}, "sizes must be whole numbers"),
        ({"size": {"short_side": 64, "multiple": 128}}, "multiple <= short_side <= longest"),
        ({"size": {"short_side": 64, "resample": "guess"}}, "resample of lanczos"),
        ({"filter": {"radius": 40, "eps": 1e-4}}, "in yuv"),
        ({"space": "yuv", "filter": {"radius": 40, "eps": 0}}, "eps"),
        ({"space": "yuv", "filter": {"radius": 0.5, "eps": 1e-4}}, "radius"),
        ({"scores": 3}, "tables"),
        ({"options": {"vividness": 5}}, "vividness must be a number from 0 to 1"),
        ({"options": {"temperature": 0}}, "temperature"),
        ({"normalise": 1}, "normalise"),
        ({"files": {"other.onnx": 64 * "0"}}, "files must be called plain.small.onnx"),
        ({"files": {"plain.small.onnx": "0"}}, "SHA-256"),
        ({"states": {"above": ["samples", 2]}}, "a sampler must have states"),
        ({"kind": "sampler"}, "a sampler must have states"),
        ({"kind": "sampler", "states": {"above": ["rows"]}}, "sizes of states"),
    ],
)
def test_impossible_values_are_found_when_the_card_is_read(tmp_path, changes, said):
    path = chroma_model(tmp_path).path
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(CorruptModelError, match=said):
        read_card(path)


def test_a_card_says_its_format(tmp_path):
    card = write(tmp_path, "mine.small", {})
    assert json.loads(card.path.read_text())["format"] == FORMAT
