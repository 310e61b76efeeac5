"""The benchmark's result: rows of figures, as JSON, as text, and on the models' cards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tintype.card import Card
from tintype.evaluation.measures import BRIEF, MEASURES
from tintype.evaluation.observations import RESAMPLES, SEED
from tintype.evaluation.protocol import Protocol
from tintype.runtime.registry import find_model, parse_model_option

#: The rows before the models': nothing done, and the true chroma on the given lightness.
REFERENCES = ("gray", "ceiling")


@dataclass
class Row:
    """One system's figures.

    Attributes:
        model: as it was asked for, or one of `REFERENCES`.
        figures: measure -> figure; those that were not measured are absent.
        intervals: measure -> its 95 % interval by bootstrap over photographs.
        photos: measure -> its value for each photograph, nan where it has none.
        histogram: of a and b, pooled, in steps of one from -110 to 110, (2, 220), sum 1 each.
    """

    model: str
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    photos: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    histogram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 220)))

    def __getitem__(self, measure: str) -> float:
        return self.figures[measure]


@dataclass
class Table:
    """The benchmark's result.

    Attributes:
        rows: gray, the ceiling, then the models in the order asked for.
        photos: the photographs that were measured.
        truth: figures of the true colours.
        protocol: the size of the comparison.
        notes: measure -> what is to be known of it in this run.
        skipped: photograph -> why it was left out.
        true_histogram: as in `Row`.
    """

    rows: list[Row]
    photos: list[str]
    truth: dict[str, float]
    protocol: Protocol = field(default_factory=Protocol)
    notes: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    true_histogram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 220)))

    @property
    def measured(self) -> list[str]:
        """The measures that some row has, in the table's order."""
        return [name for name in MEASURES if any(name in row.figures for row in self.rows)]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; figures to five significant digits."""
        return {
            "protocol": {"name": self.protocol.name, "text": self.protocol.text()},
            "photographs": len(self.photos),
            "intervals": {"kind": "bootstrap over photographs, percentile", "level": 0.95}
            | {"resamples": RESAMPLES, "seed": SEED},
            "measures": {name: MEASURES[name].says for name in self.measured},
            "notes": self.notes,
            "truth": _rounded(self.truth),
            "rows": [
                {
                    "model": row.model,
                    **_rounded(row.figures),
                    "intervals": _rounded(row.intervals),
                }
                for row in self.rows
            ],
            "photos": self.photos,
            "per_photo": {row.model: _rounded(row.photos) for row in self.rows},
            "skipped": self.skipped,
        }

    def text(self, columns: int = 110) -> str:
        """The table for a terminal: what is looked at first, as far as there is room."""
        names = [name for name in BRIEF if name in self.measured]
        while len(names) > 1 and len(self._lines(names)[0]) > columns:
            names.pop()
        names.sort(key=list(MEASURES).index)
        truth = ", ".join(f"{k} {cell(k, v)}" for k, v in self.truth.items())
        lines = self._lines(names)
        lines.append(f"{len(self.photos)} photographs, {self.protocol.name}; truth: {truth}")
        lines += [f"{name}: {note}" for name, note in self.notes.items()]
        if left := [name for name in self.measured if name not in names]:
            lines.append(f"--json and --html have the 95 % intervals, {', '.join(left)}.")
        return "\n".join(lines)

    def _lines(self, names: list[str]) -> list[str]:
        cells = [["", *names]]
        for row in self.rows:
            cells.append([row.model, *(cell(name, row.figures.get(name)) for name in names)])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return [
            line[0].ljust(widths[0])
            + "".join(f"  {c:>{w}}" for c, w in zip(line[1:], widths[1:], strict=True))
            for line in cells
        ]


def cell(measure: str, value: float | None) -> str:
    """A figure as the table prints it."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{MEASURES[measure].digits}f}"


def _rounded(value: Any) -> Any:
    """Plain numbers of five digits; None for what is not a number, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, (tuple, np.ndarray)):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if math.isfinite(value) else None


def record(table: Table, photos: str) -> list[Card]:
    """Write the brief figures on the cards of the models they are of, gray beside them.

    Args:
        table: the result of `evaluate`.
        photos: what to call the set of photographs.

    Returns:
        The cards as they are now.
    """
    by_card: dict[str, list[Row]] = {}
    cards = {}
    for row in table.rows[len(REFERENCES) :]:
        card = find_model(parse_model_option(row.model)[0])
        cards[card.name] = card
        by_card.setdefault(card.name, table.rows[: len(REFERENCES)]).append(row)
    for name, rows in by_card.items():
        scores = {
            "set": photos,
            "protocol": f"{table.protocol.name}. {table.protocol.text()}",
            "photographs": len(table.photos),
            "true_colorful": _rounded(table.truth["colorful"]),
            "rows": [
                {"model": row.model}
                | _rounded({k: row.figures[k] for k in BRIEF if k in row.figures})
                for row in rows
            ],
        }
        cards[name] = replace(cards[name], scores=scores)
        cards[name].write(cards[name].path)
    return list(cards.values())
