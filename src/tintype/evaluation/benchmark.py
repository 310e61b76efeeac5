"""The benchmark: photographs in colour, made gray, coloured by each model, compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tintype.color.bins import ab_bins, rebalancing_weights, smooth_prior
from tintype.color.gamut import join_lab
from tintype.color.spaces import rgb_to_lab
from tintype.errors import DataError, PhotoError
from tintype.evaluation.metrics import (
    ab_histogram,
    colorfulness,
    histogram_intersection,
    nearest_bin,
    psnr,
)
from tintype.photo import Photo
from tintype.runtime.card import Card, find
from tintype.runtime.engine import Colorizer

PROTOCOL = """
Each photograph at its own size, its BT.601 luma given to the model, the 8-bit result compared
with the photograph; gray photographs are left out. psnr: RGB, mean over photographs.
ab_rmse: root mean square over a and b (CIE Lab, D65), each photograph counting alike; of_gray:
its ratio to the gray row's. rebalanced: the same with pixels weighted by the rarity of their
true colour (Zhang et al. 2016, lambda 0.5, prior counted on these photographs). colorful:
Hasler and Suesstrunk 2003; colorful_abs: of absolute opponent channels, as in DDColor's code;
difference: mean over photographs of the absolute difference of colorful from the truth's.
hist_a, hist_b: intersection of the pooled histograms, one Lab unit a bin. ceiling: the true ab
joined with the lightness of the luma, what a model that knew all chroma would score.
"""


@dataclass
class Row:
    """One model's figures; see `PROTOCOL`."""

    model: str
    psnr: float
    ab_rmse: float
    of_gray: float
    rebalanced: float
    colorful: float
    colorful_abs: float
    difference: float
    hist_a: float
    hist_b: float
    seconds: float


@dataclass
class Table:
    """The benchmark's result: gray, the ceiling, then the models; the truth's colorfulness."""

    rows: list[Row]
    photographs: int
    true_colorful: float
    true_colorful_abs: float
    skipped: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything, with the protocol, as JSON can hold it; figures to four decimals."""
        record = asdict(self)
        record["rows"] = [
            {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            for row in record["rows"]
        ]
        return {"protocol": " ".join(PROTOCOL.split()), **record}

    def text(self) -> str:
        """The table for a terminal."""
        names = [name for name in asdict(self.rows[0]) if name != "model"]
        width = max(len(row.model) for row in self.rows) + 1
        lines = [" " * width + "".join(f"{name:>13}" for name in names)]
        for row in self.rows:
            values = asdict(row)
            lines.append(
                f"{row.model:<{width}}" + "".join(f"{values[name]:>13.3f}" for name in names)
            )
        lines.append(
            f"{self.photographs} photographs; true colorful {self.true_colorful:.2f}, "
            f"colorful_abs {self.true_colorful_abs:.2f}"
        )
        return "\n".join(lines)


def _named(name: str) -> tuple[str, dict[str, Any]]:
    """The model and the options of ``NAME``, ``NAME@VIVIDNESS`` or ``NAME@REFINE``."""
    model, at, option = name.rpartition("@")
    if not at or option.endswith((".json", ".onnx")):
        return name, {}
    try:
        return model, {"vividness": float(option)}
    except ValueError:
        return model, {"refine": option}


def _colorizer(name: str, threads: int | None) -> tuple[Colorizer, dict[str, Any]]:
    model, options = _named(name)
    colorizer = Colorizer(model, threads=threads)
    try:
        colorizer.options(**options)
    except ValueError as error:
        raise DataError(
            f"{name!r}: {error}; behind @ stands a vividness as in tint@0.5, or what to refine as "
            "in patchwise@none."
        ) from error
    return colorizer, options


def _eight_bits(levels: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8]:
    if levels.dtype == np.uint8:
        return levels.astype(np.uint8, copy=False)
    return (levels / np.float32(257) + np.float32(0.5)).astype(np.uint8)


def _ab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return rgb_to_lab(rgb / np.float32(255))[..., 1:]


def record(table: Table, photos: str) -> list[Card]:
    """Write the figures on the cards of the models they are of, gray beside them.

    Args:
        table: the result of `evaluate`.
        photos: what to call the set of photographs.

    Returns:
        The cards as they are now.
    """
    gray, ceiling, *rows = table.rows
    by_card: dict[str, list[Row]] = {}
    cards = {}
    for row in rows:
        card = find(_named(row.model)[0])
        cards[card.name] = card
        by_card.setdefault(card.name, [gray, ceiling]).append(row)
    for name, own in by_card.items():
        scores = {
            "set": photos,
            **replace(table, rows=own).to_json(),
        }
        cards[name] = replace(cards[name], scores=scores)
        cards[name].write(cards[name].path)
    return list(cards.values())


class _Sums:
    """What one model's row is made of, gathered photograph by photograph."""

    def __init__(self) -> None:
        self.psnr: list[float] = []
        self.square: list[float] = []
        self.colorful: list[float] = []
        self.colorful_abs: list[float] = []
        self.seconds: list[float] = []
        self.histogram = np.zeros((2, 220))
        # Squared error and share of pixels per true bin: the rebalancing weights come at the end.
        self.error_of_bin = np.zeros(len(ab_bins()))

    def add(self, rgb: NDArray[np.uint8], truth: _Truth, seconds: float) -> None:
        ab = _ab(rgb)
        square = np.square(ab - truth.ab).mean(-1)
        self.psnr.append(psnr(rgb, truth.rgb))
        self.square.append(float(square.mean(dtype=np.float64)))
        self.colorful.append(colorfulness(rgb))
        self.colorful_abs.append(colorfulness(rgb, absolute=True))
        self.seconds.append(seconds)
        self.histogram += ab_histogram(ab)
        self.error_of_bin += np.bincount(
            truth.bins.ravel(), square.ravel() / square.size, len(self.error_of_bin)
        )


class _Truth:
    """A photograph's true colours in every form the measures need."""

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        self.rgb = rgb
        self.ab = _ab(rgb)
        self.bins = nearest_bin(self.ab)


def evaluate(
    photos: Sequence[Path],
    models: Sequence[str],
    *,
    threads: int | None = None,
    on_photo: Callable[[int, int], None] | None = None,
) -> Table:
    """Measure models on photographs in colour.

    Args:
        photos: colour photographs, never any that a model was trained on.
        models: names or paths as `Colorizer` takes them; ``NAME@0.5`` sets the vividness,
            ``NAME@none`` what is refined.
        threads: as in `Colorizer`.
        on_photo: told the number of photographs done and of all, for a progress bar.

    Returns:
        The table; photographs that cannot be read or have no colour are in its ``skipped``.

    Raises:
        DataError: none of the photographs can be used, or a model does not take its option.
        UnknownModelError, CorruptModelError: a model cannot be found or trusted.
    """
    colorizers = {name: _colorizer(name, threads) for name in models}

    sums = {name: _Sums() for name in ("gray", "ceiling", *models)}
    truths = _Sums()
    pixels_of_bin = np.zeros(len(ab_bins()))
    skipped: dict[str, str] = {}
    for done, path in enumerate(photos, start=1):
        try:
            photo = Photo.open(path)
            if photo.kind == "gray":
                raise PhotoError(f"{path} is gray: it cannot tell right colours from wrong")
        except PhotoError as error:
            skipped[str(path)] = str(error)
        else:
            truth = _Truth(_eight_bits(photo.rgb()))
            truths.add(truth.rgb, truth, 0.0)
            counts = np.bincount(truth.bins.ravel(), minlength=len(pixels_of_bin))
            pixels_of_bin += counts / truth.bins.size
            gray = _eight_bits(photo.gray)
            sums["gray"].add(np.repeat(gray[..., None], 3, -1), truth, 0.0)
            sums["ceiling"].add(_eight_bits(join_lab(gray, truth.ab)), truth, 0.0)
            for name, (colorizer, options) in colorizers.items():
                started = time.perf_counter()
                result = colorizer.colorize(photo, **options)
                seconds = time.perf_counter() - started
                sums[name].add(_eight_bits(result.rgb()), truth, seconds)
        if on_photo is not None:
            on_photo(done, len(photos))
    count = len(truths.psnr)
    if count == 0:
        reason = next(iter(skipped.values()), "there are none")
        raise DataError(f"None of the photographs can be measured ({reason}); give colour ones.")

    weights = rebalancing_weights(smooth_prior(pixels_of_bin / pixels_of_bin.sum()))
    gray_rmse = float(np.sqrt(np.mean(sums["gray"].square)))
    rows = []
    for name, own in sums.items():
        rmse = float(np.sqrt(np.mean(own.square)))
        weighted = (weights * own.error_of_bin).sum() / (weights * pixels_of_bin).sum()
        a, b = histogram_intersection(own.histogram, truths.histogram)
        difference = np.abs(np.subtract(own.colorful, truths.colorful)).mean()
        rows.append(
            Row(
                model=name,
                psnr=float(np.mean(own.psnr)),
                ab_rmse=rmse,
                of_gray=rmse / gray_rmse if gray_rmse else 1.0,
                rebalanced=float(np.sqrt(weighted)),
                colorful=float(np.mean(own.colorful)),
                colorful_abs=float(np.mean(own.colorful_abs)),
                difference=float(difference),
                hist_a=float(a),
                hist_b=float(b),
                seconds=float(np.mean(own.seconds)),
            )
        )
    return Table(
        rows=rows,
        photographs=count,
        true_colorful=float(np.mean(truths.colorful)),
        true_colorful_abs=float(np.mean(truths.colorful_abs)),
        skipped=skipped,
    )
