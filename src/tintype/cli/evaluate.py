"""``tintype evaluate``: measure models on photographs whose colours are known."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tintype.cli import UsageError
from tintype.cli.console import Progress, print_json, print_line
from tintype.cli.inputs import find
from tintype.cli.options import Flag, Json, Threads


def evaluate(
    photos: list[str],
    /,
    *,
    model: Annotated[tuple[str, ...], Parameter(alias="-m", negative="", show_default=" ".join)] = (
        "tint",
    ),
    recursive: Annotated[Flag, Parameter(alias="-r")] = False,
    threads: Threads = None,
    record: str | None = None,
    json: Json = False,
) -> int:
    """Measure models against the true colours of photographs.

    The first row, gray, is the photographs without any colour; the second row,
    ceiling, is the true colours on the given lightness: the best there can be.

    psnr: of RGB, in dB; more is better.
    ab_rmse: the error of a and b in CIE Lab; of_gray: its ratio to that of gray.
    rebalanced: the same error with rare colours weighing more.
    colorful: how colourful the results are; colorful_abs: as DDColor counts it.
    difference: how far colorful is from that of the true colours.
    hist_a, hist_b: how well the histograms of a and b are met, at best 1.
    seconds: of work on each photograph.

    Args:
        photos: colour photographs: files, folders, patterns like "*.jpg".
        model: a model to measure, NAME@0.5 for another vividness, NAME@none for one without its
            filter; may be repeated.
        recursive: look into the subfolders of folders.
        record: write the figures on the models' cards, under this name for the photographs.
    """
    if record == "":
        raise UsageError("--record needs a name for the photographs")
    findings = find(photos, recursive)
    if any(item.path is None for item in findings.photos):
        raise UsageError("evaluate reads files and folders, not standard input")
    with Progress() as progress:
        for line in [*findings.notes, *(failure.error for failure in findings.failed)]:
            progress.say(f"tintype: {line}")
        if not findings.photos:
            return 1

        from tintype.evaluation.benchmark import evaluate as measure

        table = measure(
            [item.path for item in findings.photos if item.path],
            model,
            threads=threads,
            on_photo=lambda done, total: progress.show(done, total, "photographs measured"),
        )
        for reason in table.skipped.values():
            progress.say(f"tintype: {reason}")
    if record:
        from tintype.evaluation.benchmark import record as write

        write(table, record)
    if json:
        print_json(table.to_json())
    else:
        print_line(table.text())
    return 1 if findings.failed or table.skipped else 0
