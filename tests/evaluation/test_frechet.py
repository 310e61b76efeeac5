import numpy as np
import pytest
from scipy.linalg import sqrtm

from tintype.evaluation.frechet import frechet_distance

RANDOM = np.random.default_rng(0)


def published(first, second):
    """The formula as it is printed, with scipy's root of a matrix."""
    c1, c2 = (np.cov(x, rowvar=False) for x in (first, second))
    root = sqrtm(c1 @ c2).real
    return np.square(first.mean(0) - second.mean(0)).sum() + np.trace(c1 + c2 - 2 * root)


def test_distance_is_that_of_the_printed_formula():
    first = RANDOM.normal(0, 1, (200, 12)) @ RANDOM.normal(0, 1, (12, 12))
    second = RANDOM.normal(0.3, 2, (150, 12))
    assert frechet_distance(first, second) == pytest.approx(published(first, second), rel=1e-6)


def test_distance_of_shifted_features_is_the_square_of_the_shift():
    first = RANDOM.normal(0, 1, (50, 4)).astype(np.float32)
    assert frechet_distance(first, first + np.float32(2)) == pytest.approx(16, rel=1e-4)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)


def test_fewer_features_than_dimensions_are_no_trouble():
    first = RANDOM.normal(0, 1, (6, 40))
    second = np.vstack([first[1:], first[:1]])
    assert frechet_distance(first, second) == pytest.approx(0, abs=1e-9)
    # Scaling every feature about the mean by 2 leaves tr(C + 4 C - 2 * 2 C) = tr C.
    mean = first.mean(0)
    expected = np.trace(np.cov(first, rowvar=False))
    assert frechet_distance(first, 2 * (first - mean) + mean) == pytest.approx(expected)


def test_what_cannot_be_compared_is_refused():
    for other in (np.zeros((1, 3)), np.zeros((4, 2))):
        with pytest.raises(ValueError, match="2 or more"):
            frechet_distance(np.zeros((4, 3)), other)
