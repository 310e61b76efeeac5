"""The benchmark's result: rows of scores, as JSON, as text, and on the models' cards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tintype.card import Card
from tintype.evaluation.accumulator import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
from tintype.evaluation.metric_specs import HEADLINE_METRICS, METRICS
from tintype.evaluation.protocol import Protocol
from tintype.runtime.registry import find_model, parse_model_option
from tintype.tables import format_table

#: Edges of the histogram of MS-SSIM: the range of PixColor's Figure 8. The first bin has all below.
SIMILARITIES = np.linspace(0.8, 1, 11)

#: Names of the rows before the models': the gray picture, and true chroma on the given lightness.
REFERENCE_ROWS = ("gray", "ceiling")


@dataclass
class Row:
    """One model's scores.

    Attributes:
        model: name as requested, or one of `REFERENCE_ROWS`.
        scores: metric -> score over the set; absent if not measured.
        intervals: metric -> its 95 % confidence interval, by bootstrap over photographs.
        per_photo: metric -> its value for each photograph, (N,), nan where it has none.
        histogram: histograms of a and b over all photographs, in bins of 1 from -110 to 110,
            (2, 220), each of sum 1.
        error_curves: share of pixels with an ab error of at most 0, 1, ... 150, raw and rebalanced,
            (2, 151).
    """

    model: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    per_photo: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    histogram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 220)))
    error_curves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 151)))

    def __getitem__(self, metric: str) -> float:
        return self.scores[metric]

    @property
    def similarities(self) -> NDArray[np.float64]:
        """Return the share of photographs by the MS-SSIM between samples, in `SIMILARITIES`, (10,).

        Empty if it was not measured.
        """
        values = self.per_photo.get("ms_ssim", np.empty(0))
        values = values[np.isfinite(values)].clip(SIMILARITIES[0], 1)
        return np.histogram(values, SIMILARITIES)[0] / len(values) if len(values) else np.empty(0)


@dataclass
class Table:
    """The benchmark's result.

    Attributes:
        rows: gray, the ceiling, then the models in the order given.
        photos: paths of the photographs that were measured.
        truth: metric -> score of the photographs themselves.
        protocol: size at which photographs were compared.
        notes: metric -> how it was computed in this run, in words.
        skipped: path of a photograph -> why it was left out.
        truth_histogram: histogram of the photographs, as in `Row`.
    """

    rows: list[Row]
    photos: list[str]
    truth: dict[str, float]
    protocol: Protocol = field(default_factory=Protocol)
    notes: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    truth_histogram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 220)))

    @property
    def reported(self) -> list[str]:
        """Return the metrics that any row has, in the order of the table."""
        return [name for name in METRICS if any(name in row.scores for row in self.rows)]

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object, numbers to five significant digits."""
        return {
            "protocol": {"name": self.protocol.name, "text": self.protocol.description()},
            "photographs": len(self.photos),
            "intervals": {"kind": "bootstrap over photographs, percentile", "level": 0.95}
            | {"resamples": BOOTSTRAP_RESAMPLES, "seed": BOOTSTRAP_SEED},
            "metrics": {name: METRICS[name].description for name in self.reported},
            "notes": self.notes,
            "truth": _to_json(self.truth),
            "rows": [
                {
                    "model": row.model,
                    **_to_json(row.scores),
                    "intervals": _to_json(row.intervals),
                }
                for row in self.rows
            ],
            "photos": self.photos,
            "per_photo": {row.model: _to_json(row.per_photo) for row in self.rows},
            "error_curves": {row.model: _to_json(row.error_curves) for row in self.rows},
            "ms_ssim_histogram": {
                "edges": _to_json(SIMILARITIES),
                **{r.model: _to_json(r.similarities) for r in self.rows if r.similarities.size},
            },
            "skipped": self.skipped,
        }

    def to_text(self, max_width: int = 110) -> str:
        """Format the table for a terminal, with the first `HEADLINE_METRICS` that fit its width."""
        names = [name for name in HEADLINE_METRICS if name in self.reported]
        while len(names) > 1 and self._width(names) > max_width:
            names.pop()
        names.sort(key=list(METRICS).index)
        truth = ", ".join(f"{k} {format_score(k, v)}" for k, v in self.truth.items())
        lines = [format_table(self._cells(names), right=True)]
        lines.append(f"{len(self.photos)} photographs, {self.protocol.name}; truth: {truth}")
        lines += [f"{name}: {note}" for name, note in self.notes.items()]
        if omitted := [name for name in self.reported if name not in names]:
            lines.append(
                f"--json and --html have the 95 % confidence intervals, {', '.join(omitted)}."
            )
        return "\n".join(lines)

    def _cells(self, names: list[str]) -> list[list[str]]:
        rows = [
            [row.model, *(format_score(name, row.scores.get(name)) for name in names)]
            for row in self.rows
        ]
        return [["", *names], *rows]

    def _width(self, names: list[str]) -> int:
        return max(map(len, format_table(self._cells(names), right=True).splitlines()))


def format_score(metric: str, value: float | None) -> str:
    """Format a score with its metric's number of decimals; a dash for None and nan."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{METRICS[metric].decimals}f}"


def _to_json(value: Any) -> Any:
    """Round to five significant digits; nan and infinity become None."""
    if isinstance(value, dict):
        return {name: _to_json(item) for name, item in value.items()}
    if isinstance(value, (tuple, np.ndarray)):
        return [_to_json(item) for item in value]
    return float(f"{value:.5g}") if math.isfinite(value) else None


def write_scores_to_cards(table: Table, dataset: str) -> list[Card]:
    """Write the scores in `HEADLINE_METRICS` on the models' cards, with the reference rows.

    Args:
        table: the result of `evaluate`.
        dataset: name of the set of photographs, for the card.

    Returns:
        The cards as written.

    Raises:
        UnknownModelError: a model of the table is no longer there.
    """
    by_card: dict[Path, list[Row]] = {}
    cards = {}
    for row in table.rows[len(REFERENCE_ROWS) :]:
        card = find_model(parse_model_option(row.model)[0])
        cards[card.path] = card
        by_card.setdefault(card.path, table.rows[: len(REFERENCE_ROWS)]).append(row)
    for path, rows in by_card.items():
        scores = {
            "dataset": dataset,
            "protocol": f"{table.protocol.name}. {table.protocol.description()}",
            "photographs": len(table.photos),
            "true_colorful": _to_json(table.truth["colorful"]),
            "rows": [
                {"model": row.model}
                | _to_json({k: row.scores[k] for k in HEADLINE_METRICS if k in row.scores})
                for row in rows
            ],
        }
        cards[path] = replace(cards[path], scores=scores)
        cards[path].write(path)
    return list(cards.values())
