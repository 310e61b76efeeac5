"""``tintype import``: make a model of weights that others published; needs the extra ``export``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tintype.cli.console import Progress, needs_extra, print_json, print_line
from tintype.cli.options import Count, Flag, Json
from tintype.runtime.registry import WEIGHTS_VARIABLE


def import_(
    file: Path,
    /,
    *,
    name: str | None = None,
    as_: Annotated[str | None, Parameter(name="--as")] = None,
    out: Annotated[
        Path | None, Parameter(show_default=lambda _: "the first of TINTYPE_WEIGHTS, else here")
    ] = None,
    size: Annotated[Count | None, Parameter(show_default=lambda _: "as published")] = None,
    shape: Literal["square", "aspect"] = "square",
    enlarge: Literal["guided", "bilinear"] = "guided",
    precision: Literal["full", "half"] = "full",
    licence: Annotated[str | None, Parameter(show_default=lambda _: "as the authors say")] = None,
    note: str = "",
    overwrite: Flag = False,
    json: Json = False,
) -> int:
    """Make a model of weights that others published: eccv16, siggraph17, DDColor, DeOldify.

    Nothing is fetched: docs/how-to/published-models.md says where the authors publish what.
    No program in the file is run. The model is written once it was compared with the network;
    of large ones that takes minutes.

    Args:
        file: weights (.pth, .pt, .bin, .safetensors, .caffemodel), an ONNX file that others made of
            one of these networks, or a folder with one such file.
        name: what to call the model: SYSTEM.TAG. If not given, it follows from the file.
        as_: eccv16, siggraph17, ddcolor or deoldify, where the file does not say.
        out: the folder to write the files to.
        size: the shorter side, in pixels, at which the network sees a photograph.
        shape: stretch what it sees to a square, as its authors do, or keep the photograph's shape.
        enlarge: how chroma is brought to the photograph's size: along the edges of its luminance,
            or without a look at them, as its authors mostly do.
        precision: half makes files of half the size; the colours are not quite the published ones.
        licence: what the weights may be used for, for the card; of ONNX files it has to be said.
        note: a sentence for the card.
        overwrite: replace a model of that name.
    """
    packages = ("torch", "safetensors", "onnx", "onnxscript")
    with needs_extra("export", "importing", packages), Progress() as progress:
        from tintype.imports.importer import Wishes, import_model

        wishes = Wishes(
            name, as_, size, shape, enlarge, precision == "half", licence, note, overwrite
        )
        first = os.environ.get(WEIGHTS_VARIABLE, "").split(os.pathsep)[0]
        card = import_model(file, out or Path(first), wishes, progress.say)
    if json:
        print_json({"model": card.name, "card": str(card.path), "files": card.files})
    else:
        print_line(f"{card.name}: {card.path}")
    return 0
