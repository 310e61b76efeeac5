"""Models and cards of no good will: each ends in one kind of error, soon, and writes nothing."""

import json
import os
import re
import time

import numpy as np
import onnx
import pytest
import tiny_models
from PIL import Image
from tiny_models import chroma_model, hinted_model, sampler_model, write

from tintype.cli import main
from tintype.errors import CorruptModelError, TintypeError
from tintype.photo import Photo
from tintype.runtime import watch
from tintype.runtime.colorizer import Colorizer

TAKES = "net (float[1,1,H,W] gray) => (float[1,2,h,w] chroma)"
GRAPHS = {
    "nan": f"{TAKES} <float[1,2,1,1] nan = {{0, 0}}> {{ a = Mul (gray, nan) b = Div (a, nan) "
    "chroma = Identity (b) }",
    "infinite": f"{TAKES} <float[1,2,1,1] no = {{0, 0}}> {{ chroma = Div (gray, no) }}",
    "huge values": f"{TAKES} <float[1,2,1,1] much = {{1e30, -1e30}}> "
    "{ chroma = Mul (gray, much) }",
    "input name": "net (float[1,1,H,W] light) => (float[1,2,h,w] chroma) "
    "{ chroma = Concat <axis = 1> (light, light) }",
    "fixed size": "net (float[1,1,8,8] gray) => (float[1,2,8,8] chroma) "
    "{ chroma = Concat <axis = 1> (gray, gray) }",
    "int input": "net (int64[1,1,H,W] gray) => (float[1,2,h,w] chroma) "
    "{ one = Cast <to = 1> (gray) chroma = Concat <axis = 1> (one, one) }",
    "int output": "net (float[1,1,H,W] gray) => (int64[1,2,h,w] chroma) "
    "{ one = Cast <to = 7> (gray) chroma = Concat <axis = 1> (one, one) }",
    "double": "net (float[1,1,H,W] gray) => (double[1,2,h,w] chroma) "
    "{ one = Cast <to = 11> (gray) chroma = Concat <axis = 1> (one, one) }",
    "words": "net (float[1,1,H,W] gray) => (string[1,2,h,w] chroma) "
    "{ one = Cast <to = 8> (gray) chroma = Concat <axis = 1> (one, one) }",
    "scalar": "net (float[1,1,H,W] gray) => (float chroma) "
    "{ chroma = ReduceMean <keepdims = 0> (gray) }",
    "scalar that claims four axes": f"{TAKES} <int64[0] none = {{}}> "
    "{ one = ReduceMean (gray) chroma = Reshape (one, none) }",
    "one plane": "net (float[1,1,H,W] gray) => (float[1,1,H,W] chroma) { chroma = Abs (gray) }",
    "nothing": "net (float[1,1,H,W] gray) => (float[1,2,h,w] chroma) <int64[4] shape = {1,2,0,0}> "
    "{ chroma = ConstantOfShape (shape) }",
    "runtime error": f"{TAKES} <int64[4] shape = {{1, 2, 7, 7}}> "
    "{ chroma = Reshape (gray, shape) }",
    "inner tensors of 5 GB": f"{TAKES} <int64[4] shape = {{1, 2, 25000, 25000}}> "
    "{ one = ReduceMean <axes = [2, 3]> (gray) many = Expand (one, shape) "
    "chroma = ReduceMean <axes = [2, 3]> (many) }",
    "10^18 values": f"{TAKES} <int64[4] shape = {{1, 2, 1000000000, 1000000000}}> "
    "{ chroma = ConstantOfShape (shape) }",
}


def photograph(folder):
    path = folder / "photo.png"
    Image.linear_gradient("L").resize((64, 48)).save(path)
    return path


def refused_in_place(folder, card, capsys, *options):
    """One line that says so, and the photograph as it was."""
    photo = photograph(folder)
    before = photo.read_bytes()
    started = time.monotonic()
    status = main(["colorize", str(photo), "--in-place", "-m", str(card), *options])
    assert time.monotonic() - started < 10
    said = capsys.readouterr().err
    assert status == 1
    assert "bug in tintype" not in said
    assert said.count("\n") == 1
    assert photo.read_bytes() == before
    assert {path.suffix for path in folder.iterdir()} <= {".png", ".json", ".onnx", ".bin"}
    with pytest.raises(CorruptModelError):
        Colorizer(card).colorize(Photo.open(photo))
    return said


@pytest.mark.parametrize("kind", GRAPHS)
def test_what_a_graph_gives_is_never_written_unless_it_is_chroma(tmp_path, capsys, kind):
    card = write(tmp_path, "odd.small", {"": GRAPHS[kind]})
    refused_in_place(tmp_path, card.path, capsys)


def test_a_decoder_may_not_give_what_is_no_color(tmp_path, capsys):
    decode = tiny_models._DECODE % ", ".join(["1e38"] * 626)
    bins = tiny_models._BINS % ", ".join(["1"] * 313)
    options = {"vividness": 1.0}
    card = write(tmp_path, "odd.small", {"": bins, "decode": decode}, options=options)
    refused_in_place(tmp_path, card.path, capsys)


def test_a_loop_without_end_is_ended(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(watch, "LONGEST", 0.5)
    graph = f"""{TAKES} <int64 most = {{9223372036854775807}}, bool go = {{1}}> {{
        last = Loop (most, go, gray) <body = again
            (int64 i, bool on, float[1,1,H,W] x) => (bool off, float[1,1,H,W] y)
            {{ off = Identity (on) y = Identity (x) }}>
        chroma = Concat <axis = 1> (last, last)
    }}"""
    card = write(tmp_path, "odd.small", {"": graph})
    assert "was stopped after" in refused_in_place(tmp_path, card.path, capsys)


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("_FEATURES", "features = Ave", "f = Ave"),  # and made empty below
        ("_ROW", "values = Concat <axis = 1> (cb, cr)", "values = Concat <axis = 3> (cb, cr)"),
        ("_ROW", "logp = Concat <axis = 1>", "logp = Concat <axis = 3>"),
        ("_CACHE", "before = Identity (values)", "before = Concat <axis = 3> (values, values)"),
        ("_REFINE", "calmer = {0.5}", "calmer = {1e38}"),
    ],
)
def test_a_sampler_gives_what_it_should_or_is_refused(
    tmp_path, capsys, monkeypatch, part, old, new
):
    graph = getattr(tiny_models, part).replace(old, new)
    if part == "_FEATURES":
        graph = graph.replace("{\n", "<int64[4] none = {1,1,0,0}> {\n", 1).replace(
            "    f =", "    features = ConstantOfShape (none)\n    f ="
        )
    monkeypatch.setattr(tiny_models, part, graph)
    refused_in_place(tmp_path, sampler_model(tmp_path).path, capsys)


def test_suggestions_of_what_is_no_distribution_are_refused(tmp_path, monkeypatch):
    for part, old, new in (
        ("_HINTED", "bins = LogSoftmax <axis = 1> (all)", "bins = Log (gray)"),
        ("_HINTED", "bins = LogSoftmax <axis = 1> (all)", "no = Sub (all, all) bins = Log (no)"),
        ("_ANNEALED", "temperature = {0.5}", "temperature = {0}"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(tiny_models, part, getattr(tiny_models, part).replace(old, new))
            card = hinted_model(tmp_path)
        with pytest.raises(CorruptModelError):
            Colorizer(card.path).suggest(Photo.open(photograph(tmp_path)), 3, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"vividness": float("nan")}},
        {"options": {"saturation": float("inf")}},
        {"options": {"enlarge": ["guided"]}},
        {"options": {"saturation": -1}},
        {"size": {"short_side": 10**18}},
        {"size": {"short_side": 64, "longest": 10**18}},
        {"files": ["plain.small.onnx"]},
        {"files": {"/etc/shadow": 64 * "0"}},
        {"files": {"../plain.small.onnx": 64 * "0"}},
        {"files": {"plain.small.onnx/../../x.onnx": 64 * "0"}},
        {"description": "\x1b]0;title\x07"},
        {"licence": "\udcff"},
        {"scores": {"rows": [{"ab_rmse": float("inf")}]}},
        {"training": {"depth": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}},
        {"kind": "sampler", "states": {"before": [1 << 16] * 8}},
        {"format": 1, "decoding": {"rebalancing": [float("nan")]}},
    ],
)
def test_a_hostile_card_is_refused_by_everything(tmp_path, capsys, monkeypatch, changes):
    path = chroma_model(tmp_path).path
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    refused_in_place(tmp_path, path, capsys)
    survived(tmp_path, capsys, monkeypatch, damaged=True)


def survived(folder, capsys, monkeypatch, damaged=False):
    """`models` and `doctor` show another model of the folder, and nothing that a terminal obeys."""
    chroma_model(folder, "good.small")
    monkeypatch.setenv("TINTYPE_WEIGHTS", str(folder))
    for command in (["models"], ["models", "--json"], ["doctor"], ["doctor", "--json"]):
        status = main(command)
        said = "".join(capsys.readouterr())
        assert status == (command[0] == "doctor" and damaged)
        assert "good.small" in said
        assert "bug in tintype" not in said
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", said)


def test_numbers_that_json_reads_as_infinite_are_refused(tmp_path):
    path = chroma_model(tmp_path, training={"loss": 0.123}).path
    path.write_text(path.read_text().replace("0.123", "1e999"))
    with pytest.raises(CorruptModelError, match="not a finite number"):
        Colorizer(path)


def test_a_card_of_100_mb_is_refused_unread(tmp_path, capsys, monkeypatch):
    path = chroma_model(tmp_path).path
    os.truncate(path, 100 << 20)
    refused_in_place(tmp_path, path, capsys)
    survived(tmp_path, capsys, monkeypatch, damaged=True)


def test_pipes_and_endless_files_keep_nobody_waiting(tmp_path, capsys, monkeypatch):
    card = chroma_model(tmp_path)
    for path in (card.path, card.file()):
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(CorruptModelError, match="not a regular file"):
            Colorizer(card.path)
        survived(tmp_path, capsys, monkeypatch, damaged=True)
        path.unlink()
        path.write_bytes(content)
    os.truncate(card.file(), 1 << 40)  # of nothing
    with pytest.raises(CorruptModelError, match="larger"):
        Colorizer(card.path)


def test_tensors_beside_the_model_are_refused_even_if_nothing_else_is_odd(tmp_path, capsys):
    card = chroma_model(tmp_path)
    model = onnx.load(card.file())
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.raw_data = np.ones(2, np.float32).tobytes()
    onnx.external_data_helper.set_external_data(tensor, "data.bin")
    tensor.ClearField("raw_data")
    (tmp_path / "data.bin").write_bytes(np.ones(2, np.float32).tobytes())
    card = write(tmp_path, "plain.small", {"": model})
    assert card.files.keys() == {"plain.small.onnx"}
    assert "external files" in refused_in_place(tmp_path, card.path, capsys)


ODD_SCORES = [
    {"rows": 3},
    {"rows": [3]},
    {"rows": [{}]},
    {"rows": [{"model": 3, "ab_rmse": None}]},
    {"rows": [], "photographs": None, "dataset": ["x"], "true_colorful": "much"},
    {"rows": [{"model": "\x1b[31mred\udc80\n", "ab_rmse": {"mean": [1]}}]},
    {"photographs": 10**50},
    {"": "\x9b31m", "\x1b[2J": 1},
]


@pytest.mark.parametrize("scores", ODD_SCORES)
def test_odd_scores_are_shown_or_left_out(tmp_path, capsys, monkeypatch, scores):
    chroma_model(tmp_path, "odd.small", scores=scores, training={"\x1b[5mnote": "\x07\udc80"})
    survived(tmp_path, capsys, monkeypatch)
    for more in ([], ["--json"]):
        assert main(["models", "odd.small", *more]) == 0
        said = "".join(capsys.readouterr())
        assert "odd.small" in said
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", said)


def test_a_file_name_may_hold_anything_and_reaches_no_terminal(tmp_path, capsys, monkeypatch):
    for name in ("\x1b]0;title\x07.x", "line\nline.x", os.fsdecode(b"\xff\xfe.x"), "\u202egnp.x"):
        (tmp_path / f"{name}.json").write_text("{}")
        (tmp_path / f"{name}.onnx").touch()
    survived(tmp_path, capsys, monkeypatch, damaged=True)
    with pytest.raises(TintypeError):
        Colorizer("\x1b[31m")
    assert main(["models", "\x1b[31m"]) == 1
    assert "\x1b" not in capsys.readouterr().err
