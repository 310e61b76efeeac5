"""``tintype export``: make a model of a training run; needs the ``export`` extra."""

from __future__ import annotations

from pathlib import Path

from tintype.cli.console import needs_extra


def export(
    run: Path,
    /,
    *others: Path,
    name: str,
    out: Path = Path(),
    note: str = "",
    licence: str | None = None,
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
    """
    with needs_extra("export", "exporting", ("torch", "safetensors", "onnx", "onnxscript")):
        from tintype.export.onnx import export as write

        terms = {} if licence is None else {"licence": licence}
        write((run, *others), name, out, note=note, **terms)
    return 0
