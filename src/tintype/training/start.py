"""Load initial weights: an exported model, another run, or pretrained weights of a backbone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tintype.card import read_card, sha256
from tintype.errors import CheckpointError, CorruptModelError, MissingExtraError
from tintype.models import rebuild
from tintype.models.base import ColorModel
from tintype.runtime.ort import load_onnxruntime
from tintype.training.checkpoint import load_checkpoint

_TOLERANCE = 0.01  # mean difference of outputs, in standard deviations, of two runtimes
HALF = ".half"  #: suffix of the names of weights that an ONNX file stores as float16


def load_init(model: ColorModel, path: Path) -> str:
    """Load initial weights; return a description of them for the card.

    Args:
        model: a new model.
        path: an exported model (.onnx or its card), the folder of another run, or weights of a
            backbone (`ColorModel.load_backbone`).

    Raises:
        CheckpointError: the weights cannot be read, or do not fit.
        CorruptModelError: the exported model is missing or damaged.
        MissingExtraError: onnx is not installed.
    """
    if not path.exists():
        raise CheckpointError(f"{path} does not exist: give a model, a run's folder, or weights.")
    if path.is_dir():
        return load_run(model, path)
    if path.suffix in (".onnx", ".json"):
        return load_exported(model, path)
    return model.load_backbone(path)


def load_run(model: ColorModel, path: Path) -> str:
    """Load the averaged weights of another run; return a description of them for the card.

    Raises:
        CheckpointError: the run cannot be read, or has another network.
    """
    facts, parts = load_checkpoint(path)
    try:
        if facts["name"] != model.name:
            raise RuntimeError(f"it trained {facts['name']}")
        # Parts that are used in training only may be missing on either side, or have other sizes:
        # the classes of a label head are those of the data.
        own = model.state_dict()
        fitting = {
            name: value
            for name, value in parts["ema"].items()
            if model.is_exported(name) or name not in own or own[name].shape == value.shape
        }
        found = model.load_state_dict(fitting, strict=False)
        for name in (*found.missing_keys, *found.unexpected_keys):
            if model.is_exported(name):
                raise RuntimeError(f"only one of them has {name}")
        trained = rebuild(model.name, facts["config"])
        trained.load_state_dict(parts["ema"])
        trained.config = model.config  # what the export alone depends on may differ
        inputs = _example(model)
        _check_outputs(_outputs(model, inputs), _outputs(trained, inputs))
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not hold this {model.name} ({error}); give a run of the same preset."
        ) from error
    return f"{path.name} after {facts['step']} steps ({facts['start']})"


def load_exported(model: ColorModel, card_path: Path) -> str:
    """Load the weights of an exported model; return a description of them for the card.

    Of another system's model, weights that fit are loaded (`ColorModel.load_from`).

    Args:
        model: a model with the configuration of the exported one.
        card_path: the card, or the ONNX file beside it.

    Raises:
        CheckpointError: the files hold another network, or another system's that does not fit.
        CorruptModelError: the model is missing or damaged.
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("export", "Starting from an exported model") from error
    card = read_card(card_path.with_suffix(".json"))
    for name, checksum in card.files.items():
        file = card.path.with_name(name)
        if not file.exists() or sha256(file) != checksum:
            raise CorruptModelError(f"{file} is missing, or its checksum is wrong: get it again.")
    try:
        if card.system != model.name:
            return f"{model.load_from(card.system, read_parameters(card.file()))} ({card.name})"
        state = {}
        # Graphs may have other names for the model's parameters, but share their tensors.
        names = {id(tensor): name for name, tensor in _tensors(model)}
        for part, graph in model.graphs().items():
            found = read_parameters(card.file(part))
            if part == "decode":
                model.load_decoding(found)
            for name, tensor in _tensors(graph.module):
                if name in found and id(tensor) in names:
                    state[names[id(tensor)]] = found[name]
        for name, _ in model.named_parameters():
            needed = model.is_exported(name) and not name.startswith(model.may_lack)
            if needed and name not in state:
                raise ValueError(f"it has no {name}")
        model.load_state_dict(state, strict=False)
        session = load_onnxruntime().InferenceSession(str(card.file()))
        inputs, taken = _example(model), [part.name for part in session.get_inputs()]
        if more := sorted({*taken} - inputs.keys()):
            raise ValueError(f"it also takes {more[0]}")
        inputs = {name: inputs[name] for name in taken}
        given = {name: value.numpy() for name, value in inputs.items()}
        _check_outputs(_outputs(model, inputs), np.asarray(session.run(None, given)[0]))
    except CheckpointError:
        raise
    except Exception as error:  # protobuf's errors share no base class
        raise CheckpointError(
            f"{card.path} does not hold this {model.name} ({error}); give a model that was "
            "exported from the same preset by this version."
        ) from error
    if "imported" in card.training:
        return f"{card.name}, imported from {card.training.get('file')}"
    started = card.training.get("start", "from nothing")
    return f"{card.name} after {card.training.get('step')} steps ({started})"


def _example(model: ColorModel) -> dict[str, Tensor]:
    """Return random inputs of the main graph."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model.graphs()[""].example(1)


@torch.no_grad()
def _outputs(model: ColorModel, inputs: dict[str, Tensor]) -> NDArray[Any]:
    """Return the first output of the main graph in evaluation mode."""
    training = model.training
    found = model.eval().graphs()[""].module(*inputs.values())
    model.train(training)
    return (found[0] if isinstance(found, tuple) else found).numpy()


def _check_outputs(found: NDArray[Any], expected: NDArray[Any]) -> None:
    """Raise a ValueError if outputs differ: the same weights in a network that computes another."""
    off = float(np.abs(found - expected).mean() / max(expected.std(), 1e-6))
    if not off <= _TOLERANCE:
        raise ValueError(f"its outputs differ by {off:.2g} standard deviations")


def read_parameters(path: Path) -> dict[str, Tensor]:
    """Read the weights of an ONNX file, by their names in the exported module."""
    import onnx

    graph = onnx.load(path).graph
    # Graphs that wrap a model have the prefix "model.".
    return {
        tensor.name.removesuffix(HALF).removeprefix("model."): torch.from_numpy(
            onnx.numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        yield name.removeprefix("model."), tensor
