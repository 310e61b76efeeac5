"""The report's page: table, charts, pictures and definitions in one HTML file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tintype import __version__
from tintype.evaluation.accumulator import BOOTSTRAP_RESAMPLES
from tintype.evaluation.metric_specs import HEADLINE_METRICS, METRICS, MetricSpec
from tintype.evaluation.report.charts import (
    color_style,
    error_curves,
    histogram,
    interval_plot,
    scatter,
    similarities,
)
from tintype.evaluation.report.thumbnails import ThumbnailStore
from tintype.evaluation.table import REFERENCE_ROWS, Row, Table, format_score
from tintype.photo.write import write_whole

_CASES = 3  # best and worst photographs shown for each model
_SEED = 0  # of the random choice of example photographs
_CHARTED = (
    "ab_rmse",
    "auc_reb",
    "de2000",
    "delta_cf",
    "hist_a",
    "hist_b",
    "label_agreement",
    "fid",
)


def write_report(
    path: Path, table: Table, thumbnails: ThumbnailStore, *, examples: int = 24
) -> None:
    """Write the report as one HTML file, atomically.

    Args:
        path: the HTML file.
        table: the result of `evaluate`.
        thumbnails: the store whose ``save`` was the ``on_image`` of `evaluate`.
        examples: number of photographs to show, drawn with a fixed seed, in addition to each
            model's best and worst.

    Raises:
        UnwritablePhotoError: it cannot be written.
    """
    write_whole(path, _page(table, thumbnails, examples).encode())


def _page(table: Table, thumbnails: ThumbnailStore, examples: int) -> str:
    gray, ceiling = table.rows[: len(REFERENCE_ROWS)]
    models = table.rows[len(REFERENCE_ROWS) :]
    metrics = [METRICS[name] for name in table.reported]
    environment = Environment(
        loader=PackageLoader("tintype.evaluation", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "color": color_style,
        "ends": _ends,
        "file_name": lambda path: Path(path).name,
        "kind": lambda metric: "brief" if metric.name in HEADLINE_METRICS else "more",
        "order": _order,
        "photo_scores": _photo_scores,
        "score": lambda row, metric: format_score(metric.name, row.scores.get(metric.name)),
    }
    return environment.get_template("page.html").render(
        METRICS=METRICS,
        best={
            metric.name: _best(metric, [row for row in models if "truth28" not in row.model])
            for metric in metrics
        },
        cases=list(_cases(gray, models)),
        ceiling=ceiling,
        charts=[
            (METRICS[name], Markup(interval_plot(table, name, models)))
            for name in _CHARTED
            if any(name in row.scores for row in models)
        ],
        curves=[Markup(error_curves([gray, *models], kind)) for kind in (0, 1)],
        examples=_examples(len(table.photos), examples),
        gray=gray,
        histograms=[(row, *_histograms(row, table)) for row in models],
        metrics=metrics,
        models=models,
        similarities=[
            (number, row, Markup(similarities(row)))
            for number, row in enumerate(models)
            if row.similarities.size
        ],
        resamples=BOOTSTRAP_RESAMPLES,
        scatter=Markup(scatter(table, "colorful", "ab_rmse", models)) if models else "",
        table=table,
        thumbnail=thumbnails.data_uri,
        truth=Row("truth", table.truth),
        version=__version__,
    )


def _best(metric: MetricSpec, models: list[Row]) -> str:
    """Return the best score as printed, so that ties are marked too; "" if all are equal."""
    values = [row.scores[metric.name] for row in models if metric.name in row.scores]
    if not metric.better or len({format_score(metric.name, value) for value in values}) < 2:
        return ""
    return format_score(metric.name, (max if metric.better == "higher" else min)(values))


def _cases(gray: Row, models: list[Row]) -> Iterator[tuple[Row, list[int], list[int]]]:
    """Yield each model with the photographs on which it is best, and worst, compared with gray."""
    for row in models:
        improvement = gray.per_photo["ab_rmse"] - row.per_photo["ab_rmse"]
        order = np.argsort(-improvement, kind="stable")
        yield row, order[:_CASES].tolist(), order[::-1][:_CASES].tolist()


def _examples(photos: int, examples: int) -> list[int]:
    """Return the indices of photographs to show, drawn at random, in ascending order."""
    return sorted(np.random.default_rng(_SEED).permutation(photos)[:examples].tolist())


def _ends(interval: tuple[float, float] | None, metric: MetricSpec) -> list[str]:
    """Return both ends of an interval as printed; nothing without an interval."""
    return [format_score(metric.name, end) for end in interval or ()]


def _histograms(row: Row, table: Table) -> list[Markup]:
    """Draw a model's histograms of a and b."""
    pairs = zip("ab", row.histogram, table.truth_histogram, strict=True)
    return [Markup(histogram(own, true, axis)) for axis, own, true in pairs]


def _order(row: Row, metric: MetricSpec) -> str:
    """Return a score as the page's script sorts by it; "" if it was not measured."""
    return f"{row.scores[metric.name]:.8g}" if metric.name in row.scores else ""


def _photo_scores(row: Row, photo: int) -> str:
    """Return the ab RMSE and colorfulness of one photograph as printed."""
    values = [("ab_rmse", 1), ("colorful", 0)]
    scores = [(row.per_photo[name][photo], digits) for name, digits in values]
    return " · ".join(f"{v:.{digits}f}" for v, digits in scores if math.isfinite(v))
