"""SSIM and CIEDE2000 by scikit-image are the figures of the code that was ours before."""

import numpy as np
import pytest

from tintype.color.spaces import rgb_to_lab
from tintype.evaluation.metrics import mean_ciede2000
from tintype.evaluation.ssim import ms_ssim, ssim


def waves(shift):
    y, x = np.mgrid[:192, :256].astype(float)
    channels = [
        np.sin((x + shift * k) / (9 + 7 * k)) * np.cos((y - shift) / (5 + 11 * k)) for k in range(3)
    ]
    return (127.5 + 127 * np.stack(channels, -1)).round().astype(np.uint8)


def grained(picture):
    y, x = np.mgrid[:192, :256]
    grain = (x * 7 + y * 13) % 31 - 15
    return np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)


FIRST = waves(0)
GRAINED = grained(FIRST)


# SSIM, MS-SSIM and mean CIEDE2000 by tintype's own code of commit 58241c5, which counted in float32
# for the first two.
@pytest.mark.parametrize(
    ("pictures", "recorded"),
    [
        ((FIRST, waves(4)), (0.7878417872, 0.6138686338, 13.3918203874)),
        ((FIRST, GRAINED), (0.7289444940, 0.9810788624, 2.4038178011)),
        (
            (FIRST[:187, :201], grained(FIRST)[:187, :201]),
            (0.7288650050, 0.9810686924, 2.399457234),
        ),
        ((FIRST, 255 - FIRST), (0.0035840588, 0.0, 66.3241935457)),
        ((FIRST, FIRST), (1.0, 1.0, 0.0)),
    ],
    ids=["shifted", "grained", "odd sizes", "inverted", "equal"],
)
def test_figures_are_those_of_our_own_code_before(pictures, recorded):
    labs = (rgb_to_lab(picture / np.float32(255)) for picture in pictures)
    found = (ssim(*pictures), ms_ssim(*pictures), mean_ciede2000(*labs))
    assert found == pytest.approx(recorded, abs=1e-6)
