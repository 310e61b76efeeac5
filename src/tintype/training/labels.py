"""Class labels for models that need them: from folders, or soft labels of a teacher.

Soft labels are computed once, on the true colors, and saved in the folder of the run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
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
from tintype.training.stream import PhotoStream, one_hot

FILE = "labels.safetensors"
_SIDE = 224  # pixels; the classifier was trained at this size
_RARE = 1e-4  # share of the photographs below which a class is too rare to be learnt


def label_by_folder(store: PhotoStore | PhotoStream) -> tuple[int, float]:
    """Give photographs the labels of their folders; return classes and the labelled share.

    The class of ``source/label/id.jpg`` is ``source/label``. Photographs in no folder, in a folder
    called ``unlabelled``, or in one with less than a ten-thousandth of all photographs, have a row
    of zeros.
    """
    if isinstance(store, PhotoStream):
        photos = torch.bincount(store.folder.long(), minlength=len(store.folders)).tolist()
        counts = Counter(dict(zip(store.folders, photos, strict=True)))
        store.classes, classes = _folder_classes(store.folders, counts)
        own = store.classes[store.folder.long()]
    else:
        folders = [str(PurePosixPath(name).parent) for name in store.names]
        own, classes = _folder_classes(folders, Counter(folders))
        store.labels = one_hot(own, len(classes)).half()
    return len(classes), float((own >= 0).double().mean())


def _folder_classes(folders: Sequence[str], counts: Counter[str]) -> tuple[Tensor, list[str]]:
    """Return the class of each folder, -1 for none, and the names of the classes."""
    least = _RARE * counts.total()
    named = {f for f in counts if f != "." and PurePosixPath(f).name != "unlabelled"}
    classes = sorted(folder for folder in named if counts[folder] >= least)
    index = {name: k for k, name in enumerate(classes)}
    return torch.tensor([index.get(folder, -1) for folder in folders]), classes


def soft_labels(store: PhotoStore, teacher: Path, batch: int = 64) -> Tensor:
    """Return a classifier's class probabilities of each photograph, float16 (N, 1000).

    The classifier is given the central square of the true colors, resized to 224 pixels.

    Args:
        store: the photographs.
        teacher: weights of the classifier (see `Classifier.load`), or ``labels.safetensors`` of a
            run on the same photographs.
        batch: number of photographs per forward pass.

    Raises:
        CheckpointError: the file is neither, or its labels are of other photographs.
    """
    if (known := _read(teacher)) is not None:
        labels, fingerprint = known
        if fingerprint != _fingerprint(store):
            raise CheckpointError(
                f"{teacher} holds the labels of other photographs; give the run's own --data and "
                "--limit, or the classifier's weights with --teacher."
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
    """Write ``run/labels.safetensors`` atomically."""
    temporary = run / f".{FILE}"
    try:
        save_file({"labels": labels}, temporary, {"photographs": _fingerprint(store)})
        os.replace(temporary, run / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Tensor, str] | None:
    """Read saved labels and the fingerprint of their photographs; return None for another file."""
    try:
        with safe_open(path, "pt") as file:
            if "labels" not in file.keys():  # noqa: SIM118 (not a dict)
                return None
            return file.get_tensor("labels"), (file.metadata() or {}).get("photographs", "")
    except (OSError, SafetensorError):
        return None  # reading it as a classifier gives the error


def _fingerprint(store: PhotoStore) -> str:
    """Return a fingerprint of photographs: of their number, sizes and some of their pixels."""
    sample = store.pixels[store.start].long()
    order = torch.arange(1, len(store) + 1, device=sample.device)
    sums = (int((sample.sum(1) * order).sum()), int((store.height * order).sum()))
    return f"{len(store)}-{sums[0]}-{sums[1]}"
