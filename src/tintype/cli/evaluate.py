"""``tintype evaluate``: measure models on photographs whose colours are known."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from tintype.cli import UsageError
from tintype.cli.console import Progress, needs_extra, print_json, print_line
from tintype.cli.inputs import Inputs, find_photos
from tintype.cli.options import Flag, FromZero, Json, Samples, Threads, Whole

if TYPE_CHECKING:
    from tintype.evaluation.networks import FeatureNetworks
    from tintype.evaluation.table import Table


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FeatureWeights:
    """Weights of networks that you bring, for further metrics.

    Args:
        classifier: weights of MobileNetV2, for label_agreement.
        fid_weights: weights of Inception-v3, for FID.
        lpips_weights: weights of AlexNet and of LPIPS's linear heads; give it twice for two files.
    """

    classifier: Path | None = None
    fid_weights: Path | None = None
    lpips_weights: Annotated[tuple[Path, ...], Parameter(negative="", show_default=False)] = ()


_NO_WEIGHTS = FeatureWeights()


def evaluate(
    photos: list[str],
    /,
    *,
    model: Annotated[tuple[str, ...], Parameter(alias="-m", negative="", show_default=" ".join)] = (
        "tint",
    ),
    recursive: Annotated[Flag, Parameter(alias="-r")] = False,
    size: Annotated[Whole, Parameter(validator=Number(gte=16, lte=4096))] | None = None,
    crop: Flag = False,
    samples: Samples = 2,
    html: Path | None = None,
    examples: FromZero = 24,
    weights: FeatureWeights = _NO_WEIGHTS,
    threads: Threads = None,
    write_scores: str | None = None,
    json: Json = False,
) -> int:
    """Measure models against the true colours of photographs.

    The first row, gray, is the photographs without any colour; the second row,
    ceiling, is the true chroma on the given lightness: the upper bound.

    ab_rmse: the error of a and b in CIE Lab; rmse_vs_gray: its ratio to that of gray.
    de2000: the mean colour difference CIEDE2000.
    auc_reb: per cent of the area under the share of pixels by error, every colour
    weighing alike; more is better.
    psnr, ssim: of RGB; more is better.
    colorful: colorfulness (CF); delta_cf: how far it is from the truth, per photograph.
    hist_a, hist_b: how well the histograms of a and b are met, at best 1.
    seconds: of work on each photograph.
    label_agreement, lpips, fid: with the weights of a network that you bring.

    --json and --html have all metrics, 95 % confidence intervals and the scores of
    each photograph; docs/reference/metrics.md defines them.

    Args:
        photos: colour photographs: files, folders, patterns like "*.jpg".
        model: a model to measure, NAME@0.5 for another vividness, NAME@none for one without its
            filter, NAME@no-refine without its second stage, all for every model there is; may be
            repeated.
        recursive: look into the subfolders of folders.
        size: compare at SIZE x SIZE pixels, instead of at each photograph's own size.
        crop: with --size: cut out the central square first, so that nothing is distorted.
        samples: how many samples of each photograph to draw from a model that samples, to measure
            diversity; 1 leaves that out.
        html: write a report with pictures, one self-contained file.
        examples: photographs that the report shows, beside each model's best and worst.
        write_scores: write the scores on the models' cards, under this name of the dataset.
    """
    if write_scores == "":
        raise UsageError("--write-scores needs a name for the dataset")
    if crop and size is None:
        raise UsageError("--crop needs a --size")
    inputs = find_photos(photos, recursive)
    if any(item.path is None for item in inputs.photos):
        raise UsageError("evaluate reads files and folders, not standard input")
    options: dict[str, Any] = {"samples": samples, "threads": threads, "memory": True}
    table = _measure(inputs, model, (size, crop), options, weights, html, examples)
    if table is None:
        return 1
    _show(table, json, write_scores)
    return 1 if inputs.failed or table.skipped else 0


def _measure(
    inputs: Inputs,
    model: tuple[str, ...],
    size: tuple[int | None, bool],
    options: dict[str, Any],
    weights: FeatureWeights,
    html: Path | None,
    examples: int,
) -> Table | None:
    """Measure the models and write the report; None where there is no photograph."""
    with Progress() as progress, tempfile.TemporaryDirectory(prefix="tintype-") as folder:
        for line in [*inputs.notes, *(failure.error for failure in inputs.failed)]:
            progress.say(f"tintype: {line}")
        paths = [item.path for item in inputs.photos if item.path]
        if not paths:
            return None

        from tintype.evaluation.benchmark import all_models
        from tintype.evaluation.benchmark import evaluate as measure
        from tintype.evaluation.protocol import Protocol

        models = [name for asked in model for name in (all_models() if asked == "all" else [asked])]
        if weights != _NO_WEIGHTS:
            options["networks"] = _networks(weights, options["threads"])
        thumbnails = None
        if html is not None:
            from tintype.evaluation.report import ThumbnailStore, check_writable

            check_writable(html)
            thumbnails = ThumbnailStore(Path(folder))
            options["on_image"] = thumbnails.save
        table = measure(
            paths,
            list(dict.fromkeys(models)),
            protocol=Protocol(*size),
            on_photo=lambda done, total: progress.show(done, total, "photographs measured"),
            **options,
        )
        for reason in table.skipped.values():
            progress.say(f"tintype: {reason}")
        if html is not None and thumbnails is not None:
            from tintype.evaluation.report import write_report

            write_report(html, table, thumbnails, examples=examples)
        return table


def _show(table: Table, json: bool, write_scores: str | None) -> None:
    """Print the table, and write its scores on the models' cards, whether anybody reads or not."""
    try:
        if json:
            print_json(table.to_json())
        else:
            print_line(table.to_text())
    finally:
        if write_scores:
            from tintype.evaluation.table import write_scores_to_cards

            write_scores_to_cards(table, write_scores)


def _networks(weights: FeatureWeights, threads: int | None) -> FeatureNetworks:
    with needs_extra("eval", "a metric of a feature network", ("torch", "safetensors")):
        from tintype.evaluation.features.load import load_feature_networks

        return load_feature_networks(
            classifier=weights.classifier,
            fid=weights.fid_weights,
            lpips_files=weights.lpips_weights,
            threads=threads,
        )
