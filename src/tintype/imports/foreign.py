"""Wrap ONNX files that others made of the published networks.

These take lightness, or gray as RGB, and give ab or RGB. A few nodes before and after them make
models that take `gray` and give `chroma`, as ours do. The file's own nodes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tintype.color.spaces import gray_to_lightness, rgb_to_yuv
from tintype.errors import MissingExtraError, UnimportableError
from tintype.runtime.ort import load_onnxruntime
from tintype.runtime.watch import watched

_LARGEST = 2 << 30  # bytes of a protobuf message
_DOMAINS = ("", "ai.onnx", "com.microsoft")  # operators that ONNX Runtime has itself
_OLDEST = 9  # opset with all operators that we add
_PREFIX = "theirs/"
_FLOAT, _HALF = 1, 10  # ONNX's numbers for float32 and float16
# Largest difference between a file and the wrapped one, in standard deviations of the output; in
# float16 rounding alone makes the larger one.
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 2e-2
_HEAD = '<ir_version: 8, opset_import: ["": %d]>\n'

_LIGHTNESS = """before (float[1,1,H,W] gray) => (float[1,1,H,W] given)
<float knee = {0.04045}, float linear = {12.92}, float shift = {0.055}, float scale = {1.055},
 float gamma = {2.4}, float epsilon = {0.008856}, float third = {0.33333333}, float root = {116},
 float black = {16}, float slope = {903.2919921875}> {
    dark = Less (gray, knee)
    straight = Div (gray, linear)
    shifted = Add (gray, shift)
    scaled = Div (shifted, scale)
    curved = Pow (scaled, gamma)
    y = Where (dark, straight, curved)
    low = Less (y, epsilon)
    straight_l = Mul (y, slope)
    cube = Pow (y, third)
    large = Mul (cube, root)
    curved_l = Sub (large, black)
    given = Where (low, straight_l, curved_l)
}"""
_REPEAT = """before (float[1,1,H,W] gray) => (float[1,3,H,W] given)
<float[3,1,1,1] three = {%(white)s, %(white)s, %(white)s}> {
    given = Conv (gray, three)
}"""
_AB = """after (float[1,2,h,w] got) => (float[1,2,h,w] chroma) {
    chroma = Identity (got)
}"""
_UV = """after (float[1,3,h,w] got) => (float[1,2,h,w] chroma)
<float[2,3,1,1] weights = {%s}> {
    chroma = Conv (got, weights)
}"""


class Convention(NamedTuple):
    """What a network takes and gives in the ONNX files that others make of it.

    Attributes:
        channels: numbers of channels of its input and its output.
        before, after: ONNX graphs to put before and after it, as text.
        card: fields of the card.
        side: shorter side in pixels that the network is given, if it takes any size.
        multiple: both sides are multiples of this, if it takes any size.
    """

    channels: tuple[int, int]
    before: str
    after: str
    card: Mapping[str, Any]
    side: int
    multiple: int


def _uv_weights() -> str:
    """Return the weights (2, 3) from RGB in [0, 255] to U and V, as text of ONNX."""
    rows = rgb_to_yuv(np.eye(3, dtype=np.float32))[:, 1:].T / 255
    return ", ".join(f"{value:.9g}" for value in rows.ravel())


_ZHANG = Convention(
    (1, 2), _LIGHTNESS, _AB, {"space": "lab", "resample": "bicubic"}, side=256, multiple=8
)
CONVENTIONS: dict[str, Convention] = {
    "eccv16": _ZHANG,
    "siggraph17": _ZHANG,
    "ddcolor": Convention(
        *((3, 2), _REPEAT % {"white": 1}, _AB, {"space": "lab", "resample": "bilinear"}, 512, 32)
    ),
    "deoldify": Convention(
        *((3, 3), _REPEAT % {"white": 255}, _UV % _uv_weights()),
        *({"space": "yuv", "resample": "triangle"}, 576, 32),
    ),
}


class WrappedModel(NamedTuple):
    """A wrapped ONNX file.

    Attributes:
        model: the ONNX model, from ``gray`` to ``chroma``.
        kind: a key of `CONVENTIONS`.
        side: side in pixels of the squares it takes; None if it takes any size.
        half: whether its own input or output is float16.
    """

    model: Any
    kind: str
    side: int | None
    half: bool


def wrap(path: Path, asked: str | None) -> WrappedModel:
    """Read an ONNX file and wrap it.

    Args:
        path: the file.
        asked: its kind, a key of `CONVENTIONS`; None to tell it by the numbers of channels.

    Raises:
        UnimportableError: it is damaged, needs other files or libraries, or is of no known kind.
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
        from onnx.compose import add_prefix
    except ImportError as error:
        raise MissingExtraError("export", "Importing an ONNX file") from error
    if path.stat().st_size > _LARGEST:
        raise UnimportableError("it is larger than an ONNX file can be")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # protobuf's errors share no base class
        raise UnimportableError("it is shortened or damaged, or not an ONNX file") from error
    opset = _check_opset(model)
    inputs, outputs = _ends(model)
    kind = _kind(inputs, outputs, asked)
    convention = CONVENTIONS[kind]
    sides = [size if isinstance(size, int) else None for size in inputs.shape[2:]]
    if sides[0] != sides[1]:
        raise UnimportableError(f"it takes {sides[0]} by {sides[1]} pixels, not squares")
    add_prefix(model, _PREFIX, inplace=True)
    before, after = (
        onnx.parser.parse_model(_HEAD % opset + text).graph
        for text in (convention.before, convention.after)
    )
    _cast(before.node[-1].output, before, inputs, _PREFIX + inputs.name, "given")
    _cast(after.node[0].input, after, outputs, _PREFIX + outputs.name, "got")
    graph = model.graph
    nodes = [*before.node, *graph.node, *after.node]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.initializer, *after.initializer])
    graph.input.extend(before.input)
    graph.output.extend(after.output)
    model.ir_version = max(model.ir_version, 4)
    return WrappedModel(model, kind, sides[0], _HALF in (inputs.kind, outputs.kind))


class _End(NamedTuple):
    """The only input of a graph, or its only output; its kind is ONNX's number of the type."""

    name: str
    kind: int
    shape: tuple[Any, ...]


def _check_opset(model: Any) -> int:
    """Return the opset of a model; refuse one that needs more than itself and ONNX Runtime."""
    opset = 0
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            opset = entry.version
    nodes = [*_nodes(model.graph), *(n for function in model.functions for n in function.node)]
    own = {function.domain for function in model.functions}
    if other := {node.domain for node in nodes} - {*_DOMAINS, *own}:
        raise UnimportableError(
            f"it needs operators of {sorted(other)[0]}, which ONNX Runtime lacks"
        )
    attributes = [a.t for node in nodes for a in node.attribute if a.HasField("t")]
    if any(tensor.data_location for tensor in (*_initializers(model.graph), *attributes)):
        raise UnimportableError(
            "its weights are in another file: put them into it first (onnx.save with "
            "save_as_external_data=False)"
        )
    if opset < _OLDEST:
        raise UnimportableError(f"it has opset {opset}, and {_OLDEST} is the oldest supported")
    return opset


def _subgraphs(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        for attribute in node.attribute:
            yield from (g for g in (attribute.g, *attribute.graphs) if len(g.node))


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for inner in _subgraphs(graph):
        yield from _nodes(inner)


def _initializers(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for inner in _subgraphs(graph):
        yield from _initializers(inner)


def _ends(model: Any) -> tuple[_End, _End]:
    """Return the only input and the only output of a model."""
    given = {tensor.name for tensor in model.graph.initializer}
    ends = []
    for word, values in (("input", model.graph.input), ("output", model.graph.output)):
        values = [value for value in values if value.name not in given]
        if len(values) != 1:
            raise UnimportableError(f"it has {len(values)} {word}s, where one is expected")
        tensor = values[0].type.tensor_type
        shape = tuple(
            dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param
            for dim in tensor.shape.dim
        )
        if len(shape) != 4 or tensor.elem_type not in (_FLOAT, _HALF):
            raise UnimportableError(
                f"its {word} {values[0].name[:40]!r} is not of rank 4 in float32 or float16"
            )
        ends.append(_End(values[0].name, tensor.elem_type, shape))
    return ends[0], ends[1]


def _kind(inputs: _End, outputs: _End, asked: str | None) -> str:
    """Return the kind with the numbers of channels of a model, which is the one asked for."""
    channels = (inputs.shape[1], outputs.shape[1])
    unknown = [isinstance(count, str) for count in channels]
    fitting = [
        name
        for name, convention in CONVENTIONS.items()
        if all(u or a == b for u, a, b in zip(unknown, channels, convention.channels, strict=True))
    ]
    said = " and gives ".join(str(count or "any number of") for count in channels)
    if asked is not None and asked not in fitting:
        raise UnimportableError(f"it takes {said} channels, which is not {asked}")
    if asked is None and len(fitting) != 1:
        which = " or ".join(fitting)
        known = f"say --as {which}" if fitting else "no known network does"
        raise UnimportableError(f"it takes {said} channels: {known}")
    return asked or fitting[0]


def _cast(place: Any, graph: Any, end: _End, name: str, own: str) -> None:
    """Connect one of our graphs with an end of the file's, with a cast if that is float16."""
    from onnx import helper

    if end.kind == _FLOAT:
        place[0] = name
    elif own == "given":
        graph.node.append(helper.make_node("Cast", [own], [name], to=_HALF))
    else:
        graph.node.insert(0, helper.make_node("Cast", [name], [own], to=_FLOAT))


def compare(wrapped: WrappedModel, theirs: Path, ours: Path) -> float:
    """Run a file and the wrapped one on random pictures, and return their largest difference.

    Args:
        wrapped: the wrapped model.
        theirs: the file as it was.
        ours: the file of the wrapped model.

    Returns:
        The largest difference over three sizes, or the only one, in standard deviations of the
        file's output.

    Raises:
        UnimportableError: one cannot be run, or the outputs differ or are not chroma.
    """
    convention = CONVENTIONS[wrapped.kind]
    small = 2 * convention.multiple
    sizes = [(small, small), (small, 2 * small), (2 * small, small)]
    worst = 0.0
    for size in [(wrapped.side, wrapped.side)] if wrapped.side else sizes:
        gray = np.random.default_rng(0).random((1, 1, *size), np.float32)
        expected = _after(_run(theirs, _before(gray, convention)), convention)
        found = _run(ours, gray)
        if (
            found.shape != expected.shape
            or found.shape[:2] != (1, 2)
            or not np.isfinite(found).all()
        ):
            raise UnimportableError(
                f"it gives {found.shape} for {gray.shape}, or values not finite"
            )
        worst = max(worst, float(np.abs(found - expected).max() / max(expected.std(), 1e-6)))
    if not worst <= (_HALF_TOLERANCE if wrapped.half else _TOLERANCE):
        raise UnimportableError(f"the wrapped file differs by {worst:.2g} standard deviations")
    return worst


def _before(gray: NDArray[np.float32], convention: Convention) -> NDArray[np.float32]:
    """Compute in numpy what the graph before a file computes."""
    if convention.channels[0] == 1:
        return gray_to_lightness(gray)
    return np.repeat(gray, 3, 1) * np.float32(255 if convention.channels[1] == 3 else 1)


def _after(got: NDArray[np.float32], convention: Convention) -> NDArray[np.float32]:
    """Compute in numpy what the graph after a file computes."""
    if convention.channels[1] == 2:
        return got
    return np.moveaxis(rgb_to_yuv(np.moveaxis(got, 1, -1) / 255)[..., 1:], -1, 1)


def _run(path: Path, given: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a file without optimizations on one input; return its first output in float32."""
    onnxruntime = load_onnxruntime()
    options, running = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        only = session.get_inputs()[0]
        kind = np.float16 if "float16" in only.type else np.float32
        with watched(running):
            found = session.run(None, {only.name: given.astype(kind)}, running)[0]
        return np.asarray(found).astype(np.float32)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        reason = " ".join(str(error).split())[:120]
        raise UnimportableError(f"ONNX Runtime cannot run it ({reason})") from error
