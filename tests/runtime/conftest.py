"""A folder with small models of each kind, which are found before the package's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import bins_model, chroma_model, hinted_model, sampler_model

from tintype.card import GuidedFilter
from tintype.runtime.registry import WEIGHTS_VARIABLE


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tint.small`` predicts a distribution, ``plain``, ``faded`` and ``filtered`` chroma."""
    folder = tmp_path_factory.mktemp("models")
    bins_model(folder)
    chroma_model(folder)
    chroma_model(
        folder, "filtered.small", space="yuv", filter=GuidedFilter(4, 1e-3), gain=(0.2, 0.1)
    )
    chroma_model(folder, "faded.small", normalise=True)
    sampler_model(folder)
    sampler_model(folder, "tint_sampler.plain", refine=False)
    hinted_model(folder)
    sampler_model(folder, "tint_sampler.hinted", hints=True)
    return folder


@pytest.fixture(autouse=True)
def named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(models))


@pytest.fixture(scope="session")
def landscape() -> np.ndarray:
    """A gray hill under a bright sky, with some texture."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160] / 160
    gray = np.where(y > 0.4 + 0.1 * np.sin(6 * x), 0.35 + 0.1 * y, 0.8 - 0.2 * y)
    return (255 * np.clip(gray + 0.03 * random.standard_normal(gray.shape), 0, 1)).astype(np.uint8)
