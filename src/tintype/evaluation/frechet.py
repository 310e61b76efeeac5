"""The Fréchet distance between two sets of features, which is FID for features of Inception."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the squared Fréchet distance of Gaussians fitted to features (N, D) and (M, D).

    |mu1 - mu2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), Heusel et al. 2017, with unbiased covariances.
    With C = F'F the trace of the root is the sum of the singular values of F1 F2', so that no root
    of a singular matrix is needed. For N < D the covariances are rank-deficient and the distance
    is biased: it depends on N.

    Raises:
        ValueError: a set has fewer than two members, or the dimensions differ.
    """
    if first.shape[1:] != second.shape[1:] or min(len(first), len(second)) < 2:
        raise ValueError(
            f"expected two sets of 2 or more features, got {first.shape} and {second.shape}"
        )
    (mean1, root1), (mean2, root2) = _mean_and_root(first), _mean_and_root(second)
    cross = np.linalg.svd(root1 @ root2.T, compute_uv=False).sum()
    trace = np.square(root1).sum() + np.square(root2).sum()
    return float(max(np.square(mean1 - mean2).sum() + trace - 2 * cross, 0))


def _mean_and_root(
    features: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean (D,), and F with F'F the covariance."""
    values = features.astype(np.float64)
    mean = values.mean(0)
    root = (values - mean) / np.sqrt(len(values) - 1)
    return mean, np.linalg.qr(root).R if len(root) > root.shape[1] else root
