"""``tintype score``: the likelihood of the colours of photographs, by a model that samples."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from tintype.batch.task import Failure
from tintype.cli import UsageError
from tintype.cli.console import Progress, print_json, print_table
from tintype.cli.inputs import find_files
from tintype.cli.options import Flag, Json, Recursive, Threads
from tintype.errors import TintypeError

#: Color space -> its two channels of chroma.
_CHANNELS = {"lab": ("a", "b"), "yuv": ("u", "v"), "ycbcr": ("cb", "cr")}


def score(
    photos: list[str],
    /,
    *,
    model: Annotated[str, Parameter(alias="-m")] = "tint_sampler",
    recursive: Recursive = False,
    shuffle_luminance: Flag = False,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Measure how likely the colours of photographs are, given their luminance.

    In bits per chroma value; each cell of the model's grid has two values, e.g. Cb
    and Cr. 0 is certain, 5 is chance (32 levels, all equally likely). Lower is
    likelier: unusual colours, and those of a bad colouring, have more bits.

    Args:
        photos: colour photographs: files, folders, patterns like "*.jpg".
        model: a model that samples.
        shuffle_luminance: give the colours of each photograph the luminance of the
            next one, as a check: a model that uses the luminance needs more bits.
    """
    inputs = find_files(photos, recursive, "score")
    if shuffle_luminance and len(inputs.paths) < 2:
        raise UsageError("--shuffle-luminance takes two photographs or more")
    scores: list[dict[str, Any]] = []
    failed = list(inputs.failed)
    name, channels = model, ()
    with Progress() as progress:
        progress.note(inputs.remarks)
        if inputs.paths:
            from tintype.runtime.colorizer import Colorizer

            colorizer = Colorizer(model, threads=threads)
            name = colorizer.card.name
            if colorizer.card.kind != "sampler":
                raise UsageError(
                    f"{name} does not sample: give a model that does, such as tint_sampler"
                )
            channels = _CHANNELS[colorizer.card.space]
            paths = [str(path) for path in inputs.paths]
            for done, photo in enumerate(paths):
                progress.show(done, len(paths), photo)
                other = paths[(done + 1) % len(paths)] if shuffle_luminance else None
                try:
                    found = colorizer.score(photo, other)
                except (TintypeError, OSError, MemoryError) as error:
                    failed.append(Failure(photo, str(error), type(error).__name__))
                    progress.say(f"tintype: {error}")
                else:
                    scores.append({"photo": photo, **asdict(found)})
    if json:
        print_json({"model": name, "photos": scores, "failed": [asdict(f) for f in failed]})
    elif scores:
        rows = [[entry["bits"], *entry["bits_by_channel"]] for entry in scores]
        names = [entry["photo"] for entry in scores]
        if len(scores) > 1:
            rows.append([sum(column) / len(scores) for column in zip(*rows, strict=True)])
            names.append("mean")
        head = ["PHOTOGRAPH", "BITS", *(f"BITS {channel.upper()}" for channel in channels)]
        cells = [[f"{bits:.3f}" for bits in row] for row in rows]
        rows = [[name, *row] for name, row in zip(names, cells, strict=True)]
        print_table([head, *rows], header=True)
    return 1 if failed else 0
