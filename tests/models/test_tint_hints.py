"""An exported tint takes hints in the runtime, and its suggestions are of its own distribution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tintype.export.onnx import write_model  # noqa: E402
from tintype.models.tint import Tint  # noqa: E402
from tintype.runtime.colorizer import Colorizer  # noqa: E402
from tintype.runtime.hints import Hint  # noqa: E402
from tintype.runtime.suggest import correction  # noqa: E402


@pytest.mark.heavy
def test_an_exported_tint_takes_hints_and_tells_its_prior_correction(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Tint(replace(Tint.presets["test"][0], looks=False))
    assert model.pyramid.hints is not None
    with torch.no_grad():
        for part in model.pyramid.hints:  # they begin at zero
            for parameter in part.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        model.corrected_weights.copy_(torch.rand(313) * 3 + 0.2)
    card = write_model(model, "tint.test", tmp_path, {})
    colorizer = Colorizer(card.path, threads=1)
    assert card.takes_hints
    gray = np.random.default_rng(0).integers(0, 256, (90, 130), dtype=np.uint8)
    automatic = colorizer.chroma(gray)
    hinted = colorizer.chroma(gray, hints=[Hint(40, 40, "#8a3324", radius=10)])
    assert hinted.shape == automatic.shape
    assert not np.array_equal(hinted, automatic)
    assert np.array_equal(colorizer.chroma(gray, hints=[]), automatic)
    assert colorizer.suggest(gray, 40, 40, 3)

    (safe, vivid), vividness = model.decoding.prior_correction, 0.3
    expected = (safe + vividness * (vivid - safe)) * model.corrected_weights.log().numpy()
    found = correction(colorizer.predictor._decoder, vividness)
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-2)
