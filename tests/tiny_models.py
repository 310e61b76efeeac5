"""Small models of each kind, written by hand: files and cards as the exporter would make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tintype.card import Card, Size, read_card, sha256
from tintype.color.bins import ab_bins

_HEAD = '<ir_version: 8, opset_import: ["": 17]>\n'
LEVELS = (-0.2, 0.0, 0.2)  #: of both channels of the sampler

_CHROMA = """net (float[1,1,H,W] gray) => (float[1,2,h,w] chroma)
<float[1,2,1,1] gain = {%s}> {
    small = AveragePool <kernel_shape = [4,4], strides = [4,4]> (gray)
    chroma = Mul (small, gain)
}"""
_BINS = """net (float[1,1,H,W] gray) => (float[1,313,h,w] bins) <float[1,313,1,1] gain = {%s}> {
    small = AveragePool <kernel_shape = [4,4], strides = [4,4]> (gray)
    logits = Mul (small, gain)
    bins = LogSoftmax <axis = 1> (logits)
}"""
_DECODE = """net (float[1,313,h,w] bins, float vividness) => (float[1,2,h,w] chroma)
<float[2,313,1,1] centers = {%s}> {
    shares = Exp (bins)
    mean = Conv (shares, centers)
    chroma = Mul (mean, vividness)
}"""
# Where a hint is known, the bins around its color; elsewhere, and at first, two peaks.
_HINTED = """net (float[1,1,H,W] gray, float[1,3,h,w] hints) => (float[1,313,h,w] bins)
<float[313,2,1,1] toward = {%s}, float[1,313,1,1] square = {%s}, float[1,313,1,1] peaks = {%s},
 float nothing = {0}, int64[2] parts = {2, 1}> {
    small = AveragePool <kernel_shape = [4,4], strides = [4,4]> (gray)
    ab, mask = Split <axis = 1> (hints, parts)
    along = Conv (ab, toward)
    near = Sub (along, square)
    own = Sub (near, peaks)
    known = Mul (own, mask)
    logits = Add (peaks, known)
    unseen = Mul (small, nothing)
    all = Add (logits, unseen)
    bins = LogSoftmax <axis = 1> (all)
}"""
_ANNEALED = """net (float[1,313,h,w] bins, float vividness) => (float[1,2,h,w] chroma)
<float[2,313,1,1] centers = {%s}, float[1,313,1,1] weights = {%s}, float one = {1},
 float temperature = {0.5}> {
    part = Sub (one, vividness)
    taken = Mul (weights, part)
    corrected = Sub (bins, taken)
    cool = Div (corrected, temperature)
    shares = Softmax <axis = 1> (cool)
    chroma = Conv (shares, centers)
}"""
_FEATURES = """net (float[1,1,H,W] gray) => (float[1,1,h,w] features) {
    features = AveragePool <kernel_shape = [8,8], strides = [8,8]> (gray)
}"""
_HINTED_FEATURES = """
net (float[1,1,H,W] gray, float[1,3,k,l] hints) => (float[1,1,h,w] features)
<int64[1] channels = {1}, float strong = {-9}> {
    small = AveragePool <kernel_shape = [8,8], strides = [8,8]> (gray)
    coarse = AveragePool <kernel_shape = [2,2], strides = [2,2]> (hints)
    known = ReduceSum (coarse, channels)
    much = Mul (known, strong)
    features = Add (small, much)
}"""
_ABOVE = """net (float[1,1,1,w] features, int64 row, float[n,2,1,w] before, float[n,2,r,w] seen)
=> (float[n,1,1,w] context) <int64[2] all = {1, 2}> {
    near = ReduceSum (before, all)
    far = ReduceSum (seen, all)
    count = Cast <to = 1> (row)
    one = Constant <value_float = 1.0> ()
    rows = Add (count, one)
    mean = Div (far, rows)
    known = Add (near, mean)
    context = Add (features, known)
}"""
# Cr is drawn first, from what is above and the cell to the left; then Cb, from Cr too.
_ROW = """net
(float[n,1,1,w] context, float[n,2,1,w] guess, float[n,6,1,w] noise, float temperature)
=> (float[n,2,1,w] values, float[n,2,1,w] logp)
<float[1,3,1,1] levels = {-0.2, 0, 0.2}, float[3] table = {-0.2, 0, 0.2}, int64[1] one = {1},
 int64[1] zero = {0}, int64[1] last = {-1}, int64[1] axis = {3}, int64[1] channels = {1},
 int64[8] left = {0,0,0,1,0,0,0,0}, int64[2] halves = {3,3}, int64[2] ones = {1,1},
 float slope = {12}, float[2] off_on = {0, 1}, int64 depth = {3}> {
    shifted = Pad (guess, left)
    before = Slice (shifted, zero, last, axis)
    sum = ReduceSum (before, channels)
    known = Sub (context, sum)
    guess_cb, guess_cr = Split <axis = 1> (guess, ones)
    noise_cr, noise_cb = Split <axis = 1> (noise, halves)
    bent = Mul (levels, slope)
    logits_cr = Mul (bent, known)
    logp_cr = LogSoftmax <axis = 1> (logits_cr)
    more = Add (known, guess_cr)
    logits_cb = Mul (bent, more)
    logp_cb = LogSoftmax <axis = 1> (logits_cb)
    cool_cr = Div (logp_cr, temperature)
    noisy_cr = Add (cool_cr, noise_cr)
    best_cr = ArgMax <axis = 1> (noisy_cr)
    cr = Gather (table, best_cr)
    cool_cb = Div (logp_cb, temperature)
    noisy_cb = Add (cool_cb, noise_cb)
    best_cb = ArgMax <axis = 1> (noisy_cb)
    cb = Gather (table, best_cb)
    values = Concat <axis = 1> (cb, cr)
    away_cr = Sub (guess_cr, levels)
    far_cr = Abs (away_cr)
    at_cr = ArgMin <axis = 1> (far_cr)
    own_cr = GatherElements <axis = 1> (logp_cr, at_cr)
    away_cb = Sub (guess_cb, levels)
    far_cb = Abs (away_cb)
    at_cb = ArgMin <axis = 1> (far_cb)
    own_cb = GatherElements <axis = 1> (logp_cb, at_cb)
    logp = Concat <axis = 1> (own_cb, own_cr)
}"""
_CACHE = """net (float[n,2,1,w] values, float[n,2,r,w] seen)
=> (float[n,2,1,w] before, float[n,2,s,w] next_seen) {
    before = Identity (values)
    next_seen = Concat <axis = 2> (seen, values)
}"""
_REFINE = """net (float[n,1,H,W] gray, float[n,2,h,w] chroma) => (float[n,2,k,l] refined)
<float[4] scales = {1, 1, 4, 4}, float calmer = {0.5}> {
    large = Resize <mode = "nearest"> (chroma, , scales)
    refined = Mul (large, calmer)
}"""


def write(
    folder: Path, name: str, graphs: dict[str, str | bytes | onnx.ModelProto], **card: Any
) -> Card:
    """Write graphs, by part, and their card; return it as it is read."""
    files = {}
    for part, graph in graphs.items():
        model = onnx.parser.parse_model(_HEAD + graph) if isinstance(graph, str) else graph
        path = folder / f"{name}{'.' if part else ''}{part}.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        files[path.name] = sha256(path)
    fields: dict[str, Any] = {
        "name": name,
        "description": "For a test.",
        "paper": "",
        "licence": "CC0-1.0",
        "space": "lab",
        "kind": "chroma",
        "size": Size(64, longest=256),
        "enlarge": "guided",
        "files": files,
    }
    Card(**{**fields, **card}).write(folder / f"{name}.json")
    return read_card(folder / f"{name}.json")


def chroma_model(
    folder: Path,
    name: str = "plain.small",
    gain: tuple[float, float] = (30, -20),
    **card: Any,
) -> Card:
    """Write a model whose chroma is `gain` times the luminance, at a quarter of its size."""
    return write(folder, name, {"": _CHROMA % _row(np.array(gain))}, **card)


def bins_model(folder: Path, name: str = "tint.small", **card: Any) -> Card:
    """Write a model of a distribution, whose colors are its mean times the vividness."""
    random = np.random.default_rng(0)
    gain, centers = 9 * random.standard_normal(313), random.uniform(-80, 80, (2, 313))
    centers[0] += 40  # reddish
    graphs = {"": _BINS % _row(gain), "decode": _DECODE % _row(centers.ravel())}
    return write(folder, name, graphs, options={"vividness": 0.8}, **card)


PEAKS = ((30, 30, 0.6), (10, -30, 0.4))  #: a, b and share of those of `hinted_model`


def hinted_model(folder: Path, name: str = "hinted.small", **card: Any) -> Card:
    """Write a model whose color is that of the hint in each cell that has one.

    Elsewhere its distribution has `PEAKS`, once the weights of its bins, which are higher for
    greater b, are taken out, as they are at vividness 0; and half of them at its own, 0.5.
    """
    centers = ab_bins().astype(float)
    near = [share * np.exp(-((centers - (a, b)) ** 2).sum(1) / 100) for a, b, share in PEAKS]
    weights = centers[:, 1] / 50
    peaks = np.log(sum(near) + 1e-12) + 0.5 * weights
    square = (centers**2).sum(1) / 50
    graphs = {
        "": _HINTED % (_row(2 * 110 * centers.ravel() / 50), _row(square), _row(peaks)),
        "decode": _ANNEALED % (_row(centers.T.ravel()), _row(weights)),
    }
    return write(folder, name, graphs, options={"vividness": 0.5, "hints": []}, **card)


def sampler_model(
    folder: Path,
    name: str = "tint_sampler.small",
    refine: bool = True,
    hints: bool = False,
    **card: Any,
) -> Card:
    """Write a sampler of three levels a channel, with a second stage that halves the chroma."""
    graphs = {
        "": _HINTED_FEATURES if hints else _FEATURES,
        "above": _ABOVE,
        "row": _ROW,
        "cache": _CACHE,
    }
    graphs |= {"refine": _REFINE} if refine else {}
    fields: dict[str, Any] = {
        "space": "ycbcr",
        "kind": "sampler",
        "options": {"temperature": 0.8, **({"hints": []} if hints else {})},
        "states": {"before": ("samples", 2, 1, "width"), "seen": ("samples", 2, 0, "width")},
    }
    return write(folder, name, graphs, **{**fields, **card})


def models_of_the_command(folder: Path) -> Path:
    """Write ``tint.small`` and ``tint_sampler.small``, which take hints, and ``plain.small``."""
    hinted_model(folder, "tint.small")
    sampler_model(folder, hints=True)
    chroma_model(folder)
    return folder


def _row(values: np.ndarray) -> str:
    return ", ".join(f"{value:.6f}" for value in values)
