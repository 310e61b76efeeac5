import numpy as np
import pytest
import torch

from tintype.runtime.card import Patches
from tintype.runtime.patches import overlapping, whole
from tintype.systems import build
from tintype.systems.patchwise import FRAME, FRINGE, PATCH

PATCHES = Patches(PATCH, FRAME, FRINGE)
SPAN = PATCH - 2 * FRAME


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    system = build("patchwise", "test")[0].eval()
    with torch.no_grad():
        for name, parameter in system.named_parameters():
            if name.endswith("full.weight"):
                parameter *= 30  # fewer terms shall make a difference

    def run(gray):
        with torch.no_grad():
            return system(torch.from_numpy(np.ascontiguousarray(gray))[None, None])[0].numpy()

    return run


def picture(height, width):
    return np.random.default_rng(0).random((height, width), dtype=np.float32)


def single_and_inner(length, stride):
    """Pixels that one patch alone covers, and not with its fringe; and those with no fringe."""
    starts = [*range(0, length - SPAN, stride), length - SPAN]
    cover, fringe = np.zeros(length, int), np.zeros(length, bool)
    for start in starts:
        cover[start : start + SPAN] += 1
        fringe[start : start + FRINGE] = fringe[start + SPAN - FRINGE : start + SPAN] = True
    return (cover == 1) & ~fringe


@pytest.mark.parametrize("stride", [28, 42, SPAN - FRINGE, SPAN])
def test_patches_agree_with_the_whole_where_one_alone_covers_a_pixel(network, stride):
    gray = picture(130, 170)
    together, apart = whole(network, gray, PATCHES), overlapping(network, gray, PATCHES, stride)
    assert together.shape == apart.shape == (2, 130, 170)
    alone = np.outer(single_and_inner(130, stride), single_and_inner(170, stride))
    assert alone.any()
    np.testing.assert_allclose(apart[:, alone], together[:, alone], atol=1e-5)
    assert np.abs(apart - together).max() > 1e-3  # elsewhere averaging hides missing terms


def test_where_patches_overlap_by_the_fringe_all_that_one_covers_agrees(network):
    """Fringe lies on fringe then: no pixel is covered by a fringe alone, but at the borders."""
    gray = picture(130, 170)
    stride = SPAN - FRINGE
    together, apart = whole(network, gray, PATCHES), overlapping(network, gray, PATCHES, stride)
    covers = []
    for length in gray.shape:
        cover = np.zeros(length, int)
        for start in [*range(0, length - SPAN, stride), length - SPAN]:
            cover[start : start + SPAN] += 1
        cover[:FRINGE] = cover[-FRINGE:] = 0
        covers.append(cover == 1)
    alone = np.outer(*covers)
    np.testing.assert_allclose(apart[:, alone], together[:, alone], atol=1e-5)


def test_the_middle_of_one_patch_is_what_training_saw(network):
    gray = picture(PATCH, PATCH)
    inner = slice(FRAME + FRINGE, -FRAME - FRINGE)
    np.testing.assert_allclose(
        whole(network, gray, PATCHES)[:, inner, inner],
        network(gray)[:, FRINGE:-FRINGE, FRINGE:-FRINGE],
        atol=1e-5,
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (5, 7), (56, 20), (57, 64)])
def test_the_photograph_is_mirrored_at_its_borders(network, size):
    gray = picture(*size)
    framed = network(np.pad(gray, FRAME + FRINGE, mode="reflect"))
    np.testing.assert_array_equal(
        whole(network, gray, PATCHES), framed[:, FRINGE:-FRINGE, FRINGE:-FRINGE]
    )
    assert overlapping(network, gray, PATCHES, 28).shape == (2, *size)


def test_overlaps_are_averaged():
    """With a network that says how often it was asked, from 0."""
    asked = iter(range(100))

    def count(patch):
        assert patch.shape == (PATCH, PATCH)
        return np.full((1, SPAN, SPAN), next(asked), np.float32)

    found = overlapping(count, picture(SPAN, SPAN + 28 + 5), PATCHES, 28)[0]
    # Patches 0, 1 and 2 begin at columns 0, 28 and 33: the last one ends with the photograph.
    assert found.shape == (SPAN, SPAN + 33)
    assert [found[3, x] for x in (0, 27, 28, 32, 33, 55, 56, 83, 84, 88)] == [
        *(0, 0),
        *(0.5, 0.5),
        *(1, 1),
        *(1.5, 1.5),
        *(2, 2),
    ]


@pytest.mark.parametrize("stride", [0, -3, SPAN + 1])
def test_strides_that_leave_gaps_are_refused(network, stride):
    with pytest.raises(ValueError, match="from 1 to 56"):
        overlapping(network, picture(80, 80), PATCHES, stride)
