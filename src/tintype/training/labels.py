"""Labels for the models that learn what a photograph shows: of class folders, or of a teacher.

A teacher's labels are computed once for the true colors and kept beside the run.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tintype.errors import CheckpointError
from tintype.models.backbones import Classifier
from tintype.training.data import PhotoStore
from tintype.training.parallel import bfloat16_pays

FILE = "labels.safetensors"
_SIDE = 224  # at which the classifier was trained


def folder_labels(store: PhotoStore) -> tuple[Tensor, list[str]]:
    """Return one-hot labels float16 (N, classes) of the photographs' folders, and the classes.

    A class is ``source/label`` of names like ``source/label/id.jpg``, or the one folder there is.
    Photographs in no folder, or in one called ``unlabelled``, have a row of zeros.
    """
    folders = [str(PurePosixPath(name).parent) for name in store.names]
    classes = sorted({f for f in folders if f != "." and PurePosixPath(f).name != "unlabelled"})
    index = {name: k for k, name in enumerate(classes)}
    labels = torch.zeros((len(store), len(classes)), dtype=torch.float16)
    for row, folder in enumerate(folders):
        if folder in index:
            labels[row, index[folder]] = 1
    return labels, classes


def soft_labels(store: PhotoStore, teacher: Path, batch: int = 64) -> Tensor:
    """Return a classifier's probabilities of 1,000 classes for each photograph, float16.

    It sees the central square of the true colors, brought to 224 px.

    Args:
        store: the photographs.
        teacher: weights of the classifier, as `Classifier.load` takes them, or the labels of a run
            on the same photographs (its ``labels.safetensors``).
        batch: photographs at once.

    Raises:
        CheckpointError: the file is neither, or its labels are of other photographs.
    """
    if (known := _read(teacher)) is not None:
        labels, fingerprint = known
        if fingerprint != _fingerprint(store):
            raise CheckpointError(
                f"{teacher} holds the labels of other photographs; give the run's own --data and "
                "--val-size, or the classifier's weights with --teacher."
            )
        return labels
    device = store.pixels.device
    network = Classifier.load(teacher).to(device)
    found = []
    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=bfloat16_pays(device)),
    ):
        for index in torch.arange(len(store)).split(batch):
            side = int(store.height[index].minimum(store.width[index]).min())
            middle = torch.full((len(index),), 0.5)
            rgb = store.crops(index, middle, middle, side).float() / 255
            rgb = F.interpolate(rgb, size=(_SIDE, _SIDE), mode="bilinear", antialias=side > _SIDE)
            rgb = rgb.contiguous(memory_format=torch.channels_last)
            found.append(network(rgb).half().cpu())
    return torch.cat(found).clone()


def keep_labels(run: Path, store: PhotoStore, labels: Tensor) -> None:
    """Write ``run/labels.safetensors``, whole or not at all."""
    temporary = run / f".{FILE}"
    try:
        save_file({"labels": labels}, temporary, {"photographs": _fingerprint(store)})
        os.replace(temporary, run / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Tensor, str] | None:
    """Read labels that a run kept, and what they are of; None for another file."""
    try:
        with safe_open(path, "pt") as file:
            if "labels" not in file.keys():  # noqa: SIM118 (not a dict)
                return None
            return file.get_tensor("labels"), (file.metadata() or {}).get("photographs", "")
    except (OSError, SafetensorError):
        return None  # the classifier's reader says what is wrong with it


def _fingerprint(store: PhotoStore) -> str:
    """Tell sets of photographs apart: by their number, sizes and some of their pixels."""
    sample = store.pixels[store.start].long()
    order = torch.arange(1, len(store) + 1, device=sample.device)
    sums = (int((sample.sum(1) * order).sum()), int((store.height * order).sum()))
    return f"{len(store)}-{sums[0]}-{sums[1]}"
