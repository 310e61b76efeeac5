"""From a file that somebody else published to a model: read, known, compared, written.

Nothing is fetched. What appears appears whole, after the network and its ONNX file were compared.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tintype.card import Card, Size, is_model_name, read_card
from tintype.errors import UnimportableError
from tintype.export.onnx import write_model
from tintype.imports.caffe import read_layers
from tintype.imports.files import check_file, read_state, sha256, weights_file
from tintype.imports.foreign import CONVENTIONS, compare, wrap
from tintype.imports.kinds import KINDS, KNOWN, Kind, kind_of
from tintype.models.base import ColorModel
from tintype.models.published.eccv16 import from_caffe
from tintype.models.published.state import fold_norms

Shape: TypeAlias = Literal["aspect", "square"]
Enlarge: TypeAlias = Literal["guided", "bilinear"]

_VOUCHED = "Imported by its user; tintype neither ships nor vouches for it."
_CRITIC = "_crit"
_SPARE = 1.2  # times the size of the weights that the files need


class Wishes(NamedTuple):
    """What the user may choose.

    Attributes:
        name: ``SYSTEM.TAG``; None takes it from the file.
        kind: a key of `KINDS`; None finds it out.
        size: shorter side at which the network sees a photograph; None is the published one.
        shape: ``"square"``, as its authors do, or ``"aspect"``.
        enlarge: ``"guided"``, as we do, or ``"bilinear"``, as most of them do.
        half: keep weights as float16: half the file, colors not quite the published ones.
        licence: for the card, instead of what the authors say.
        note: a sentence for the card.
        overwrite: replace a model of that name.
    """

    name: str | None = None
    kind: str | None = None
    size: int | None = None
    shape: Shape = "square"
    enlarge: Enlarge = "guided"
    half: bool = False
    licence: str | None = None
    note: str = ""
    overwrite: bool = False


def import_model(
    source: Path,
    out: Path,
    wishes: Wishes | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Card:
    """Make a model of the weights in a file, or in a folder with one such file.

    Args:
        source: .pth, .pt, .bin, .safetensors, .caffemodel or .onnx.
        out: an existing or new folder.
        wishes: what is not to be as it was published.
        say: is told what is under way.

    Returns:
        The card as written. Its scores are empty: `tintype evaluate` measures them.

    Raises:
        UnimportableError: the file is not of a network that is known, or cannot be trusted.
        CheckpointError: the ONNX file does not compute what the network does.
        MissingExtraError: onnx or onnxscript is not installed.
        Either way nothing is left in ``out``.
    """
    wishes = wishes or Wishes()
    if wishes.kind is not None and wishes.kind not in KINDS:
        raise UnimportableError(f"There is no kind {wishes.kind!r}; there are: {', '.join(KINDS)}.")
    path = weights_file(source)
    check_file(path)
    say(f"reading {path.name}")
    try:
        make = _import_onnx if path.suffix == ".onnx" else _import_weights
        return make(path, out, wishes, say)
    except UnimportableError as error:
        if str(error).endswith("."):
            raise
        raise UnimportableError(f"{path} cannot be imported: {error}.") from error


def _import_weights(path: Path, out: Path, wishes: Wishes, say: Callable[[str], None]) -> Card:
    """Rebuild the network of a state dict, and write it."""
    model, kind = _network(path, wishes.kind)
    origin = _origin(path, kind.tags(model), wishes)
    if origin.remark:
        say(f"note: {origin.remark}")
    name = wishes.name or f"{kind.system}.{origin.tag}"
    _check_name(name, model.name)
    needed = sum(p.numel() for p in model.parameters()) * (2 if wishes.half else 4)
    _check_room(out, name, needed, wishes)
    size = dict(model.card()["size"])
    side = kind.sides.get(origin.tag, size["short_side"])
    size |= _size(wishes, side, size["multiple"], kind.largest)
    with _nothing_left(out):
        return write_model(
            model,
            name,
            out,
            _training(kind, origin),
            f"{wishes.licence or kind.licence} {_VOUCHED}",
            half=wishes.half,
            changes={"size": size, "enlarge": wishes.enlarge},
            rounding=math.inf,  # sharp logits turn what rounding costs into other colors
            say=say,
        )


def _import_onnx(path: Path, out: Path, wishes: Wishes, say: Callable[[str], None]) -> Card:
    """Wrap an ONNX file, and write it."""
    if wishes.licence is None:
        raise UnimportableError("whose it is is not known: say --licence what it may be used for")
    if wishes.half:
        raise UnimportableError("it keeps the precision it has: leave out --precision")
    foreign = wrap(path, wishes.kind)
    kind, convention = KINDS[foreign.kind], CONVENTIONS[foreign.kind]
    origin = _origin(path, ("foreign",), wishes)
    if origin.remark:
        say(f"note: {origin.remark}")
    name = wishes.name or f"{foreign.kind}.{origin.tag}"
    _check_name(name, foreign.kind)
    _check_room(out, name, path.stat().st_size, wishes)
    if foreign.side and (wishes.size or foreign.side, wishes.shape) != (foreign.side, "square"):
        raise UnimportableError(f"it takes squares of {foreign.side} px: leave out --size, --shape")
    multiple = foreign.side or convention.multiple
    size = _size(wishes, foreign.side or convention.side, multiple, kind.largest)
    size |= {"multiple": multiple, "resample": convention.card["resample"]}
    with _nothing_left(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as folder:
            file = Path(folder, f"{name}.onnx")
            file.write_bytes(foreign.model.SerializeToString(deterministic=True))
            say("comparing it with the file as it was")
            say(f"they differ by {compare(foreign, path, file):.1e} standard deviations at most")
            card = Card(
                name=name,
                description=f"An ONNX file that others made of {foreign.kind}.",
                paper=f"arXiv {kind.paper}" if kind.paper else "",
                licence=f"{wishes.licence} {_VOUCHED}",
                space=convention.card["space"],
                kind="chroma",
                size=Size(**size),
                enlarge=wishes.enlarge,
                files={file.name: sha256(file)},
                training=_training(kind, origin),
            )
            card.write(file.with_suffix(".json"))
            read_card(file.with_suffix(".json"))
            for made in (file, file.with_suffix(".json")):
                os.replace(made, out / made.name)
    return read_card(out / f"{name}.json")


def _network(path: Path, asked: str | None) -> tuple[ColorModel, Kind]:
    """The network of a file, its weights loaded, and its kind."""
    if path.suffix == ".caffemodel":
        if asked not in (None, "eccv16"):
            raise UnimportableError(f"of Caffe's networks eccv16 alone is known, not {asked}")
        return from_caffe(read_layers(path)), KINDS["eccv16"]
    if path.stem.endswith(_CRITIC):
        raise UnimportableError(
            "it is a critic, which only training needs: give the generator, its _gen.pth"
        )
    state = fold_norms(read_state(path))
    kind = KINDS[kind_of(state, asked)]
    return kind.load(state), kind


class _Origin(NamedTuple):
    """Which weights a file holds, and how that is known."""

    file: str
    sha256: str
    tag: str
    published_as: str | None
    remark: str
    note: str


def _origin(path: Path, tags: tuple[str, ...], wishes: Wishes) -> _Origin:
    """Tell by checksum, or else by the name of the file or its folder; the first tag is neither."""
    checksum = sha256(path)
    if checksum in KNOWN:
        return _Origin(path.name, checksum, *KNOWN[checksum], "", wishes.note)
    remark = f"Not a file that is known here; SHA-256 {checksum}."
    named = f"{path.absolute().parent.name} {path.name}".lower()
    tag = next((tag for tag in tags[1:] if tag in named), tags[0])
    if tag != tags[0]:
        remark += " Which weights they are is taken from the file's name."
    return _Origin(path.name, checksum, tag, None, remark, wishes.note)


def _training(kind: Kind, origin: _Origin) -> dict[str, Any]:
    """What a card says of where weights come from."""
    facts = {
        "imported": next(key for key, value in KINDS.items() if value is kind),
        "file": origin.file,
        "sha256": origin.sha256,
        "published_as": origin.published_as,
        "paper": kind.paper,
        "data": "ImageNet (as the authors say)",
        "note": " ".join(filter(None, (origin.remark, origin.note))),
    }
    return {key: value for key, value in facts.items() if value not in ("", None)}


def _check_name(name: str, system: str) -> None:
    if not (is_model_name(name) and name.startswith(f"{system}.")):
        raise UnimportableError(
            f"{name!r} is no name for it: it takes the form {system}.TAG with letters, digits, - "
            "and _ in the tag."
        )


def _check_room(out: Path, name: str, needed: int, wishes: Wishes) -> None:
    """Refuse to replace a model unasked, and to begin what the disk cannot hold."""
    if (out / f"{name}.json").exists() and not wishes.overwrite:
        raise UnimportableError(
            f"{out / f'{name}.json'} exists: say --overwrite to replace it, or --name."
        )
    folder = next(part for part in (out, *out.absolute().parents) if part.is_dir())
    needed, free = int(_SPARE * needed), shutil.disk_usage(folder).free
    if free < needed:
        raise UnimportableError(
            f"{out} has room for {free >> 20} MB, and the model needs {-(-needed >> 20)}."
        )


def _size(wishes: Wishes, side: int, multiple: int, largest: int) -> dict[str, Any]:
    """The size on the card, as it was published or is wished."""
    side = wishes.size or side
    if side > largest or side < multiple or side % multiple:
        raise UnimportableError(
            f"--size is a multiple of {multiple} up to {largest} here, not {side}."
        )
    return {"short_side": side, "shape": wishes.shape, "longest": max(4 * side, 1024)}


@contextmanager
def _nothing_left(out: Path) -> Iterator[None]:
    """Remove a folder that was made for nothing."""
    made = [part for part in (out, *out.parents) if not part.exists()]
    try:
        yield
    except BaseException:
        for part in made:
            try:
                os.rmdir(part)
            except OSError:
                break
        raise
