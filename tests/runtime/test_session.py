import numpy as np
import pytest
from tiny_models import bins_model, chroma_model, write

from tintype.errors import CorruptModelError
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.session import Session, verify

NETWORK = """net (float[1,1,H,W] gray) => (float[1,2,H,W] chroma) {
    chroma = Concat <axis = 1> (gray, gray)
}"""


def test_a_graph_of_the_contract_runs(tmp_path):
    card = write(tmp_path, "mine.small", {"": NETWORK})
    session = Session(card, "", {"gray": 4}, {"chroma": 4})
    assert session.inputs == {"gray": [1, 1, "H", "W"]}
    chroma = session.run({"gray": np.ones((1, 1, 3, 4), np.float32), "unused": np.ones(1)})
    assert chroma["chroma"].shape == (1, 2, 3, 4)


def test_only_files_that_the_card_answers_for_are_run(tmp_path):
    card = chroma_model(tmp_path)
    verify(card)
    card.file().write_bytes(card.file().read_bytes() + b"\0")
    with pytest.raises(CorruptModelError, match="damaged"):
        verify(card)
    with pytest.raises(CorruptModelError, match="damaged"):
        Colorizer(card.path)
    card.file().unlink()
    with pytest.raises(CorruptModelError, match="missing"):
        verify(card)
    with pytest.raises(CorruptModelError, match="no checksum"):
        verify(write(tmp_path, "none.small", {}))


def test_a_missing_part_is_said_before_the_work(tmp_path):
    card = bins_model(tmp_path)
    card.file("decode").unlink()
    with pytest.raises(CorruptModelError, match=r"decode\.onnx is missing"):
        Colorizer(card.path)


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (NETWORK.replace("gray", "light"), "takes light of rank 4 where a model takes gray of"),
        (NETWORK.replace("chroma", "bins"), "gives bins of rank 4 where a model gives chroma of"),
        (NETWORK.replace("W] gray", "W] gray, float[1] more"), "takes gray .*, more of rank 1"),
        ("net (float[1,H,W] gray) => (float[1,H,W] chroma) { chroma = Abs (gray) }", "rank 3"),
    ],
)
def test_inputs_and_outputs_are_the_contracts(tmp_path, graph, said):
    card = write(tmp_path, "mine.small", {"": graph})
    with pytest.raises(CorruptModelError, match=said):
        Colorizer(card.path)


def test_what_is_no_graph_is_a_damaged_model(tmp_path):
    card = write(tmp_path, "mine.small", {"": b"nothing"})
    with pytest.raises(CorruptModelError, match="cannot be loaded by ONNX Runtime"):
        Colorizer(card.path)


def test_what_fails_is_a_damaged_model(tmp_path):
    graph = NETWORK.replace("{", "<float[1,1,3,3] odd = {1,1,1,1,1,1,1,1,1}> {").replace(
        "(gray, gray)", "(gray, odd)"
    )
    card = write(tmp_path, "odd.small", {"": graph})
    with pytest.raises(CorruptModelError, match="fails when it is run"):
        Colorizer(card.path).chroma(np.zeros((40, 40), np.uint8))
