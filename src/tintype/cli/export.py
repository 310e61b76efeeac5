"""``tintype export``: make a model of a training run; needs the ``export`` extra."""

from __future__ import annotations

from pathlib import Path

from tintype.cli.console import Progress, needs_extra
from tintype.cli.options import Flag
from tintype.errors import CheckpointError


def export(
    run: Path,
    /,
    *others: Path,
    name: str,
    out: Path = Path(),
    note: str = "",
    licence: str | None = None,
    overwrite: Flag = False,
) -> int:
    """Export a training run as a model: ONNX files and a card.

    Args:
        run: the folder of the run.
        others: folders of runs that began with the same weights; the mean of all weights is
            exported.
        name: the model's name: SYSTEM.TAG.
        out: the folder to write the files to.
        note: a sentence for the card, e.g. what the photographs are and on what terms.
        licence: what the model may be used for, for the card; if not given, the card says that the
            terms of the photographs decide.
        overwrite: replace a model of that name.

    Raises:
        CheckpointError: there is a model of that name, or the run cannot be exported.
    """
    card = out / f"{name}.json"
    if card.exists() and not overwrite:
        raise CheckpointError(f"{card} exists: give another --name, or replace it with --overwrite")
    with needs_extra("export", "exporting", ("torch", "safetensors", "onnx", "onnxscript")):
        from tintype.export.onnx import export as write

        terms = {} if licence is None else {"licence": licence}
        with Progress() as progress:
            write(
                (run, *others),
                name,
                out,
                note=note,
                say=lambda line: progress.note([line]),
                **terms,
            )
    return 0
