"""Networks of published size with random weights: from a file to a colored photograph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from published_states import ddcolor_state, deoldify_state, eccv16_state, siggraph17_state

from tintype import Colorizer
from tintype.imports.importer import import_model
from tintype.models.published.ddcolor import DDColorConfig
from tintype.models.published.deoldify import WIDE, DeOldifyConfig

LARGE = DDColorConfig(channels=(192, 384, 768, 1536), depths=(3, 3, 27, 3))
PUBLISHED: dict[str, tuple[str, int, Callable[[], dict[str, torch.Tensor]]]] = {
    # model -> file, values (counters of batches included), what makes its weights
    "cic.eccv16": ("eccv16.pth", 32_241_010, lambda: eccv16_state(64)),
    "siggraph17.published": ("siggraph17.pth", 34_192_796, lambda: siggraph17_state(64)),
    "ddcolor.tiny": ("ddcolor_paper_tiny.pth", 55_051_016, lambda: ddcolor_state(DDColorConfig())),
    "ddcolor.artistic": ("ddcolor_artistic.pth", 227_921_864, lambda: ddcolor_state(LARGE)),
    "deoldify.artistic": (
        *("ColorizeArtistic_gen.pth", 63_767_578),
        lambda: deoldify_state("artistic", DeOldifyConfig()),
    ),
    "deoldify.video": (
        *("ColorizeVideo_gen.pth", 218_480_110),
        lambda: deoldify_state("wide", WIDE),
    ),
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_file_of_published_size_becomes_a_model(tmp_path: Path, name: str) -> None:
    file, values, make = PUBLISHED[name]
    state = make()
    published = [key for key in state if "head_cls" not in key]
    assert sum(state[key].numel() for key in published) == pytest.approx(values, abs=100)
    torch.save(state, tmp_path / file)
    del state
    heard: list[str] = []
    card = import_model(tmp_path / file, tmp_path, say=heard.append)
    assert card.name == name
    assert "standard deviations at most" in heard[-1]
    chroma = Colorizer(card.path).chroma(np.tile(np.arange(256, dtype=np.uint8), (192, 1)))
    assert np.isfinite(chroma).all()
    assert np.ptp(chroma) > 0
