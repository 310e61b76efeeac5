"""Make a model of a published file: read it, recognise its network, export, compare, write.

Nothing is downloaded. Files are written whole, after the ONNX file was compared with the network.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tintype.card import Card, Size, is_model_name, read_card, sha256
from tintype.errors import UnimportableError
from tintype.export.onnx import write_model
from tintype.imports.caffe import read_layers
from tintype.imports.files import check_file, read_state, weights_file
from tintype.imports.foreign import CONVENTIONS, compare, wrap
from tintype.imports.kinds import KINDS, KNOWN, Kind, kind_of
from tintype.models.base import ColorModel
from tintype.models.published.eccv16 import from_caffe
from tintype.models.published.state import fold_norms

Shape: TypeAlias = Literal["aspect", "square"]
Enlarge: TypeAlias = Literal["guided", "bilinear"]

_IMPORTED = "Imported by its user; tintype neither ships it nor vouches for it."
_CRITIC = "_crit"  # how the names of DeOldify's critics end
_SPARE = 1.2  # disk space needed, as a multiple of the weights' size


class ImportOptions(NamedTuple):
    """What the user may choose.

    Attributes:
        name: the model's name, ``SYSTEM.TAG``; None makes it from the file.
        kind: the network, a key of `KINDS`; None recognises it.
        size: shorter side in pixels that the network is given; None is the published one.
        shape: ``"square"`` stretches photographs, as the authors do, ``"aspect"`` does not.
        enlarge: how chroma is enlarged: ``"guided"``, or ``"bilinear"``, as most authors do.
        half: store weights as float16: half the file, with colours slightly off the published ones.
        licence: what the weights may be used for, for the card; None is what the authors say.
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
    options: ImportOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Card:
    """Make a model of the weights in a file, or in a folder with one such file.

    Args:
        source: a file .pth, .pt, .bin, .safetensors, .caffemodel or .onnx, or its folder.
        out: an existing or new folder. After an error nothing is left in it.
        options: what the user chose; by default all is as published.
        say: called with a line about each step.

    Returns:
        The card as written. Its scores are empty: `tintype evaluate` measures them.

    Raises:
        UnimportableError: the file is not of a known network, or cannot be trusted.
        CheckpointError: the ONNX file does not compute what the network does.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    options = options or ImportOptions()
    if options.kind is not None and options.kind not in KINDS:
        raise UnimportableError(
            f"There is no kind {options.kind!r}; give one of {', '.join(KINDS)}."
        )
    path = weights_file(source)
    check_file(path)
    say(f"reading {path.name}")
    try:
        make = _import_onnx if path.suffix == ".onnx" else _import_weights
        return make(path, out, options, say)
    except UnimportableError as error:
        if str(error).endswith("."):
            raise
        raise UnimportableError(f"{path} cannot be imported: {error}.") from error


def _import_weights(
    path: Path, out: Path, options: ImportOptions, say: Callable[[str], None]
) -> Card:
    """Build the network of a state dict, and write it as a model."""
    model, kind = _network(path, options.kind)
    origin = _origin(path, kind.tags(model), options)
    if origin.warning:
        say(f"note: {origin.warning}")
    name = options.name or f"{kind.system}.{origin.tag}"
    _check_name(name, model.name)
    needed = sum(p.numel() for p in model.parameters()) * (2 if options.half else 4)
    _check_room(out, name, needed, options)
    size = dict(model.card()["size"])
    side = kind.sides.get(origin.tag, size["short_side"])
    size |= _size(options, side, size["multiple"], kind.largest)
    with _removing_new_folders(out):
        return write_model(
            model,
            name,
            out,
            _training(kind, origin),
            f"{options.licence or kind.licence} {_IMPORTED}",
            half=options.half,
            changes={"size": size, "enlarge": options.enlarge},
            rounding=math.inf,  # no limit: a sharp softmax magnifies the rounding of weights
            say=say,
        )


def _import_onnx(path: Path, out: Path, options: ImportOptions, say: Callable[[str], None]) -> Card:
    """Wrap an ONNX file, and write it as a model."""
    if options.licence is None:
        raise UnimportableError("its origin is not known: say --licence, what it may be used for")
    if options.half:
        raise UnimportableError("an ONNX file keeps its precision: leave out --precision")
    wrapped = wrap(path, options.kind)
    kind, convention = KINDS[wrapped.kind], CONVENTIONS[wrapped.kind]
    origin = _origin(path, ("foreign",), options)
    if origin.warning:
        say(f"note: {origin.warning}")
    name = options.name or f"{wrapped.kind}.{origin.tag}"
    _check_name(name, wrapped.kind)
    _check_room(out, name, path.stat().st_size, options)
    if wrapped.side and (options.size or wrapped.side, options.shape) != (wrapped.side, "square"):
        raise UnimportableError(f"it takes squares of {wrapped.side} px: leave out --size, --shape")
    multiple = wrapped.side or convention.multiple
    size = _size(options, wrapped.side or convention.side, multiple, kind.largest)
    size |= {"multiple": multiple, "resample": convention.card["resample"]}
    with _removing_new_folders(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as folder:
            file = Path(folder, f"{name}.onnx")
            file.write_bytes(wrapped.model.SerializeToString(deterministic=True))
            say("comparing it with the original file")
            say(f"they differ by {compare(wrapped, path, file):.1e} standard deviations at most")
            card = Card(
                name=name,
                description=f"An ONNX file that others made of {wrapped.kind}.",
                paper=f"arXiv {kind.paper}" if kind.paper else "",
                licence=f"{options.licence} {_IMPORTED}",
                space=convention.card["space"],
                kind="chroma",
                size=Size(**size),
                enlarge=options.enlarge,
                files={file.name: sha256(file)},
                training=_training(kind, origin),
            )
            card.write(file.with_suffix(".json"))
            read_card(file.with_suffix(".json"))
            for made in (file, file.with_suffix(".json")):
                os.replace(made, out / made.name)
    return read_card(out / f"{name}.json")


def _network(path: Path, asked: str | None) -> tuple[ColorModel, Kind]:
    """Return the network of a file, its weights loaded, and its kind."""
    if path.suffix == ".caffemodel":
        if asked not in (None, "eccv16"):
            raise UnimportableError(f"the only known network of Caffe is eccv16, not {asked}")
        return from_caffe(read_layers(path)), KINDS["eccv16"]
    if path.stem.endswith(_CRITIC):
        raise UnimportableError(
            "it is a critic, which only training needs: give the generator, a file _gen.pth"
        )
    state = fold_norms(read_state(path))
    kind = KINDS[kind_of(state, asked)]
    return kind.load(state), kind


class _Origin(NamedTuple):
    """Which weights a file holds, and a warning if its checksum does not tell."""

    file: str
    sha256: str
    tag: str
    published_as: str | None
    warning: str
    note: str


def _origin(path: Path, tags: tuple[str, ...], options: ImportOptions) -> _Origin:
    """Recognise weights by checksum, else by name of file or folder; else take the first tag."""
    checksum = sha256(path)
    if checksum in KNOWN:
        return _Origin(path.name, checksum, *KNOWN[checksum], "", options.note)
    warning = f"Not a known file; SHA-256 {checksum}."
    folder = re.split("[^a-z]+", path.absolute().parent.name.lower())
    named = [tag for tag in tags[1:] if tag in path.name.lower()]
    named += [tag for tag in tags[1:] if tag in folder]
    tag = (*named, tags[0])[0]
    if tag != tags[0]:
        warning += " Which weights it holds is taken from its name."
    return _Origin(path.name, checksum, tag, None, warning, options.note)


def _training(kind: Kind, origin: _Origin) -> dict[str, Any]:
    """Return the card's ``training``, which says where the weights come from."""
    facts = {
        "imported": next(key for key, value in KINDS.items() if value is kind),
        "file": origin.file,
        "sha256": origin.sha256,
        "published_as": origin.published_as,
        "paper": kind.paper,
        "data": "ImageNet (as the authors say)",
        "note": " ".join(filter(None, (origin.warning, origin.note))),
    }
    return {key: value for key, value in facts.items() if value not in ("", None)}


def _check_name(name: str, system: str) -> None:
    if not (is_model_name(name) and name.startswith(f"{system}.")):
        raise UnimportableError(
            f"{name!r} is not a name for it: it takes the form {system}.TAG with letters, digits, "
            "- and _ in the tag."
        )


def _check_room(out: Path, name: str, needed: int, options: ImportOptions) -> None:
    """Refuse to replace a model without --overwrite, and to start with too little disk space."""
    if (out / f"{name}.json").exists() and not options.overwrite:
        raise UnimportableError(
            f"{out / f'{name}.json'} exists: say --overwrite to replace it, or --name."
        )
    folder = next(part for part in (out, *out.absolute().parents) if part.is_dir())
    needed, free = int(_SPARE * needed), shutil.disk_usage(folder).free
    if free < needed:
        raise UnimportableError(
            f"{out} has room for {free >> 20} MB, and the model needs {-(-needed >> 20)} MB."
        )


def _size(options: ImportOptions, side: int, multiple: int, largest: int) -> dict[str, Any]:
    """Return the size on the card, as published or as chosen."""
    side = options.size or side
    if side > largest or side < multiple or side % multiple:
        raise UnimportableError(
            f"--size must be a multiple of {multiple} up to {largest}, not {side}."
        )
    return {"short_side": side, "shape": options.shape, "longest": max(4 * side, 1024)}


@contextmanager
def _removing_new_folders(out: Path) -> Iterator[None]:
    """Remove the folders that were made for the output if this block raises."""
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
