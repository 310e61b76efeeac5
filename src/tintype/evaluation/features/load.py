"""Load feature networks as functions of pictures, with weights that the user supplies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tintype.errors import CheckpointError, DataError
from tintype.evaluation.features.inception import InceptionV3
from tintype.evaluation.features.lpips import LPIPS, MIN_SIDE
from tintype.evaluation.features.weights import load_state_dict, read_state_dict
from tintype.evaluation.networks import FeatureNetworks, RgbImage
from tintype.models.backbones import Classifier

_CLASSIFIER_FILES = (
    "MobileNetV2 1.0 of ImageNet with folded batch norms and its classifier, as safetensors "
    "(converted from github.com/google-coral/test_data, see docs/reference/metrics.md)"
)
_FID_FILES = (
    "Inception-v3: pt_inception-2015-12-05-6726825d.pth (converted from TensorFlow; releases of "
    "github.com/mseitzer/pytorch-fid) or inception_v3_google-0cc3c7bd.pth "
    "(download.pytorch.org/models)"
)
_LPIPS_FILES = (
    "both alexnet-owt-7be5be79.pth (download.pytorch.org/models) and the linear heads alex.pth "
    "(lpips/weights/v0.1 of github.com/richzhang/PerceptualSimilarity)"
)
_CLASSIFIER_SIDE = 224  # pixels, the classifier's input
_CENTER_FRACTION = 0.875  # of the shorter side, cropped for the classifier


def load_feature_networks(
    *,
    classifier: Path | None = None,
    fid: Path | None = None,
    lpips_files: Sequence[Path] = (),
    threads: int | None = None,
) -> FeatureNetworks:
    """Load the feature networks whose weights are given.

    Args:
        classifier: file of MobileNetV2's weights, for label_agreement.
        fid: file of Inception-v3's weights, TensorFlow's or torchvision's; which is recognised.
        lpips_files: AlexNet's weights and those of LPIPS's linear heads, in one file or two.
        threads: number of torch's threads, for the whole process.

    Raises:
        DataError: a file cannot be read, or holds another network.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    notes: dict[str, str] = {}
    classify = lpips = inception_features = None
    if classifier is not None:
        classify = _load_classifier(classifier)
        notes["label_agreement"] = (
            "MobileNetV2 1.0 (ImageNet), central 87.5 % of the shorter side at "
            f"{_CLASSIFIER_SIDE} px; {classifier.name}"
        )
    if fid is not None:
        inception_features, notes["fid"] = _load_inception(fid)
    if lpips_files:
        lpips = _load_lpips(lpips_files)
        notes["lpips"] = "0.1, AlexNet; " + ", ".join(path.name for path in lpips_files)
    return FeatureNetworks(classify, lpips, inception_features, notes)


def _load_classifier(path: Path) -> Callable[[RgbImage], int]:
    try:
        network = Classifier.load(path)
    except CheckpointError as error:
        raise DataError(f"{path} cannot be used; needed: {_CLASSIFIER_FILES}.") from error

    @torch.inference_mode()
    def label(rgb: RgbImage) -> int:
        height, width = rgb.shape[:2]
        side = _CENTER_FRACTION * min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        seen = Image.fromarray(rgb).resize(
            (_CLASSIFIER_SIDE, _CLASSIFIER_SIDE),
            Image.Resampling.BILINEAR,
            (left, top, left + side, top + side),
        )
        return int(network(_tensor(np.asarray(seen))).argmax())

    return label


def _load_inception(path: Path) -> tuple[Callable[[RgbImage], NDArray[np.float32]], str]:
    weights = read_state_dict(path, _FID_FILES)
    # TensorFlow's network has 1,008 outputs, torchvision's 1,000.
    tensorflow = len(weights.get("fc.bias", ())) == 1008
    network = InceptionV3(tensorflow)
    load_state_dict(network, weights, path, _FID_FILES)
    kind = "TensorFlow's weights and poolings" if tensorflow else "torchvision's weights"

    @torch.inference_mode()
    def features(rgb: RgbImage) -> NDArray[np.float32]:
        return network(_tensor(rgb))[0].numpy()

    return features, f"Inception-v3 pool3 (2,048), {kind}, bilinear to 299 px; {path.name}"


def _load_lpips(paths: Sequence[Path]) -> Callable[[RgbImage, RgbImage], float]:
    weights = {name: w for path in paths for name, w in read_state_dict(path, _LPIPS_FILES).items()}
    network = LPIPS()
    load_state_dict(network, weights, paths[0], _LPIPS_FILES)

    @torch.inference_mode()
    def distance(rgb: RgbImage, truth: RgbImage) -> float:
        if min(rgb.shape[:2]) < MIN_SIDE:
            return float("nan")
        return float(network(_tensor(rgb), _tensor(truth)))

    return distance


def _tensor(rgb: RgbImage) -> Tensor:
    """Convert a picture (H, W, 3) to (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255
