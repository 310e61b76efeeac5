"""The metrics of one model, accumulated photograph by photograph, and their bootstrap."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from tintype.color.bins import ab_bins, rebalancing_weights, smooth_prior
from tintype.color.spaces import rgb_to_lab
from tintype.evaluation.frechet import frechet_distance
from tintype.evaluation.metrics import (
    MAX_AUC_THRESHOLD,
    ab_histogram,
    auc,
    chroma_edge_mask,
    colorfulness,
    histogram_intersection,
    mean_ciede2000,
    nearest_bin,
    pixel_auc,
    pixel_threshold,
    psnr,
)
from tintype.evaluation.networks import FeatureNetworks, RgbImage
from tintype.evaluation.ssim import MS_SSIM_MIN_SIDE, ms_ssim, ssim

#: Number of bootstrap resamples of the photographs, and their seed.
BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED = 1000, 0

_MAX_PSNR = 100.0  # dB: the PSNR of equal pictures is infinite and would make the mean so
_BINS = len(ab_bins())
_THRESHOLDS = MAX_AUC_THRESHOLD + 2  # 0 to 150, and all above

Values = NDArray[np.float64]


class GroundTruth:
    """A photograph's true colours in every form that the metrics need.

    Args:
        rgb: the photograph, 8-bit RGB (H, W, 3).
        networks: feature networks, of which the classifier is used.
    """

    def __init__(self, rgb: RgbImage, networks: FeatureNetworks) -> None:
        self.rgb = rgb
        self.lab = rgb_to_lab(rgb / np.float32(255))
        self.ab = self.lab[..., 1:]
        self.bins = nearest_bin(self.ab).ravel()
        self.edges = chroma_edge_mask(self.ab)
        self.label = networks.classify(rgb) if networks.classify else None


class MetricAccumulator:
    """Accumulate the metrics of one model over photographs; pictures are not kept.

    Args:
        networks: feature networks, for their metrics.

    Attributes:
        values: metric -> its value for each photograph, nan where it has none.
    """

    def __init__(self, networks: FeatureNetworks) -> None:
        self.values: defaultdict[str, list[float]] = defaultdict(list)
        self._networks = networks
        self._histograms: list[NDArray[np.float32]] = []
        self._mse_by_bin: list[NDArray[np.float32]] = []  # by true ab bin
        self._auc_by_bin: list[NDArray[np.float32]] = []
        self._within = np.zeros(_BINS * _THRESHOLDS)  # pixels by true bin and threshold
        self._features: list[NDArray[np.float32]] = []

    def update(self, rgb: RgbImage, truth: GroundTruth, **extra: float) -> None:
        """Measure a colorized picture against the truth.

        Args:
            rgb: the picture, 8-bit RGB (H, W, 3).
            truth: the photograph, of the same size.
            extra: further metrics of the picture, by name.
        """
        lab = rgb_to_lab(rgb / np.float32(255))
        ab = lab[..., 1:]
        squared_error = np.square(ab - truth.ab).mean(-1)
        metrics = {
            "mse": float(squared_error.mean(dtype=np.float64)),
            "edge_mse": float(squared_error[truth.edges].mean()) if truth.edges.any() else np.nan,
            "de2000": mean_ciede2000(lab, truth.lab),
            "psnr": min(psnr(rgb, truth.rgb), _MAX_PSNR),
            "ssim": ssim(rgb, truth.rgb) if min(rgb.shape[:2]) >= 11 else np.nan,
            "colorful": colorfulness(rgb),
            "colorful_abs": colorfulness(rgb, absolute=True),
        }
        if self._networks.classify:
            metrics["label_agreement"] = float(self._networks.classify(rgb) == truth.label)
        if self._networks.lpips:
            metrics["lpips"] = self._networks.lpips(rgb, truth.rgb)
        if self._networks.inception_features:
            self._features.append(self._networks.inception_features(rgb))
        for name, value in (metrics | extra).items():
            self.values[name].append(value)
        self._histograms.append((ab_histogram(ab) / squared_error.size).astype(np.float32))
        for sums, per_pixel in (
            (self._mse_by_bin, squared_error),
            (self._auc_by_bin, pixel_auc(ab, truth.ab)),
        ):
            by_bin = np.bincount(truth.bins, per_pixel.ravel() / squared_error.size, _BINS)
            sums.append(by_bin.astype(np.float32))
        cells = truth.bins * _THRESHOLDS + pixel_threshold(ab, truth.ab).ravel()
        self._within += np.bincount(cells, minlength=len(self._within)) / cells.size

    def per_photo(self, name: str) -> Values:
        """Return a metric of each photograph, (N,)."""
        return np.array(self.values[name])

    @property
    def per_photo_metrics(self) -> dict[str, Values]:
        """Return metric -> its value for each photograph, (N,), mean square errors as roots."""
        names = {"mse": "ab_rmse", "edge_mse": "edge_rmse"}
        return {
            names.get(name, name): np.sqrt(values) if name in names else values
            for name, values in ((name, self.per_photo(name)) for name in self.values)
        }

    def compute(
        self, truths: MetricAccumulator, gray: MetricAccumulator, weights: Values
    ) -> dict[str, Values]:
        """Compute every metric over the set, for each of B weightings of the photographs.

        Args:
            truths, gray: the accumulators of the true colours and of the gray pictures.
            weights: how often each photograph counts, (B, N). All B weightings use the prior of ab
                bins of the whole set.

        Returns:
            Metric -> its values, (B,), nan where no photograph with a weight has one.
        """

        def mean(values: Values) -> Values:
            valid = np.isfinite(values)
            total = weights @ np.where(valid, values, 0)
            with np.errstate(invalid="ignore"):
                return total / (weights @ valid)

        mse_by_bin = np.stack(self._mse_by_bin, dtype=np.float64)
        auc_by_bin = np.stack(self._auc_by_bin, dtype=np.float64)
        # The AuC of the truth is 1 at every pixel, so its sums by bin are shares of pixels.
        pixels_by_bin = np.stack(truths._auc_by_bin, dtype=np.float64)
        bin_weights = rebalancing_weights(smooth_prior(truths.bin_prior)).astype(np.float64)
        rmse, gray_rmse = np.sqrt(mean(self.per_photo("mse"))), np.sqrt(mean(gray.per_photo("mse")))
        scores = {name: mean(self.per_photo(name)) for name in self.values if "mse" not in name}
        scores["ab_rmse"] = rmse
        scores["rmse_vs_gray"] = np.divide(
            rmse, gray_rmse, out=np.ones_like(rmse), where=gray_rmse > 0
        )
        scores["edge_rmse"] = np.sqrt(mean(self.per_photo("edge_mse")))
        scores["rebalanced_rmse"] = np.sqrt(
            mean(mse_by_bin @ bin_weights) / mean(pixels_by_bin @ bin_weights)
        )
        scores["auc"], scores["auc_reb"] = auc(
            weights @ auc_by_bin, weights @ pixels_by_bin, truths.bin_prior
        )
        for suffix in ("", "_abs"):
            own, true = self.per_photo(f"colorful{suffix}"), truths.per_photo(f"colorful{suffix}")
            scores[f"delta_cf{suffix}"] = mean(np.abs(own - true))
            scores[f"delta_cf_of_means{suffix}"] = np.abs(mean(own) - mean(true))
        own, true = (
            (weights @ np.stack(o._histograms).reshape(len(pixels_by_bin), -1)).reshape(
                len(weights), 2, -1
            )
            for o in (self, truths)
        )
        scores["hist_a"], scores["hist_b"] = histogram_intersection(own, true).T
        return scores

    @property
    def bin_prior(self) -> Values:
        """Return the share of pixels in each ab bin, (313,); valid for the truth only."""
        return np.stack(self._auc_by_bin, dtype=np.float64).mean(0)

    @property
    def histogram(self) -> Values:
        """Return the pooled histograms of a and b, each of sum 1, (2, 220)."""
        return np.stack(self._histograms, dtype=np.float64).mean(0)

    @property
    def error_curves(self) -> Values:
        """Return the share of pixels with an ab error of at most 0, 1, ... 150, (2, 151).

        Raw and rebalanced, as in `auc`, which is the area under these curves.
        """
        within = self._within.reshape(_BINS, _THRESHOLDS)
        pixels = within.sum(1, keepdims=True)
        rebalanced = (within / np.where(pixels > 0, pixels, 1)).sum(0)
        curves = np.stack([within.sum(0), rebalanced]).cumsum(1)
        return (curves / curves[:, -1:])[:, :-1]

    def fid(self, truths: MetricAccumulator) -> float | None:
        """Return the Fréchet distance to the truth's features; None for fewer than two."""
        if len(self._features) < 2:
            return None
        return frechet_distance(np.stack(self._features), np.stack(truths._features))


def bootstrap_weights(photographs: int) -> Values:
    """Return how often each photograph counts, (1 + B, N): 1 in the first row, then resampled."""
    random = np.random.default_rng(BOOTSTRAP_SEED)
    draws = random.multinomial(
        photographs, np.full(photographs, 1 / photographs), BOOTSTRAP_RESAMPLES
    )
    return np.vstack([np.ones(photographs), draws.astype(np.float64)])


def diversity(samples: list[RgbImage]) -> dict[str, float]:
    """Measure the diversity of several samples of one photograph.

    Args:
        samples: at least two pictures, 8-bit RGB (H, W, 3).

    Returns:
        ``ms_ssim``, multiscale SSIM as in PixColor's Figure 8 (nan for pictures too small for five
        scales), and ``ab_spread``, the distance in ab, mean over pixels; both are means over all
        pairs of samples.
    """
    ab = [rgb_to_lab(rgb / np.float32(255))[..., 1:] for rgb in samples]
    similarities, distances = [], []
    for k in range(len(samples)):
        for j in range(k):
            difference = ab[k] - ab[j]
            distance = np.hypot(difference[..., 0], difference[..., 1])
            distances.append(distance.mean(dtype=np.float64))
            if min(samples[k].shape[:2]) >= MS_SSIM_MIN_SIDE:
                similarities.append(ms_ssim(samples[k], samples[j]))
    return {
        "ms_ssim": float(np.mean(similarities)) if similarities else np.nan,
        "ab_spread": float(np.mean(distances)),
    }
