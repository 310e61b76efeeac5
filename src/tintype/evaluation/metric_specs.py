"""The metrics of the benchmark: names, headings, directions and one-line definitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetricSpec:
    """A column of the table; docs/reference/metrics.md has its definition, source and pitfalls.

    Attributes:
        name: key in `Row` and in JSON.
        title: heading of its column.
        group: heading above columns of one kind.
        better: whether higher or lower is better; empty if neither.
        decimals: number of decimals printed.
        description: its definition in a sentence.
    """

    name: str
    title: str
    group: str
    better: Literal["higher", "lower", ""]
    decimals: int
    description: str


_SPECS: tuple[tuple[str, str, str, Literal["higher", "lower", ""], int, str], ...] = (
    # Error
    ("ab_rmse", "ab RMSE", "Error", "lower", 2, "Root mean square error over a and b, CIE Lab."),
    ("rmse_vs_gray", "vs gray", "Error", "lower", 3, "ab RMSE over that of the gray picture."),
    ("edge_rmse", "at edges", "Error", "lower", 2, "ab RMSE near the true chroma's strong edges."),
    (
        "rebalanced_rmse",
        "rebalanced",
        "Error",
        "lower",
        2,
        "ab RMSE, rare colours weighted up.",
    ),
    ("de2000", "ΔE₀₀", "Error", "lower", 2, "Mean CIEDE2000 difference."),
    ("auc", "AuC %", "Error", "higher", 1, "Area under the curve of pixels by ab error, 0 to 150."),
    ("auc_reb", "AuC reb. %", "Error", "higher", 1, "AuC with every colour weighing alike."),
    # Structure
    ("psnr", "PSNR dB", "Structure", "higher", 2, "Of RGB; favours muted colours."),
    ("ssim", "SSIM", "Structure", "higher", 3, "Of RGB, 11x11 Gaussian windows of 1.5."),
    ("lpips", "LPIPS", "Structure", "lower", 3, "Version 0.1, AlexNet."),
    # Colour
    ("colorful", "colorful", "Colour", "", 1, "Colorfulness, Hasler and Süsstrunk 2003."),
    ("delta_cf", "ΔCF", "Colour", "lower", 1, "Mean over photographs of |ΔCF| to the truth."),
    ("delta_cf_of_means", "ΔCF of means", "Colour", "lower", 1, "|ΔCF| of means over the set."),
    ("colorful_abs", "CF abs", "Colour", "", 1, "Colorfulness as DDColor's code has it."),
    ("delta_cf_abs", "ΔCF abs", "Colour", "lower", 1, "As ΔCF, of colorful_abs."),
    (
        *("delta_cf_of_means_abs", "ΔCF abs of means", "Colour", "lower", 1),
        "As ΔCF of means, of colorful_abs: Delta CF of DDColor.",
    ),
    ("hist_a", "hist a", "Colour", "higher", 3, "Intersection of the histograms of a."),
    ("hist_b", "hist b", "Colour", "higher", 3, "Intersection of the histograms of b."),
    # Semantics
    ("label_agreement", "same label", "Semantics", "higher", 3, "Share with the truth's label."),
    ("fid", "FID", "Semantics", "lower", 2, "Fréchet Inception distance to the same photographs."),
    # Diversity
    ("ms_ssim", "MS-SSIM", "Diversity", "", 3, "Between samples: below 1 is diverse."),
    ("ab_spread", "ab spread", "Diversity", "", 2, "Mean distance in ab between samples."),
    # Cost
    ("seconds", "s", "Cost", "lower", 2, "Seconds to colour a photograph."),
    ("peak_mb", "peak MB", "Cost", "lower", 0, "Peak memory of a process for this model alone."),
)

#: Every metric, in the order of the table.
METRICS = {spec[0]: MetricSpec(*spec) for spec in _SPECS}

#: The metrics on cards, and in the printed table as far as its width allows, the first ones first.
HEADLINE_METRICS = (
    *("ab_rmse", "rmse_vs_gray", "psnr", "colorful", "delta_cf", "hist_a", "hist_b", "auc_reb"),
    *("label_agreement", "fid", "lpips", "de2000", "seconds", "ssim"),
)
