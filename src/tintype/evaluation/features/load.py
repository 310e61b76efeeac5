"""Feature networks as functions of pictures, with the weights a user brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tintype.errors import CheckpointError, DataError
from tintype.evaluation.features import lpips
from tintype.evaluation.features.inception import InceptionV3
from tintype.evaluation.features.weights import fill, read_weights
from tintype.evaluation.networks import Networks, Picture
from tintype.systems.mobilenet import Classifier

_CLASSIFIER = (
    "MobileNetV2 1.0 of ImageNet with folded batch norms and its classifier, as safetensors "
    "(converted from github.com/google-coral/test_data, see docs/evaluation.md)"
)
_FID = (
    "Inception-v3: pt_inception-2015-12-05-6726825d.pth (converted from TensorFlow; releases of "
    "github.com/mseitzer/pytorch-fid) or inception_v3_google-0cc3c7bd.pth "
    "(download.pytorch.org/models)"
)
_LPIPS = (
    "both alexnet-owt-7be5be79.pth (download.pytorch.org/models) and the linear heads alex.pth "
    "(lpips/weights/v0.1 of github.com/richzhang/PerceptualSimilarity)"
)
_LABELLED = 224  # px, at which the classifier was trained
_CENTRE = 0.875  # of the shorter side, that the classifier is shown


def load(
    *,
    classifier: Path | None = None,
    fid: Path | None = None,
    lpips_files: Sequence[Path] = (),
    threads: int | None = None,
) -> Networks:
    """The networks of the weights that are given.

    Args:
        classifier: MobileNetV2's weights, for semantic agreement.
        fid: Inception-v3's, of TensorFlow or of torchvision: the file tells which.
        lpips_files: AlexNet's and those of the heads, in one file or in two.
        threads: of torch, for the whole process.

    Raises:
        DataError: a file is missing or holds something else.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    notes: dict[str, str] = {}
    label = distance = features = None
    if classifier is not None:
        label = _labels(classifier)
        notes["label_agreement"] = (
            "MobileNetV2 1.0 (ImageNet), central 87.5 % of the shorter side at "
            f"{_LABELLED} px; {classifier.name}"
        )
    if fid is not None:
        features, notes["fid"] = _features(fid)
    if lpips_files:
        distance = _distances(lpips_files)
        notes["lpips"] = "0.1, AlexNet; " + ", ".join(path.name for path in lpips_files)
    return Networks(label, distance, features, notes)


def _labels(path: Path) -> Callable[[Picture], int]:
    try:
        network = Classifier.read(path)
    except CheckpointError as error:
        raise DataError(f"{path} cannot be used; what is needed: {_CLASSIFIER}.") from error

    @torch.inference_mode()
    def label(rgb: Picture) -> int:
        height, width = rgb.shape[:2]
        side = _CENTRE * min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        seen = Image.fromarray(rgb).resize(
            (_LABELLED, _LABELLED),
            Image.Resampling.BILINEAR,
            (left, top, left + side, top + side),
        )
        return int(network(_tensor(np.asarray(seen))).argmax())

    return label


def _features(path: Path) -> tuple[Callable[[Picture], NDArray[np.float32]], str]:
    weights = read_weights(path, _FID)
    # TensorFlow's network has 1,008 outputs, torchvision's 1,000.
    tensorflow = len(weights.get("fc.bias", ())) == 1008
    network = InceptionV3(tensorflow)
    fill(network, weights, path, _FID)
    kind = "TensorFlow's weights and poolings" if tensorflow else "torchvision's weights"

    @torch.inference_mode()
    def features(rgb: Picture) -> NDArray[np.float32]:
        return network(_tensor(rgb))[0].numpy()

    return features, f"Inception-v3 pool3 (2,048), {kind}, bilinear to 299 px; {path.name}"


def _distances(paths: Sequence[Path]) -> Callable[[Picture, Picture], float]:
    weights = {name: w for path in paths for name, w in read_weights(path, _LPIPS).items()}
    network = lpips.LPIPS()
    fill(network, weights, paths[0], _LPIPS)

    @torch.inference_mode()
    def distance(rgb: Picture, truth: Picture) -> float:
        if min(rgb.shape[:2]) < lpips.SMALLEST:
            return float("nan")
        return float(network(_tensor(rgb), _tensor(truth)))

    return distance


def _tensor(rgb: Picture) -> Tensor:
    """A picture in [0, 1], (1, 3, H, W)."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255
