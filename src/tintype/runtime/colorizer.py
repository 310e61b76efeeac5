"""A photograph in, the same photograph in color out.

    luminance -> the network's size -> chroma, low resolution -> enlarged -> joined with the
              luminance, gamut-mapped -> the photograph, everything restored

Work at full size goes by strips of rows, several at once on as many threads: beyond the gray plane
and the result, memory grows with the width of the photograph, not with its height.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.card import Card
from tintype.color.gamut import join_lab, join_luma
from tintype.color.guided import (
    GuidedCoefficients,
    area_mean,
    enlarge,
    fit_coefficients,
    fit_filter_coefficients,
    resize_bicubic,
    working_size,
)
from tintype.color.spaces import rgb_to_lab, rgb_to_ycbcr, rgb_to_yuv
from tintype.errors import CorruptModelError, PhotoError, SettingError
from tintype.photo import Photo
from tintype.runtime.options import Asked, Options
from tintype.runtime.registry import find_model
from tintype.runtime.resize import ImageArray, reduce
from tintype.runtime.sampler import Sampler, Samples
from tintype.runtime.session import Session, cores

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: What a `Photo` can be made of.
Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image"

_STRIP_PIXELS = 1 << 18  # per strip: its arrays stay in the processor's cache


@dataclass(frozen=True)
class Sample:
    """One of several colorings of a photograph.

    Attributes:
        photo: the photograph in color.
        number: which sample of the seed it is, from 1.
        nats: its log-likelihood under the model.
        bits: the same as bits per chroma value: the lower, the likelier.
    """

    photo: Photo
    number: int
    nats: float
    bits: float


@dataclass(frozen=True)
class Score:
    """How likely a model holds the colors of a photograph to be.

    Attributes:
        bits: mean bits per chroma value; 0 is certain, and 5 what 32 levels cost without any
            knowledge.
        bits_by_channel: the same for each channel of the model's space, e.g. Cb and Cr.
        nats: log-likelihood of all values.
        values: how many there are, two to a cell of the model's grid.
    """

    bits: float
    bits_by_channel: tuple[float, float]
    nats: float
    values: int


class Colorizer:
    """A model, loaded once and used for any number of photographs.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), or the path of a card or weights file.
        threads: for the work at full size and for samples; by default every core there is. The
            colors are the same whatever the number.

    Attributes:
        card: of the model.
        threads: how many there are.

    Raises:
        UnknownModelError: no such model.
        CorruptModelError: its card or weights are damaged.
        ValueError: threads is below 1.

    Example:
        >>> from tintype import Colorizer, Photo
        >>> colorizer = Colorizer()
        >>> colorizer.colorize(Photo.open("grandmother.jpg")).save("grandmother-color.jpg")
    """

    def __init__(self, model: str | os.PathLike[str] = "tint", threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is a number from 1, not {threads}")
        self.card: Card = find_model(model)
        self.threads = threads or cores()
        self._sampler: Sampler | None = None
        self._network: Session | None = None
        self._decoder: Session | None = None
        if self.card.normalise:
            raise CorruptModelError(
                f"{self.card.name} is to see tones that are stretched, which this version of "
                "tintype does not do; upgrade tintype."
            )
        if self.card.kind == "sampler":
            self._sampler = Sampler(self.card, self.threads)
        elif self.card.has("decode"):
            self._network = Session(self.card, "", {"gray": 4}, {"bins": 4})
            needs = {"bins": 4, "vividness": 0}
            self._decoder = Session(self.card, "decode", needs, {"chroma": 4})
        else:
            self._network = Session(self.card, "", {"gray": 4}, {"chroma": 4})

    def options(self, **asked: Unpack[Asked]) -> Options:
        """Return the options that hold when these are asked for.

        Raises:
            SettingError: one is out of range, or not for this model.
        """
        return Options.resolve(self.card, **asked)

    def colorize(
        self, photo: Photo | Source, options: Options | None = None, **asked: Unpack[Asked]
    ) -> Photo:
        """Return the photograph in color: same size, depth, metadata and lightness.

        Args:
            photo: a photograph, or what one can be made of: a path, the bytes of an image file, an
                array (`Photo.from_array`), a Pillow image. Of one in color or toned only the
                luminance is looked at.
            options: from `options`, resolved once for many photographs; or by keyword:
            asked: vividness, saturation, ... : see `tintype.runtime.options.Options`.

        Raises:
            PhotoError: it cannot be read.
            SettingError: an option is out of range, or not for this model.
        """
        options = options or self.options(**asked)
        photo = _photo(photo)
        chroma = self.chroma(photo.gray, options)
        return photo.with_rgb(self.join(photo.gray, chroma, options))

    def sample(
        self,
        photo: Photo | Source,
        count: int = 8,
        options: Options | None = None,
        **asked: Unpack[Asked],
    ) -> Iterator[Sample]:
        """Return several colorings of one photograph, the likeliest first.

        All are drawn before this returns; the photographs are made one by one as they are asked
        for, so that many large ones need not be in memory at once.

        Args:
            photo, options, asked: as in `colorize`; sample k of a seed is the same whatever the
                count.
            count: how many, from 1.

        Raises:
            PhotoError: it cannot be read.
            SettingError: an option is out of range, or the model does not sample.
        """
        sampler = self._sampling()
        options = options or self.options(**asked)
        if count < 1:
            raise SettingError(f"count is a number of samples from 1, not {count}")
        photo = _photo(photo)
        gray = reduce(photo.gray, self.card.size)
        samples = _drawn(sampler, gray, count, options)
        bits = samples.bits

        def made() -> Iterator[Sample]:
            for k in np.argsort(bits, kind="stable"):
                chroma = self._finished(gray, samples.chroma[k : k + 1], options)
                colored = photo.with_rgb(self.join(photo.gray, chroma, options))
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
        features = sampler.features(reduce(photo.gray, self.card.size))
        chroma = self.true_chroma(photo, (features.shape[2], features.shape[3]))
        nats = sampler.score(features, chroma[None])[0].astype(np.float64)
        first, second = (float(bits) for bits in -nats.mean((1, 2)) / np.log(2))
        return Score((first + second) / 2, (first, second), float(nats.sum()), nats.size)

    def chroma(
        self, gray: ImageArray, options: Options | None = None, **asked: Unpack[Asked]
    ) -> NDArray[np.float32]:
        """Return the chroma that the model predicts, at its own resolution.

        Args:
            gray: luminance (H, W), uint8 or uint16.
            options, asked: as in `colorize`; saturation, enlargement and filter belong to `join`.

        Returns:
            Two planes in the space of the model's card, neutral at 0, (2, h, w): a and b in CIE Lab
            units, analogue U and V, or full-range Cb and Cr.

        Raises:
            SettingError: an option is out of range, or not for this model.
            CorruptModelError: the model gives what is no chroma.
        """
        options = options or self.options(**asked)
        seen = reduce(gray, self.card.size)
        if self._sampler is not None:
            return self._finished(seen, _drawn(self._sampler, seen, 1, options).chroma, options)
        assert self._network is not None
        tensors = self._network.run({"gray": seen[None, None]})
        if self._decoder is not None:
            tensors["vividness"] = np.array(options.vividness, np.float32)
            tensors = self._decoder.run(tensors)
        return self._checked(tensors["chroma"])

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
        height, width = gray.shape
        neutral = np.float32(0.5 if self.card.space == "ycbcr" else 0)
        chroma = np.moveaxis(chroma * np.float32(options.saturation) + neutral, 0, -1)
        fitted = self._fit(chroma, gray, options)
        rgb = np.empty((height, width, 3), gray.dtype)
        rows = max(1, _STRIP_PIXELS // width)

        def strip(first: int) -> None:
            part = slice(first, min(first + rows, height))
            enlarged = enlarge(fitted, gray[part], part, (height, width))
            if self.card.space == "lab":
                join_lab(gray[part], enlarged, out=rgb[part])
            else:
                join_luma(gray[part], enlarged, self.card.space, out=rgb[part])

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(strip, range(0, height, rows)))
        return rgb

    def _fit(
        self, chroma: NDArray[np.float32], gray: ImageArray, options: Options
    ) -> GuidedCoefficients:
        """Chroma (h, w, 2) as lines in the luminance, by the model's own filter where it has one.

        The filter is linear in what it filters: on the colored picture it does the same as on the
        chroma, but for colors that had to be brought into gamut before it.
        """
        filtered = self.card.filter is not None and options.filter != "none"
        if options.enlarge == "bilinear" and not filtered:
            return _flat(chroma)
        guide = area_mean(gray, working_size(chroma.shape, gray.shape))
        guide /= np.float32(np.iinfo(gray.dtype).max)
        if self.card.filter is None or not filtered:
            return fit_coefficients(chroma, guide)
        if options.enlarge == "bilinear":
            planes = enlarge(_flat(chroma), guide, slice(0, len(guide)), guide.shape)
        else:
            planes = resize_bicubic(chroma, (guide.shape[0], guide.shape[1]))
        if options.filter == "image":
            picture = join_luma(guide, planes, self.card.space, dtype=np.uint16)
            planes = rgb_to_yuv(picture.astype(np.float32) / 65535)[..., 1:]
        return fit_filter_coefficients(planes, guide, self.card.filter.radius, self.card.filter.eps)

    def _sampling(self) -> Sampler:
        if self._sampler is None:
            raise SettingError(
                f"{self.card.name} gives one coloring and no likelihood; name a model that "
                "samples, as tint_sampler does"
            )
        return self._sampler

    def _finished(
        self, gray: NDArray[np.float32], chroma: NDArray[np.float32], options: Options
    ) -> NDArray[np.float32]:
        """Chroma (2, h, w) of a sample (1, 2, h, w), by the second stage where it is wanted."""
        if self._sampler is not None and options.refine:
            chroma = self._sampler.refine(gray, chroma)
        return self._checked(chroma)

    def _checked(self, chroma: NDArray[Any]) -> NDArray[np.float32]:
        """Planes (2, h, w) of a model's output, if it is such; nothing else is ever written."""
        shape = chroma.shape
        if len(shape) != 4 or shape[:2] != (1, 2) or 0 in shape or not np.isfinite(chroma).all():
            raise CorruptModelError(
                f"{self.card.file()} gives {shape} where a model gives (1, 2, h, w), all finite; "
                "reinstall tintype, or export the model again."
            )
        return chroma[0].astype(np.float32, copy=False)


def _flat(chroma: NDArray[np.float32]) -> GuidedCoefficients:
    """Chroma (h, w, 2) that follows no edge: what `enlarge` then interpolates bilinearly."""
    offset = np.ascontiguousarray(np.moveaxis(chroma, -1, 0))
    nowhere = np.zeros(chroma.shape[:2], np.float32)
    return GuidedCoefficients(slope=np.zeros_like(offset), offset=offset, low=nowhere, high=nowhere)


def _drawn(sampler: Sampler, gray: NDArray[np.float32], count: int, options: Options) -> Samples:
    """Samples of a photograph by the options that hold."""
    assert options.seed is not None
    assert options.temperature is not None
    features = sampler.features(gray)
    return sampler.sample(features, count, seed=options.seed, temperature=options.temperature)


def _photo(source: Photo | Source) -> Photo:
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        return Photo.from_array(source)
    if isinstance(source, Image.Image):
        return Photo.from_pil(source)
    return Photo.open(source)


def colorize(
    photo: Photo | Source, model: str | os.PathLike[str] = "tint", **asked: Unpack[Asked]
) -> Photo:
    """Color one photograph; for more than one, make a `Colorizer` and keep it.

    Args:
        photo, asked: as in `Colorizer.colorize`.
        model: as in `Colorizer`.

    Raises:
        TintypeError: the photograph or the model cannot be used, or an option is out of range or
            not for this model.
    """
    return Colorizer(model).colorize(photo, **asked)


def sample(
    photo: Photo | Source,
    count: int = 8,
    model: str | os.PathLike[str] = "tint_sampler",
    **asked: Unpack[Asked],
) -> list[Sample]:
    """Return several colorings of one photograph, the likeliest first.

        for one in tintype.sample("grandmother.jpg", 4):
            one.photo.save(f"grandmother-{one.number}.jpg")

    Args:
        photo, count, asked: as in `Colorizer.sample`.
        model: one that samples.

    Raises:
        TintypeError: the photograph or the model cannot be used, or an option is out of range or
            not for this model.
    """
    return list(Colorizer(model).sample(photo, count, **asked))
