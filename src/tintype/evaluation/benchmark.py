"""The benchmark: photographs in colour, made gray, coloured by each model, compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tintype.color.gamut import join_lab
from tintype.errors import DataError, PhotoError, SettingError
from tintype.evaluation.memory import peak_megabytes
from tintype.evaluation.networks import Networks, Picture
from tintype.evaluation.observations import Observations, Truth, diversity, resampled
from tintype.evaluation.protocol import Protocol, eight_bits
from tintype.evaluation.table import REFERENCES, Row, Table
from tintype.photo import Photo
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.registry import list_models, parse_model_option

#: Told a photograph's number, what made the picture (or "truth"), and the picture.
Keep = Callable[[int, str, Picture], None]

_LARGEST = 3  # photographs, on which memory is measured


def every_model() -> list[str]:
    """Every model there is, by name."""
    return [card.name for card in list_models()]


class _Contestant:
    """A model with the options of its row."""

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
        # What is made at first use, as tables are, is in no photograph's seconds.
        self.colorizer.colorize(Photo.from_array(np.zeros((8, 8, 3), np.uint8)), self.options)

    def colour(self, photo: Photo, samples: int) -> tuple[Picture, dict[str, float]]:
        """The picture, and what is known of it: seconds, and diversity where it samples."""
        started = time.perf_counter()
        result = self.colorizer.colorize(photo, self.options)
        known = {"seconds": time.perf_counter() - started}
        if self.colorizer.card.kind == "sampler" and samples > 1:
            drawn = self.colorizer.sample(photo, samples, self.options)
            known |= diversity([eight_bits(one.photo.rgb()) for one in drawn])
        return eight_bits(result.rgb()), known


def evaluate(
    photos: Sequence[Path],
    models: Sequence[str],
    *,
    protocol: Protocol | None = None,
    samples: int = 2,
    networks: Networks | None = None,
    memory: bool = False,
    threads: int | None = None,
    keep: Keep | None = None,
    on_photo: Callable[[int, int], None] | None = None,
) -> Table:
    """Measure models on photographs in colour.

    One photograph is in memory at a time; of the others there are numbers.

    Args:
        photos: colour photographs, never any that a model was trained on.
        models: names or paths as `Colorizer` takes them; ``NAME@0.5`` sets the vividness,
            ``NAME@none`` the filter.
        protocol: at what size; by default each at its own.
        samples: colourings of each photograph by models that sample, to measure their diversity
            on; scores are of the first.
        networks: for what feature networks measure.
        memory: measure each model's peak memory, in a process of its own.
        threads: as in `Colorizer`.
        keep: is given every picture, to make a report of.
        on_photo: told the number of photographs done and of all, for a progress bar.

    Returns:
        The table; photographs that cannot be read or have no colour are in its ``skipped``.

    Raises:
        DataError: none of the photographs can be used, or a model does not take its option.
        UnknownModelError, CorruptModelError: a model cannot be found or trusted.
    """
    protocol, networks = protocol or Protocol(), networks or Networks()
    contestants = {name: _Contestant(name, threads) for name in models}
    observed = {name: Observations(networks) for name in (*REFERENCES, *contestants)}
    truths = Observations(networks)
    measured: list[Path] = []
    skipped: dict[str, str] = {}
    for done, path in enumerate(photos, start=1):
        try:
            photo = _opened(path, protocol)
        except PhotoError as error:
            skipped[str(path)] = str(error)
        else:
            truth = Truth(eight_bits(photo.rgb()), networks)
            truths.add(truth.rgb, truth)
            if keep is not None:
                keep(len(measured), "truth", truth.rgb)
            for name, rgb, known in _pictures(photo, truth, contestants, samples):
                observed[name].add(rgb, truth, **known)
                if keep is not None:
                    keep(len(measured), name, rgb)
            measured.append(path)
        if on_photo is not None:
            on_photo(done, len(photos))
    if not measured:
        reason = next(iter(skipped.values()), "there are none")
        raise DataError(f"None of the photographs can be measured ({reason}); give colour ones.")

    rows = _rows(observed, truths)
    if memory:
        _measure_memory(rows, contestants, measured, protocol, threads)
    true = truths.figures(truths, truths, resampled(len(measured)))
    own = ("colorful", "colorful_abs", "agree")
    return Table(
        rows=rows,
        photos=[str(path) for path in measured],
        truth={name: float(true[name][0]) for name in own if name in true},
        protocol=protocol,
        notes=_notes(rows, len(measured), protocol, networks),
        skipped=skipped,
        true_histogram=truths.histogram,
    )


def _opened(path: Path, protocol: Protocol) -> Photo:
    photo = Photo.open(path)
    if photo.kind == "gray":
        raise PhotoError(f"{path} is gray: it cannot tell right colours from wrong")
    return protocol.apply(photo)


def _pictures(
    photo: Photo, truth: Truth, contestants: dict[str, _Contestant], samples: int
) -> Iterator[tuple[str, Picture, dict[str, float]]]:
    """What stands in each row for a photograph, and what is known of it; one at a time."""
    gray = eight_bits(photo.gray)
    yield "gray", np.repeat(gray[..., None], 3, -1), {}
    yield "ceiling", eight_bits(join_lab(gray, truth.ab)), {}
    for name, contestant in contestants.items():
        yield (name, *contestant.colour(photo, samples))


def _measure_memory(
    rows: list[Row],
    contestants: dict[str, _Contestant],
    photos: list[Path],
    protocol: Protocol,
    threads: int | None,
) -> None:
    largest = sorted(photos, key=lambda path: path.stat().st_size)[-_LARGEST:]
    for row in rows[len(REFERENCES) :]:
        asked = contestants[row.model]
        peak = peak_megabytes(asked.model, largest, asked.options, protocol, threads)
        if peak is not None:
            row.figures["peak_mb"] = peak


def _rows(observed: dict[str, Observations], truths: Observations) -> list[Row]:
    weights = resampled(len(truths.value("square")))
    rows = []
    for name, own in observed.items():
        row = Row(name, {}, photos=own.photo_values, histogram=own.histogram)
        for measure, values in own.figures(truths, observed["gray"], weights).items():
            if np.isfinite(values[0]):
                row.figures[measure] = float(values[0])
                low, high = np.nanpercentile(values[1:], [2.5, 97.5])
                row.intervals[measure] = (float(low), float(high))
        if (fid := own.fid(truths)) is not None:
            row.figures["fid"] = fid
        rows.append(row)
    return rows


def _notes(
    rows: list[Row], photographs: int, protocol: Protocol, networks: Networks
) -> dict[str, str]:
    notes = dict(networks.notes)
    if any("fid" in row.figures for row in rows):
        assert networks.features is not None
        notes["fid"] = (
            f"{networks.notes.get('fid', 'features as given')}, {protocol.name}, against the same "
            f"{photographs} photographs (floor 0)"
        )
        if photographs < 2048:
            notes["fid"] += (
                "; rank-deficient: fewer than 2,048 photographs, so it depends on their number"
            )
    if any("peak_mb" in row.figures for row in rows):
        notes["peak_mb"] = (
            "largest resident size of a process that holds one model and colours the "
            f"{min(_LARGEST, photographs)} largest files"
        )
    return notes
