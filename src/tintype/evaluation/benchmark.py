"""The benchmark: colour photographs made gray, colorized by each model, compared to the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tintype.color.gamut import join_lab
from tintype.errors import DataError, PhotoError, SettingError
from tintype.evaluation.accumulator import (
    GroundTruth,
    MetricAccumulator,
    bootstrap_weights,
    diversity,
)
from tintype.evaluation.memory import peak_memory_mb
from tintype.evaluation.networks import FeatureNetworks, RgbImage
from tintype.evaluation.protocol import Protocol, to_uint8
from tintype.evaluation.table import REFERENCE_ROWS, Row, Table
from tintype.photo import Photo
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.registry import list_models, parse_model_option

#: Called with the index of a photograph, the model's name (or "truth") and the picture.
OnImage = Callable[[int, str, RgbImage], None]

_MEMORY_PHOTOS = 3  # the largest ones, on which peak memory is measured


def all_models() -> list[str]:
    """Return the names of all installed models."""
    return [card.name for card in list_models()]


class Candidate:
    """A model under evaluation, with the options behind the @ of its name."""

    def __init__(self, name: str, threads: int | None) -> None:
        self.model, asked = parse_model_option(name)
        self.colorizer = Colorizer(self.model, threads=threads)
        try:
            self.options = self.colorizer.options(**asked)
        except SettingError as error:
            raise DataError(
                f"{name!r}: {error}; behind @ stands a vividness as in tint@0.5, a filter as in "
                "patchwise@none, or no-refine as in tint_sampler@no-refine."
            ) from error
        # Warm up: what is made at first use, as tables are, does not count as time.
        self.colorizer.colorize(Photo.from_array(np.zeros((8, 8, 3), np.uint8)), self.options)

    def colorize(self, photo: Photo, samples: int) -> tuple[RgbImage, dict[str, float]]:
        """Return the colorized picture, and its seconds and, if the model samples, diversity."""
        started = time.perf_counter()
        result = self.colorizer.colorize(photo, self.options)
        extra = {"seconds": time.perf_counter() - started}
        if self.colorizer.card.kind == "sampler" and samples > 1:
            drawn = self.colorizer.sample(photo, samples, self.options)
            extra |= diversity([to_uint8(one.photo.rgb()) for one in drawn])
        return to_uint8(result.rgb()), extra


def evaluate(
    photos: Sequence[Path],
    models: Sequence[str],
    *,
    protocol: Protocol | None = None,
    samples: int = 2,
    networks: FeatureNetworks | None = None,
    memory: bool = False,
    threads: int | None = None,
    on_image: OnImage | None = None,
    on_photo: Callable[[int, int], None] | None = None,
) -> Table:
    """Measure models on colour photographs.

    One photograph is in memory at a time.

    Args:
        photos: colour photographs, never any that a model was trained on.
        models: names or paths as `Colorizer` takes them; ``NAME@0.5`` sets the vividness,
            ``NAME@none`` the filter.
        protocol: size at which photographs are compared; by default each at its own.
        samples: how many samples of each photograph models that sample draw, to measure their
            diversity; the other metrics are of the first.
        networks: feature networks, for label_agreement, lpips and fid.
        memory: measure each model's peak memory, each in a process of its own.
        threads: as in `Colorizer`.
        on_image: called with every picture, for a report.
        on_photo: called with the numbers of photographs done and of all, for a progress bar.

    Returns:
        The table; photographs that cannot be read or have no colour are in its ``skipped``.

    Raises:
        DataError: none of the photographs can be used, or a model does not take its option.
        UnknownModelError, CorruptModelError: a model cannot be found or trusted.
    """
    protocol, networks = protocol or Protocol(), networks or FeatureNetworks()
    candidates = {name: Candidate(name, threads) for name in models}
    accumulators = {name: MetricAccumulator(networks) for name in (*REFERENCE_ROWS, *candidates)}
    truths = MetricAccumulator(networks)
    measured: list[Path] = []
    skipped: dict[str, str] = {}
    for done, path in enumerate(photos, start=1):
        try:
            photo = _open_photo(path, protocol)
        except PhotoError as error:
            skipped[str(path)] = str(error)
        else:
            truth = GroundTruth(to_uint8(photo.rgb()), networks)
            truths.update(truth.rgb, truth)
            if on_image is not None:
                on_image(len(measured), "truth", truth.rgb)
            for name, rgb, extra in _colorizations(photo, truth, candidates, samples):
                accumulators[name].update(rgb, truth, **extra)
                if on_image is not None:
                    on_image(len(measured), name, rgb)
            measured.append(path)
        if on_photo is not None:
            on_photo(done, len(photos))
    if not measured:
        reason = next(iter(skipped.values()), "there are none")
        raise DataError(f"None of the photographs can be measured ({reason}); give colour ones.")

    rows = _build_rows(accumulators, truths)
    if memory:
        _measure_memory(rows, candidates, measured, protocol, threads)
    true = truths.compute(truths, truths, bootstrap_weights(len(measured)))
    reported = ("colorful", "colorful_abs", "label_agreement")
    return Table(
        rows=rows,
        photos=[str(path) for path in measured],
        truth={name: float(true[name][0]) for name in reported if name in true},
        protocol=protocol,
        notes=_build_notes(rows, len(measured), protocol, networks),
        skipped=skipped,
        truth_histogram=truths.histogram,
    )


def _open_photo(path: Path, protocol: Protocol) -> Photo:
    photo = Photo.open(path)
    if photo.kind == "gray":
        raise PhotoError(f"{path} is gray: it has no true colours to compare with")
    return protocol.apply(photo)


def _colorizations(
    photo: Photo, truth: GroundTruth, candidates: dict[str, Candidate], samples: int
) -> Iterator[tuple[str, RgbImage, dict[str, float]]]:
    """Yield for each row its name, its picture of a photograph, and metrics measured on the way."""
    gray = to_uint8(photo.gray)
    yield "gray", np.repeat(gray[..., None], 3, -1), {}
    yield "ceiling", to_uint8(join_lab(gray, truth.ab)), {}
    for name, candidate in candidates.items():
        yield (name, *candidate.colorize(photo, samples))


def _measure_memory(
    rows: list[Row],
    candidates: dict[str, Candidate],
    photos: list[Path],
    protocol: Protocol,
    threads: int | None,
) -> None:
    largest = sorted(photos, key=lambda path: path.stat().st_size)[-_MEMORY_PHOTOS:]
    for row in rows[len(REFERENCE_ROWS) :]:
        candidate = candidates[row.model]
        peak = peak_memory_mb(candidate.model, largest, candidate.options, protocol, threads)
        if peak is not None:
            row.scores["peak_mb"] = peak


def _build_rows(accumulators: dict[str, MetricAccumulator], truths: MetricAccumulator) -> list[Row]:
    weights = bootstrap_weights(len(truths.per_photo("mse")))
    rows = []
    for name, accumulator in accumulators.items():
        row = Row(
            name, {}, per_photo=accumulator.per_photo_metrics, histogram=accumulator.histogram
        )
        for metric, values in accumulator.compute(truths, accumulators["gray"], weights).items():
            if np.isfinite(values[0]):
                row.scores[metric] = float(values[0])
                low, high = np.nanpercentile(values[1:], [2.5, 97.5])
                row.intervals[metric] = (float(low), float(high))
        if (fid := accumulator.fid(truths)) is not None:
            row.scores["fid"] = fid
        rows.append(row)
    return rows


def _build_notes(
    rows: list[Row], photographs: int, protocol: Protocol, networks: FeatureNetworks
) -> dict[str, str]:
    notes = dict(networks.notes)
    if any("fid" in row.scores for row in rows):
        assert networks.inception_features is not None
        notes["fid"] = (
            f"{networks.notes.get('fid', 'features as given')}, {protocol.name}, against the same "
            f"{photographs} photographs (floor 0)"
        )
        if photographs < 2048:
            notes["fid"] += (
                "; rank-deficient: fewer than 2,048 photographs, so it depends on their number"
            )
    if any("peak_mb" in row.scores for row in rows):
        notes["peak_mb"] = (
            "largest resident size of a process that holds one model and colours the "
            f"{min(_MEMORY_PHOTOS, photographs)} largest files"
        )
    return notes
