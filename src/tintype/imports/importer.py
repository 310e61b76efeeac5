"""From a file that somebody else published to a model: read, known, compared, written.

Nothing is fetched. What appears appears whole, after the network and its ONNX file were compared.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tintype.card import Card, is_model_name
from tintype.errors import UnimportableError
from tintype.export.onnx import write_model
from tintype.imports.caffe import read_layers
from tintype.imports.files import check_file, read_state, sha256, weights_file
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
        half: keep the weights as float16: half the file, colors not quite the published ones.
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
        source: .pth, .pt, .bin, .safetensors or .caffemodel.
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
    checksum = sha256(path)
    try:
        model, kind = _network(path, wishes.kind)
    except UnimportableError as error:
        if str(path) in str(error):
            raise
        raise UnimportableError(f"{path} cannot be imported: {error}.") from error
    tag, published_as, remark = _which(kind.tags(model), checksum, path)
    name = wishes.name or f"{kind.system}.{tag}"
    _check_name(name, model.name)
    _check_room(out, name, model, wishes)
    training: dict[str, Any] = {
        "imported": next(key for key, value in KINDS.items() if value is kind),
        "file": path.name,
        "sha256": checksum,
        "published_as": published_as,
        "paper": kind.paper,
        "data": "ImageNet (as the authors say)",
        "note": " ".join(filter(None, (remark, wishes.note))),
    }
    if remark:
        say(f"note: {remark}")
    with _nothing_left(out):
        return write_model(
            model,
            name,
            out,
            {key: value for key, value in training.items() if value != ""},
            f"{wishes.licence or kind.licence} {_VOUCHED}",
            half=wishes.half,
            changes=_changes(model, kind, tag, wishes),
            rounding=math.inf,  # sharp logits turn what rounding costs into other colors
            say=say,
        )


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


def _which(tags: tuple[str, ...], checksum: str, path: Path) -> tuple[str, str | None, str]:
    """The tag of the weights, the name they were published under, and what is not sure of it."""
    if checksum in KNOWN:
        tag, published_as = KNOWN[checksum]
        return tag, published_as, ""
    remark = f"Not a file that is known here; SHA-256 {checksum}."
    named = f"{path.parent.name} {path.name}".lower()
    for tag in tags[1:]:
        if tag in named:
            return tag, None, f"{remark} Which weights they are is taken from the file's name."
    return tags[0], None, remark


def _check_name(name: str, system: str) -> None:
    if not (is_model_name(name) and name.startswith(f"{system}.")):
        raise UnimportableError(
            f"{name!r} is no name for it: it takes the form {system}.TAG with letters, digits, - "
            "and _ in the tag."
        )


def _check_room(out: Path, name: str, model: ColorModel, wishes: Wishes) -> None:
    """Refuse to replace a model unasked, and to begin what the disk cannot hold."""
    if (out / f"{name}.json").exists() and not wishes.overwrite:
        raise UnimportableError(
            f"{out / f'{name}.json'} exists: say --overwrite to replace it, or --name."
        )
    folder = next(part for part in (out, *out.absolute().parents) if part.is_dir())
    needed = sum(p.numel() for p in model.parameters()) * (2 if wishes.half else 4) * _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UnimportableError(
            f"{out} has room for {free >> 20} MB, and the model needs {int(needed) >> 20}."
        )


def _changes(model: ColorModel, kind: Kind, tag: str, wishes: Wishes) -> dict[str, Any]:
    """Fields of the card that are not the network's own."""
    size = dict(model.card()["size"])
    side = wishes.size or kind.sides.get(tag, size["short_side"])
    if side > kind.largest or side < size["multiple"] or side % size["multiple"]:
        raise UnimportableError(
            f"--size is a multiple of {size['multiple']} up to {kind.largest} here, not {side}."
        )
    size |= {"short_side": side, "shape": wishes.shape}
    return {"size": {**size, "longest": max(4 * side, 1024)}, "enlarge": wishes.enlarge}


@contextmanager
def _nothing_left(out: Path):
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
