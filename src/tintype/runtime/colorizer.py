"""Color photographs with a model.

    luminance -> reduced to the network's size -> chroma at low resolution -> upsampled -> joined
    with
              the luminance and gamut-mapped -> the photograph with its metadata

The steps at full size are in `joining.py`.
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

#: What a `Photo` can be made from.
Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image"


class Colorizer:
    """A loaded model that colors any number of photographs.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), the path of a card or weights file, or a
            loaded `Model`, whose threads are then used.
        threads: number of threads for work at full size and for samples; by default, and at most,
            the number of cores. The colors do not depend on it.

    Attributes:
        card: card of the model.
        threads: number of threads.
        device: where the graphs of the model run.
        predictor: runs them.

    Raises:
        UnknownModelError: there is no such model.
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
        self.card, self.threads, self.device = loaded.card, loaded.threads, loaded.device
        self.predictor = Predictor(loaded)

    def options(self, /, **asked: Unpack[Asked]) -> Options:
        """Return all options of the model, with those given and defaults for the others.

        Raises:
            SettingError: an option is out of range, or the model does not take it.
        """
        return Options.resolve(self.card, **asked)

    def check_hints(self) -> None:
        """Raise an error if the model takes no hints.

        Raises:
            SettingError: it takes none; the message names installed models that do.
        """
        check_takes_hints(self.card)

    def check_samples(self) -> None:
        """Raise an error if the model is not a sampler.

        Raises:
            SettingError: it is not.
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
        """Return the photograph in color, with its size, bit depth, metadata and lightness.

        Args:
            photo: a photograph, a path, the bytes of an image file, an array (`Photo.from_array`)
                or a Pillow image. Only its luminance is used.
            options: options from `options`, to resolve them once for many photographs; else give
                `asked`.
            hints: known colors; the notes of the result name those that were changed.
            asked: vividness, saturation, ...; see `tintype.runtime.options.Options`.

        Raises:
            PhotoError: the photograph cannot be read, or a hint lies outside it.
            SettingError: an option is out of range, or the model takes no such option or no hints.
        """
        options = options or self.options(**asked)
        photo = _photo(photo)
        seen = see(self.card, photo.gray, hints, options.normalise)
        return self._with_chroma(photo, seen, self._chroma(seen, options), options)

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
            PhotoError: as `colorize`.
            SettingError: as `colorize`.
        """
        options = options or self.options(**asked)
        photo = _photo(photo)
        seen = see(self.card, photo.gray, hints, options.normalise)
        looked, entropy = self.predictor.look_with_entropy(seen, options)
        chroma = self.predictor.decode(looked, options)
        return self._with_chroma(photo, seen, chroma, options), entropy

    def suggest(
        self,
        photo: Photo | Source,
        x: float,
        y: float,
        count: int = 5,
        *,
        hints: Sequence[Hint] = (),
    ) -> list[Suggestion]:
        """Return probable colors of a pixel, the most probable first.

        They are the peaks of the predicted distribution, with the prior correction of the default
        vividness.

        Args:
            photo, hints: as in `colorize`.
            x, y: column and row of a pixel of the upright photograph, from 0, top left.
            count: largest number of colors.

        Raises:
            PhotoError: the photograph cannot be read, or the pixel or a hint lies outside it.
            SettingError: the model predicts no distribution, or takes no hints.
        """
        if type(count) is not int or count < 1:
            raise SettingError(f"count must be a number of suggestions from 1, not {count!r}")
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
        """Return samples: several colorings of one photograph, the most probable first.

        Samples are drawn before this method returns. Full-size photographs are made one by one, by
        the iterator, to save memory.

        Args:
            photo, options, hints, asked: as in `colorize`.
            count: number of samples, from 1. Sample k of a seed does not depend on it.

        Raises:
            PhotoError: the photograph cannot be read, or a hint lies outside it.
            SettingError: an option is out of range, or the model takes no hints or does not sample.
        """
        self._sampling()
        options = options or self.options(**asked)
        if count < 1:
            raise SettingError(f"count must be a number of samples from 1, not {count}")
        photo = _photo(photo)
        seen = see(self.card, photo.gray, hints, options.normalise)
        samples = self.predictor.draw(seen, options, count)
        bits = samples.bits

        def made() -> Iterator[Sample]:
            for k in np.argsort(bits, kind="stable"):
                chroma = self.predictor.finished(seen, samples.chroma[k : k + 1], options)
                colored = self._with_chroma(photo, seen, chroma, options)
                yield Sample(colored, int(k) + 1, float(samples.nats[k]), float(bits[k]))

        return made()

    def score(self, photo: Photo | Source, luminance: Photo | Source | None = None) -> Score:
        """Return the likelihood of a photograph's own colors, given its luminance.

        Args:
            photo: as in `colorize`, but in color.
            luminance: another photograph, whose luminance, at the size of the first, is given to
                the model in place of the photograph's own.

        Raises:
            PhotoError: the photograph cannot be read, or has no colors.
            SettingError: the model does not sample.
        """
        sampler = self._sampling()
        photo = _photo(photo)
        if photo.kind != "color":
            named = photo.path or "the photograph"
            raise PhotoError(f"{named} has no colors of its own: give a photograph in color")
        gray = photo.gray
        if luminance is not None:
            other, (height, width) = _photo(luminance).gray, gray.shape
            rows, columns = other.shape[0] * np.arange(height), other.shape[1] * np.arange(width)
            gray = other[np.ix_(rows // height, columns // width)]
        seen = see(self.card, gray, normalise=self.options().normalise)
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
        """Return the chroma that the model predicts, at the resolution of the model.

        Args:
            gray: luminance (H, W), uint8 or uint16.
            options, hints, asked: as in `colorize`; saturation, warmth, enlarge and filter are
                applied by `join`.

        Returns:
            Chroma (2, h, w) in the color space of the card, neutral at 0 (a and b in Lab units,
            analogue U and V, or full-range Cb and Cr).

        Raises:
            HintError: a hint lies outside the photograph.
            SettingError: an option is out of range, or the model takes no such option or no hints.
            CorruptModelError: the output of the model is not valid chroma.
        """
        options = options or self.options(**asked)
        return self._chroma(see(self.card, gray, hints, options.normalise), options)

    def true_chroma(self, photo: Photo, cells: tuple[int, int]) -> NDArray[np.float32]:
        """Return a photograph's own chroma as means over cells, (2, h, w), in `chroma`'s units.

        Args:
            photo: a photograph in color.
            cells: number of rows and columns of cells, (h, w).
        """
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
        """Return sRGB (H, W, 3) of luminance and chroma, in the type of `gray`.

        Args:
            gray: luminance (H, W), uint8 or uint16.
            chroma: chroma (2, h, w) as from `chroma`.
            options, asked: as in `colorize`; saturation, warmth, enlarge and filter are used.
        """
        options = options or self.options(**asked)
        return join(self.card, gray, chroma, options, self.threads)

    def _sampling(self) -> Sampler:
        if self.predictor.sampler is None:
            raise SettingError(
                f"{self.card.name} gives one coloring and no likelihood; name a sampler, such as "
                "tint_sampler"
            )
        return self.predictor.sampler

    def _chroma(self, seen: Seen, options: Options) -> NDArray[np.float32]:
        """Return the chroma (2, h, w) that the model predicts."""
        return self.predictor.decode(self.predictor.look(seen, options), options)

    def _with_chroma(
        self, photo: Photo, seen: Seen, chroma: NDArray[np.float32], options: Options
    ) -> Photo:
        """Return the photograph in color, with the notes about its input."""
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
    """Return one photograph in color; for several, use one `Colorizer`.

    Args:
        photo, hints, asked: as in `Colorizer.colorize`.
        model: as in `Colorizer`.

    Raises:
        TintypeError: the photograph or the model cannot be used, or an option is out of range or
            not one of the model's.
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
    """Return several colorings of one photograph, the most probable first.

        for one in tintype.sample("grandmother.jpg", 4):
            one.photo.save(f"grandmother-{one.number}.jpg")

    Args:
        photo, count, hints, asked: as in `Colorizer.sample`.
        model: a sampler; as in `Colorizer`.

    Raises:
        TintypeError: the photograph or the model cannot be used, or an option is out of range or
            not one of the model's.
    """
    return list(Colorizer(model).sample(photo, count, hints=hints, **asked))
