"""From a training run to a model that ships: an ONNX file and its card."""

from __future__ import annotations

import copy
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tintype.errors import CheckpointError, MissingExtraError
from tintype.runtime.card import (
    Card,
    Decoding,
    InputSize,
    Patches,
    Refinement,
    Sampling,
    find,
    read_card,
    sha256,
    verify,
)
from tintype.runtime.session import Session
from tintype.systems import rebuild
from tintype.systems.system import Graph, System
from tintype.training.checkpoint import load_checkpoint

_LICENCE = (
    "What the weights may be used for follows from the terms of the photographs they were trained "
    "on. The code is Apache-2.0."
)


_HALF = ".half"  # behind the names of weights kept as float16


def averaged_system(run: Path, *others: Path) -> tuple[System, dict[str, Any]]:
    """The run's averaged weights in a network ready for inference, and the facts of the run.

    Of several runs it is the mean of their averaged weights ("model soup", Wortsman et al. 2022,
    arXiv 2203.05482), which is good for something only where they began with the same weights; what
    tells the others from the first run is then among its facts, under ``"averaged_with"``.

    Raises:
        CheckpointError: a run cannot be read, is of another version's network, or began otherwise
            than the first.
    """
    facts, parts = load_checkpoint(run)
    system, mean = rebuild(facts["system"], facts["config"]), parts["ema"]
    told = []
    for count, path in enumerate(others, start=2):
        other, its = load_checkpoint(path)
        shapes = {name: tensor.shape for name, tensor in its["ema"].items()}
        if shapes != {name: tensor.shape for name, tensor in mean.items()}:
            raise CheckpointError(f"{path} is not of the same network as {run}: export it alone.")
        if "begun" not in facts or other.get("begun") != facts["begun"]:
            raise CheckpointError(
                f"{path} began with other weights than {run} (it: {other['start']}), or with an "
                "earlier tintype: their mean may be no network; export it alone."
            )
        for name, tensor in its["ema"].items():
            if tensor.is_floating_point():
                mean[name] = mean[name] + (tensor - mean[name]) / count
        told.append(_training_facts(other))
    if told:
        known = _training_facts(facts)
        facts["averaged_with"] = [
            {k: v for k, v in run_facts.items() if k != "test" and known.get(k) != v}
            for run_facts in told
        ]
        facts.pop("test", None)  # what it measured is not of the mean
    try:
        system.load_state_dict(mean)
    except RuntimeError as error:
        raise CheckpointError(
            f"{run} was trained with another version of {facts['system']} ({error}); "
            "export it with that version, or train again."
        ) from error
    return system.eval(), facts


def export(
    runs: Sequence[Path], name: str, out: Path, *, note: str = "", licence: str = _LICENCE
) -> Card:
    """Write ``out/NAME.onnx`` and ``out/NAME.json``, after comparing ONNX Runtime with PyTorch.

    Weights are kept as float16, which halves the file; computation stays float32.

    Args:
        runs: folder of a training run, or of several to be averaged (`averaged_system`).
        name: ``system.tag``, e.g. ``"tint.small"``.
        out: an existing or new folder.
        note: a sentence for the card, e.g. what the photographs are and on what terms.
        licence: another one: what the model may be used for.

    Returns:
        The card as written. Its scores are empty: `tintype evaluate` measures them.

    Raises:
        CheckpointError: a run cannot be read or averaged, the name is not the run's, or the
            exported file does not compute what the network does; nothing is left in ``out`` then.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    system, facts = averaged_system(*runs)
    if not re.fullmatch(rf"{facts['system']}\.(?!(json|onnx)$)[A-Za-z0-9_-]+", name):
        raise CheckpointError(
            f"{name!r} is no name for this run: it takes the form {facts['system']}.TAG with "
            f"letters, digits, - and _ in the tag, e.g. {facts['system']}.small."
        )
    rounded = copy.deepcopy(system)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.half().float()
    fields = system.card()
    parts: dict[str, Any] = {
        key: kind(**fields[key])
        for key, kind in (
            ("decoding", Decoding),
            ("patches", Patches),
            ("refinement", Refinement),
            ("sampling", Sampling),
        )
        if key in fields
    }
    out.mkdir(parents=True, exist_ok=True)
    # Written beside their place and moved there when all is known to be right.
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as folder:
        card = Card(
            name=name,
            description=fields["description"],
            space=fields["space"],
            output=fields["output"],
            stride=fields["stride"],
            size=InputSize(**fields["size"]),
            upsampling=fields["upsampling"],
            licence=licence,
            training={**_training_facts(facts), **({"note": note} if note else {})},
            scores={},
            files={},
            path=Path(folder, f"{name}.json"),
            **parts,
        )
        for part, graph in rounded.graphs().items():
            _write_onnx(graph, card.file(part))
            card.files[card.file(part).name] = sha256(card.file(part))
        card.write(card.path)
        # Against the same weights, and against those that were trained: rounding them to float16
        # costs a few hundredths at the worst place.
        check_parity(rounded, card, 1e-2)
        check_parity(system, card, 1e-1)
        for file in (*card.files, card.path.name):
            os.replace(Path(folder, file), out / file)
    return read_card(out / f"{name}.json")


def start_from_exported(system: System, weights: Path) -> str:
    """Give a network the weights of an exported model, to train it further.

    From another system's model it takes what fits (`System.adopt`).

    Args:
        system: of the kind and size that was exported.
        weights: the ONNX file; its card lies beside it.

    Returns:
        What to write on the card about the start.

    Raises:
        CheckpointError: the file holds another network, or another system's that does not fit.
        UnknownModelError, CorruptModelError: there is no such model, or it is damaged.
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("export", "Starting from an exported model") from error
    card = find(weights)
    verify(card)
    try:
        if card.system != system.name:
            return f"{system.adopt(card.system, _parameters(weights))} ({card.name})"
        state = {}
        # A part may call its parameters otherwise than the system, but they are the same tensors.
        names = {id(tensor): name for name, tensor in _tensors(system)}
        for part, graph in system.graphs().items():
            found = _parameters(card.file(part))
            state |= {
                names[id(tensor)]: found[name]
                for name, tensor in _tensors(graph.module)
                if name in found and id(tensor) in names
            }
        for name, _ in system.named_parameters():
            if name not in state and system.exports(name):
                raise KeyError(name)
        system.load_state_dict(state, strict=False)
    except CheckpointError:
        raise
    except Exception as error:  # protobuf's errors share no base class
        raise CheckpointError(
            f"{weights} does not hold this {system.name} ({error}); give a model that was "
            "exported from the same preset by this version."
        ) from error
    started = card.training.get("start", "from nothing")
    return f"{card.name} after {card.training.get('step')} steps ({started})"


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _parameters(path: Path) -> dict[str, Tensor]:
    """What an exported file keeps, by its name in the module that was exported."""
    import onnx

    return {
        tensor.name.removesuffix(_HALF): torch.from_numpy(
            onnx.numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in onnx.load(path).graph.initializer
    }


def check_parity(system: System, card: Card, tolerance: float) -> float:
    """Compare ONNX Runtime with PyTorch on random inputs of several sizes.

    Args:
        system: in evaluation mode.
        card: of the exported files.
        tolerance: largest allowed difference of an output, in its standard deviations.

    Returns:
        The largest difference.

    Raises:
        CheckpointError: they differ by more.
    """
    worst = 0.0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for part, graph in system.graphs().items():
            session = Session(card, threads=1, part=part)
            for size in (1, 2, 4):
                inputs = graph.example(size)
                with torch.no_grad():
                    expected = graph.module(*inputs.values())
                expected = expected if isinstance(expected, tuple) else (expected,)
                found = session.call(**{name: value.numpy() for name, value in inputs.items()})
                for mine, right in zip(found, expected, strict=True):
                    if right.is_floating_point():
                        difference = np.abs(mine - right.numpy()).max() / float(right.std())
                        worst = max(worst, float(difference))
    if not worst <= tolerance:
        raise CheckpointError(
            f"The exported {card.name} differs from the network by {worst:.3g} standard deviations "
            f"(allowed: {tolerance}); nothing was written. Please report this with the versions "
            "that `tintype doctor` prints."
        )
    return worst


def _write_onnx(graph: Graph, path: Path) -> None:
    try:
        import onnx
        import onnxscript.optimizer
    except ImportError as error:
        raise MissingExtraError("export", "Exporting a model") from error
    inputs = graph.example(2)
    multiples: dict[str, int] = {}
    for axes in graph.dynamic.values():
        for name, multiple in axes.values():
            multiples[name] = max(multiple, multiples.get(name, 1))
    sizes: dict[str, Any] = {
        # Where pixels are counted, 32 of them and more are long enough for every network.
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
        warnings.simplefilter("ignore")  # the exporter's own deprecations are not the user's
        program = torch.onnx.export(
            graph.module,
            tuple(inputs.values()),
            dynamo=True,
            external_data=False,
            dynamic_shapes=dynamic,
            input_names=list(inputs),
            output_names=list(graph.outputs),
            verbose=False,
            # It would fold and rename parameters; see below.
            optimize=False,
        )
    assert program is not None  # only the exporter's old mode returns nothing
    model = program.model_proto
    _halve(model)
    # Parameters are inputs while constants are folded, so that all keep their names and values, by
    # which `start_from_exported` finds them. ONNX Runtime folds the rest when it loads the file.
    names = {name for name, _ in _tensors(graph.module)}
    kept = [t for t in model.graph.initializer if t.name.removesuffix(_HALF) in names]
    given = len(model.graph.input)
    for tensor in kept:
        model.graph.initializer.remove(tensor)
        value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(value)
    model = onnxscript.optimizer.optimize(model)
    del model.graph.input[given:]
    model.graph.initializer.extend(kept)
    # Node origins (file names and lines of this machine) have no place in a shipped file.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.metadata_props[:], model.graph.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _halve(model: Any) -> None:
    """Keep kernels and matrices as float16 with a cast behind them.

    Vectors stay as they are: they weigh little, and variances near zero would lose their digits.
    ONNX Runtime folds the casts when it loads the file, so it computes in float32 as before.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
            name = tensor.name
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}{_HALF}"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _training_facts(facts: dict[str, Any]) -> dict[str, Any]:
    kept = ("preset", "step", "photographs", "start", "teacher", "data", "recipe", "config")
    kept += ("seed", "test", "torch", "averaged_with")
    return {**{k: facts[k] for k in kept if k in facts}, "minutes": round(facts["elapsed"] / 60, 1)}
