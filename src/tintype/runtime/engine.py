"""The engine: a photograph in, the same photograph in colour out.

    luminance -> network size -> chroma, low resolution -> enlarged along the luminance's edges
              -> joined with the luminance, gamut-mapped -> the photograph, everything restored

Work at full size goes by strips of rows, several at once on as many threads: beyond the gray plane
and the result, memory grows with the width of the photograph, not with its height.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.color.bins import ab_bins, annealed_mean_of_logits
from tintype.color.gamut import join_lab, join_luma
from tintype.color.guided import (
    ChromaFit,
    area_mean,
    bicubic,
    enlarge,
    fit,
    fit_filter,
    working_size,
)
from tintype.color.spaces import rgb_to_yuv
from tintype.errors import CorruptModelError
from tintype.photo import Photo
from tintype.runtime import patches
from tintype.runtime.card import Card, InputSize, find
from tintype.runtime.session import Session, cores

#: Luminance (H, W) or colours (H, W, 3), of eight or of sixteen bits.
Levels: TypeAlias = NDArray[np.uint8 | np.uint16]

#: What a model's guided filter is applied to: nothing, its chroma, or its coloured picture.
Refine: TypeAlias = Literal["none", "chroma", "image"]

#: Colour space, output and upsampling that this version can use.
_KINDS = {("lab", "bins", "guided"), ("yuv", "chroma", "guided")}

_STRIP_PIXELS = 1 << 18  # per strip: its arrays stay in the processor's cache


#: What a `Photo` can be made of.
Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image"


class Colorizer:
    """A model, loaded once and used for any number of photographs.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), or the path of a card or weights file.
        threads: for the network and for the work at full size; by default every core there is.
        patch_stride: run a network that was trained on patches patch by patch, so many pixels
            apart, and average where they overlap; by default it runs over the whole picture at
            once.

    Raises:
        UnknownModelError: no such model.
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
        self._session = Session(self.card, self.threads)

    def colorize(
        self,
        photo: Photo | Source,
        *,
        vividness: float | None = None,
        saturation: float = 1.0,
        refine: Refine | None = None,
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
                ``"image"`` or ``"none"``. For models that have one.

        Raises:
            PhotoError: it cannot be read.
            ValueError: vividness, saturation or refine is out of range, or not for this model.
        """
        photo = _photo(photo)
        options = self.options(vividness=vividness, refine=refine)
        if not 0 <= saturation <= 10:
            raise ValueError(f"saturation is a factor from 0 to 10, not {saturation}")
        chroma = self.chroma(photo.gray, vividness=options["vividness"]) * np.float32(saturation)
        return photo.with_rgb(self.join(photo.gray, chroma, refine=options["refine"]))

    def options(
        self, *, vividness: float | None = None, refine: Refine | None = None
    ) -> dict[str, Any]:
        """The options that hold when these are asked for; None where the model has no such thing.

        Raises:
            ValueError: vividness or refine is out of range, or not for this model.
        """
        name, decoding, refinement = self.card.name, self.card.decoding, self.card.refinement
        if vividness is not None:
            if decoding is None:
                raise ValueError(f"{name} predicts one chroma: it has no vividness to choose")
            if not 0 <= vividness <= 1:
                raise ValueError(
                    f"vividness is a number from 0 (safe) to 1 (vivid), not {vividness}"
                )
        elif decoding is not None:
            vividness = decoding.vividness
        if refine is not None:
            if refinement is None:
                raise ValueError(f"{name} has no filter to refine its chroma with")
            if refine not in get_args(Refine):
                raise ValueError(f"refine is one of {', '.join(get_args(Refine))}, not {refine!r}")
        elif refinement is not None:
            refine = "chroma"
        return {"vividness": vividness, "refine": refine}

    def chroma(self, gray: Levels, *, vividness: float | None = None) -> NDArray[np.float32]:
        """Predicted chroma at the network's resolution.

        Args:
            gray: luminance (H, W), uint8 or uint16.
            vividness: as in `colorize`.

        Returns:
            Two planes in the space of the model's card, (h, w, 2): a and b in CIE Lab units, or
            analogue U and V.

        Raises:
            ValueError: as `options`.
        """
        vividness = self.options(vividness=vividness)["vividness"]
        output = self.output(gray)
        return np.moveaxis(output, 0, -1) if vividness is None else self._decode(output, vividness)

    def output(self, gray: Levels) -> NDArray[np.float32]:
        """What the network says of luminance (H, W), undecoded: (channels, h, w)."""
        card, run = self.card, self._session.run
        seen = reduce(gray, card.size)
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
        if decoding.rebalancing:
            weights = np.log(np.array(decoding.rebalancing, dtype=np.float32))
            removed = decoding.safe + vividness * (decoding.vivid - decoding.safe)
            logits = logits - np.float32(removed) * weights[:, None, None]
        return annealed_mean_of_logits(logits, temperature=decoding.temperature, axis=0)

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
    ) -> ChromaFit:
        """Chroma (h, w, 2) as lines in the luminance, by the model's own filter where it has one.

        The filter is linear in what it filters: on the coloured picture it does the same as on the
        chroma, but for colours that had to be brought into gamut before it.
        """
        refinement = self.card.refinement
        if refinement is None or refine == "none":
            return fit(chroma, guide)
        height, width = guide.shape
        planes = bicubic(chroma, (height, width))
        if refine == "image":
            picture = join_luma(guide, planes, self.card.space, dtype=np.uint16)
            planes = rgb_to_yuv(picture.astype(np.float32) / 65535)[..., 1:]
        return fit_filter(planes, guide, refinement.radius, refinement.eps)


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
    height, width = network_size(gray.shape[0], gray.shape[1], rule)
    if gray.dtype == np.uint16:  # eight bits are enough to be looked at
        eight = np.empty(gray.shape, np.uint8)
        gray = np.right_shift(gray, 8, out=eight, casting="unsafe")
    # First whole-pixel averages down to about three times the size, then a proper filter.
    small = Image.fromarray(gray).resize(
        (width, height), Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def colorize(
    photo: Photo | Source,
    model: str | os.PathLike[str] = "tint",
    *,
    vividness: float | None = None,
    saturation: float = 1.0,
    refine: Refine | None = None,
) -> Photo:
    """Colour one photograph; for more than one, make a `Colorizer` and keep it.

    Args:
        photo, vividness, saturation, refine: as in `Colorizer.colorize`.
        model: as in `Colorizer`.

    Raises:
        TintypeError: the photograph or the model cannot be used.
    """
    colorizer = Colorizer(model)
    return colorizer.colorize(photo, vividness=vividness, saturation=saturation, refine=refine)
