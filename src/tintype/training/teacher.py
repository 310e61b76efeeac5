"""A teacher's labels: what an ImageNet classifier says every training photograph shows.

Computed once for the true colours, kept beside the run, and read from there when it goes on.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tintype.errors import CheckpointError
from tintype.systems.mobilenet import Classifier
from tintype.training.data import PhotoStore

FILE = "labels.safetensors"
_SIDE = 224  # at which the classifier was trained


def soft_labels(store: PhotoStore, teacher: Path, *, half: bool, batch: int = 64) -> Tensor:
    """The classifier's probabilities of the 1,000 classes for each photograph, float16 (N, 1000).

    It sees the central square of the true colours, brought to 224 px.

    Args:
        store: the photographs.
        teacher: weights of the classifier, as `Classifier.read` takes them, or the labels of a run
            on the same photographs (its ``labels.safetensors``).
        half: compute in bfloat16.
        batch: photographs at once.

    Raises:
        CheckpointError: the file is neither, or its labels are of other photographs.
    """
    if (known := _read(teacher)) is not None:
        labels, fingerprint = known
        if fingerprint != _fingerprint(store):
            raise CheckpointError(
                f"{teacher} holds the labels of other photographs; give the run's own --data and "
                "--held-back, or the classifier's weights with --teacher."
            )
        return labels
    device = store.pixels.device
    network = Classifier.read(teacher).to(device)
    found = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
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
    """Labels that a run kept and what they are of; None for a file that holds something else."""
    try:
        with safe_open(path, "pt") as file:
            if "labels" not in file.keys():  # noqa: SIM118 (not a dict)
                return None
            return file.get_tensor("labels"), (file.metadata() or {}).get("photographs", "")
    except (OSError, SafetensorError):
        return None  # the classifier's reader says what is wrong with it


def _fingerprint(store: PhotoStore) -> str:
    """Tells sets of photographs apart: their number, sizes and some of their pixels."""
    sample = store.pixels[store.start].long()
    order = torch.arange(1, len(store) + 1, device=sample.device)
    sums = (int((sample.sum(1) * order).sum()), int((store.height * order).sum()))
    return f"{len(store)}-{sums[0]}-{sums[1]}"
