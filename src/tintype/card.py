"""Model cards: the inputs, outputs, origin and scores of a model.

A model is ``NAME.onnx`` with its card ``NAME.json`` beside it, and further graphs
``NAME.PART.onnx`` where it has them; NAME is ``system.tag``. This module needs the standard library
only.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tintype.errors import CorruptModelError

FORMAT = 2  #: version of the card format that this code writes and reads

_SPACES = ("lab", "yuv", "ycbcr")
_KINDS = ("chroma", "sampler")
_SHAPES = ("aspect", "square")
_RESAMPLES = ("lanczos", "triangle", "bicubic", "bilinear")
_ENLARGE = ("guided", "bilinear")
_LARGEST_CARD = 1 << 20  # bytes
_LARGEST_SIDE = 1 << 14  # pixels
_LARGEST_STATE = 1 << 24  # numbers in a state, per sample and per column
_DEEPEST = 16  # levels of nested tables
_NAME = re.compile(r"[A-Za-z0-9_-]+\.(?!(json|onnx)$)[A-Za-z0-9_-]+")
_FILE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.onnx")


@dataclass(frozen=True)
class Size:
    """The size to which a photograph is reduced for the network.

    Attributes:
        short_side: length of the shorter side in pixels.
        longest: largest length of the longer side in pixels.
        multiple: both sides are multiples of this number of pixels.
        shape: ``"aspect"`` keeps the photograph's shape, ``"square"`` stretches it to a square.
        resample: how the photograph is reduced: ``"lanczos"``, ``"triangle"``, ``"bicubic"``
            (all antialiased), or ``"bilinear"`` (not antialiased).
    """

    short_side: int
    longest: int = 1024
    multiple: int = 32
    shape: str = "aspect"
    resample: str = "lanczos"


@dataclass(frozen=True)
class GuidedFilter:
    """A guided filter (He et al. 2010) that is part of a model; the guide is the luminance.

    Attributes:
        radius: radius of the square windows, in pixels.
        eps: variance of the luminance, in [0, 1], below which a window is smoothed.
    """

    radius: int
    eps: float


@dataclass(frozen=True)
class Card:
    """Everything that a user or the runtime needs to know about a model.

    Attributes:
        name: ``system.tag``.
        description: one sentence.
        paper: authors, year and identifier; empty for a model of our own.
        licence: licence of the weights.
        space: color space of the chroma: ``"lab"`` (a, b), ``"yuv"`` (analogue U, V) or ``"ycbcr"``
            (full-range Cb, Cr). Chroma is centered: neutral is 0.
        kind: ``"chroma"`` (one coloring) or ``"sampler"`` (many).
        size: size to which a photograph is reduced for the network.
        enlarge: how the chroma is brought to the photograph's size: ``"guided"`` or ``"bilinear"``.
        files: file name -> SHA-256: ``NAME.onnx``; ``NAME.decode.onnx`` where a distribution is
            predicted; the graphs ``above``, ``row``, ``cache`` of a sampler, and ``refine`` where
            it has a second stage.
        filter: the guided filter of the model, if it has one.
        states: tensors that a sampler carries from row to row, name -> shape; a size is a number,
            ``"samples"`` or ``"width"``. All are zero before the first row.
        normalise: whether the network is given a copy with stretched tones.
        options: the options it takes, with their defaults, e.g. ``{"vividness": 0.8}``; a model
            that takes hints has ``"hints": []`` here.
        training: data, initial weights, steps, compute and commands of the training run.
        scores: measured metrics, with their protocol.
        format: version of the card format.
        path: file that the card was read from; not part of the JSON.
    """

    name: str
    description: str
    paper: str
    licence: str
    space: str
    kind: str
    size: Size
    enlarge: str
    files: dict[str, str]
    filter: GuidedFilter | None = None
    states: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    normalise: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    path: Path = field(default=Path(), compare=False)

    @property
    def system(self) -> str:
        """Return the part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def tag(self) -> str:
        """Return the part of the name after the dot."""
        return self.name.partition(".")[2]

    @property
    def takes_hints(self) -> bool:
        """Tell whether the main graph takes hints."""
        return "hints" in self.options

    def file(self, part: str = "") -> Path:
        """Return the path of a graph, e.g. ``"decode"``; the main graph has the part ``""``."""
        return self.path.with_suffix(f".{part}.onnx" if part else ".onnx")

    def has(self, part: str) -> bool:
        """Tell whether the model has a graph, e.g. ``"decode"``."""
        return self.file(part).name in self.files

    def write(self, path: Path) -> None:
        """Write the card as JSON, atomically."""
        record = asdict(self)
        del record["path"]
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(record, indent=1) + "\n")
        os.replace(temporary, path)


def read_card(path: Path) -> Card:
    """Read a card from its JSON file.

    Raises:
        CorruptModelError: the file is not a card, has another format version, or holds values that
            are out of range.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe would block
            raise ValueError("it is not a regular file")
        with open(path, "rb") as file:
            text = file.read(_LARGEST_CARD + 1)
        if len(text) > _LARGEST_CARD:
            raise ValueError(f"it is larger than {_LARGEST_CARD >> 20} MiB")
        record = json.loads(text, parse_constant=_refuse_constant)
        if record.get("format") != FORMAT:
            raise ValueError(
                f"its format is {record.get('format', 1)}; this version reads {FORMAT}"
            )
        known = {f.name for f in fields(Card)} - {"path"}
        if surplus := set(record) - known:
            raise ValueError(f"unknown fields: {', '.join(sorted(map(str, surplus)))[:200]}")
        record["size"] = Size(**record["size"])
        if record.get("filter") is not None:
            record["filter"] = GuidedFilter(**record["filter"])
        states = record.get("states", {})
        record["states"] = {name: tuple(shape) for name, shape in states.items()}
        card = Card(**record, path=path)
        _check(card)
        return card
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorruptModelError(
            f"{path} is not a model card this version can read ({reason}); "
            "reinstall tintype, or export the model again."
        ) from error


def is_model_name(name: object) -> bool:
    """Tell whether a value is a valid model name, ``system.tag``."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a valid number")


def _check(card: Card) -> None:
    """Refuse values with which the runtime would fail later, with a less clear error."""
    words = (card.name, card.description, card.paper, card.licence)
    if not all(isinstance(word, str) and word.isprintable() for word in words):
        raise ValueError("name, description, paper and licence must be printable text")
    if not is_model_name(card.name):
        raise ValueError("the name must be SYSTEM.TAG, of letters, digits, - and _")
    for name, choices in (("space", _SPACES), ("kind", _KINDS), ("enlarge", _ENLARGE)):
        if getattr(card, name) not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}")
    _check_size(card.size)
    if card.filter is not None:
        if card.space != "yuv":
            raise ValueError("a guided filter needs chroma in yuv")
        if not (type(card.filter.radius) is int and 0 < card.filter.radius <= 1000):
            raise ValueError("the filter's radius must be a whole number of pixels from 1 to 1000")
        if not _between(card.filter.eps, 1e-12, 1e3):
            raise ValueError("the filter's eps must be a number above 0")
    if not all(isinstance(table, dict) for table in (card.options, card.training, card.scores)):
        raise TypeError("options, training and scores must be tables")
    _check_plain([card.options, card.training, card.scores], _DEEPEST)
    if type(card.normalise) is not bool:
        raise TypeError("normalise must be true or false")
    ranges = {"vividness": (0, 1), "temperature": (1e-3, 10)}
    for option, (low, high) in ranges.items():
        if option in card.options and not _between(card.options[option], low, high):
            raise ValueError(f"{option} must be a number from {low} to {high}")
    for file, checksum in card.files.items():
        if not (_FILE.fullmatch(file) and file.startswith(f"{card.name}.")):
            raise ValueError(f"files must be called {card.name}.onnx or {card.name}.PART.onnx")
        if not (isinstance(checksum, str) and re.fullmatch("[0-9a-f]{64}", checksum)):
            raise ValueError("each file needs a SHA-256 of 64 hexadecimal digits")
    for shape in card.states.values():
        if len(shape) > 8 or not all(
            size in ("samples", "width") or (type(size) is int and 0 <= size <= 1 << 16)
            for size in shape
        ):
            raise ValueError("sizes of states must be numbers, 'samples' or 'width'")
        if math.prod(size for size in shape if isinstance(size, int)) > _LARGEST_STATE:
            raise ValueError(f"a state may have at most {_LARGEST_STATE} numbers")
    if (card.kind == "sampler") != bool(card.states):
        raise ValueError("a sampler must have states, and other kinds must not")


def _check_size(size: Size) -> None:
    sides = (size.short_side, size.multiple, size.longest)
    if not all(type(side) is int and 0 < side <= _LARGEST_SIDE for side in sides):
        raise ValueError(f"sizes must be whole numbers from 1 to {_LARGEST_SIDE}")
    if size.multiple > size.short_side or size.short_side > size.longest:
        raise ValueError("multiple <= short_side <= longest must hold")
    if size.shape not in _SHAPES or size.resample not in _RESAMPLES:
        raise ValueError(
            f"shape must be one of {', '.join(_SHAPES)}, resample of {', '.join(_RESAMPLES)}"
        )


def _check_plain(value: Any, depth: int) -> None:
    """Refuse numbers that are not finite, and deeply nested tables."""
    if isinstance(value, (int, float)) and not abs(value) < 1e100:  # 1e999 is read as infinity
        raise ValueError(f"{value!r:.40} is not a finite number")
    if isinstance(value, (dict, list)):
        if not depth:
            raise ValueError("its tables are nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, depth - 1)


def _between(value: Any, low: float, high: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()
