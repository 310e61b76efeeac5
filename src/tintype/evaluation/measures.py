"""Which measures there are: their names, headings, directions and definitions in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """One column of the table; docs/evaluation.md has definition, source and pitfalls.

    Attributes:
        name: its key in `Row` and in JSON.
        title: its heading for readers.
        group: the heading above it.
        better: whether more or less is better; empty where neither is.
        digits: behind the point.
        says: what it is, in a sentence.
    """

    name: str
    title: str
    group: str
    better: Literal["more", "less", ""]
    digits: int
    says: str


_ROWS: tuple[tuple[str, str, str, Literal["more", "less", ""], int, str], ...] = (
    # Error
    ("ab_rmse", "ab RMSE", "Error", "less", 2, "Root mean square error over a and b, CIE Lab."),
    ("rmse_vs_gray", "vs gray", "Error", "less", 3, "ab RMSE over that of the gray picture."),
    ("edge_rmse", "at edges", "Error", "less", 2, "ab RMSE near the true chroma's strong edges."),
    ("rebalanced_rmse", "rebalanced", "Error", "less", 2, "ab RMSE with rare colours weighted up."),
    ("de2000", "ΔE₀₀", "Error", "less", 2, "Mean CIEDE2000 difference."),
    ("auc", "AuC %", "Error", "more", 1, "Area under the share of pixels by ab error, 0 to 150."),
    ("auc_reb", "AuC reb. %", "Error", "more", 1, "AuC with every colour weighing alike."),
    # Structure
    ("psnr", "PSNR dB", "Structure", "more", 2, "Of RGB; favours muted colours."),
    ("ssim", "SSIM", "Structure", "more", 3, "Of RGB, 11x11 Gaussian windows of 1.5."),
    ("lpips", "LPIPS", "Structure", "less", 3, "Version 0.1, AlexNet."),
    # Colour
    ("colorful", "colorful", "Colour", "", 1, "Colorfulness, Hasler and Süsstrunk 2003."),
    ("delta_cf", "ΔCF", "Colour", "less", 1, "Mean over photographs of |ΔCF| to the truth."),
    ("delta_cf_of_means", "ΔCF of means", "Colour", "less", 1, "|ΔCF| of means over the set."),
    ("colorful_abs", "CF abs", "Colour", "", 1, "Colorfulness as DDColor's code has it."),
    ("delta_cf_abs", "ΔCF abs", "Colour", "less", 1, "As ΔCF, of colorful_abs."),
    (
        *("delta_cf_of_means_abs", "ΔCF abs of means", "Colour", "less", 1),
        "As ΔCF of means, of colorful_abs: Delta CF of DDColor.",
    ),
    ("hist_a", "hist a", "Colour", "more", 3, "Intersection of the histograms of a."),
    ("hist_b", "hist b", "Colour", "more", 3, "Intersection of the histograms of b."),
    # Meaning
    ("label_agreement", "same label", "Meaning", "more", 3, "Share with the truth's label."),
    ("fid", "FID", "Meaning", "less", 2, "Fréchet Inception distance to the same photographs."),
    # Diversity
    ("ms_ssim", "MS-SSIM", "Diversity", "", 3, "Between samples: below 1 is diverse."),
    ("ab_spread", "ab spread", "Diversity", "", 2, "Mean distance in ab between samples."),
    # Cost
    ("seconds", "s", "Cost", "less", 2, "Seconds to colour a photograph."),
    ("peak_mb", "peak MB", "Cost", "less", 0, "Most memory of a process for this model alone."),
)

#: Every measure, in the table's order.
MEASURES = {row[0]: Measure(*row) for row in _ROWS}

#: What is looked at first, in this order: a terminal has room for so many, and cards keep them.
BRIEF = (
    *("ab_rmse", "rmse_vs_gray", "psnr", "colorful", "delta_cf", "hist_a", "hist_b", "auc_reb"),
    *("label_agreement", "fid", "lpips", "de2000", "seconds", "ssim"),
)
