"""Suggest colors of a pixel: the peaks of the predicted distribution over the ab bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tintype.color.bins import ab_bins
from tintype.color.gamut import join_lab
from tintype.errors import CorruptModelError
from tintype.runtime.hints import to_hex
from tintype.runtime.resize import ImageArray
from tintype.runtime.results import Suggestion
from tintype.runtime.session import Session

_LEAST = 1e-5  # least probability of a peak
_NONE = -1e4  # log-probability of 0; finite, because a graph may divide it


def peaks(
    log_probabilities: NDArray[np.float32], lightness: ImageArray, count: int
) -> list[Suggestion]:
    """Return the peaks of a distribution over the ab bins, the most probable first.

    A bin belongs to the peak that is reached by steps to its most probable neighbor. A peak's color
    is the mean of its bin and neighboring bins, its probability that of all bins that belong to it.
    Peaks with a probability below 1e-5 are left out.

    Args:
        log_probabilities: log-probabilities of the bins, (313,), up to a constant.
        lightness: gray of the pixel, (1, 1), uint8 or uint16.
        count: largest number of peaks.
    """
    probability = np.exp(log_probabilities - log_probabilities.max()).astype(np.float64)
    probability /= probability.sum()
    centers = ab_bins()
    near = np.abs(centers[:, None] - centers).max(-1) <= 10  # (313, 313), itself included
    uphill = np.where(near, probability, -1).argmax(1)
    while not np.array_equal(uphill, uphill[uphill]):
        uphill = uphill[uphill]
    mass = np.bincount(uphill, probability, minlength=len(centers))
    suggestions = []
    for peak in np.argsort(-mass, kind="stable")[:count]:
        if mass[peak] >= _LEAST:
            weight = near[peak] * (uphill == peak) * probability
            ab = (weight @ centers / weight.sum()).astype(np.float32)
            rgb = join_lab(lightness, ab[None, None], dtype=np.uint8)[0, 0]
            suggestions.append(Suggestion(to_hex(rgb), float(mass[peak])))
    return suggestions


def prior_correction(decoder: Session, vividness: float) -> NDArray[np.float32]:
    """Return what decoding subtracts from the log-probabilities, (313,), up to a constant.

    Prior correction and temperature are inside the graph, so they are measured: a mixture of two
    bins is decoded to a color on the line between them, and its position gives their corrected
    odds.

    Args:
        decoder: session of the graph ``decode``, which computes an annealed mean.
        vividness: from 0 to 1.

    Raises:
        CorruptModelError: the graph does not decode every pixel by itself.
    """
    count = len(ab_bins())
    each = np.arange(count)

    def decoded(bins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the chroma (n, 2) of n distributions (n, 313)."""
        tensors = {"bins": bins.T[None, :, None], "vividness": np.array(vividness, np.float32)}
        chroma = decoder.run(tensors)["chroma"]
        if chroma.shape != (1, 2, 1, bins.shape[0]) or not np.isfinite(chroma).all():
            raise CorruptModelError(
                f"{decoder.path} does not decode bins one by one; export the model again."
            )
        return chroma[0, :, 0].T.astype(np.float64)

    single = np.full((count, count), _NONE, np.float32)
    single[each, each] = 0
    ends = decoded(single)

    def first_share(first: float) -> NDArray[np.float64]:
        """Return the decoded log-odds of the first bin in its mixture with each other bin."""
        mixed = np.full((count, count), _NONE, np.float32)
        mixed[each, each] = np.log(1 - first)
        mixed[:, 0] = np.log(first)
        line = ends[0] - ends
        along = ((decoded(mixed) - ends) * line).sum(1) / np.maximum((line**2).sum(1), 1e-12)
        share = np.clip(along, 1e-6, 1 - 1e-6)
        odds = np.log(share / (1 - share))
        odds[0] = 0
        return odds

    even, more = first_share(0.5), first_share(1 / (1 + np.exp(-0.5)))
    temperature = 0.5 / np.median((more - even)[1:])
    return (even * temperature).astype(np.float32)
