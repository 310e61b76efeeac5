"""The engine: a photograph in, the same photograph in colour out.

    luminance -> network size or sizes -> chroma, low resolution -> enlarged along its edges
              -> joined with the luminance, gamut-mapped -> the photograph, everything restored

Work at full size goes by strips of rows, several at once on as many threads: beyond the gray plane
and the result, memory grows with the width of the photograph, not with its height.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.color.bins import ab_bins, annealed_mean_of_logits
from tintype.color.gamut import join_lab, join_luma
from tintype.color.guided import (
    GuidedCoefficients,
    area_mean,
    enlarge,
    fit_coefficients,
    fit_filter_coefficients,
    resize_bicubic,
    resize_bilinear,
    working_size,
)
from tintype.color.spaces import rgb_to_yuv
from tintype.errors import CorruptModelError, PhotoError, UnknownModelError
from tintype.photo import Photo
from tintype.runtime import patches
from tintype.runtime.card import Card, InputSize, find
from tintype.runtime.sampler import Known, Sampler
from tintype.runtime.session import Session, cores

#: Luminance (H, W) or colours (H, W, 3), of eight or of sixteen bits.
Levels: TypeAlias = NDArray[np.uint8 | np.uint16]

#: What a model's guided filter is applied to: nothing, its chroma, or its coloured picture. Of a
#: sampler: whether its second stage is left out (``"none"``) or not (``"chroma"``).
Refine: TypeAlias = Literal["none", "chroma", "image"]

#: Colour space, output and upsampling that this version can use.
_KINDS = {
    ("lab", "bins", "guided"),
    ("lab", "chroma", "guided"),
    ("yuv", "chroma", "guided"),
    ("ycbcr", "sampler", "guided"),
}

_FILTERS = {"lanczos": Image.Resampling.LANCZOS, "triangle": Image.Resampling.BILINEAR}

_STRIP_PIXELS = 1 << 18  # per strip: its arrays stay in the processor's cache
_FIRST_LOOK = 0.6  # its share in the mean of several
_LEAST = np.float32(1e-30)  # probability whose logarithm is still taken


#: What a `Photo` can be made of.
Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image"


@dataclass(frozen=True)
class Colouring:
    """One of several colourings of a photograph.

    Attributes:
        photo: the photograph in colour.
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
    """How likely a model holds the colours of a photograph to be.

    Attributes:
        bits_cr, bits_cb: mean bits per value of Cr, and of Cb given Cr; 0 is certain, and 5 what 32
            levels cost without any knowledge.
        bits: mean over both.
        nats: log-likelihood of all of them.
        values: how many values there are, two to a cell.
    """

    bits_cr: float
    bits_cb: float
    bits: float
    nats: float
    values: int


class Colorizer:
    """A model, loaded once and used for any number of photographs.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), or the path of a card or weights file.
        threads: for the network and for the work at full size; by default every core there is.
        patch_stride: run a network that was trained on patches patch by patch, so many pixels
            apart, and average where they overlap; by default it runs over the whole picture at
            once.

    Raises:
        UnknownModelError: no such model, or one that colours nothing by itself.
        CorruptModelError: its card or weights are damaged, or ask for what this version lacks.
        ValueError: threads is below 1, the model has no patches, or the stride leaves gaps.

    Example:
        >>> from tintype import Colorizer, Photo
        >>> colorizer = Colorizer()
        >>> colorizer.colorize(Photo.open("grandmother.jpg")).save("grandmother-colour.jpg")
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "tint",
        threads: int | None = None,
        *,
        patch_stride: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is a number from 1, not {threads}")
        self.card: Card = find(model)
        if self.card.output == "finer":
            raise UnknownModelError(
                f"{self.card.name} makes the colours of another model finer and has none of its "
                "own: name the other model, as pixcolor."
            )
        kind = (self.card.space, self.card.output, self.card.upsampling)
        if kind not in _KINDS:
            raise CorruptModelError(
                f"{self.card.name} gives {', '.join(map(repr, kind))}, which this version of "
                "tintype cannot use; upgrade tintype."
            )
        if patch_stride is not None:
            if self.card.patches is None:
                raise ValueError(f"{self.card.name} was not trained on patches")
            patches.check_stride(self.card.patches, patch_stride)
        self.threads = threads or cores()
        self._patch_stride = patch_stride
        self._sampler: Sampler | None = None
        self._session: Session | None = None
        if self.card.output == "sampler":
            self._sampler = Sampler(self.card, self.threads)
        else:
            self._session = Session(self.card, self.threads)

    def colorize(
        self,
        photo: Photo | Source,
        *,
        vividness: float | None = None,
        saturation: float = 1.0,
        refine: Refine | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> Photo:
        """The photograph in colour: same size, depth, metadata and lightness.

        Args:
            photo: a photograph, or what one can be made of: a path, the bytes of an image file, an
                array (`Photo.from_array`), a Pillow image. Of one in colour or toned only the
                luminance is looked at.
            vividness: from 0 (safe: muted where unsure) to 1 (vivid: a likely colour, sometimes a
                wrong one); by default the model's own. For models that predict a distribution.
            saturation: factor on the chroma, from 0; 1 leaves it as predicted.
            refine: what the model's guided filter is applied to: ``"chroma"`` (the default),
                ``"image"`` or ``"none"``; ``"none"`` leaves a sampler's second stage out. For
                models that have either.
            temperature: of a sampler: below its default likelier and calmer colours, above it
                bolder ones.
            seed: of a sampler: the same seed gives the same colours again; 0 by default.

        Raises:
            PhotoError: it cannot be read.
            ValueError: an option is out of range, or not for this model.
        """
        photo = _photo(photo)
        options = self.options(
            vividness=vividness, refine=refine, temperature=temperature, seed=seed
        )
        _check_saturation(saturation)
        return self._coloured(photo, self.chroma(photo.gray, **options), saturation, refine)

    def sample(
        self,
        photo: Photo | Source,
        count: int = 8,
        *,
        seed: int | None = None,
        temperature: float | None = None,
        saturation: float = 1.0,
        refine: Refine | None = None,
        known: Known | None = None,
    ) -> Iterator[Colouring]:
        """Several colourings of one photograph, the likeliest first.

        All are drawn before this returns; the photographs are made one by one as they are asked
        for, so that many large ones need not be in memory at once.

        Args:
            photo, seed, temperature, saturation, refine: as in `colorize`; sample k of a seed is
                the same whatever the count.
            count: how many, from 1.
            known: cells of `levels` whose chroma is given and not to be sampled.

        Raises:
            PhotoError: it cannot be read.
            ValueError: an option is out of range, known is of another size, or the model does not
                sample.
        """
        sampler = self._samples()
        photo = _photo(photo)
        held = self.options(refine=refine, temperature=temperature, seed=seed)
        _check_saturation(saturation)
        seen = reduce(photo.gray, self.card.size)
        samples = sampler.sample(
            sampler.condition(seen),
            count,
            seed=held["seed"],
            temperature=held["temperature"],
            known=known,
        )
        bits = samples.bits

        def colourings() -> Iterator[Colouring]:
            for k in np.argsort(bits, kind="stable"):
                levels = samples.levels[k : k + 1]
                refined = held["refine"] != "none"
                chroma = sampler.refine(seen, levels) if refined else sampler.chroma(levels)
                coloured = self._coloured(photo, chroma[0], saturation, refine)
                yield Colouring(coloured, int(k) + 1, float(samples.nats[k]), float(bits[k]))

        return colourings()

    def levels(self, photo: Photo | Source) -> NDArray[np.int64]:
        """The colours of a photograph as a sampler has them: levels of Cr and Cb, (2, h, w).

        With a mask of cells (h, w) they make the `Known` of `sample`.

        Raises:
            PhotoError: it cannot be read, or has no colours.
            ValueError: the model does not sample.
        """
        sampler = self._samples()
        photo = _photo(photo)
        if photo.kind != "color":
            named = photo.path or "the photograph"
            raise PhotoError(f"{named} has no colours of its own: give a photograph in colour")
        height, width = network_size(photo.height, photo.width, self.card.size)
        rgb = photo.rgb()
        planes = [_resized(np.ascontiguousarray(rgb[..., k]), height, width) for k in range(3)]
        return sampler.quantise(np.stack(planes, -1))

    def score(self, photo: Photo | Source) -> Score:
        """How likely a sampler holds the colours of a photograph to be, given its luminance.

        Raises:
            PhotoError: it cannot be read, or has no colours.
            ValueError: the model does not sample.
        """
        sampler = self._samples()
        photo = _photo(photo)
        levels = self.levels(photo)
        condition = sampler.condition(reduce(photo.gray, self.card.size))
        nats = sampler.score(condition, levels[None])[0].astype(np.float64)
        cr, cb = -nats.mean((1, 2)) / np.log(2)
        return Score(float(cr), float(cb), float(cr + cb) / 2, float(nats.sum()), nats.size)

    def _samples(self) -> Sampler:
        if self._sampler is None:
            raise ValueError(
                f"{self.card.name} gives one colouring and no likelihood; name a model that "
                "samples, as pixcolor does"
            )
        return self._sampler

    def options(
        self,
        *,
        vividness: float | None = None,
        refine: Refine | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """The options that hold when these are asked for; None where the model has no such thing.

        Raises:
            ValueError: one is out of range, or not for this model.
        """
        name, decoding, refinement = self.card.name, self.card.decoding, self.card.refinement
        sampling = self.card.sampling
        if sampling is None:
            for option, value in (("temperature", temperature), ("seed", seed)):
                if value is not None:
                    raise ValueError(f"{name} does not sample: it has no {option} to choose")
        else:
            temperature = sampling.temperature if temperature is None else temperature
            if not 0 < temperature <= 10:
                raise ValueError(f"temperature is a number above 0, at most 10, not {temperature}")
            seed = 0 if seed is None else seed
            if seed < 0:
                raise ValueError(f"seed is a whole number from 0, not {seed}")
        if vividness is not None:
            if decoding is None:
                raise ValueError(f"{name} predicts one chroma: it has no vividness to choose")
            if not 0 <= vividness <= 1:
                raise ValueError(
                    f"vividness is a number from 0 (safe) to 1 (vivid), not {vividness}"
                )
        elif decoding is not None:
            vividness = decoding.vividness
        choices = get_args(Refine) if refinement else ()
        if sampling is not None and sampling.second_stage:
            choices = ("none", "chroma")
        if refine is not None:
            if not choices:
                raise ValueError(f"{name} has no filter to refine its chroma with")
            if refine not in choices:
                raise ValueError(f"refine is one of {', '.join(choices)}, not {refine!r}")
        elif choices:
            refine = "chroma"
        return {"vividness": vividness, "refine": refine, "temperature": temperature, "seed": seed}

    def chroma(
        self,
        gray: Levels,
        *,
        vividness: float | None = None,
        refine: Refine | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> NDArray[np.float32]:
        """Predicted chroma at the network's resolution.

        Args:
            gray: luminance (H, W), uint8 or uint16.
            vividness, refine, temperature, seed: as in `colorize`; a guided filter belongs to
                `join`.

        Returns:
            Two planes in the space of the model's card, (h, w, 2): a and b in CIE Lab units,
            analogue U and V, or full-range Cb and Cr with neutral at 0.5.

        Raises:
            ValueError: as `options`.
        """
        held = self.options(vividness=vividness, refine=refine, temperature=temperature, seed=seed)
        if self._sampler is not None:
            seen = reduce(gray, self.card.size)
            condition = self._sampler.condition(seen)
            samples = self._sampler.sample(
                condition, 1, seed=held["seed"], temperature=held["temperature"]
            )
            if held["refine"] == "none":
                return self._sampler.chroma(samples.levels)[0]
            return self._sampler.refine(seen, samples.levels)[0]
        output = self.output(gray)
        if held["vividness"] is None:
            return np.moveaxis(output, 0, -1)
        return self._decode(output, held["vividness"])

    def output(self, gray: Levels) -> NDArray[np.float32]:
        """What the network says of luminance (H, W), undecoded: (channels, h, w).

        Where the card asks for more than one look it is their mean, in which the first counts three
        fifths and the others alike. Of logits it is that of the distributions, as logits again.

        Raises:
            ValueError: the model samples: it says nothing of the whole picture at once.
        """
        if self._session is None:
            raise ValueError(f"{self.card.name} samples: call chroma or sample")
        size = self.card.size
        first = self._look(gray, size)
        if not size.other_sides:
            return first
        distributions = self.card.decoding is not None
        if distributions:
            first = _softmax(first)
        _, rows, columns = first.shape
        others = np.zeros_like(first)
        for side in size.other_sides:
            # As much coarser or finer where the longer side sets the scale.
            longest = max(1, size.longest * side // size.short_side)
            other = self._look(gray, replace(size, short_side=side, longest=longest))
            others += resize_bilinear(_softmax(other) if distributions else other, (rows, columns))
        first *= _FIRST_LOOK
        others *= (1 - _FIRST_LOOK) / len(size.other_sides)
        mean = first + others
        return np.log(np.maximum(mean, _LEAST)) if distributions else mean

    def _look(self, gray: Levels, size: InputSize) -> NDArray[np.float32]:
        """What the network says of luminance brought to one size."""
        assert self._session is not None
        card, run = self.card, self._session.run
        seen = reduce(gray, size)
        if card.patches is None:
            output = run(seen)
        elif self._patch_stride is None:
            output = patches.whole(run, seen, card.patches)
        else:
            output = patches.overlapping(run, seen, card.patches, self._patch_stride)
        channels = 2 if card.decoding is None else len(ab_bins())
        promised = (channels, *(side // card.stride for side in seen.shape))
        if output.shape != promised or not np.isfinite(output).all():
            raise CorruptModelError(
                f"{card.weights} gives {output.shape} where its card promises {promised}, "
                "all finite; reinstall tintype, or export the model again."
            )
        return output

    def _decode(self, logits: NDArray[np.float32], vividness: float) -> NDArray[np.float32]:
        """Chroma (h, w, 2) from logits over the ab bins, (313, h, w)."""
        decoding = self.card.decoding
        assert decoding is not None
        removed, temperature = decoding.at(vividness)
        if decoding.rebalancing:
            weights = np.log(np.array(decoding.rebalancing, dtype=np.float32))
            logits = logits - np.float32(removed) * weights[:, None, None]
        return annealed_mean_of_logits(logits, temperature=temperature, axis=0)

    def _coloured(
        self,
        photo: Photo,
        chroma: NDArray[np.float32],
        saturation: float,
        refine: Refine | None,
    ) -> Photo:
        neutral = np.float32(0.5 if self.card.space == "ycbcr" else 0)
        chroma = (chroma - neutral) * np.float32(saturation) + neutral
        return photo.with_rgb(self.join(photo.gray, chroma, refine=refine))

    def join(
        self, gray: Levels, chroma: NDArray[np.float32], *, refine: Refine | None = None
    ) -> Levels:
        """Full-size colours from full-size luminance (H, W) and low-resolution chroma (h, w, 2).

        Args:
            gray, chroma: in the units of the model's card.
            refine: as in `colorize`.
        """
        height, width = gray.shape
        guide = area_mean(gray, working_size(chroma.shape, gray.shape))
        fitted = self._fit(chroma, guide / np.float32(np.iinfo(gray.dtype).max), refine)
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
        self, chroma: NDArray[np.float32], guide: NDArray[np.float32], refine: Refine | None
    ) -> GuidedCoefficients:
        """Chroma (h, w, 2) as lines in the luminance, by the model's own filter where it has one.

        The filter is linear in what it filters: on the coloured picture it does the same as on the
        chroma, but for colours that had to be brought into gamut before it.
        """
        refinement = self.card.refinement
        if refinement is None or refine == "none":
            return fit_coefficients(chroma, guide)
        height, width = guide.shape
        planes = resize_bicubic(chroma, (height, width))
        if refine == "image":
            picture = join_luma(guide, planes, self.card.space, dtype=np.uint16)
            planes = rgb_to_yuv(picture.astype(np.float32) / 65535)[..., 1:]
        return fit_filter_coefficients(planes, guide, refinement.radius, refinement.eps)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distributions along the first axis."""
    shares = np.exp(logits - logits.max(axis=0))
    return shares / shares.sum(axis=0)


def _check_saturation(saturation: float) -> None:
    if not 0 <= saturation <= 10:
        raise ValueError(f"saturation is a factor from 0 to 10, not {saturation}")


def _photo(source: Photo | Source) -> Photo:
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        return Photo.from_array(source)
    if isinstance(source, Image.Image):
        return Photo.from_pil(source)
    return Photo.open(source)


def network_size(height: int, width: int, rule: InputSize) -> tuple[int, int]:
    """The size at which a network sees a photograph of this size: height and width in pixels.

    The shorter side is brought to the rule's, unless that made the longer one too long; both are
    then rounded to the rule's multiple, so the aspect ratio is kept to within half of that.
    """
    scale = min(rule.short_side / min(height, width), rule.longest / max(height, width))

    def fitting(side: int) -> int:
        return max(1, round(side * scale / rule.multiple)) * rule.multiple

    return fitting(height), fitting(width)


def reduce(gray: Levels, rule: InputSize) -> NDArray[np.float32]:
    """Luminance at network size, in [0, 1]: (H, W) of any size to (h, w)."""
    return _resized(gray, *network_size(gray.shape[0], gray.shape[1], rule), rule.filter)


def _resized(gray: Levels, height: int, width: int, filter: str = "lanczos") -> NDArray[np.float32]:
    """One channel at another size, in [0, 1]."""
    if gray.dtype == np.uint16:  # eight bits are enough to be looked at
        eight = np.empty(gray.shape, np.uint8)
        gray = np.right_shift(gray, 8, out=eight, casting="unsafe")
    # First whole-pixel averages down to about three times the size, then a proper filter.
    small = Image.fromarray(gray).resize((width, height), _FILTERS[filter], reducing_gap=3.0)
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def colorize(
    photo: Photo | Source,
    model: str | os.PathLike[str] = "tint",
    *,
    vividness: float | None = None,
    saturation: float = 1.0,
    refine: Refine | None = None,
    temperature: float | None = None,
    seed: int | None = None,
) -> Photo:
    """Colour one photograph; for more than one, make a `Colorizer` and keep it.

    Args:
        photo, vividness, saturation, refine, temperature, seed: as in `Colorizer.colorize`.
        model: as in `Colorizer`.

    Raises:
        TintypeError: the photograph or the model cannot be used.
        ValueError: an option is out of range, or not for this model.
    """
    return Colorizer(model).colorize(
        photo,
        vividness=vividness,
        saturation=saturation,
        refine=refine,
        temperature=temperature,
        seed=seed,
    )


def sample(
    photo: Photo | Source,
    count: int = 8,
    *,
    seed: int | None = None,
    temperature: float | None = None,
    model: str | os.PathLike[str] = "pixcolor",
) -> list[Colouring]:
    """Several colourings of one photograph, the likeliest first: `Colorizer.sample` as a list.

        for colouring in tintype.sample("grandmother.jpg", 4):
            colouring.photo.save(f"grandmother-{colouring.number}.jpg")

    Args:
        photo, count, seed, temperature: as in `Colorizer.sample`.
        model: one that samples.

    Raises:
        TintypeError: the photograph or the model cannot be used.
        ValueError: an option is out of range, or the model does not sample.
    """
    colorizer = Colorizer(model)
    return list(colorizer.sample(photo, count, seed=seed, temperature=temperature))
