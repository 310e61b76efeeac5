"""An exported tint takes hints in the runtime, and its suggestions are of its own distribution."""

from typing import Any

import numpy as np
from exported import untrained

from tintype.runtime.colorizer import Colorizer
from tintype.runtime.hints import Hint
from tintype.runtime.suggest import prior_correction

GRAY = np.random.default_rng(0).integers(0, 256, (90, 130), dtype=np.uint8)


def test_a_hint_changes_the_chroma_and_none_changes_nothing(exported):
    colorizer = Colorizer(exported("tint").path, threads=1)
    automatic = colorizer.chroma(GRAY)
    hinted = colorizer.chroma(GRAY, hints=[Hint(40, 40, "#8a3324", radius=10)])
    assert hinted.shape == automatic.shape
    assert not np.array_equal(hinted, automatic)
    assert np.array_equal(colorizer.chroma(GRAY, hints=[]), automatic)


def test_suggestions_leave_out_the_prior_correction_of_the_network(exported):
    model: Any = untrained("tint")
    colorizer = Colorizer(exported("tint").path, threads=1)
    assert colorizer.suggest(GRAY, 40, 40, 3)
    (safe, vivid), vividness = model.decoding.prior_correction, 0.3
    expected = (safe + vividness * (vivid - safe)) * model.corrected_weights.log().numpy()
    found = prior_correction(colorizer.predictor._decoder, vividness)
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-2)
