"""Model cards: what a weights file takes and gives, where it comes from, how good it is.

A model is a pair of files in one folder, ``NAME.onnx`` and ``NAME.json``; NAME is ``system.tag``.
The runtime obeys the card and never asks which system it runs.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tintype.errors import CorruptModelError, UnknownModelError

#: Folders searched before the package's own, separated as in PATH.
WEIGHTS_VARIABLE = "TINTYPE_WEIGHTS"
_SHIPPED = Path(__file__).parent.parent / "weights"


@dataclass(frozen=True)
class InputSize:
    """The sizes a network takes.

    Attributes:
        short_side: shorter side in pixels to which a photograph is brought by default.
        multiple: both sides are multiples of this.
        longest: no side is brought above this, whatever the aspect ratio.
        filter: how a photograph is reduced to it: ``"lanczos"``, or the softer ``"triangle"``, as
            training crops are brought to their size.
        other_sides: more values of the shorter side, at which the photograph is looked at as well;
            what the network says is the mean of all looks at the cells of the first, which counts
            three fifths.
    """

    short_side: int
    multiple: int = 32
    longest: int = 1024
    filter: str = "lanczos"
    other_sides: tuple[int, ...] = ()


@dataclass(frozen=True)
class Decoding:
    """How a distribution over the ab bins becomes chroma, and what ``vividness`` means.

    The rebalancing weights that the network was trained with are taken out of its distribution in
    part, wholly, or more than that, by how safe the colours shall be: p / w ** r, with r on a line
    from `safe` at vividness 0 to `vivid` at 1. Of what comes out the annealed mean is taken.

    Attributes:
        rebalancing: the weights of the bins that count as those of the training
            (`Binned.calibrate`); empty where there were none.
        safe, vivid: r at either end; 1 gives every bin the probability with which it occurs, below
            0 rare bins weigh even more than in training.
        temperature: of the annealed mean at vividness 1; 1 is the plain mean.
        safe_temperature: of that at vividness 0; between them its logarithm is on a line. None for
            the same throughout.
        vividness: the default.
    """

    rebalancing: tuple[float, ...] = ()
    safe: float = 1.0
    vivid: float = 0.0
    temperature: float = 0.38
    safe_temperature: float | None = None
    vividness: float = 1.0

    @property
    def warmest(self) -> float:
        """The temperature at vividness 0."""
        return self.temperature if self.safe_temperature is None else self.safe_temperature

    def at(self, vividness: float) -> tuple[float, float]:
        """The r and the temperature of a vividness."""
        removed = self.safe + vividness * (self.vivid - self.safe)
        return removed, self.warmest * (self.temperature / self.warmest) ** vividness


@dataclass(frozen=True)
class Patches:
    """Geometry of a network that was trained on patches and uses no padding.

    Attributes:
        side: of the patches in training, in pixels.
        frame: pixels on each side of its input that its output lacks.
        fringe: outermost pixels of its output that differ at the border of a larger input.
    """

    side: int
    frame: int
    fringe: int


@dataclass(frozen=True)
class Refinement:
    """The guided filter that a system passes its chroma through, the photograph as its guide.

    Attributes:
        radius: of the windows, in pixels of the photograph; of a large one, in pixels of the
            reduced copy on which chroma is fitted (four to a cell of the network's output).
        eps: variance of the luminance in [0, 1] below which a window is averaged.
    """

    radius: int
    eps: float


@dataclass(frozen=True)
class Sampling:
    """What a sampler chooses from, how boldly, and what brings its choice to a finer grid.

    Attributes:
        levels: of Cr and of Cb, evenly spaced.
        low, high: the first and the last, full-range Cr or Cb in [0, 1].
        temperature: the default; below 1 likelier and calmer colours.
        second_stage: the model, whose output is ``finer``, that takes the chroma and the luminance
            and gives finer chroma; empty where there is none.
    """

    levels: int
    low: float
    high: float
    temperature: float = 1.0
    second_stage: str = ""


@dataclass(frozen=True)
class Card:
    """Everything the runtime and a careful user need to know of a model.

    Attributes:
        name: ``system.tag``.
        description: one sentence.
        space: colour space of the chroma; ``"lab"`` (a and b in CIE units), ``"yuv"`` (analogue
            U and V) or ``"ycbcr"`` (full-range Cb and Cr, neutral at 0.5).
        output: ``"bins"`` (logits over the 313 ab bins), ``"chroma"`` (two planes),
            ``"sampler"`` (the graphs of `tintype.runtime.sampler`), or ``"finer"`` (a sampler's
            second stage, which colours nothing by itself).
        stride: the output's sides are the input's divided by this.
        size: input size rule.
        upsampling: how the output is enlarged; ``"guided"``: along the edges of the luminance.
        licence: of the weights.
        training: data, start, steps, compute: facts as the training run wrote them.
        scores: measured scores with their protocol.
        files: file name -> SHA-256.
        decoding: of ``bins``; None for ``chroma``.
        patches: of a network that was trained on patches.
        refinement: a filter that belongs to the system.
        sampling: of a ``sampler``.
        path: where the card was read from; not part of the JSON.
    """

    name: str
    description: str
    space: str
    output: str
    stride: int
    size: InputSize
    upsampling: str
    licence: str
    training: dict[str, Any]
    scores: dict[str, Any]
    files: dict[str, str]
    decoding: Decoding | None = None
    patches: Patches | None = None
    refinement: Refinement | None = None
    sampling: Sampling | None = None
    path: Path = field(default=Path(), compare=False)

    @property
    def system(self) -> str:
        """The first half of the name."""
        return self.name.partition(".")[0]

    @property
    def tag(self) -> str:
        """The second half of the name."""
        return self.name.partition(".")[2]

    @property
    def weights(self) -> Path:
        """The ONNX file beside the card."""
        return self.file()

    def file(self, part: str = "") -> Path:
        """The ONNX file of one of its graphs; most models have but one, without a name."""
        return self.path.with_suffix(f".{part}.onnx" if part else ".onnx")

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
        CorruptModelError: the file is no card, or one of another version.
    """
    try:
        record = json.loads(path.read_text())
        parts = {"size": InputSize, "decoding": Decoding, "patches": Patches}
        parts |= {"refinement": Refinement, "sampling": Sampling}
        for name, kind in parts.items():
            if record.get(name) is not None:
                values = record[name].items()
                record[name] = kind(
                    **{k: tuple(v) if isinstance(v, list) else v for k, v in values}
                )
        needed = {f.name for f in fields(Card) if f.default is MISSING}
        if missing := needed - set(record):
            raise KeyError(", ".join(sorted(missing)))
        card = Card(**record, path=path)
        _check(card)
        return card
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptModelError(
            f"{path} is not a model card this version can read ({error}); "
            "reinstall tintype, or export the model again."
        ) from error


def _check(card: Card) -> None:
    """Refuse values with which the engine would fail later, and less clearly."""
    words = (card.name, card.description, card.space, card.output, card.upsampling, card.licence)
    if not all(isinstance(word, str) for word in words) or not card.system or not card.tag:
        raise ValueError("the name is SYSTEM.TAG, and the description and the kinds are words")
    size = card.size
    if not isinstance(size, InputSize) or not isinstance(size.other_sides, tuple):
        raise ValueError("the size is a table, and its other_sides a list")
    sizes = (card.stride, size.short_side, size.multiple, size.longest, *size.other_sides)
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError("stride and sizes are whole numbers above 0")
    if size.filter not in ("lanczos", "triangle"):
        raise ValueError("the filter is 'lanczos' or 'triangle'")
    if size.other_sides and (card.patches is not None or card.output in ("sampler", "finer")):
        raise ValueError("a network of patches and a sampler look at a photograph at one size")
    if (card.decoding is None) != (card.output != "bins"):
        raise ValueError("a decoding belongs to bins, and to nothing else")
    if (card.sampling is None) != (card.output != "sampler"):
        raise ValueError("a sampling belongs to a sampler, and to nothing else")
    if (sampling := card.sampling) is not None:
        if not (isinstance(sampling.levels, int) and 2 <= sampling.levels <= 256):
            raise ValueError("the levels are a number from 2 to 256")
        if not 0 <= sampling.low < sampling.high <= 1 or not sampling.temperature > 0:
            raise ValueError("levels go from low to high in [0, 1]; a temperature is above 0")
    if card.decoding is not None:
        _check_decoding(card.decoding)
    if (patches := card.patches) is not None:
        if card.stride != 1:
            raise ValueError("a network of patches gives a chroma for every pixel")
        sides = (patches.frame, patches.fringe, patches.side - 2 * patches.frame - 1)
        if not all(isinstance(side, int) and side >= 0 for side in sides):
            raise ValueError("a patch's frame and fringe are pixels, and leave some of it")
    if (filter := card.refinement) is not None:
        if card.space != "yuv":
            raise ValueError("a refinement is for chroma in yuv")
        if not (isinstance(filter.radius, int) and filter.radius > 0 and filter.eps > 0):
            raise ValueError("a refinement has a radius in whole pixels and an eps above 0")
    tables = (card.training, card.scores, card.files)
    if not all(isinstance(table, dict) for table in tables):
        raise TypeError("training, scores and files are tables")


def _check_decoding(decoding: Decoding) -> None:
    if len(decoding.rebalancing) not in (0, 313) or min(decoding.rebalancing, default=1) <= 0:
        raise ValueError("rebalancing is a weight above 0 for each of the 313 bins")
    if not min(decoding.temperature, decoding.warmest) > 0 or decoding.vivid > decoding.safe:
        raise ValueError("temperatures are above 0, and vivid takes no more out than safe")
    if not 0 <= decoding.vividness <= 1:
        raise ValueError("vividness is from 0 to 1")


def folders() -> list[Path]:
    """Where models are looked for, in order: those of ``TINTYPE_WEIGHTS``, then the package's."""
    named = os.environ.get(WEIGHTS_VARIABLE, "")
    return [Path(part) for part in named.split(os.pathsep) if part] + [_SHIPPED]


def survey() -> tuple[list[Card], list[CorruptModelError]]:
    """Every model that can be named, by name, and what is wrong with cards that cannot be read.

    An earlier folder hides a later one's model of the same name.
    """
    found: dict[str, Card] = {}
    damaged: list[CorruptModelError] = []
    for folder in folders():
        for path in sorted(folder.glob("[!.]*.json")):
            if not path.with_suffix(".onnx").exists():
                continue  # other JSON files may lie there too
            try:
                card = read_card(path)
            except CorruptModelError as error:
                damaged.append(error)
            else:
                found.setdefault(card.name, card)
    return [found[name] for name in sorted(found)], damaged


def list_models() -> list[Card]:
    """The cards of every model that can be named, by name."""
    return survey()[0]


def find(model: str | os.PathLike[str]) -> Card:
    """The card of a model, by name or by the path of its card or weights file.

    Args:
        model: ``"system.tag"``, ``"system"`` (its first tag, ``small`` where there is one), or a
            path that ends in ``.json`` or ``.onnx``.

    Raises:
        UnknownModelError: no such model; the message names near ones.
        CorruptModelError: its card cannot be read.
    """
    name = os.fspath(model)
    if name.endswith((".json", ".onnx")):
        card = Path(name).with_suffix(".json")
        if not card.exists():
            raise UnknownModelError(
                f"There is no model card {card}: a model is a .onnx file with its .json beside it."
            )
        return read_card(card)
    readable, damaged = survey()
    cards = {card.name: card for card in readable}
    if name in cards:
        return cards[name]
    tags = [card for card in readable if card.system == name]
    if tags:
        return next((card for card in tags if card.tag == "small"), tags[0])
    for error in damaged:
        if f"{name}." in str(error):
            raise error
    colouring = [card for card in readable if card.output != "finer"]
    known = sorted({name for card in colouring for name in (card.system, card.name)})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif known:
        hint = f"there are: {', '.join(known)}."
    else:
        hint = "no model is installed; reinstall tintype."
    raise UnknownModelError(f"No model is called {name!r}; {hint}")


def named_with_option(name: str) -> tuple[str, dict[str, Any]]:
    """The model and the options of ``NAME``, ``NAME@VIVIDNESS`` or ``NAME@REFINE``."""
    model, at, option = name.rpartition("@")
    if not at or option.endswith((".json", ".onnx")):
        return name, {}
    try:
        return model, {"vividness": float(option)}
    except ValueError:
        return model, {"refine": option}


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verify(card: Card, only: str | None = None) -> None:
    """Check that the model's files are there and are the ones the card was written for.

    Args:
        card: the model.
        only: the name of one file, to check no other.

    Raises:
        CorruptModelError: a file is missing, or differs from its checksum.
    """
    for name in [only] if only else [card.weights.name, *card.files]:
        path = card.path.parent / name
        if name not in card.files:
            raise CorruptModelError(
                f"{card.path} has no checksum of {name}; export the model again."
            )
        if not path.exists():
            raise CorruptModelError(f"{path} is missing; reinstall tintype or restore the file.")
        if sha256(path) != card.files[name]:
            raise CorruptModelError(
                f"{path} is damaged: its checksum is not the card's. Delete it and reinstall "
                "tintype, or export the model again."
            )
