"""Export the graphs of a model to ONNX files with a card, and compare them with torch."""

from __future__ import annotations

import copy
import logging
import os
import re
import shlex
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tintype.card import Card, GuidedFilter, Size, read_card, sha256
from tintype.errors import CheckpointError, MissingExtraError
from tintype.export.average import averaged_model, training_facts
from tintype.models.base import ColorModel, Graph
from tintype.runtime.ort import load_onnxruntime
from tintype.training.start import HALF

_LICENCE = (
    "The terms of the photographs that the weights were trained on decide what they may be used "
    "for. The code is Apache-2.0."
)


def export(
    runs: Sequence[Path],
    name: str,
    out: Path,
    *,
    note: str = "",
    licence: str = _LICENCE,
    say: Callable[[str], None] = lambda line: None,
) -> Card:
    """Export the averaged weights of a training run, or the mean of several.

    Args:
        runs: folder of a training run, or folders of runs with the same initial weights, which are
            averaged (`averaged_model`).
        name: ``system.tag``, e.g. ``"tint.mine"``.
        out: an existing or new folder.
        note: a sentence for the card, e.g. the source and terms of the photographs.
        licence: licence of the weights, for the card.
        say: called with a line about each stage.

    Returns:
        The card that was written. It has no scores: `tintype evaluate` measures them.

    Raises:
        CheckpointError: a run cannot be read or averaged, the name is not of the run's system, or
            the exported files differ from the network. Nothing is left in ``out`` then.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    model, facts = averaged_model(*runs)
    command = shlex.join(["tintype", "export", *map(str, runs), "--name", name])
    commands = [*facts.get("commands", []), command]
    training = {**training_facts(facts), "commands": commands}
    if note:
        training["note"] = note
    return write_model(model, name, out, training, licence, say=say)


def write_model(
    model: ColorModel,
    name: str,
    out: Path,
    training: Mapping[str, Any],
    licence: str = _LICENCE,
    *,
    half: bool = True,
    changes: Mapping[str, Any] | None = None,
    rounding: float = 1e-1,
    say: Callable[[str], None] = lambda line: None,
) -> Card:
    """Write the graphs of a model and its card; return the card.

    Args:
        model: the model; it is set to evaluation mode.
        name, out, licence: as in `export`.
        training: the field ``training`` of the card.
        half: store matrices and kernels as float16, which halves the files; computation is in
            float32.
        changes: field of the card -> value that replaces the model's.
        rounding: largest difference that float16 may make to an output, in standard deviations;
            above it, as in a network that has hardly learnt, float32 is stored.
        say: called with a line about each stage.

    Raises:
        CheckpointError, MissingExtraError: as in `export`.
    """
    if not re.fullmatch(rf"{model.name}\.(?!(json|onnx)$)[A-Za-z0-9_-]+", name):
        raise CheckpointError(
            f"{name!r} cannot be the name of this model: give {model.name}.TAG with letters, "
            f"digits, - and _ in the tag, e.g. {model.name}.mine."
        )
    rounded = model.eval()
    if half:
        rounded = copy.deepcopy(rounded)
        for parameter in rounded.parameters():
            if parameter.ndim > 1:
                parameter.data = parameter.data.half().float()
    fields = {**model.card(), **(changes or {})}
    fields["size"] = Size(**fields["size"])
    if "filter" in fields:
        fields["filter"] = GuidedFilter(**fields["filter"])
    out.mkdir(parents=True, exist_ok=True)
    # Written to a temporary folder, and moved when all checks have passed.
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as folder:
        card = Card(
            name=name,
            paper=model.paper,
            licence=licence,
            training=dict(training),
            files={},
            path=Path(folder, f"{name}.json"),
            **fields,
        )
        for part, graph in rounded.graphs().items():
            say(f"writing {card.file(part).name}")
            write_graph(graph, card.file(part), half)
            card.files[card.file(part).name] = sha256(card.file(part))
        card.write(card.path)
        read_card(card.path)  # raises an error if the card is not valid
        say("comparing the files with the network at three sizes")
        # Compared with the rounded weights and with the trained ones, from which float16 differs by
        # a few hundredths of a standard deviation.
        # A network that has hardly learnt differs by nearly 1e-3 in float32 too.
        worst = check_parity(rounded, card, 1e-2 if half else 1e-3)
        say(f"they differ by {worst:.1e} standard deviations at most")
        if half:
            try:
                check_parity(model, card, rounding)
            except CheckpointError:
                say("float16 would change the outputs: writing float32, twice the size")
                return write_model(
                    model, name, out, training, licence, half=False, changes=changes, say=say
                )
        for file in (*card.files, card.path.name):
            os.replace(Path(folder, file), out / file)
    return read_card(out / f"{name}.json")


def check_parity(model: ColorModel, card: Card, tolerance: float) -> float:
    """Compare ONNX Runtime with PyTorch on random inputs of three sizes.

    Args:
        model: the model in evaluation mode.
        card: card of the exported files.
        tolerance: largest allowed difference of an output, in its standard deviations.

    Returns:
        The largest difference, in standard deviations.

    Raises:
        CheckpointError: the difference is larger than allowed.
    """
    onnxruntime = load_onnxruntime()
    worst = 0.0
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for part, graph in model.graphs().items():
            session = onnxruntime.InferenceSession(str(card.file(part)))
            for size in (1, 2, 4):
                inputs = graph.example(size)
                expected = graph.module(*inputs.values())
                expected = expected if isinstance(expected, tuple) else (expected,)
                found = session.run(None, {k: v.numpy() for k, v in inputs.items()})
                for name, mine, right in zip(graph.outputs, found, expected, strict=True):
                    if name == "values":  # drawn by argmax: close logits may give another value
                        continue
                    difference = np.abs(np.asarray(mine) - right.numpy()).max()
                    # Of a network that has hardly learnt, outputs are nearly constant.
                    spread = max(float(right.std()), 0.01 * float(right.abs().max()), 1e-6)
                    worst = max(worst, float(difference) / spread)
    if not worst <= tolerance:
        raise CheckpointError(
            f"The exported {card.name} differs from the network by {worst:.3g} standard deviations "
            f"(allowed: {tolerance}); nothing was written. Please report this with the versions "
            "that `tintype doctor` prints."
        )
    return worst


def write_graph(graph: Graph, path: Path, half: bool = True) -> None:
    """Export one graph to an ONNX file; parameters keep their names.

    Args:
        graph: the graph.
        path: path of the file.
        half: store kernels and matrices as float16.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript.optimizer
    except ImportError as error:
        raise MissingExtraError("export", "Exporting a model") from error
    model = _trace(graph)
    if half:
        _store_half(model)
    # Parameters are declared as inputs while constants are folded, so that they keep the names and
    # values that `training.start` reads. ONNX Runtime folds them when it loads the file.
    names = {name for name, _ in (*graph.module.named_parameters(), *graph.module.named_buffers())}
    kept = [t for t in model.graph.initializer if t.name.removesuffix(HALF) in names]
    given = len(model.graph.input)
    for tensor in kept:
        model.graph.initializer.remove(tensor)
        value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(value)
    model = onnxscript.optimizer.optimize(model)
    del model.graph.input[given:]
    model.graph.initializer.extend(kept)
    # Remove the origins of nodes, which are paths of this machine.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.metadata_props[:], model.graph.metadata_props[:]
    onnx.save(model, path)
    onnx.checker.check_model(str(path))  # which takes less memory than the model itself


def _trace(graph: Graph) -> Any:
    """Return the graph as an ONNX model with dynamic sizes, not optimized."""
    inputs = graph.example(2)
    multiples: dict[str, int] = {}
    for key in inputs:
        for name, multiple in graph.dynamic.get(key, {}).values():
            multiples[name] = max(multiple, multiples.get(name, 1))
    sizes: dict[str, Any] = {
        # Sizes in pixels start at 32, which is enough for every network.
        name: torch.export.Dim(name, min=-(-32 // most) if most > 1 else 1, max=4096 // most)
        for name, most in multiples.items()
    }
    dynamic = tuple(
        {
            axis: multiple * sizes[name] if multiple > 1 else sizes[name]
            for axis, (name, multiple) in graph.dynamic.get(key, {}).items()
        }
        for key in inputs
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        program = torch.onnx.export(
            graph.module,
            tuple(inputs.values()),
            dynamo=True,
            external_data=False,
            dynamic_shapes=dynamic,
            input_names=list(inputs),
            output_names=list(graph.outputs),
            verbose=False,
            optimize=False,  # it would fold and rename parameters; see `write_graph`
        )
    assert program is not None  # None only without dynamo
    return program.model_proto


def _store_half(model: Any) -> None:
    """Store kernels and matrices as float16, each with a cast to float32.

    Vectors stay float32: they are small, and variances near zero would lose their precision. ONNX
    Runtime folds the casts when it loads the file.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
            name = tensor.name
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}{HALF}"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
