"""The engine: a photograph in, the same photograph in colour out.

    luminance -> network size -> chroma, low resolution -> enlarged along the luminance's edges
              -> joined with the luminance, gamut-mapped -> the photograph, everything restored

Work at full size goes by strips of rows, several at once on as many threads: beyond the gray plane
and the result, memory grows with the width of the photograph, not with its height.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tintype.color.bins import ab_bins, annealed_mean_of_logits
from tintype.color.gamut import join_lab
from tintype.color.guided import area_mean, enlarge, fit, working_size
from tintype.errors import CorruptModelError
from tintype.photo import Photo
from tintype.runtime.card import Card, InputSize, find
from tintype.runtime.session import Session, cores

#: Luminance (H, W) or colours (H, W, 3), of eight or of sixteen bits.
Levels: TypeAlias = NDArray[np.uint8 | np.uint16]

_STRIP_PIXELS = 1 << 18  # per strip: its arrays stay in the processor's cache


#: What a `Photo` can be made of.
Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[Any] | Image.Image"


class Colorizer:
    """A model, loaded once and used for any number of photographs.

    Args:
        model: a name (``"tint"``, ``"tint.small"``), or the path of a card or weights file.
        threads: for the network and for the work at full size; by default every core there is.

    Raises:
        UnknownModelError: no such model.
        CorruptModelError: its card or weights are damaged, or ask for what this version lacks.
        ValueError: threads is below 1.

    Example:
        >>> from tintype import Colorizer, Photo
        >>> colorizer = Colorizer()
        >>> colorizer.colorize(Photo.open("grandmother.jpg")).save("grandmother-colour.jpg")
    """

    def __init__(self, model: str | os.PathLike[str] = "tint", threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is a number from 1, not {threads}")
        self.card: Card = find(model)
        kind = (self.card.space, self.card.output, self.card.upsampling)
        if kind != ("lab", "bins", "guided"):
            raise CorruptModelError(
                f"{self.card.name} gives {', '.join(map(repr, kind))}, which this version of "
                "tintype cannot use; upgrade tintype."
            )
        self.threads = threads or cores()
        self._session = Session(self.card, self.threads)

    def colorize(
        self, photo: Photo | Source, *, vividness: float | None = None, saturation: float = 1.0
    ) -> Photo:
        """The photograph in colour: same size, depth, metadata and lightness.

        Args:
            photo: a photograph, or what one can be made of: a path, the bytes of an image file, an
                array (`Photo.from_array`), a Pillow image. Of one in colour or toned only the
                luminance is looked at.
            vividness: from 0 (safe: muted where unsure) to 1 (vivid: a likely colour, sometimes a
                wrong one); by default the model's own.
            saturation: factor on the chroma, from 0; 1 leaves it as predicted.

        Raises:
            PhotoError: it cannot be read.
            ValueError: vividness or saturation is out of range.
        """
        photo = _photo(photo)
        ab = self.chroma(photo.gray, vividness=vividness)
        if not 0 <= saturation <= 10:
            raise ValueError(f"saturation is a factor from 0 to 10, not {saturation}")
        return photo.with_rgb(self.join(photo.gray, ab * np.float32(saturation)))

    def chroma(self, gray: Levels, *, vividness: float | None = None) -> NDArray[np.float32]:
        """Predicted chroma at the network's resolution.

        Args:
            gray: luminance (H, W), uint8 or uint16.
            vividness: as in `colorize`.

        Returns:
            a and b in CIE Lab units, (h, w, 2).
        """
        decoding = self.card.decoding
        vividness = decoding.vividness if vividness is None else vividness
        if not 0 <= vividness <= 1:
            raise ValueError(f"vividness is a number from 0 (safe) to 1 (vivid), not {vividness}")
        logits = self.logits(gray)  # (313, h, w)
        if decoding.rebalancing:
            weights = np.log(np.array(decoding.rebalancing, dtype=np.float32))
            logits = logits - np.float32(1 - vividness) * weights[:, None, None]
        temperature = decoding.safe_temperature + vividness * (
            decoding.vivid_temperature - decoding.safe_temperature
        )
        return annealed_mean_of_logits(logits, temperature=temperature, axis=0)

    def logits(self, gray: Levels) -> NDArray[np.float32]:
        """What the network says of luminance (H, W): logits over the ab bins, (313, h, w)."""
        seen = reduce(gray, self.card.size)
        logits = self._session.run(seen)
        promised = (len(ab_bins()), *(side // self.card.stride for side in seen.shape))
        if logits.shape != promised or not np.isfinite(logits).all():
            raise CorruptModelError(
                f"{self.card.weights} gives {logits.shape} where its card promises {promised}, "
                "all finite; reinstall tintype, or export the model again."
            )
        return logits

    def join(self, gray: Levels, ab: NDArray[np.float32]) -> Levels:
        """Full-size colours from full-size luminance (H, W) and low-resolution chroma (h, w, 2)."""
        height, width = gray.shape
        guide = area_mean(gray, working_size(ab.shape, gray.shape))
        fitted = fit(ab, guide / np.float32(np.iinfo(gray.dtype).max))
        rgb = np.empty((height, width, 3), gray.dtype)
        rows = max(1, _STRIP_PIXELS // width)

        def strip(first: int) -> None:
            part = slice(first, min(first + rows, height))
            chroma = enlarge(fitted, gray[part], part, (height, width))
            join_lab(gray[part], chroma, out=rgb[part])

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(strip, range(0, height, rows)))
        return rgb


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
) -> Photo:
    """Colour one photograph; for more than one, make a `Colorizer` and keep it.

    Args:
        photo, vividness, saturation: as in `Colorizer.colorize`.
        model: as in `Colorizer`.

    Raises:
        TintypeError: the photograph or the model cannot be used.
    """
    return Colorizer(model).colorize(photo, vividness=vividness, saturation=saturation)
