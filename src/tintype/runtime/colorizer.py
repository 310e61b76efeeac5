"""A photograph in, the same photograph in color out.

    luminance -> the network's size -> chroma, low resolution -> enlarged -> joined with the
              luminance, gamut-mapped -> the photograph, everything restored

What is done at full size is in `joining`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype import __version__
from tintype.color.guided import area_mean
from tintype.color.spaces import rgb_to_lab, rgb_to_ycbcr, rgb_to_yuv
from tintype.errors import PhotoError, SettingError
from tintype.photo import Photo
from tintype.photo.mark import marked
from tintype.runtime.hints import Hint, pixel
from tintype.runtime.joining import join
from tintype.runtime.model import Model
from tintype.runtime.options import Asked, Options
from tintype.runtime.predictor import Predictor
from tintype.runtime.resize import ImageArray, reduce
from tintype.runtime.results import Sample, Score, Suggestion
from tintype.runtime.sampler import Sampler
from tintype.runtime.seen import Seen, check_takes_hints, see

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: What a `Photo` can be made of.
Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image"


class Colorizer:
    """A model, loaded once and used for any number of photographs.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), the path of a card or weights file, or a model
            that is loaded, with its threads.
        threads: for the work at full size and for samples; by default, and at most, every core
            there is. The colors are the same whatever the number.

    Attributes:
        card: of the model.
        threads: how many there are.
        predictor: its graphs.

    Raises:
        UnknownModelError: no such model.
        CorruptModelError: its card or weights are damaged.
        ValueError: threads is below 1.

    Examples:
        >>> from tintype import Colorizer, Photo
        >>> colorizer = Colorizer()
        >>> colorizer.colorize(Photo.open("grandmother.jpg")).save("grandmother-color.jpg")
    """

    def __init__(
        self, model: str | os.PathLike[str] | Model = "tint", threads: int | None = None
    ) -> None:
        loaded = model if isinstance(model, Model) else Model(model, threads)
        self.card, self.threads = loaded.card, loaded.threads
        self.predictor = Predictor(loaded)

    def options(self, /, **asked: Unpack[Asked]) -> Options:
        """Return the options that hold when these are asked for.

        Raises:
            SettingError: one is out of range, or not for this model.
        """
        return Options.resolve(self.card, **asked)

    def check_hints(self) -> None:
        """Refuse hints where the model takes none.

        Raises:
            SettingError: it does not; the message names installed models that do.
        """
        check_takes_hints(self.card)

    def check_samples(self) -> None:
        """Refuse a model that does not sample.

        Raises:
            SettingError: it does not.
        """
        self._sampling()

    def colorize(
        self,
        photo: Photo | Source,
        options: Options | None = None,
        *,
        hints: Sequence[Hint] = (),
        **asked: Unpack[Asked],
    ) -> Photo:
        """Return the photograph in color: same size, depth, metadata and lightness.

        Args:
            photo: a photograph, or what one can be made of: a path, the bytes of an image file, an
                array (`Photo.from_array`), a Pillow image. Of one in color or toned only the
                luminance is looked at.
            options: from `options`, resolved once for many photographs; or by keyword:
            hints: colors that are known; the notes of the result say where one could not be taken
                as it is.
            asked: vividness, saturation, ... : see `tintype.runtime.options.Options`.

        Raises:
            PhotoError: it cannot be read, or a hint lies outside.
            SettingError: an option is out of range, or it or hints are not for this model.
        """
        options = options or self.options(**asked)
        photo = _photo(photo)
        seen = see(self.card, photo.gray, hints, options.normalise)
        return self._painted(photo, seen, self._chroma(seen, options), options)

    def colorize_with_entropy(
        self,
        photo: Photo | Source,
        options: Options | None = None,
        *,
        hints: Sequence[Hint] = (),
        **asked: Unpack[Asked],
    ) -> tuple[Photo, float | None]:
        """Return what `colorize` does, and how unsure the model was.

        That is the mean entropy of its bins in bits, from 0 to 8.3; None of a model that predicts
        no distribution.

        Args:
            photo, options, hints, asked: as in `colorize`.

        Raises:
            PhotoError, SettingError: as `colorize`.
        """
        options = options or self.options(**asked)
        photo = _photo(photo)
        seen = see(self.card, photo.gray, hints, options.normalise)
        looked, entropy = self.predictor.look_with_entropy(seen, options)
        chroma = self.predictor.decode(looked, options)
        return self._painted(photo, seen, chroma, options), entropy

    def suggest(
        self,
        photo: Photo | Source,
        x: float,
        y: float,
        count: int = 5,
        *,
        hints: Sequence[Hint] = (),
    ) -> list[Suggestion]:
        """Return the colors that the model holds possible at a place, the likeliest first.

        They are the peaks of its distribution there, of which the rebalancing of its training is
        taken out as far as at its default vividness.

        Args:
            photo, hints: as in `colorize`.
            x, y: the pixel, of the upright photograph, from 0, top left.
            count: how many at most; there may be fewer peaks.

        Raises:
            PhotoError: the photograph cannot be read, or the place or a hint lies outside.
            SettingError: the model predicts no distribution, or takes no hints.
        """
        if type(count) is not int or count < 1:
            raise SettingError(f"count is a number of suggestions from 1, not {count!r}")
        photo = _photo(photo)
        row, column = pixel(photo.gray, x, y)
        options = self.options()
        seen = see(self.card, photo.gray, hints, options.normalise)
        found = self.predictor.bins(seen)
        vividness = options.vividness or 0.0
        return self.predictor.suggest(found, (row, column), photo.gray, count, vividness)

    def sample(
        self,
        photo: Photo | Source,
        count: int = 8,
        options: Options | None = None,
        *,
        hints: Sequence[Hint] = (),
        **asked: Unpack[Asked],
    ) -> Iterator[Sample]:
        """Return several colorings of one photograph, the likeliest first.

        All are drawn before this returns; the photographs are made one by one as they are asked
        for, so that many large ones need not be in memory at once.

        Args:
            photo, options, hints, asked: as in `colorize`; sample k of a seed is the same whatever
                the count.
            count: how many, from 1.

        Raises:
            PhotoError: it cannot be read, or a hint lies outside.
            SettingError: an option is out of range, or the model takes no hints or does not sample.
        """
        self._sampling()
        options = options or self.options(**asked)
        if count < 1:
            raise SettingError(f"count is a number of samples from 1, not {count}")
        photo = _photo(photo)
        seen = see(self.card, photo.gray, hints, options.normalise)
        samples = self.predictor.draw(seen, options, count)
        bits = samples.bits

        def made() -> Iterator[Sample]:
            for k in np.argsort(bits, kind="stable"):
                chroma = self.predictor.finished(seen, samples.chroma[k : k + 1], options)
                colored = self._painted(photo, seen, chroma, options)
                yield Sample(colored, int(k) + 1, float(samples.nats[k]), float(bits[k]))

        return made()

    def score(self, photo: Photo | Source) -> Score:
        """Return how likely a sampler holds a photograph's colors to be, given its luminance.

        Raises:
            PhotoError: it cannot be read, or has no colors.
            SettingError: the model does not sample.
        """
        sampler = self._sampling()
        photo = _photo(photo)
        seen = see(self.card, photo.gray, normalise=self.options().normalise)
        features = sampler.features(seen.gray, seen.hints)
        chroma = self.true_chroma(photo, (features.shape[2], features.shape[3]))
        nats = sampler.score(features, chroma[None])[0].astype(np.float64)
        first, second = (float(bits) for bits in -nats.mean((1, 2)) / np.log(2))
        return Score((first + second) / 2, (first, second), float(nats.sum()), nats.size)

    def chroma(
        self,
        gray: ImageArray,
        options: Options | None = None,
        *,
        hints: Sequence[Hint] = (),
        **asked: Unpack[Asked],
    ) -> NDArray[np.float32]:
        """Return the chroma that the model predicts, at its own resolution.

        Args:
            gray: luminance (H, W), uint8 or uint16.
            options, hints, asked: as in `colorize`; saturation, warmth, enlargement and filter
                belong to `join`.

        Returns:
            Two planes in the space of the model's card, neutral at 0, (2, h, w): a and b in CIE Lab
            units, analogue U and V, or full-range Cb and Cr.

        Raises:
            HintError: a hint lies outside.
            SettingError: an option is out of range, or it or hints are not for this model.
            CorruptModelError: the model gives what is no chroma.
        """
        options = options or self.options(**asked)
        return self._chroma(see(self.card, gray, hints, options.normalise), options)

    def true_chroma(self, photo: Photo, cells: tuple[int, int]) -> NDArray[np.float32]:
        """Return a photograph's own mean chroma over each of (h, w) cells, (2, h, w).

        Raises:
            PhotoError: it has no colors.
        """
        if photo.kind != "color":
            named = photo.path or "the photograph"
            raise PhotoError(f"{named} has no colors of its own: give a photograph in color")
        rgb = photo.rgb()
        planes = [np.ascontiguousarray(rgb[..., k]) for k in range(3)]
        seen = np.stack([reduce(plane, self.card.size) for plane in planes], -1)
        to_space = {"lab": rgb_to_lab, "yuv": rgb_to_yuv, "ycbcr": rgb_to_ycbcr}[self.card.space]
        chroma = to_space(seen)[..., 1:] - np.float32(0.5 if self.card.space == "ycbcr" else 0)
        return np.stack([area_mean(chroma[..., k], cells) for k in range(2)])

    def join(
        self,
        gray: ImageArray,
        chroma: NDArray[np.float32],
        options: Options | None = None,
        **asked: Unpack[Asked],
    ) -> ImageArray:
        """Return full-size colors (H, W, 3) from luminance (H, W) and chroma (2, h, w).

        Args:
            gray, chroma: in the units of the model's card.
            options, asked: as in `colorize`.
        """
        options = options or self.options(**asked)
        return join(self.card, gray, chroma, options, self.threads)

    def _sampling(self) -> Sampler:
        if self.predictor.sampler is None:
            raise SettingError(
                f"{self.card.name} gives one coloring and no likelihood; name a model that "
                "samples, as tint_sampler does"
            )
        return self.predictor.sampler

    def _chroma(self, seen: Seen, options: Options) -> NDArray[np.float32]:
        """Chroma (2, h, w) of what the network is given."""
        return self.predictor.decode(self.predictor.look(seen, options), options)

    def _painted(
        self, photo: Photo, seen: Seen, chroma: NDArray[np.float32], options: Options
    ) -> Photo:
        """The photograph in these colors, with what there is to say of what was seen."""
        colored = photo.with_rgb(self.join(photo.gray, chroma, options))
        if options.mark:
            maker = f"tintype {__version__}, {self.card.name}"
            held = colored.metadata
            colored = replace(colored, metadata=replace(held, xmp=marked(held.xmp, maker)))
        return replace(colored, notes=(*photo.notes, *seen.notes))


def _photo(source: Photo | Source) -> Photo:
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        return Photo.from_array(source)
    if isinstance(source, Image.Image):
        return Photo.from_pil(source)
    return Photo.open(source)


def colorize(
    photo: Photo | Source,
    model: str | os.PathLike[str] = "tint",
    *,
    hints: Sequence[Hint] = (),
    **asked: Unpack[Asked],
) -> Photo:
    """Color one photograph; for more than one, make a `Colorizer` and keep it.

    Args:
        photo, hints, asked: as in `Colorizer.colorize`.
        model: as in `Colorizer`.

    Raises:
        TintypeError: the photograph or the model cannot be used, or an option is out of range or
            not for this model.
    """
    return Colorizer(model).colorize(photo, hints=hints, **asked)


def sample(
    photo: Photo | Source,
    count: int = 8,
    model: str | os.PathLike[str] = "tint_sampler",
    *,
    hints: Sequence[Hint] = (),
    **asked: Unpack[Asked],
) -> list[Sample]:
    """Return several colorings of one photograph, the likeliest first.

        for one in tintype.sample("grandmother.jpg", 4):
            one.photo.save(f"grandmother-{one.number}.jpg")

    Args:
        photo, count, hints, asked: as in `Colorizer.sample`.
        model: one that samples.

    Raises:
        TintypeError: the photograph or the model cannot be used, or an option is out of range or
            not for this model.
    """
    return list(Colorizer(model).sample(photo, count, hints=hints, **asked))
