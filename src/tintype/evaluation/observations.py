"""What is seen of each photograph, and the figures of a row made of it, with their intervals."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from tintype.color.bins import ab_bins, rebalancing_weights, smooth_prior
from tintype.color.difference import ciede2000
from tintype.color.spaces import rgb_to_lab
from tintype.evaluation.frechet import frechet_distance
from tintype.evaluation.metrics import (
    ab_histogram,
    auc,
    closeness,
    colorfulness,
    histogram_intersection,
    near_chroma_edges,
    nearest_bin,
    psnr,
)
from tintype.evaluation.networks import Networks, Picture
from tintype.evaluation.similarity import SMALLEST, multiscale_ssim, ssim

#: Bootstrap resamples of the photographs, and the seed they are drawn with.
RESAMPLES, SEED = 1000, 0

_EQUAL = 100.0  # dB, for equal pictures: their PSNR is infinite and would be the mean
_BINS = len(ab_bins())

Values = NDArray[np.float64]


class Truth:
    """A photograph's true colours in every form the measures need."""

    def __init__(self, rgb: Picture, networks: Networks) -> None:
        self.rgb = rgb
        self.lab = rgb_to_lab(rgb / np.float32(255))
        self.ab = self.lab[..., 1:]
        self.bins = nearest_bin(self.ab).ravel()
        self.edges = near_chroma_edges(self.ab)
        self.label = networks.label(rgb) if networks.label else None


class Observations:
    """One system's results, photograph by photograph: numbers, never pictures.

    Attributes:
        values: measure of a photograph -> its values, nan where it has none.
    """

    def __init__(self, networks: Networks) -> None:
        self.values: defaultdict[str, list[float]] = defaultdict(list)
        self._networks = networks
        self._histograms: list[NDArray[np.float32]] = []
        self._squares: list[NDArray[np.float32]] = []  # of the error, by true bin
        self._close: list[NDArray[np.float32]] = []
        self._features: list[NDArray[np.float32]] = []

    def add(self, rgb: Picture, truth: Truth, **known: float) -> None:
        """Measure a picture against the truth; `known` is what was measured elsewhere."""
        lab = rgb_to_lab(rgb / np.float32(255))
        ab = lab[..., 1:]
        square = np.square(ab - truth.ab).mean(-1)
        seen = {
            "square": float(square.mean(dtype=np.float64)),
            "edge_square": float(square[truth.edges].mean()) if truth.edges.any() else np.nan,
            "de2000": float(ciede2000(lab, truth.lab).mean()),
            "psnr": min(psnr(rgb, truth.rgb), _EQUAL),
            "ssim": ssim(rgb, truth.rgb) if min(rgb.shape[:2]) >= 11 else np.nan,
            "colorful": colorfulness(rgb),
            "colorful_abs": colorfulness(rgb, absolute=True),
        }
        if self._networks.label:
            seen["label_agreement"] = float(self._networks.label(rgb) == truth.label)
        if self._networks.distance:
            seen["lpips"] = self._networks.distance(rgb, truth.rgb)
        if self._networks.features:
            self._features.append(self._networks.features(rgb))
        for name, value in (seen | known).items():
            self.values[name].append(value)
        self._histograms.append((ab_histogram(ab) / square.size).astype(np.float32))
        for kept, of_pixels in ((self._squares, square), (self._close, closeness(ab, truth.ab))):
            counts = np.bincount(truth.bins, of_pixels.ravel() / square.size, _BINS)
            kept.append(counts.astype(np.float32))

    def value(self, name: str) -> Values:
        """A measure of every photograph, (N,)."""
        return np.array(self.values[name])

    @property
    def photo_values(self) -> dict[str, Values]:
        """What is worth telling of single photographs; root mean squares as such."""
        names = {"square": "ab_rmse", "edge_square": "edge_rmse"}
        return {
            names.get(name, name): np.sqrt(self.value(name)) if name in names else self.value(name)
            for name in self.values
        }

    def figures(
        self, truths: Observations, gray: Observations, weights: Values
    ) -> dict[str, Values]:
        """Every figure of the row, for each of B weightings of the photographs.

        Args:
            truths, gray: the same of the true colours and of none.
            weights: how often each photograph counts, (B, N). The weights of rare colours are the
                whole set's in every one.

        Returns:
            Measure -> its values, (B,), nan where no photograph that counts has one.
        """

        def mean(values: Values) -> Values:
            there = np.isfinite(values)
            total = weights @ np.where(there, values, 0)
            with np.errstate(invalid="ignore"):
                return total / (weights @ there)

        squares, close = (np.stack(k, dtype=np.float64) for k in (self._squares, self._close))
        # The truth is close to itself: these are shares of pixels by bin.
        share = np.stack(truths._close, dtype=np.float64)
        rare = rebalancing_weights(smooth_prior(truths.pixels)).astype(np.float64)
        rmse, gray_rmse = np.sqrt(mean(self.value("square"))), np.sqrt(mean(gray.value("square")))
        found = {name: mean(self.value(name)) for name in self.values if "square" not in name}
        found["ab_rmse"] = rmse
        found["rmse_vs_gray"] = np.divide(
            rmse, gray_rmse, out=np.ones_like(rmse), where=gray_rmse > 0
        )
        found["edge_rmse"] = np.sqrt(mean(self.value("edge_square")))
        found["rebalanced_rmse"] = np.sqrt(mean(squares @ rare) / mean(share @ rare))
        found["auc"], found["auc_reb"] = auc(weights @ close, weights @ share, truths.pixels)
        for kind in ("", "_abs"):
            own, true = self.value(f"colorful{kind}"), truths.value(f"colorful{kind}")
            found[f"delta_cf{kind}"] = mean(np.abs(own - true))
            found[f"delta_cf_of_means{kind}"] = np.abs(mean(own) - mean(true))
        own, true = (
            (weights @ np.stack(o._histograms).reshape(len(share), -1)).reshape(len(weights), 2, -1)
            for o in (self, truths)
        )
        found["hist_a"], found["hist_b"] = histogram_intersection(own, true).T
        return found

    @property
    def pixels(self) -> Values:
        """Share of the pixels in each bin, of the truth's own observations, (313,)."""
        return np.stack(self._close, dtype=np.float64).mean(0)

    @property
    def histogram(self) -> Values:
        """The pooled histograms of a and b, each of sum 1, (2, 220)."""
        return np.stack(self._histograms, dtype=np.float64).mean(0)

    def fid(self, truths: Observations) -> float | None:
        """Fréchet distance to the features of the truth; None where there are none to compare."""
        if len(self._features) < 2:
            return None
        return frechet_distance(np.stack(self._features), np.stack(truths._features))


def resampled(photographs: int) -> Values:
    """How often each photograph counts: once in the first row, then as bootstrap draws them."""
    random = np.random.default_rng(SEED)
    draws = random.multinomial(photographs, np.full(photographs, 1 / photographs), RESAMPLES)
    return np.vstack([np.ones(photographs), draws.astype(np.float64)])


def diversity(samples: list[Picture]) -> dict[str, float]:
    """How far samples of one photograph lie apart, over all pairs: `ms_ssim` and `ab_spread`.

    Multiscale SSIM is that of PixColor's Figure 8 (nan for pictures too small for five scales);
    the spread is the distance in ab, mean over pixels.
    """
    chroma = [rgb_to_lab(rgb / np.float32(255))[..., 1:] for rgb in samples]
    alike, apart = [], []
    for k in range(len(samples)):
        for j in range(k):
            off = chroma[k] - chroma[j]
            apart.append(np.hypot(off[..., 0], off[..., 1]).mean(dtype=np.float64))
            if min(samples[k].shape[:2]) >= SMALLEST:
                alike.append(multiscale_ssim(samples[k], samples[j]))
    return {
        "ms_ssim": float(np.mean(alike)) if alike else np.nan,
        "ab_spread": float(np.mean(apart)),
    }
