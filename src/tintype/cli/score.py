"""``tintype score``: how likely a model that samples holds the colours of photographs to be."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from tintype.cli import UsageError
from tintype.cli.console import Progress, print_json, print_table
from tintype.cli.inputs import Failure, find
from tintype.cli.options import Flag, Json, Threads
from tintype.errors import TintypeError

_FIGURES = ("bits", "bits_cr", "bits_cb")


def score(
    photos: list[str],
    /,
    *,
    model: Annotated[str, Parameter(alias="-m")] = "pixcolor",
    recursive: Annotated[Flag, Parameter(alias="-r")] = False,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Tell how likely the colours of photographs are, given their luminance.

    In bits per chroma value, of which each cell of the model's grid has two, Cr
    and Cb: 0 is certain, 5 what 32 levels cost whoever knows nothing. Lower is
    likelier; unusual colours, and those of a bad colouring, cost more.

    Args:
        photos: colour photographs: files, folders, patterns like "*.jpg".
        model: a model that samples.
        recursive: look into the subfolders of folders.
    """
    findings = find(photos, recursive)
    if any(item.path is None for item in findings.photos):
        raise UsageError("score reads files and folders, not standard input")
    scores: list[dict[str, Any]] = []
    failed = list(findings.failed)
    name = model
    with Progress() as progress:
        for line in [*findings.notes, *(failure.error for failure in failed)]:
            progress.say(f"tintype: {line}")
        if findings.photos:
            from tintype.runtime.engine import Colorizer

            colorizer = Colorizer(model, threads=threads)
            name = colorizer.card.name
            if colorizer.card.sampling is None:
                raise UsageError(f"{name} does not sample: score with one that does, as pixcolor")
            for done, item in enumerate(findings.photos):
                progress.show(done, len(findings.photos), str(item.path))
                try:
                    found = colorizer.score(str(item.path))
                except (TintypeError, OSError, MemoryError) as error:
                    failed.append(Failure(str(item.path), str(error), type(error).__name__))
                    progress.say(f"tintype: {error}")
                else:
                    scores.append({"photo": str(item.path), **asdict(found)})
    if json:
        print_json({"model": name, "photos": scores, "failed": [asdict(f) for f in failed]})
    elif scores:
        rows = [[entry["photo"], *(f"{entry[key]:.3f}" for key in _FIGURES)] for entry in scores]
        if len(scores) > 1:
            means = [sum(entry[key] for entry in scores) / len(scores) for key in _FIGURES]
            rows.append(["mean", *(f"{mean:.3f}" for mean in means)])
        print_table([["PHOTOGRAPH", *(key.upper().replace("_", " ") for key in _FIGURES)], *rows])
    return 1 if failed else 0
