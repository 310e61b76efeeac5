"""The benchmark: make colour photographs gray, colorize them, and compare with the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tintype.color.gamut import join_lab
from tintype.errors import DataError, PhotoError
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
from tintype.runtime.named import NamedModel
from tintype.runtime.registry import list_models

#: Called with the index of a photograph, the model's name (or "truth") and the picture.
OnImage = Callable[[int, str, RgbImage], None]

_MEMORY_PHOTOS = 3  # peak memory is measured on the largest ones


def all_models() -> list[str]:
    """Return the names of all installed models."""
    return [card.name for card in list_models()]


class _Candidate:
    """A model under evaluation, with the option after the @ in its name."""

    def __init__(self, name: str, threads: int | None) -> None:
        self._loaded = NamedModel.load(name, threads)
        self.name, self._threads = name, threads
        # Warm up, so that tables made at first use are not timed.
        self._loaded.colorize(Photo.from_array(np.zeros((8, 8, 3), np.uint8)))

    def colorize(self, photo: Photo, samples: int) -> tuple[RgbImage, dict[str, float]]:
        """Return the colorized picture, the seconds it took and the diversity of samples."""
        started = time.perf_counter()
        result = self._loaded.colorize(photo)
        extra = {"seconds": time.perf_counter() - started}
        if self._loaded.samples and samples > 1:
            drawn = self._loaded.colorizer.sample(photo, samples, self._loaded.options)
            extra |= diversity([to_uint8(one.photo.rgb()) for one in drawn])
        return to_uint8(result.rgb()), extra

    def peak_memory_mb(self, photos: Sequence[Path], protocol: Protocol) -> float | None:
        """Return the peak memory of a process that colorizes photographs with this model alone."""
        loaded = self._loaded
        if loaded.truth:  # no model colors photographs so
            return None
        return peak_memory_mb(loaded.model, photos, loaded.options, protocol, self._threads)


class _Measurement:
    """The metrics of all candidates, gathered photograph by photograph."""

    def __init__(
        self, candidates: Sequence[_Candidate], networks: FeatureNetworks, samples: int
    ) -> None:
        self._candidates, self._networks, self._samples = candidates, networks, samples
        names = [*REFERENCE_ROWS, *(candidate.name for candidate in candidates)]
        self.accumulators = {name: MetricAccumulator(networks) for name in names}
        self.truths = MetricAccumulator(networks)
        self.photos: list[Path] = []
        self.skipped: dict[str, str] = {}

    def add(self, path: Path, protocol: Protocol, on_image: OnImage | None) -> None:
        """Measure every row on a photograph, or keep the reason why it cannot be measured."""
        try:
            photo = _open_photo(path, protocol)
        except PhotoError as error:
            self.skipped[str(path)] = str(error)
            return
        for name, rgb in self._measure(photo):
            if on_image is not None:
                on_image(len(self.photos), name, rgb)
        self.photos.append(path)

    def _measure(self, photo: Photo) -> Iterator[tuple[str, RgbImage]]:
        """Measure every row; yield name and picture of the truth and of each row."""
        truth = GroundTruth(to_uint8(photo.rgb()), self._networks)
        self.truths.update(truth.rgb, truth)
        yield "truth", truth.rgb
        for name, rgb, extra in self._colorizations(photo, truth):
            self.accumulators[name].update(rgb, truth, **extra)
            yield name, rgb

    def _colorizations(
        self, photo: Photo, truth: GroundTruth
    ) -> Iterator[tuple[str, RgbImage, dict[str, float]]]:
        """Yield the name of each row, its picture, and metrics measured while making it."""
        gray = to_uint8(photo.gray)
        yield "gray", np.repeat(gray[..., None], 3, -1), {}
        yield "ceiling", to_uint8(join_lab(gray, truth.ab)), {}
        for candidate in self._candidates:
            yield (candidate.name, *candidate.colorize(photo, self._samples))

    def rows(self) -> list[Row]:
        """Return every row with its scores over the set and their 95 % intervals."""
        weights = bootstrap_weights(len(self.truths.per_photo("mse")))
        rows = []
        for name, accumulator in self.accumulators.items():
            row = Row(
                name,
                {},
                per_photo=accumulator.per_photo_metrics,
                histogram=accumulator.histogram,
                error_curves=accumulator.error_curves,
            )
            scores = accumulator.compute(self.truths, self.accumulators["gray"], weights)
            for metric, values in scores.items():
                if np.isfinite(values[0]):
                    row.scores[metric] = float(values[0])
                    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
                    row.intervals[metric] = (float(low), float(high))
            if (fid := accumulator.fid(self.truths)) is not None:
                row.scores["fid"] = fid
            rows.append(row)
        return rows

    def true_scores(self) -> dict[str, float]:
        """Return the scores of the photographs themselves."""
        weights = bootstrap_weights(len(self.truths.per_photo("mse")))
        true = self.truths.compute(self.truths, self.truths, weights)
        reported = ("colorful", "colorful_abs", "label_agreement")
        return {name: float(true[name][0]) for name in reported if name in true}


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
        photos: colour photographs that no model was trained on.
        models: names as `NamedModel.load` takes them.
        protocol: size at which photographs are compared; by default each at its own.
        samples: number of samples of each photograph to draw from models that sample, to measure
            their diversity; the other metrics are of the first.
        networks: feature networks, for label_agreement, lpips and fid.
        memory: measure each model's peak memory in a process of its own.
        threads: as in `Colorizer`.
        on_image: called with every picture, for a report.
        on_photo: called with the number of photographs done and of all, for a progress bar.

    Returns:
        The table; photographs that cannot be read or have no colour are in its ``skipped``.

    Raises:
        DataError: no photograph can be used, or a model does not take its option.
        UnknownModelError: there is no such model.
        CorruptModelError: a model's files do not match their checksums.
    """
    protocol, networks = protocol or Protocol(), networks or FeatureNetworks()
    candidates = [_Candidate(name, threads) for name in dict.fromkeys(models)]
    measurement = _Measurement(candidates, networks, samples)
    for done, path in enumerate(photos, start=1):
        measurement.add(path, protocol, on_image)
        if on_photo is not None:
            on_photo(done, len(photos))
    measured = measurement.photos
    if not measured:
        reason = next(iter(measurement.skipped.values()), "there are none")
        raise DataError(
            f"None of the photographs can be measured ({reason}); give colour photographs."
        )

    rows = measurement.rows()
    if memory:
        _measure_memory(rows, candidates, measured, protocol)
    return Table(
        rows=rows,
        photos=[str(path) for path in measured],
        truth=measurement.true_scores(),
        protocol=protocol,
        notes=_build_notes(rows, len(measured), protocol, networks),
        skipped=measurement.skipped,
        truth_histogram=measurement.truths.histogram,
    )


def _open_photo(path: Path, protocol: Protocol) -> Photo:
    photo = Photo.open(path)
    if photo.kind == "gray":
        raise PhotoError(f"{path} is gray: it has no true colours to compare with")
    return protocol.apply(photo)


def _measure_memory(
    rows: list[Row], candidates: list[_Candidate], photos: list[Path], protocol: Protocol
) -> None:
    largest = sorted(photos, key=lambda path: path.stat().st_size)[-_MEMORY_PHOTOS:]
    for row, candidate in zip(rows[len(REFERENCE_ROWS) :], candidates, strict=True):
        peak = candidate.peak_memory_mb(largest, protocol)
        if peak is not None:
            row.scores["peak_mb"] = peak


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
