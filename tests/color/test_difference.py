import numpy as np
import pytest
from skimage.color import deltaE_ciede2000

from tintype.color.difference import ciede2000


def colors(seed, spread, count=20_000):
    random = np.random.default_rng(seed)
    return np.column_stack([random.uniform(0, 100, count), *(random.normal(0, spread, (2, count)))])


@pytest.mark.parametrize("spread", [1, 10, 40])
def test_difference_is_that_of_scikit_image_and_colour_science(spread):
    first, second = colors(0, spread), colors(1, spread)
    np.testing.assert_allclose(
        ciede2000(first, second), deltaE_ciede2000(first, second), rtol=1e-7, atol=1e-9
    )
    colour = pytest.importorskip("colour.difference")
    np.testing.assert_allclose(
        ciede2000(first, second), colour.delta_E_CIE2000(first, second), rtol=1e-7, atol=1e-9
    )


def test_published_pairs():
    # Rows 1, 7, 9, 14 and 25 of Table 1 of Sharma et al. 2005: hue signs, neutrals, hue wrap.
    pairs = [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ]
    for first, second, expected in pairs:
        assert ciede2000(first, second) == pytest.approx(expected, abs=5e-5)


def test_difference_is_symmetric_and_nought_of_equal_colours():
    first, second = colors(2, 30), colors(3, 30)
    np.testing.assert_allclose(ciede2000(first, second), ciede2000(second, first), atol=1e-9)
    assert ciede2000(first, first).max() == 0


def test_one_colour_is_compared_with_many():
    assert ciede2000([50, 0, 0], np.zeros((2, 4, 3))).shape == (2, 4)
