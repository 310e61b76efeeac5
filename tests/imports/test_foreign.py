"""ONNX files of others, wrapped: small ones of each convention, written by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from published_states import photograph

from tintype import Colorizer
from tintype.color.spaces import gray_to_lightness, rgb_to_yuv
from tintype.errors import UnimportableError
from tintype.imports.foreign import wrap
from tintype.imports.importer import ImportOptions, import_model

HEAD = '<ir_version: 7, opset_import: ["": 12]>\n'
NET = """net (float[1,%d,%s,%s] input) => (float[1,%d,%s,%s] gray)
<float[%d,%d,1,1] weights = {%s}> {
    chroma = Conv (input, weights)
    gray = Identity (chroma)
}"""
RANDOM = np.random.default_rng(0).uniform(0.1, 0.5, 9)


def net(inputs, outputs, side=None):
    """A file with a 1x1 convolution, whose names are those that ours would use."""
    sizes = (side or "h", side or "w")
    values = ", ".join(f"{value:.6f}" for value in RANDOM[: inputs * outputs])
    given = (inputs, *sizes, outputs, *sizes, outputs, inputs, values)
    return onnx.parser.parse_model(HEAD + NET % given)


def half(model):
    """The same file, taking and giving float16."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    return model


def saved(model, path):
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("side", [None, 64])
@pytest.mark.parametrize("kind", ["siggraph17", "ddcolor", "deoldify"])
def test_each_convention_becomes_a_model(tmp_path, kind, side):
    inputs, outputs = {"siggraph17": (1, 2), "ddcolor": (3, 2), "deoldify": (3, 3)}[kind]
    path = saved(net(inputs, outputs, side), tmp_path / "x.onnx")
    options = ImportOptions(kind=kind, licence="MIT.", size=side or 128)
    card = import_model(path, tmp_path / "models", options)
    assert card.name == f"{kind}.foreign"
    assert card.licence.startswith("MIT. Imported by its user")
    assert (card.size.short_side, card.training["imported"]) == (side or 128, kind)
    gray = np.full((64, 64), 100, np.uint8)
    found = Colorizer(card.path).chroma(gray)[:, 0, 0]
    weights = RANDOM[: inputs * outputs].round(6).reshape(outputs, inputs).sum(1)
    if kind == "siggraph17":
        expected = weights * gray_to_lightness(np.float32(100 / 255))
    elif kind == "ddcolor":
        expected = weights * (100 / 255)
    else:
        expected = rgb_to_yuv(weights * (100 / 255))[1:]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_float16_is_cast(tmp_path):
    path = saved(half(net(3, 2)), tmp_path / "x_fp16.onnx")
    card = import_model(path, tmp_path, ImportOptions(licence="MIT."))
    assert (card.name, card.size.short_side) == ("ddcolor.foreign", 512)
    assert Colorizer(card.path).chroma(photograph()).dtype == np.float32


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = saved(net(3, 3), tmp_path / "x.onnx")
    cards = [import_model(path, tmp_path / at, ImportOptions(licence="MIT.")) for at in ("a", "b")]
    assert cards[0].files == cards[1].files


def refuse(said, path, **options):
    with pytest.raises(UnimportableError, match=said):
        import_model(path, path.parent / "models", ImportOptions(**{"licence": "MIT.", **options}))
    assert not (path.parent / "models").exists()


def test_options_that_cannot_be_met_are_refused(tmp_path):
    path = saved(net(3, 2, 64), tmp_path / "x.onnx")
    refuse("say --licence", path, licence=None)
    refuse("leave out --precision", path, half=True)
    refuse("squares of 64 px", path, shape="aspect")
    refuse("squares of 64 px", path, size=128)
    refuse("takes 3 and gives 2 channels, which is not deoldify", path, kind="deoldify")
    refuse("takes the form ddcolor.TAG", path, name="cic.x")
    refuse("say --as eccv16 or siggraph17", saved(net(1, 2), path))
    refuse("no known network does", saved(net(2, 2), path))


def external(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def external_inside(model):
    inner = net(1, 1)
    external(inner)
    node = helper.make_node("If", ["yes"], ["z"], then_branch=inner.graph, else_branch=inner.graph)
    model.graph.node.append(node)


def custom(model):
    model.graph.node[0].domain = "evil"


def two_outputs(model):
    model.graph.output.append(helper.make_tensor_value_info("chroma", 1, [1, 2, "h", "w"]))


def no_rank(model):
    model.graph.input[0].type.tensor_type.ClearField("shape")


def integers(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def old(model):
    model.opset_import[0].version = 8


def oblong(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 32


def broken(model):
    model.graph.node[0].op_type = "Convolute"


def endless(model):
    numbers = np.full(6, np.inf, np.float32).reshape(2, 3, 1, 1)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(numbers, "weights"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, "weights are in another file"),
        (external_inside, "weights are in another file"),
        (custom, "operators of evil, which ONNX Runtime lacks"),
        (two_outputs, "has 2 outputs, where one"),
        (no_rank, "'input' is not of rank 4"),
        (integers, "'input' is not of rank 4 in float32"),
        (old, "opset 8, and 9 is the oldest"),
        (oblong, "takes 64 by 32 pixels"),
        (broken, "ONNX Runtime cannot run it"),
        (endless, "or values not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_files_that_cannot_be_trusted(tmp_path, change, said):
    model = net(3, 2)
    change(model)
    refuse(said, saved(model, tmp_path / "x.onnx"))


def test_a_file_cut_short(tmp_path):
    path = saved(net(3, 2), tmp_path / "x.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    refuse("shortened or damaged", path)
    with pytest.raises(UnimportableError, match="shortened or damaged"):
        wrap(path, None)
