"""The tasks of the studio's workers: open a photograph, show it, suggest colors, color it whole.

Each photograph of the page has a folder with its file, its luminance at several sizes (`levels`)
and the networks' outputs for it, so that any worker can go on where another stopped.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.card import Card
from tintype.color.guided import GuidedCoefficients
from tintype.errors import TintypeError
from tintype.photo import Photo
from tintype.photo.decode import DAMAGED
from tintype.photo.encoding import EXTENSIONS, Format
from tintype.photo.write import atomic
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.hints import pixel
from tintype.runtime.joining import fit, lay
from tintype.runtime.options import Options
from tintype.runtime.predictor import Predictor
from tintype.runtime.registry import find_model, list_models
from tintype.runtime.seen import Seen, reduced, see
from tintype.runtime.session import cores
from tintype.runtime.settings import Settings, settings_from_json
from tintype.studio.levels import TILE, read_level, save_array, write_levels

PHOTO = "photo"  #: name of a photograph's file in its folder
_MODELS, _FITTED, _LOOKS = 3, 32, 24  # how many of each are cached; looks are files of a photograph
_THUMBNAIL = 200  # pixels of the longer side
_QUALITY = 90

Say = Callable[[str], None]


class Engine:
    """Do the studio's tasks in a worker, one at a time; models stay loaded between them."""

    def __init__(self) -> None:
        self._colorizers: OrderedDict[str, Colorizer] = OrderedDict()
        self._fitted: OrderedDict[str, GuidedCoefficients] = OrderedDict()

    def __call__(self, task: dict[str, Any], say: Say) -> Any:
        """Do a task and return its result.

        Args:
            task: ``do``, the name of a method; ``folder`` and ``name`` of the photograph; and the
                method's other arguments.
            say: called with the stage that the task has reached.

        Raises:
            TintypeError: the task failed; the message calls the photograph by ``name``.
        """
        known: dict[str, Callable[..., Any]] = {
            "open": partial(self.open, say=say),
            "show": self.show,
            "suggest": self.suggest,
            "others": self.others,
            "colorize": partial(self.colorize, say=say),
            "sample": partial(self.sample, say=say),
        }
        name, path = task["name"], Path(task["folder"]) / PHOTO
        words = {key: value for key, value in task.items() if key not in ("do", "folder", "name")}
        try:
            return known[task["do"]](Path(task["folder"]), **words)
        except TintypeError as error:
            said = str(error).replace(str(path), name)
            error.args = (said if name in said else f"{name}: {said}",)
            raise

    def open(self, folder: Path, say: Say, pixels: int, settings: dict[str, Any]) -> dict[str, Any]:
        """Read a photograph, write its luminance levels and its thumbnail in color.

        Returns:
            What the page shows of it: size and preview size in pixels, bit depth, kind, format,
            notes, damage, number of levels and side of a tile.

        Raises:
            PhotoError: the file cannot be read, or has more than `pixels` pixels.
        """
        say("reading")
        photo = Photo.open(folder / PHOTO, max_pixels=pixels, keep_colors=False)
        levels = write_levels(folder, photo.gray)
        facts = {
            "width": photo.width,
            "height": photo.height,
            "depth": photo.bit_depth,
            "kind": photo.kind,
            "format": photo.format,
            "notes": [*photo.notes, *replaced(photo)],
            "damage": [note for note in photo.notes if note.startswith(DAMAGED)],
            "levels": levels,
        }
        del photo
        preview = read_level(folder, None)
        say("coloring")
        self.show(folder, settings, thumbnail=True, out="")
        return {**facts, "preview": [preview.shape[1], preview.shape[0]], "tile": TILE}

    def show(
        self,
        folder: Path,
        settings: dict[str, Any] | None,
        out: str,
        level: int | None = None,
        box: tuple[int, int, int, int] | None = None,
        longest: int | None = None,
        thumbnail: bool = False,
    ) -> None:
        """Write a part of a photograph as a JPEG to look at.

        Args:
            folder: the photograph's folder.
            settings: how to color it; None for the luminance alone.
            out: name of the JPEG in the folder; "" for none.
            level: which luminance level, 0 being the full size; None for the preview.
            box: x, y, width and height in pixels of the level; None for all of it.
            longest: most pixels of the longer side, to which the JPEG is reduced.
            thumbnail: also write the thumbnail of the filmstrip.
        """
        gray = read_level(folder, level)
        full = (gray.shape[0], gray.shape[1])
        x, y, width, height = box or (0, 0, full[1], full[0])
        part = np.ascontiguousarray(gray[y : y + height, x : x + width])
        pixels: NDArray[Any] = part
        if settings is not None:
            asked, colorizer, options = self._resolved(settings)
            fitted = self._fit(folder, asked, colorizer, options)
            pixels = lay(colorizer.card, fitted, part, cores(), full, (y, x))
        image = Image.fromarray(pixels)
        if longest is not None:
            image.thumbnail((longest, longest))
        if out:
            image.save(folder / out, "JPEG", quality=_QUALITY)
        if thumbnail:
            image.thumbnail((_THUMBNAIL, _THUMBNAIL))
            with atomic(folder / "thumbnail.jpg") as file:  # a request may read it at the same time
                image.save(file, "JPEG", quality=_QUALITY)

    def suggest(
        self, folder: Path, settings: dict[str, Any], x: float, y: float, count: int
    ) -> list[dict[str, Any]]:
        """Return up to `count` colors that a model thinks likely at a pixel, with probabilities.

        A model that predicts no distribution over colors is replaced by one that does; where none
        is installed, the list is empty.
        """
        asked, colorizer, options = self._resolved(settings)
        if not colorizer.card.has("decode"):
            able = [card for card in list_models() if card.has("decode")]
            if not able:
                return []
            hints = asked.hints if able[0].takes_hints else ()
            asked = replace(asked, model=able[0].name, files={}, options={}, hints=hints)
            colorizer = self._colorizer(asked.model)
            options = colorizer.options()
        gray = read_level(folder, 0)
        place = pixel(gray, x, y)
        seen = self._seen(folder, asked, colorizer.card, options)
        predictor = colorizer.predictor
        if predictor.gives_bins(seen):
            bins = self._look(folder, asked, predictor, seen, options)
        else:
            bins = predictor.bins(seen)
        vividness = colorizer.options().vividness or 0.0
        found = predictor.suggest(bins, place, gray, count, vividness)
        return [{"color": one.color, "probability": one.probability} for one in found]

    def others(self, folder: Path, settings: dict[str, Any], count: int) -> list[dict[str, Any]]:
        """Draw and cache `count` colorings; return number and bits of each, likeliest first."""
        asked, colorizer, options = self._resolved(settings)
        colorizer.check_samples()
        kept = folder / f"others-{_digest([settings, count])}.json"
        with suppress(OSError, ValueError):
            return json.loads(kept.read_bytes())
        seen = self._seen(folder, asked, colorizer.card, options)
        predictor = colorizer.predictor
        samples = predictor.draw(seen, options, count)
        for k in range(count):
            chroma = predictor.finished(seen, samples.chroma[k : k + 1], options)[None]
            path = _look_path(folder, asked, predictor, seen, replace(options, sample=k + 1))
            save_array(path, chroma)
        order = np.argsort(samples.bits, kind="stable")
        found = [{"sample": int(k) + 1, "bits": float(samples.bits[k])} for k in order]
        with atomic(kept) as file:
            file.write(json.dumps(found).encode())
        return found

    def colorize(
        self, folder: Path, say: Say, settings: dict[str, Any], out: str, pixels: int
    ) -> dict[str, Any]:
        """Write the whole photograph in color, as the command does; return format and notes."""
        asked, colorizer, options = self._resolved(settings)
        say("reading")
        photo = Photo.open(folder / PHOTO, max_pixels=pixels, keep_colors=False)
        say("coloring")
        colored = colorizer.colorize(photo, options, hints=asked.hints)
        say("writing")
        lost = colored.save(folder / out, format=colored.format, overwrite=True)
        return {"format": colored.format, "notes": [*colored.notes, *replaced(photo), *lost]}

    def sample(
        self,
        folder: Path,
        say: Say,
        settings: dict[str, Any],
        out: str,
        pixels: int,
        count: int,
        stem: str,
    ) -> dict[str, Any]:
        """Write a ZIP of `count` colorings, the likeliest first; return format and notes."""
        asked, colorizer, options = self._resolved(settings)
        say("reading")
        photo = Photo.open(folder / PHOTO, max_pixels=pixels, keep_colors=False)
        say("coloring")
        said: list[str] = []
        with zipfile.ZipFile(folder / out, "w") as archive:
            made = colorizer.sample(photo, count, options, hints=asked.hints)
            for done, sample in enumerate(made, 1):
                say(f"writing {done} of {count}")
                file = io.BytesIO()
                lost = sample.photo.save(file, format=sample.photo.format)
                ending = ending_of(sample.photo.format)
                said = [*sample.photo.notes, *replaced(photo), *lost]
                write_entry(archive, f"{stem}.sample-{sample.number}{ending}", file.getvalue())
        return {"format": "ZIP", "notes": said}

    def _resolved(self, settings: dict[str, Any]) -> tuple[Settings, Colorizer, Options]:
        asked = settings_from_json(settings)
        colorizer = self._colorizer(asked.model)
        asked.check_model(colorizer.card)
        return asked, colorizer, colorizer.options(**asked.options)

    def _colorizer(self, model: str) -> Colorizer:
        if model not in self._colorizers:
            # There is a worker for each core, so one thread is enough in each. A sampler gets more,
            # since it is slow and somebody waits for it.
            sampler = find_model(model).kind == "sampler"
            _keep(self._colorizers, model, Colorizer(model, None if sampler else 1), _MODELS)
        self._colorizers.move_to_end(model)
        return self._colorizers[model]

    def _fit(
        self, folder: Path, asked: Settings, colorizer: Colorizer, options: Options
    ) -> GuidedCoefficients:
        """Return chroma as local linear functions of luminance, fitted once on the preview."""
        key = f"{folder} {asked.to_json()}"
        if key not in self._fitted:
            seen = self._seen(folder, asked, colorizer.card, options)
            looked = self._look(folder, asked, colorizer.predictor, seen, options)
            chroma = colorizer.predictor.decode(looked, options)
            fitted = fit(colorizer.card, read_level(folder, None), chroma, options)
            _keep(self._fitted, key, fitted, _FITTED)
        return self._fitted[key]

    def _seen(self, folder: Path, asked: Settings, card: Card, options: Options) -> Seen:
        gray = read_level(folder, 0)
        path = folder / f"seen-{_digest([card.kind, repr(card.size)])}.npy"
        if path.exists():
            small = np.load(path)
        else:
            small = reduced(card, np.asarray(gray))
            save_array(path, small)
        return see(card, gray, asked.hints, options.normalise, small)

    def _look(
        self, folder: Path, asked: Settings, predictor: Predictor, seen: Seen, options: Options
    ) -> NDArray[np.float32]:
        """Return the network's output, from its cached file if there is one."""
        path = _look_path(folder, asked, predictor, seen, options)
        try:
            return np.load(path)
        except (OSError, ValueError):
            pass
        looked = predictor.look(seen, options)
        save_array(path, looked)
        with suppress(OSError):  # another worker removes the oldest at the same time
            kept = sorted(folder.glob("look-*.npy"), key=lambda path: path.stat().st_mtime)
            for old in kept[:-_LOOKS]:
                old.unlink(missing_ok=True)
        return looked


def engine() -> Engine:
    """Return a new handler of tasks, for one worker."""
    return Engine()


def replaced(photo: Photo) -> list[str]:
    """Return the note that a photograph's own colors were replaced; no note if it had none."""
    return ["was in colour: its own colours were replaced"] if photo.kind == "color" else []


def ending_of(format: Format | None, own: str = "") -> str:
    """Return the extension of a result of a format: `own` if it fits, else the usual one."""
    endings = EXTENSIONS[format or "PNG"]
    return own if own.lower() in endings else endings[0]


def write_entry(
    archive: zipfile.ZipFile,
    name: str,
    content: bytes,
    when: tuple[int, ...] = (1980, 1, 1, 0, 0, 0),
) -> None:
    """Write a file into a ZIP; with the default time, the same content gives the same bytes."""
    archive.writestr(zipfile.ZipInfo(name, when), content)  # type: ignore[arg-type]


def _look_path(
    folder: Path, asked: Settings, predictor: Predictor, seen: Seen, options: Options
) -> Path:
    """Return the cache file of a network's output, named by a digest of all that it depends on."""
    card = predictor.card
    parts: list[Any] = [card.name, dict(card.files), options.normalise]
    parts += [[hint.to_json() for hint in asked.hints]]
    if card.kind == "sampler":
        parts += [options.seed, options.temperature, options.sample, options.refine]
    elif not predictor.gives_bins(seen):
        parts += [options.vividness]
    return folder / f"look-{_digest(parts)}.npy"


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _keep(kept: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
