"""Photographs, and one table of them that several files look at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tintype.evaluation.benchmark import evaluate
from tintype.evaluation.networks import FeatureNetworks
from tintype.evaluation.report import ThumbnailStore

NAMES = ("astronaut", "chelsea", "coffee")


def warmth(rgb):
    """A network of the test's own: whether a picture is redder than it is blue."""
    return int(rgb[..., 0].mean() > rgb[..., 2].mean())


NETWORKS = FeatureNetworks(
    classify=warmth,
    lpips=lambda rgb, truth: float(np.abs(rgb.astype(float) - truth).mean() / 255),
    inception_features=lambda rgb: rgb.reshape(-1, 3).mean(0).astype(np.float32),
    notes={"label_agreement": "of the test", "fid": "means of RGB", "lpips": "mean distance"},
)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in NAMES:
        Image.fromarray(getattr(data, name)()).reduce(4).save(folder / f"{name}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def thumbnails(tmp_path_factory):
    return ThumbnailStore(tmp_path_factory.mktemp("thumbnails"))


@pytest.fixture(scope="session")
def table(photos, thumbnails):
    models = ["tint", "tint@0", "tint@1"]
    return evaluate(photos, models, threads=1, networks=NETWORKS, on_image=thumbnails.save)
