from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from tintype.runtime.screens import descreen

HEIGHT, WIDTH = 160, 224


def scene() -> np.ndarray:
    random = np.random.default_rng(5)
    gray = Image.fromarray(random.random((10, 14), np.float32)).resize((WIDTH, HEIGHT), 3)
    return np.clip(np.asarray(gray), 0, 1)


def printed(gray: np.ndarray, across: int, ink: float = 1) -> np.ndarray:
    """The picture in dots at 45 degrees, so many of them down its side, on gray paper."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] * 2 * np.pi * across / HEIGHT / 2**0.5
    dots = 0.5 + (np.cos(x + y) + np.cos(x - y)) / 4
    screened = np.clip(0.5 + 4 * (gray - dots), 0, 1)
    return (0.15 + 0.65 * (ink * screened + (1 - ink) * gray)).astype(np.float32)


@pytest.mark.parametrize("across", [30, 40, 60])
def test_the_dots_of_a_print_are_smoothed_away(across):
    seen = printed(scene(), across)
    smooth = descreen(seen)
    before, after = (np.corrcoef(x.ravel(), scene().ravel())[0, 1] for x in (seen, smooth))
    assert after > 0.85 > before + 0.15


def test_what_has_no_dots_is_left_alone():
    random = np.random.default_rng(0)
    plain = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    grain = np.clip(scene() + 0.1 * random.standard_normal((HEIGHT, WIDTH)), 0, 1)
    for gray in (scene(), grain.astype(np.float32), plain, plain[:1, :1], plain[:1]):
        assert descreen(gray) is gray


def test_the_result_changes_continuously_with_the_dots():
    made = [descreen(printed(scene(), 40, ink)) for ink in np.linspace(0, 1, 60)]
    assert max(np.abs(b - a).max() for a, b in pairwise(made)) < 0.15
