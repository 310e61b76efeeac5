"""True chroma of 28 cells in place of a model's: two of the four cells of PixColor's Figure 5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tintype.color.spaces import rgb_to_ycbcr
from tintype.errors import DataError
from tintype.photo import Photo
from tintype.runtime.named import NamedModel

PHOTO = Path(__file__).parent.parent.parent / "examples" / "color"


@pytest.fixture
def photo() -> Photo:
    return Photo.open(sorted(PHOTO.glob("*.jpg"))[0])


def cbcr(photo: Photo) -> np.ndarray:
    return rgb_to_ycbcr(photo.rgb() / np.float32(255))[..., 1:] - np.float32(0.5)


def test_true_chroma_is_near_the_photograph_and_smoother(photo: Photo) -> None:
    truth = NamedModel.load("truth28")
    found = truth.colorize(photo)
    assert found.rgb().shape == photo.rgb().shape
    error = np.abs(cbcr(found) - cbcr(photo)).mean()
    assert 0 < error < 0.3 * np.abs(cbcr(photo)).mean()
    assert not truth.samples
    same = NamedModel.load("tint_sampler@truth28").colorize(photo)
    assert np.array_equal(same.rgb(), found.rgb())


def test_the_second_stage_is_given_true_chroma(photo: Photo) -> None:
    plain, refined = (
        cbcr(NamedModel.load(name).colorize(photo)) for name in ("truth28", "truth28+refine")
    )
    # The second stage of the tests' sampler halves the chroma.
    assert np.abs(refined).mean() == pytest.approx(np.abs(plain).mean() / 2, rel=0.15)


def test_a_gray_photograph_stays_so() -> None:
    gray = Photo.from_array(np.full((40, 60), 100, np.uint8))
    assert np.ptp(NamedModel.load("truth28").colorize(gray).rgb()) <= 1


@pytest.mark.parametrize("name", ["plain@truth28", "tint_sampler.plain@truth28+refine"])
def test_a_model_without_a_second_stage_has_no_such_form(name: str) -> None:
    with pytest.raises(DataError, match="second stage"):
        NamedModel.load(name)
