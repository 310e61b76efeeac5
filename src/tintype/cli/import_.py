"""``tintype import``: make a model of published weights; needs the ``export`` extra."""

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
    """Import weights that their authors published: eccv16, siggraph17, DDColor, DeOldify.

    Nothing is downloaded: docs/how-to/published-models.md says where the authors publish them.
    No code in the file is run. The ONNX files are compared with the network before they
    are written, which takes minutes for a large one.

    Args:
        file: weights (.pth, .pt, .bin, .safetensors, .caffemodel), an ONNX file that others made of
            one of these networks, or a folder with one such file.
        name: the model's name, SYSTEM.TAG; if not given, it follows from the file.
        as_: eccv16, siggraph17, ddcolor or deoldify, where the file does not tell.
        out: the folder to write the files to.
        size: the shorter side, in pixels, of what the network is given.
        shape: square: stretch the photograph to a square, as the authors do; aspect: keep its
            aspect ratio.
        enlarge: how chroma is enlarged to the photograph's size: guided by the edges of its
            luminance, or bilinear, as most authors do.
        precision: half stores the weights as float16: files of half the size, with colours that
            differ slightly from the published ones.
        licence: what the weights may be used for, for the card; required for ONNX files.
        note: a sentence for the card.
        overwrite: replace a model of that name.
    """
    packages = ("torch", "safetensors", "onnx", "onnxscript")
    with needs_extra("export", "importing", packages), Progress() as progress:
        from tintype.imports.importer import ImportOptions, import_model

        options = ImportOptions(
            name, as_, size, shape, enlarge, precision == "half", licence, note, overwrite
        )
        first = os.environ.get(WEIGHTS_VARIABLE, "").split(os.pathsep)[0]
        card = import_model(file, out or Path(first), options, progress.say)
    if json:
        print_json({"model": card.name, "card": str(card.path), "files": card.files})
    else:
        print_line(f"{card.name}: {card.path}")
    return 0
