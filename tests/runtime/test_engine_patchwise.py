"""The engine with a model of another kind: YUV chroma, from patches, with its own filter."""

import numpy as np
import pytest
from skimage import data

from tintype.color.guided import guided_filter
from tintype.color.spaces import luma
from tintype.errors import DataError
from tintype.evaluation.benchmark import evaluate
from tintype.photo import Photo
from tintype.runtime.engine import Colorizer, reduce


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
    assert np.abs(luma(rgb.astype(np.float32)) - cat.gray).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (90, 7), (64, 64)])
def test_any_size_comes_back_in_its_size(patchwise, size):
    gray = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    assert patchwise.colorize(Photo.from_array(gray)).rgb().shape == (*size, 3)


def test_the_filter_is_the_guided_filter_of_the_card_with_the_photograph_as_its_guide(
    patchwise, cat
):
    raw = patchwise.chroma(cat.gray, refine="none")
    seen = reduce(cat.gray, patchwise.card.size)
    assert raw.shape == (*seen.shape, 2)
    refinement = patchwise.card.refinement
    assert (refinement.radius, refinement.eps) == (40, 1e-4)
    expected = guided_filter(seen, raw, 40, 1e-4)
    np.testing.assert_array_equal(patchwise.chroma(cat.gray), expected)
    np.testing.assert_array_equal(patchwise.chroma(cat.gray, refine="chroma"), expected)


def test_filtering_the_picture_is_filtering_its_chroma_where_all_colours_exist(patchwise, cat):
    chroma = patchwise.chroma(cat.gray, refine="chroma")
    image = patchwise.chroma(cat.gray, refine="image")
    assert 0 < np.abs(chroma - image).max() < 0.1
    assert np.median(np.abs(chroma - image)) < 1e-3


def test_patch_by_patch_is_close_to_all_at_once(patchwise, cat):
    apart = Colorizer("patchwise", threads=1, patch_stride=28).chroma(cat.gray, refine="none")
    together = patchwise.chroma(cat.gray, refine="none")
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


def test_the_benchmark_sets_raw_beside_refined(tmp_path):
    Photo.from_array(data.chelsea()).with_rgb(data.chelsea()).save(tmp_path / "cat.png")
    table = evaluate(list(tmp_path.iterdir()), ["patchwise", "patchwise@none"], threads=1)
    refined, raw = table.rows[2:]
    assert refined.model == "patchwise"
    assert refined.ab_rmse != raw.ab_rmse
    for name in ("patchwise@0.5", "patchwise@nothing", "tint@none"):
        with pytest.raises(DataError, match="@"):
            evaluate(list(tmp_path.iterdir()), [name])
