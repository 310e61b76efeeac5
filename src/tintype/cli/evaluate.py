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

_WIDTH = 110  # characters, where no terminal says how many it has
_PACKAGES = ("jinja2", "skimage")


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
class Compared:
    """The size at which photographs are compared.

    Args:
        size: compare at SIZE x SIZE pixels, instead of at each photograph's own size.
        crop: with --size: cut out the central square first, so that nothing is distorted.
    """

    size: Annotated[Whole, Parameter(validator=Number(gte=16, lte=4096))] | None = None
    crop: Flag = False

    def protocol(self) -> Protocol:
        """Return the protocol of that size.

        Raises:
            UsageError: the options make no sense together.
        """
        from tintype.evaluation.protocol import Protocol

        if self.crop and self.size is None:
            raise UsageError("--crop needs a --size")
        return Protocol(self.size, self.crop)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Page:
    """The report with pictures.

    Args:
        html: write a report with pictures, one self-contained file.
        examples: photographs that the report shows, beside each model's best and worst.
    """

    html: Path | None = None
    examples: FromZero = 24

    @contextlib.contextmanager
    def thumbnails(self) -> Iterator[ThumbnailStore | None]:
        """Keep the thumbnails of the report, if there is to be one, until it is written."""
        if self.html is None:
            yield None
            return

        from tintype.evaluation.report import ThumbnailStore, check_writable

        check_writable(self.html)
        with tempfile.TemporaryDirectory(prefix="tintype-") as folder:
            yield ThumbnailStore(Path(folder))

    def write(self, table: Table, thumbnails: ThumbnailStore | None) -> None:
        """Write the report, if there is to be one."""
        if self.html is not None and thumbnails is not None:
            from tintype.evaluation.report import write_report

            write_report(self.html, table, thumbnails, examples=self.examples)


_NO_WEIGHTS, _OWN_SIZE, _NO_PAGE = FeatureWeights(), Compared(), Page()


def evaluate(
    photos: list[str],
    /,
    *,
    model: Annotated[Repeated, Parameter(alias="-m", show_default=" ".join)] = ("tint",),
    recursive: Recursive = False,
    compared: Compared = _OWN_SIZE,
    samples: Samples = 2,
    page: Page = _NO_PAGE,
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
        samples: how many samples of each photograph to draw from a model that samples, to measure
            diversity; 1 leaves that out.
        write_scores: write the scores on the models' cards, under this name of the dataset.
    """
    if write_scores == "":
        raise UsageError("--write-scores needs a name for the dataset")
    protocol = compared.protocol()
    inputs = find_files(photos, recursive, "evaluate")
    with Progress() as progress, needs_extra("evaluate", "the benchmark", _PACKAGES):
        progress.note(inputs.remarks)
        if not inputs.paths:
            return 1

        from tintype.evaluation.benchmark import evaluate as measure

        networks = weights.networks(threads)
        with page.thumbnails() as thumbnails:
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
            page.write(table, thumbnails)
    _show(table, json, write_scores)
    return 1 if inputs.failed or table.skipped else 0


def _show(table: Table, json: bool, write_scores: str | None) -> None:
    """Print the table, and write its scores on the models' cards, whether anybody reads or not."""
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
    """Return the names of the models, each once; all is every one there is."""
    from tintype.evaluation.benchmark import all_models

    names = [name for word in words for name in (all_models() if word == "all" else [word])]
    return list(dict.fromkeys(names))
