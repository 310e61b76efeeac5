"""Run the graphs of a model: from its input to bins, chroma and suggestions.

The output of the network can be kept, so that another vividness needs the decoding only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tintype.color.bins import ab_bins, entropy
from tintype.errors import CorruptModelError, SettingError
from tintype.runtime.model import Model
from tintype.runtime.options import Options
from tintype.runtime.registry import names_of_models
from tintype.runtime.resize import ImageArray
from tintype.runtime.results import Suggestion
from tintype.runtime.sampler import Samples
from tintype.runtime.seen import Seen
from tintype.runtime.session import checked_chroma
from tintype.runtime.suggest import peaks, prior_correction
from tintype.runtime.windows import Tensors, in_windows, is_long


class Predictor:
    """The prediction of a model.

    Args:
        model: a loaded model.

    Attributes:
        card: card of the model.
        sampler: its sampler, or None.
    """

    def __init__(self, model: Model) -> None:
        self.card, self.sampler = model.card, model.sampler
        self._network, self._decoder = model.network, model.decoder
        self._corrections: dict[float, NDArray[np.float32]] = {}  # by vividness

    def gives_bins(self, seen: Seen) -> bool:
        """Tell whether `look` returns bins, which can be decoded at any vividness.

        For a long photograph it returns chroma, because windows are blended after decoding.
        """
        return self._decoder is not None and not is_long(seen.gray)

    def look(self, seen: Seen, options: Options) -> NDArray[np.float32]:
        """Return the output of the network: bins (1, 313, h, w), or chroma (1, 2, h, w).

        Raises:
            CorruptModelError: the output is neither.
        """
        if self.sampler is not None:
            drawn = self.draw(seen, options, 1, (options.sample or 1) - 1)
            return self.finished(seen, drawn.chroma, options)[None]
        if self.gives_bins(seen):
            return self.bins(seen)

        return self._in_windows(seen, options)["chroma"]

    def look_with_entropy(
        self, seen: Seen, options: Options
    ) -> tuple[NDArray[np.float32], float | None]:
        """Return what `look` gives, and the mean entropy of the bins in bits.

        The entropy is None of a model that predicts no distribution.

        Raises:
            CorruptModelError: the model gives something else.
        """
        if self._decoder is None:
            return self.look(seen, options), None
        if self.gives_bins(seen):
            bins = self.bins(seen)
            return bins, float(entropy(bins).mean())
        found = self._in_windows(seen, options, entropies=True)
        return found["chroma"], float(found["entropy"].mean())

    def _in_windows(self, seen: Seen, options: Options, entropies: bool = False) -> Tensors:
        def run(tensors: Tensors) -> Tensors:
            assert self._network is not None
            found = self._network.run(tensors)
            if self._decoder is None:
                return {"chroma": checked_chroma(self.card, found["chroma"])[None]}
            given = {"chroma": self.decode(found["bins"], options)[None]}
            return {**given, "entropy": entropy(found["bins"])} if entropies else given

        return in_windows(run, seen.tensors())

    def decode(self, looked: NDArray[np.float32], options: Options) -> NDArray[np.float32]:
        """Return the chroma (2, h, w) of the output of `look`.

        Raises:
            CorruptModelError: the output is not valid chroma.
        """
        if looked.shape[1] != 2 and self._decoder is not None:
            vividness = np.array(options.vividness or 0.0, np.float32)
            looked = self._decoder.run({"bins": looked, "vividness": vividness})["chroma"]
        return checked_chroma(self.card, looked)

    def bins(self, seen: Seen) -> NDArray[np.float32]:
        """Return the log-probabilities of the ab bins, (1, 313, h, w).

        Raises:
            SettingError: the model predicts no distribution.
            CorruptModelError: the output is not a distribution over the bins.
        """
        if self._decoder is None or self._network is None:
            able = names_of_models(lambda card: card.has("decode")) or "no installed model"
            raise SettingError(f"{self.card.name} predicts no distribution; {able} does.")
        bins = in_windows(self._network.run, seen.tensors())["bins"]
        if bins.shape[:2] != (1, len(ab_bins())) or not (bins.size and np.isfinite(bins).all()):
            raise CorruptModelError(
                f"{self.card.file()} gives no distribution over {len(ab_bins())} bins; reinstall "
                "tintype, or export the model again."
            )
        return bins

    def suggest(
        self,
        bins: NDArray[np.float32],
        place: tuple[int, int],
        gray: ImageArray,
        count: int,
        vividness: float,
    ) -> list[Suggestion]:
        """Return the peaks of the distribution at a pixel, the most probable first.

        Args:
            bins: log-probabilities, (1, 313, h, w).
            place: row and column of the pixel in the photograph.
            gray: luminance of the photograph, (H, W).
            count: largest number of peaks.
            vividness: its prior correction is applied.
        """
        assert self._decoder is not None
        (row, column), (height, width) = place, gray.shape
        at = (row * bins.shape[2] // height, column * bins.shape[3] // width)
        if vividness not in self._corrections:
            self._corrections[vividness] = prior_correction(self._decoder, vividness)
        found = bins[0, :, at[0], at[1]] - self._corrections[vividness]
        return peaks(found, gray[row : row + 1, column : column + 1], count)

    def draw(self, seen: Seen, options: Options, count: int, first: int = 0) -> Samples:
        """Return samples `first` + 1 to `first` + `count` of the seed."""
        assert self.sampler is not None
        assert options.seed is not None
        assert options.temperature is not None
        return self.sampler.sample(
            self.sampler.features(seen.gray, seen.hints),
            count,
            seed=options.seed,
            temperature=options.temperature,
            first=first,
        )

    def finished(
        self, seen: Seen, chroma: NDArray[np.float32], options: Options
    ) -> NDArray[np.float32]:
        """Return the chroma (2, h, w) of a sample (1, 2, h, w), refined if the options say so."""
        if self.sampler is not None and options.refine:
            chroma = self.sampler.refine(seen.gray, chroma)
        return checked_chroma(self.card, chroma)
