"""What files of weights are read, and what each that is none is told."""

import struct
import zipfile
from collections import OrderedDict

import pytest
import torch
from published_states import caffe_layers, eccv16_state, write_caffemodel
from safetensors.torch import save_file
from torch import nn

from tintype.errors import UnimportableError
from tintype.imports.caffe import read_layers
from tintype.imports.files import check_file, read_state, weights_file

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.num_batches_tracked": torch.tensor(3)}


def old(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def ordered(content):
    """As a module gives it, with what torch notes beside."""
    state = OrderedDict(content)
    state._metadata = OrderedDict({"": {"version": 2}})
    return state


def half(content, path):
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in content.items()}, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.pth", torch.save),
        ("x.pth", old),
        ("x.bin", half),
        ("x.pth", lambda state, path: torch.save(ordered(state), path)),
        ("x.safetensors", save_file),
        ("x.pt", lambda state, path: torch.save({"params": state}, path)),
        ("x.pth", lambda state, path: old({"model": state, "opt": {"hyper": [slice(0, 2)]}}, path)),
        ("x.pth", lambda state, path: torch.save(state, path, pickle_protocol=2)),
        ("x.pth", lambda s, path: torch.save({f"module.{k}": v for k, v in s.items()}, path)),
        ("x.pth", lambda s, p: torch.save({k: nn.Parameter(v, False) for k, v in s.items()}, p)),
    ],
)
def test_every_way_to_keep_a_state_dict_gives_the_same(tmp_path, name, write):
    write(STATE, tmp_path / name)
    found = read_state(tmp_path / name)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)
    assert found["a.weight"].dtype == torch.float32


def test_a_folder_stands_for_the_one_file_of_weights_in_it(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnimportableError, match="holds no weights"):
        weights_file(tmp_path)
    save_file(STATE, tmp_path / "model.safetensors")
    assert weights_file(tmp_path).name == "model.safetensors"
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    with pytest.raises(UnimportableError, match=r"2 files of weights .*name the file"):
        weights_file(tmp_path)


class Trap:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_a_program_in_a_file_is_named_and_not_run(tmp_path):
    for write in (torch.save, old):
        write({"a": torch.zeros(1), "b": Trap(tmp_path / "sprung")}, tmp_path / "x.pth")
        with pytest.raises(UnimportableError, match=r"a program \(_?io\.open\), which is not run"):
            read_state(tmp_path / "x.pth")
    assert not (tmp_path / "sprung").exists()
    torch.save(nn.Linear(2, 2), tmp_path / "x.pth")
    with pytest.raises(UnimportableError, match=r"whole network as a program \(torch.nn"):
        read_state(tmp_path / "x.pth")


@pytest.mark.parametrize("write", [torch.save, old, save_file])
def test_files_cut_short_are_called_so(tmp_path, write):
    path = tmp_path / ("x.safetensors" if write is save_file else "x.pth")
    write({"a": torch.zeros(5000)}, path)
    cut(path)
    with pytest.raises(UnimportableError, match="shortened or damaged"):
        read_state(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>", "is a web page, probably of the download site"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "pointer of Git LFS"),
        (b"\x00\x01\x02\x03" * 20, "no file of weights of a kind that is known"),
    ],
)
def test_what_is_no_file_of_weights(tmp_path, content, said):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(UnimportableError, match=said):
        read_state(path)
    with pytest.raises(UnimportableError, match="There is no file"):
        check_file(tmp_path / "none.pth")


def test_a_safetensors_header_longer_than_the_file(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b'{"a":')
    with pytest.raises(UnimportableError, match="shortened or damaged"):
        read_state(tmp_path / "x.safetensors")


def test_archives_that_would_fill_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(UnimportableError, match="fill the memory"):
        read_state(tmp_path / "x.pth")
    torch.save({"a": torch.zeros(1).expand(1 << 20)}, tmp_path / "y.pth")
    with pytest.raises(UnimportableError, match="larger than what is stored"):
        read_state(tmp_path / "y.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds list, not a table"),
        ({}, "holds dict, not a table"),
        ({"epoch": 3}, "more than weights: 'epoch' is int"),
        ({"a": torch.tensor([1, 2])}, "as torch.int64, not as floating point"),
        ({"a": torch.tensor([1.0, float("nan")])}, "values that are not finite in 'a'"),
        ({"a": torch.eye(2).to_sparse()}, "as a sparse or quantized tensor"),
    ],
)
def test_what_is_no_state_dict(tmp_path, content, said):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UnimportableError, match=said):
        read_state(tmp_path / "x.pth")


def test_a_caffemodel_keeps_its_layers(tmp_path):
    layers = caffe_layers(eccv16_state(2))
    path = write_caffemodel(tmp_path / "x.caffemodel", layers)
    found = read_layers(path)
    assert found.keys() == layers.keys()
    assert all(torch.equal(a, b) for k in layers for a, b in zip(found[k], layers[k], strict=True))
    cut(path)
    with pytest.raises(UnimportableError, match="field ends beyond the file"):
        read_layers(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x12\x03\x0a\x01a", "format of before 2014"),
        (b"\x0a\x01a", "no layers with weights"),
        (b"\xff" * 40, "shortened or damaged"),
        (b"\xa2\x06\x0c\x3a\x0a\x3a\x02\x08\x05\x2a\x04\x00\x00\x80\x3f", "shortened or damaged"),
    ],
)
def test_what_is_no_caffemodel(tmp_path, content, said):
    (tmp_path / "x.caffemodel").write_bytes(content)
    with pytest.raises(UnimportableError, match=said):
        read_layers(tmp_path / "x.caffemodel")
