"""The engine with a model of another kind: YUV chroma, from patches, with its own filter."""

import numpy as np
import pytest
from skimage import data

from tintype.color.gamut import join_luma
from tintype.color.guided import guided_filter, resize_bicubic
from tintype.color.spaces import rgb_to_luma, rgb_to_yuv
from tintype.errors import DataError
from tintype.evaluation.benchmark import evaluate
from tintype.photo import Photo
from tintype.runtime.engine import Colorizer


@pytest.fixture(scope="module")
def patchwise():
    return Colorizer("patchwise", threads=1)


@pytest.fixture(scope="module")
def cat():
    return Photo.from_array(data.chelsea())


def test_a_photograph_is_coloured_and_its_luma_kept(patchwise, cat):
    rgb = patchwise.colorize(cat).rgb()
    assert rgb.shape == (300, 451, 3)
    assert np.ptp(rgb.astype(int), axis=-1).mean() > 2
    assert np.abs(rgb_to_luma(rgb.astype(np.float32)) - cat.gray).max() <= 1


def test_the_filter_is_the_guided_filter_of_the_card_with_the_photograph_as_its_guide(
    patchwise, cat
):
    refinement = patchwise.card.refinement
    assert (refinement.radius, refinement.eps) == (40, 1e-4)
    chroma = resize_bicubic(patchwise.chroma(cat.gray), cat.gray.shape)
    filtered = guided_filter(cat.gray / np.float32(255), chroma, 40, 1e-4)
    expected = join_luma(cat.gray, filtered, "yuv")
    for refine in (None, "chroma"):
        found = patchwise.colorize(cat, refine=refine).rgb()
        assert np.abs(found.astype(int) - expected).max() <= 1
    raw = patchwise.colorize(cat, refine="none").rgb()
    assert np.abs(raw.astype(int) - expected).max() > 3


def test_filtering_the_picture_differs_only_by_colours_that_do_not_exist(patchwise, cat):
    chroma, image = (patchwise.colorize(cat, refine=way).rgb() for way in ("chroma", "image"))
    difference = np.abs(rgb_to_yuv(chroma / 255.0) - rgb_to_yuv(image / 255.0))
    assert 0 < difference.mean() < 0.005
    # Little chroma fits into every gamut: then there is no difference but of rounding.
    chroma, image = (
        patchwise.colorize(cat, refine=way, saturation=0.05).rgb() for way in ("chroma", "image")
    )
    assert np.abs(chroma.astype(int) - image).max() <= 2


@pytest.mark.parametrize("refine", ["none", "chroma", "image"])
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (90, 7), (64, 64)])
def test_any_size_comes_back_in_its_size_with_its_luma(patchwise, size, refine):
    gray = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    rgb = patchwise.colorize(Photo.from_array(gray), refine=refine).rgb()
    assert rgb.shape == (*size, 3)
    assert np.abs(rgb_to_luma(rgb.astype(np.float32)) - gray).max() <= 1


def test_patch_by_patch_is_close_to_all_at_once(patchwise, cat):
    apart = Colorizer("patchwise", threads=1, patch_stride=28).chroma(cat.gray)
    together = patchwise.chroma(cat.gray)
    assert apart.shape == together.shape
    assert np.abs(apart - together).mean() < 0.3 * np.abs(together).mean()


def test_options_of_other_models_are_refused(patchwise, cat):
    with pytest.raises(ValueError, match="no vividness"):
        patchwise.colorize(cat, vividness=0.5)
    with pytest.raises(ValueError, match="none, chroma, image"):
        patchwise.colorize(cat, refine="all")
    tint = Colorizer("tint", threads=1)
    with pytest.raises(ValueError, match="no filter"):
        tint.colorize(cat, refine="none")
    with pytest.raises(ValueError, match="patches"):
        Colorizer("tint", patch_stride=28)
    with pytest.raises(ValueError, match="from 1 to 56"):
        Colorizer("patchwise", patch_stride=57)


def test_the_benchmark_sets_raw_beside_refined(tmp_path):
    Photo.from_array(data.chelsea()).with_rgb(data.chelsea()).save(tmp_path / "cat.png")
    table = evaluate(list(tmp_path.iterdir()), ["patchwise", "patchwise@none"], threads=1)
    refined, raw = table.rows[2:]
    assert refined.model == "patchwise"
    assert refined["ab_rmse"] != raw["ab_rmse"]
    for name in ("patchwise@0.5", "patchwise@nothing", "tint@none"):
        with pytest.raises(DataError, match="@"):
            evaluate(list(tmp_path.iterdir()), [name])
