"""One graph of a model as ONNX Runtime runs it."""

import logging
import warnings

import onnxruntime
import torch


def session(graph, path):
    """Export a graph to a file and open it."""
    example = graph.example(2)
    names = {name: multiple for axes in graph.dynamic.values() for name, multiple in axes.values()}
    sizes = {
        name: torch.export.Dim(name, min=-(-32 // most) if most > 1 else 1)
        for name, most in names.items()
    }
    dynamic = tuple(
        {
            axis: multiple * sizes[name] if multiple > 1 else sizes[name]
            for axis, (name, multiple) in graph.dynamic.get(key, {}).items()
        }
        for key in example
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module,
            tuple(example.values()),
            dynamo=True,
            dynamic_shapes=dynamic,
            input_names=list(example),
            output_names=list(graph.outputs),
            verbose=False,
        )
    assert program is not None
    program.save(path)
    return onnxruntime.InferenceSession(path)
