"""``tintype evaluate``: measure models on photographs whose colours are known."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tintype.cli import UsageError
from tintype.cli.console import Progress, needs_extra, print_json, print_line, terminal_width
from tintype.cli.files import check_free
from tintype.cli.inputs import find_files
from tintype.cli.options import (
    Flag,
    FromZero,
    Json,
    Recursive,
    Repeated,
    Samples,
    Threads,
    Whole,
)

if TYPE_CHECKING:
    from tintype.evaluation.networks import FeatureNetworks
    from tintype.evaluation.protocol import Protocol
    from tintype.evaluation.report import ThumbnailStore
    from tintype.evaluation.table import Table

_WIDTH = 110  # characters, where standard output is not a terminal
_PACKAGES = ("jinja2", "skimage")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FeatureWeights:
    """Files of network weights, which tintype does not bring, for further metrics.

    Args:
        classifier: weights of MobileNetV2, for label_agreement.
        fid_weights: weights of Inception-v3, for fid.
        lpips_weights: weights of AlexNet and of LPIPS's linear heads, for lpips; may be repeated,
            for two files.
    """

    classifier: Path | None = None
    fid_weights: Path | None = None
    lpips_weights: Annotated[tuple[Path, ...], Parameter(negative="", show_default=False)] = ()

    def networks(self, threads: int | None) -> FeatureNetworks | None:
        """Load the networks; None without any weights.

        Raises:
            DataError: a file is missing or holds something else.
            MissingExtraError: torch is not installed.
        """
        if not (self.classifier or self.fid_weights or self.lpips_weights):
            return None
        with needs_extra("features", "a metric of a feature network", ("torch", "safetensors")):
            from tintype.evaluation.features.load import load_feature_networks

            return load_feature_networks(
                classifier=self.classifier,
                fid=self.fid_weights,
                lpips_files=self.lpips_weights,
                threads=threads,
            )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """The size at which photographs are compared.

    Args:
        size: compare at SIZE x SIZE pixels, instead of at each photograph's own size.
        crop: with --size: crop to the central square first, so that nothing is distorted.
    """

    size: Annotated[Whole, Parameter(validator=Number(gte=16, lte=4096))] | None = None
    crop: Flag = False

    def protocol(self) -> Protocol:
        """Return the protocol of that size.

        Raises:
            UsageError: --crop is given without --size.
        """
        from tintype.evaluation.protocol import Protocol

        if self.crop and self.size is None:
            raise UsageError("--crop needs a --size")
        return Protocol(self.size, self.crop)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """The report with pictures.

    Args:
        html: write a report with pictures, one self-contained file.
        examples: photographs that the report shows, beside each model's best and worst.
        overwrite: replace a file that exists with the report.
    """

    html: Path | None = None
    examples: FromZero = 24
    overwrite: Flag = False

    @contextlib.contextmanager
    def thumbnails(self) -> Iterator[ThumbnailStore | None]:
        """Keep a folder of thumbnails for the report while this block runs; None without --html."""
        if self.html is None:
            yield None
            return

        from tintype.evaluation.report import ThumbnailStore

        check_free([self.html], self.overwrite)
        with tempfile.TemporaryDirectory(prefix="tintype-") as folder:
            yield ThumbnailStore(Path(folder))

    def write(self, table: Table, thumbnails: ThumbnailStore | None) -> None:
        """Write the report, if --html was given."""
        if self.html is not None and thumbnails is not None:
            from tintype.evaluation.report import write_report

            write_report(self.html, table, thumbnails, examples=self.examples)


_NO_WEIGHTS, _OWN_SIZE, _NO_REPORT = FeatureWeights(), SizeOptions(), ReportOptions()


def evaluate(
    photos: list[str],
    /,
    *,
    model: Annotated[Repeated, Parameter(alias="-m", show_default=" ".join)] = ("tint",),
    recursive: Recursive = False,
    compared: SizeOptions = _OWN_SIZE,
    samples: Samples = 2,
    report: ReportOptions = _NO_REPORT,
    weights: FeatureWeights = _NO_WEIGHTS,
    threads: Threads = None,
    write_scores: str | None = None,
    json: Json = False,
) -> int:
    """Measure models against the true colours of photographs.

    The first row, gray, is the photographs without any colour; the second row,
    ceiling, is the true chroma on the given lightness: the best possible score.

    ab_rmse: root mean square error of a and b in CIE Lab; lower is better.
    rmse_vs_gray: ab_rmse over that of gray; lower is better.
    de2000: mean colour difference CIEDE2000; lower is better.
    auc_reb: area under the curve of pixels by error, in per cent, every colour
    weighing alike; higher is better.
    psnr, ssim: of RGB; higher is better.
    colorful: colorfulness (CF). delta_cf: its difference from the truth's, mean over
    photographs; lower is better.
    hist_a, hist_b: overlap of the histograms of a and b with the truth's, at most 1.
    seconds: time to colour a photograph.
    label_agreement, lpips, fid: only with the weights of the network they need.

    --json and --html have all metrics, 95 % confidence intervals and the scores of
    each photograph; docs/reference/metrics.md defines them.

    Args:
        photos: colour photographs: files, folders, patterns like "*.jpg".
        model: a model to measure: NAME; NAME@0.5 for another vividness; NAME@none without its
            filter; NAME@no-refine without its second stage; NAME@truth28 the true chroma of 28
            cells on the shorter side, NAME@truth28+refine its second stage given that (without
            NAME@ tint_sampler's); all for every model installed; may be repeated.
        samples: number of samples to draw of each photograph from a model that samples, to measure
            their diversity; 1 leaves that out.
        write_scores: write the scores on the models' cards, with this name of the dataset.
    """
    if write_scores == "":
        raise UsageError("--write-scores needs a name for the dataset")
    protocol, inputs = compared.protocol(), find_files(photos, recursive, "evaluate")
    with Progress() as progress, needs_extra("evaluate", "the benchmark", _PACKAGES):
        progress.note(inputs.remarks)
        if not inputs.paths:
            return 1

        from tintype.evaluation.benchmark import evaluate as measure

        networks = weights.networks(threads)
        with report.thumbnails() as thumbnails:
            table = measure(
                inputs.paths,
                _names(model),
                protocol=protocol,
                samples=samples,
                memory=True,
                threads=threads,
                networks=networks,
                on_photo=lambda done, total: progress.show(done, total, "photographs measured"),
                on_image=thumbnails.save if thumbnails else None,
            )
            progress.note(table.skipped.values())
            report.write(table, thumbnails)
    _show(table, json, write_scores)
    return 1 if inputs.failed or table.skipped else 0


def _show(table: Table, json: bool, write_scores: str | None) -> None:
    """Print the table, and write its scores on the cards even if printing fails."""
    try:
        if json:
            print_json(table.to_json())
        else:
            print_line(table.to_text(terminal_width() or _WIDTH))
    finally:
        if write_scores:
            from tintype.evaluation.table import write_scores_to_cards

            write_scores_to_cards(table, write_scores)


def _names(words: Sequence[str]) -> list[str]:
    """Return the names of the models, each once, with "all" replaced by every installed model."""
    from tintype.evaluation.benchmark import all_models

    names = [name for word in words for name in (all_models() if word == "all" else [word])]
    return list(dict.fromkeys(names))
